#include "runtime/cpu_device.hpp"

#include <fmt/format.h>

#include "kernels/cpu/threads.hpp"
#include "model/base/exit_code.hpp"
#include "runtime/process_memory.hpp"

namespace r1 {

namespace {

template <auto kernel, class Args>
void on_cpu(const Args& args, const cuda::Launch& /*launch*/) {
    kernel(args);
}

KernelSet cpu_kernels() {
    KernelSet set;
    set.adamw = on_cpu<cpu::adamw>;
    set.add_rows = on_cpu<cpu::add_rows>;
    set.bias_update = on_cpu<cpu::bias_update>;
    set.concat = on_cpu<cpu::concat>;
    set.cross_entropy = on_cpu<cpu::cross_entropy>;
    set.cross_entropy_backward = on_cpu<cpu::cross_entropy_backward>;
    set.dequantize_e5m6 = on_cpu<cpu::dequantize_e5m6>;
    set.dequantize_fp8 = on_cpu<cpu::dequantize_fp8>;
    set.ema_update = on_cpu<cpu::ema_update>;
    set.embedding = on_cpu<cpu::embedding>;
    set.embedding_backward = on_cpu<cpu::embedding_backward>;
    set.expert_load = on_cpu<cpu::expert_load>;
    set.gemm_bf16 = on_cpu<cpu::gemm_bf16>;
    set.gemm_bf16_wgrad = on_cpu<cpu::gemm_bf16_wgrad>;
    set.gemm_fp8 = on_cpu<cpu::gemm_fp8>;
    set.gemm_fp8_wgrad = on_cpu<cpu::gemm_fp8_wgrad>;
    set.gradient_norm = on_cpu<cpu::gradient_norm>;
    set.grouped_gemm_bf16 = on_cpu<cpu::grouped_gemm_bf16>;
    set.grouped_gemm_bf16_wgrad = on_cpu<cpu::grouped_gemm_bf16_wgrad>;
    set.grouped_gemm_fp8 = on_cpu<cpu::grouped_gemm_fp8>;
    set.grouped_gemm_fp8_wgrad = on_cpu<cpu::grouped_gemm_fp8_wgrad>;
    set.local_route = on_cpu<cpu::local_route>;
    set.mla_attention = on_cpu<cpu::mla_attention>;
    set.mla_attention_backward = on_cpu<cpu::mla_attention_backward>;
    set.mla_decode = on_cpu<cpu::mla_decode>;
    set.mla_prefill = on_cpu<cpu::mla_prefill>;
    set.permute = on_cpu<cpu::permute>;
    set.permute_again = on_cpu<cpu::permute_again>;
    set.quantize_e5m6 = on_cpu<cpu::quantize_e5m6>;
    set.quantize_fp8 = on_cpu<cpu::quantize_fp8>;
    set.quantize_weight_fp8 = on_cpu<cpu::quantize_weight_fp8>;
    set.requantize_transpose_fp8 = on_cpu<cpu::requantize_transpose_fp8>;
    set.residual_add = on_cpu<cpu::residual_add>;
    set.rms_norm = on_cpu<cpu::rms_norm>;
    set.rms_norm_backward = on_cpu<cpu::rms_norm_backward>;
    set.rope = on_cpu<cpu::rope>;
    set.rope_backward = on_cpu<cpu::rope_backward>;
    set.rope_latent = on_cpu<cpu::rope_latent>;
    set.router_topk = on_cpu<cpu::router_topk>;
    set.router_topk_backward = on_cpu<cpu::router_topk_backward>;
    set.sample = on_cpu<cpu::sample>;
    set.split = on_cpu<cpu::split>;
    set.swiglu = on_cpu<cpu::swiglu>;
    set.swiglu_backward = on_cpu<cpu::swiglu_backward>;
    set.unpermute = on_cpu<cpu::unpermute>;
    set.gemm_bf16_workspace_bytes = cpu::gemm_bf16_workspace_bytes;
    set.gemm_bf16_wgrad_workspace_bytes = cpu::gemm_bf16_wgrad_workspace_bytes;
    set.gemm_fp8_workspace_bytes = cpu::gemm_fp8_workspace_bytes;
    set.gemm_fp8_wgrad_workspace_bytes = cpu::gemm_fp8_wgrad_workspace_bytes;
    set.grouped_gemm_bf16_workspace_bytes = cpu::grouped_gemm_bf16_workspace_bytes;
    set.grouped_gemm_bf16_wgrad_workspace_bytes = cpu::grouped_gemm_bf16_wgrad_workspace_bytes;
    set.grouped_gemm_fp8_workspace_bytes = cpu::grouped_gemm_fp8_workspace_bytes;
    set.grouped_gemm_fp8_wgrad_workspace_bytes = cpu::grouped_gemm_fp8_wgrad_workspace_bytes;
    set.mla_attention_workspace_bytes = cpu::mla_attention_workspace_bytes;
    set.mla_attention_backward_workspace_bytes = cpu::mla_attention_backward_workspace_bytes;
    set.mla_decode_workspace_bytes = cpu::mla_decode_workspace_bytes;
    set.mla_prefill_workspace_bytes = cpu::mla_prefill_workspace_bytes;
    set.rms_norm_backward_workspace_bytes = cpu::rms_norm_backward_workspace_bytes;
    set.sample_workspace_bytes = r1::sample_workspace_bytes;
    set.unpermute_workspace_bytes = cpu::unpermute_workspace_bytes;
    return set;
}

// Nothing is taken: the system gives more than it has, and kills who uses it.
void require_available(std::size_t bytes, const std::string& what) {
    const auto needed = static_cast<double>(bytes);
    const auto available = static_cast<double>(available_memory_bytes());
    if (needed > available) {
        throw InfeasibleError(fmt::format("{} need {:.3f} GB, and this machine has {:.3f} GB left",
                                          what, needed / 1e9, available / 1e9));
    }
}

}  // namespace

void set_cpu_threads(std::int64_t threads) { cpu::set_thread_count(threads); }
void set_cpu_turns(bool on) { cpu::set_turns(on); }

CpuDevice::CpuDevice(const ModelConfig& config)
    : Device("cpu", host_memory(), cpu_kernels(), config) {}

const DeviceKind& cpu_devices() {
    static const DeviceKind kind = [] {
        DeviceKind cpu;
        cpu.name = "cpu";
        cpu.memory = &host_memory();
        cpu.kernels = cpu_kernels();
        cpu.make = [](const ModelConfig& config) { return std::make_unique<CpuDevice>(config); };
        cpu.reserve = require_available;
        return cpu;
    }();
    return kind;
}

}  // namespace r1
