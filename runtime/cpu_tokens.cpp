#include "kernels/cross_entropy.hpp"
#include "kernels/embedding.hpp"
#include "kernels/sample.hpp"
#include "kernels/workspace.hpp"
#include "runtime/cpu_kernels.hpp"

namespace r1 {

namespace {

SampleArgs sample_args(const OpCall& c, const Sampling& sampling) {
    SampleArgs args;
    args.rows = c.dims[0];
    args.vocabulary = c.dims[1];
    args.temperature = sampling.temperature;
    args.top_p = sampling.top_p;
    args.logits = matrix(c.inputs[0]);
    args.tokens = data_of<std::int32_t>(c.outputs[0]);
    return args;
}

}  // namespace

void run_embedding(const CpuDevice&, const OpCall& c) {
    const TensorArg& table = c.inputs[1];
    cpu::embedding({c.dims[0], c.dims[1],
                    static_cast<std::int64_t>(table.tensor->shape.front().constant),
                    data_of<std::int32_t>(c.inputs[0]), matrix(table), matrix(c.outputs[0])});
}

void run_cross_entropy(const CpuDevice&, const OpCall& c) {
    cpu::cross_entropy({c.dims[0], c.dims[1], matrix(c.inputs[0]),
                        data_of<std::int32_t>(c.inputs[1]), data_of<float>(c.outputs[0]),
                        data_of<float>(c.outputs[1])});
}

std::size_t sample_workspace(const OpCall& c) {
    const SampleArgs args = sample_args(c, c.policy.sampling);
    return workspace_bytes_of<double>(args.rows) + sample_workspace_bytes(args);
}

// {logits, randoms} -> {tokens}. randoms: 31 random bits a row.
void run_sample(const CpuDevice&, const OpCall& c) {
    SampleArgs args = sample_args(c, c.policy.sampling);
    const auto* randoms = data_of<std::int32_t>(c.inputs[1]);
    auto* uniforms = Carver(c.workspace).take<double>(args.rows);
    for (std::int64_t row = 0; row < args.rows; ++row) {
        uniforms[row] = static_cast<double>(randoms[row]) * 0x1p-31;
    }
    args.uniforms = uniforms;
    args.workspace = c.workspace.subspan(workspace_bytes_of<double>(args.rows));
    cpu::sample(args);
}

void run_argmax(const CpuDevice&, const OpCall& c) { cpu::sample(sample_args(c, {})); }

}  // namespace r1
