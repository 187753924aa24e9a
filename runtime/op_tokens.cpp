#include "kernels/cross_entropy.hpp"
#include "kernels/embedding.hpp"
#include "kernels/sample.hpp"
#include "runtime/op_kernels.hpp"

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

void run_embedding(const Device& device, const OpCall& c) {
    const TensorArg& table = c.inputs[1];
    run(device, c, &KernelSet::embedding,
        {c.dims[0], c.dims[1], static_cast<std::int64_t>(table.tensor->shape.front().constant),
         data_of<std::int32_t>(c.inputs[0]), matrix(table), matrix(c.outputs[0])});
}

void run_cross_entropy(const Device& device, const OpCall& c) {
    run(device, c, &KernelSet::cross_entropy,
        {c.dims[0], c.dims[1], matrix(c.inputs[0]), data_of<std::int32_t>(c.inputs[1]),
         data_of<float>(c.outputs[0]), data_of<float>(c.outputs[1])});
}

std::size_t sample_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::sample_workspace_bytes, sample_args(c, c.policy.sampling));
}

// {logits, randoms} -> {tokens}
void run_sample(const Device& device, const OpCall& c) {
    SampleArgs args = sample_args(c, c.policy.sampling);
    args.randoms = data_of<std::int32_t>(c.inputs[1]);
    args.workspace = c.workspace;
    run(device, c, &KernelSet::sample, args);
}

void run_argmax(const Device& device, const OpCall& c) {
    run(device, c, &KernelSet::sample, sample_args(c, {}));
}

}  // namespace r1
