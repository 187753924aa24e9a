// compare_checkpoints A B TOLERANCE: do two Hugging Face checkpoints hold the same weights? Prints
// the tensor with the largest relative L2 distance; exit 1 if that is above the tolerance.
#include <iostream>
#include <string>

#include "model/checkpoint/checkpoint.hpp"
#include "model/config/parameters.hpp"
#include "tests/support/relative_distance.hpp"

namespace r1 {
namespace {

int compare(const std::string& first, const std::string& second, double tolerance) {
    const Checkpoint a = Checkpoint::open(first);
    const Checkpoint b = Checkpoint::open(second);
    double worst = 0;
    std::string name;
    int tensors = 0;
    for (const Parameter& parameter : parameter_inventory(b.config())) {
        const double now = test::relative_distance(a.f32(parameter.name), b.f32(parameter.name));
        ++tensors;
        if (!(now <= worst)) {
            worst = now;
            name = parameter.name;
        }
    }
    std::cout << tensors << " tensors, at most " << worst << " apart: " << name << "\n";
    return tensors > 0 && worst <= tolerance ? 0 : 1;
}

}  // namespace
}  // namespace r1

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: compare_checkpoints A B TOLERANCE\n";
        return 2;
    }
    try {
        return r1::compare(argv[1], argv[2], std::stod(argv[3]));
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
}
