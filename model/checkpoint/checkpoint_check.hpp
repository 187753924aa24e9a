// The tensors of a checkpoint against those that its config calls for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/config/model_config.hpp"

namespace r1 {

// Problems of a checkpoint; after kMax it only counts: a wrong config gives one a tensor.
class ProblemList {
public:
    static constexpr std::size_t kMax = 1000;

    void add(const std::string& file, const std::string& message);
    void add(const InputError& error);
    void throw_if_any();

private:
    Diagnostics diagnostics_;
    std::size_t left_out_ = 0;
};

struct StoredTensor {
    const TensorView* tensor;
    std::string file;
};

// "…weight_scale_inv" of "…weight".
std::string scale_name(std::string_view weight);

// Throws InputError with all problems. `stored` ascends by name; `origin` is the file to name
// where a tensor lies in none.
void check_tensors(const ModelConfig& config, const std::vector<StoredTensor>& stored,
                   const std::string& origin);

}  // namespace r1
