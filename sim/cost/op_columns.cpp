#include "sim/cost/op_columns.hpp"

namespace r1 {

namespace {

bool touches(const ChunkTemplate& chunk, const Op& op, DType dtype) {
    for (const auto* list : {&op.inputs, &op.outputs}) {
        for (const TensorId id : *list) {
            if (chunk.tensors[id.index()].dtype == dtype) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace

std::string own_curve(const ChunkTemplate& chunk, const Op& op) {
    const KernelId kernel = op.compute()->kernel;
    if (touches(chunk, op, DType::e5m6)) {
        return kernel == KernelId::quantize_fp8 ? "quantize_e5m6" : "dequantize_e5m6";
    }
    return std::string(name(kernel));
}

double bytes_of(const ComputeOp& op, const SymbolValues& values) {
    return op.work.read_bytes.value(values) + op.work.written_bytes.value(values);
}

std::map<std::string, double> columns_of(const ComputeOp& op, const SymbolValues& values, int sms) {
    const KernelSignature& signature = *kernel_signature(op.kernel);
    std::map<std::string, double> columns;
    for (std::size_t i = 0; i < op.dims.size(); ++i) {
        columns[std::string(signature.dims[i])] = op.dims[i].value(values);
    }
    if (signature.cost_class == KernelClass::grouped_gemm) {
        columns["m_per_group"] = columns["m"] / columns["groups"];
        columns["k_per_group"] = columns["k"] / columns["groups"];
        // Rows of all groups are m forward, k in a weight gradient.
        const bool wgrad = name(op.kernel).find("wgrad") != std::string_view::npos;
        columns.erase(wgrad ? "m_per_group" : "k_per_group");
    }
    if (signature.cost_class == KernelClass::attention) {
        columns["qk"] = columns["qk_head_dim"];
        columns["v"] = columns["v_head_dim"];
        columns["heads"] *= columns["sequences"];  // all of them at once
    }
    if (op.kernel == KernelId::mla_decode) {
        columns["batch"] = columns["sequences"];
        columns["kv_len"] = columns["past"];
        columns["heads"] *= columns["queries"];  // rows of one sequence share its cache
    }
    columns["bytes"] = bytes_of(op, values);
    columns["sms"] = static_cast<double>(sms);
    return columns;
}

}  // namespace r1
