#include "kernels/grpo.hpp"

#include "kernels/grpo_output.hpp"

namespace r1::reference {

void grpo_advantages(const GrpoAdvantagesArgs& args) {
    for (std::int64_t output = 0; output < args.outputs; ++output) {
        args.advantages[output] = static_cast<float>(grpo_advantage(args, output));
    }
}

void grpo_objective(const GrpoObjectiveArgs& args) {
    for (std::int64_t output = 0; output < args.batch.outputs; ++output) {
        args.loss[output] = static_cast<float>(grpo_output(args, output));
    }
}

void grpo_backward(const GrpoBackwardArgs& args) {
    for (std::int64_t output = 0; output < args.batch.outputs; ++output) {
        grpo_output_backward(args, output);
    }
}

}  // namespace r1::reference
