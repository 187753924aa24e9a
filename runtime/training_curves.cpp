#include "runtime/training_curves.hpp"

#include <string>
#include <utility>

#include "model/base/json.hpp"

namespace r1 {

namespace {

std::string lines_up_to(const std::filesystem::path& file, std::int64_t step) {
    std::ifstream in(file);
    std::string kept;
    std::string line;
    while (std::getline(in, line)) {
        const Json json = Json::parse(line, nullptr, false);
        if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer() ||
            json["step"].get<std::int64_t>() > step) {
            break;  // what was cut off by a kill is repeated too
        }
        kept += line + "\n";
    }
    return kept;
}

}  // namespace

TrainingCurves::TrainingCurves(std::filesystem::path file, std::int64_t step)
    : file_(std::move(file)) {
    write_file_atomically(file_, step > 0 ? lines_up_to(file_, step) : std::string());
    out_.open(file_, std::ios::app);
}

void TrainingCurves::add(std::int64_t step, double learning_rate, const StepOutcome& outcome) {
    const Json line = {{"step", step},
                       {"loss", finite_or_null(outcome.loss)},
                       {"mtp_loss", finite_or_null(outcome.mtp_loss)},
                       {"learning_rate", learning_rate},
                       {"gradient_norm", finite_or_null(outcome.gradient_norm)},
                       {"expert_load", outcome.expert_load}};
    out_ << line.dump() << "\n" << std::flush;
    if (!out_) {
        throw InputError(file_.string(), "cannot be written: is the disk full?");
    }
}

}  // namespace r1
