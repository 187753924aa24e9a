#include "kernels/grpo.hpp"

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/grpo_output.hpp"

namespace r1::cpu {

namespace {

constexpr std::int64_t kTokenWork = 64;  // two exponentials in double, in elements

}  // namespace

void grpo_advantages(const GrpoAdvantagesArgs& args) {
    parallel_for(args.outputs, 3 * args.outputs, [&](std::int64_t output) {
        args.advantages[output] = static_cast<float>(grpo_advantage(args, output));
    });
}

void grpo_objective(const GrpoObjectiveArgs& args) {
    const GrpoBatch& batch = args.batch;
    parallel_for(batch.outputs, batch.length_max * kTokenWork, [&](std::int64_t output) {
        args.loss[output] = static_cast<float>(grpo_output(args, output));
    });
}

void grpo_backward(const GrpoBackwardArgs& args) {
    const GrpoBatch& batch = args.batch;
    parallel_for(batch.outputs, batch.length_max * kTokenWork,
                 [&](std::int64_t output) { grpo_output_backward(args, output); });
}

}  // namespace r1::cpu
