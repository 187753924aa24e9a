// A context of 131,072 tokens: a prompt in chunks and 16 tokens after it, over the latent cache of
// a small model with R1's head sizes. Prints the times, and what was allocated and resident beside
// what the plan predicted. Usage: bench_long_context_bench [prompt tokens [prefill chunk]]
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <vector>

#include "model/base/json.hpp"
#include "model/base/rng.hpp"
#include "model/config/parameters.hpp"
#include "runtime/generate.hpp"

// ---- every allocation of the program, counted ---------------------------------------------------
namespace {

std::atomic<std::int64_t> allocated{0};
std::atomic<std::int64_t> allocated_peak{0};

// The size lies in front of the block.
void* allocate(std::size_t bytes, std::size_t alignment) {
    const std::size_t front = alignment < 16 ? 16 : alignment;
    const std::size_t whole = (bytes + front + front - 1) / front * front;
    auto* block = static_cast<std::byte*>(std::aligned_alloc(front, whole));
    if (block == nullptr) {
        throw std::bad_alloc();
    }
    reinterpret_cast<std::size_t*>(block + front)[-1] = bytes;
    const std::int64_t now = allocated += static_cast<std::int64_t>(bytes);
    std::int64_t peak = allocated_peak;
    while (now > peak && !allocated_peak.compare_exchange_weak(peak, now)) {
    }
    return block + front;
}

void release(void* address, std::size_t alignment) {
    if (address != nullptr) {
        const std::size_t front = alignment < 16 ? 16 : alignment;
        allocated -= static_cast<std::int64_t>(static_cast<std::size_t*>(address)[-1]);
        std::free(static_cast<std::byte*>(address) - front);
    }
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 16); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* address) noexcept { release(address, 16); }
void operator delete(void* address, std::size_t) noexcept { release(address, 16); }
void operator delete(void* address, std::align_val_t alignment) noexcept {
    release(address, static_cast<std::size_t>(alignment));
}
void operator delete(void* address, std::size_t, std::align_val_t alignment) noexcept {
    release(address, static_cast<std::size_t>(alignment));
}

namespace {

using namespace r1;
namespace fs = std::filesystem;

// One dense layer and two of experts: the last layer of a prompt only fills its cache, so two
// layers attend to all of it. 4 heads of R1's sizes, YaRN as in R1.
const char* const kConfig = R"({
    "model_type": "deepseek_v3", "vocab_size": 512, "hidden_size": 256, "intermediate_size": 512,
    "moe_intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "n_shared_experts": 1, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_group": 4,
    "topk_group": 2, "first_k_dense_replace": 1, "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true,
    "q_lora_rank": 192, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "max_position_embeddings": 163840, "rope_theta": 10000,
    "rope_scaling": {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 1,
                     "mscale_all_dim": 1, "original_max_position_embeddings": 4096},
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false})";

// Random weights of a size that keeps activations near one.
void write_model(const fs::path& folder) {
    const Json json = Json::parse(kConfig);
    Diagnostics diagnostics;
    const ModelConfig config =
        read_model_config(Document::from_json(json, "config"), "", diagnostics);
    diagnostics.throw_if_errors();
    std::vector<std::vector<float>> values;
    std::vector<TensorView> views;
    for (const Parameter& parameter : parameter_inventory(config)) {
        const Rng rng(7, values.size());
        const bool is_norm = parameter.shape.size() == 1;
        const double size =
            is_norm ? 0 : 1 / std::sqrt(static_cast<double>(parameter.shape.back()));
        std::vector<float>& data = values.emplace_back(parameter.count());
        for (std::size_t i = 0; i < data.size(); ++i) {
            data[i] = static_cast<float>(size * rng.normal(i)) +
                      (is_norm && !parameter.name.ends_with("bias") ? 1.0F : 0.0F);
        }
        views.push_back({parameter.name,
                         StoredType::f32,
                         parameter.shape,
                         {reinterpret_cast<const std::byte*>(data.data()), data.size() * 4}});
    }
    write_checkpoint(folder, views, kShardBytes, &json);
}

// "VmRSS:" or "VmHWM:" of this process.
double status_bytes(const std::string& key) {
    std::ifstream status("/proc/self/status");
    std::string word;
    while (status >> word) {
        if (word == key) {
            double kilobytes = 0;
            status >> kilobytes;
            return 1024 * kilobytes;
        }
    }
    return 0;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

bool report(const char* name, double got, double predicted) {
    const double error = 100 * (got / predicted - 1);
    const bool ok = std::abs(error) <= 5;
    std::printf("%-28s %9.1f MB, predicted %9.1f MB, %+5.1f %%  %s\n", name, 1e-6 * got,
                1e-6 * predicted, error, ok ? "OK" : "BEYOND 5 %");
    return ok;
}

int bench(std::int64_t tokens, std::int64_t chunk, const fs::path& folder) {
    write_model(folder);
    const Checkpoint checkpoint = Checkpoint::open(folder);
    const Rng rng(3);
    TokenIds prompt(static_cast<std::size_t>(tokens));
    for (std::size_t i = 0; i < prompt.size(); ++i) {
        prompt[i] = static_cast<std::int32_t>(rng.bits(i) % 512);
    }
    GenerateOptions options;
    options.policy.compute = DType::bf16;
    options.max_new_tokens = 16;
    options.prefill_chunk = chunk;
    const std::vector<TokenIds> prompts = {prompt};
    const double resident_before = status_bytes("VmRSS:");
    const std::int64_t allocated_before = allocated;
    allocated_peak = allocated_before;
    const auto begin = std::chrono::steady_clock::now();
    double prefill_s = 0;
    options.on_prefill = [&](std::int64_t done, std::int64_t total) {
        prefill_s = seconds_since(begin);
        std::fprintf(stderr, "%lld of %lld tokens, %.0f s\n", static_cast<long long>(done),
                     static_cast<long long>(total), prefill_s);
    };
    const Generation generation = generate(checkpoint, prompts, options);
    const double total_s = seconds_since(begin);
    const double high_water = static_cast<double>(allocated_peak - allocated_before);
    const double resident = status_bytes("VmHWM:") - resident_before;

    const GenerationMemory& memory = generation.memory;
    const double cache_predicted =
        kv_cache_bytes_per_token(checkpoint.config()).value() * static_cast<double>(tokens + 16);
    std::printf(
        "context %lld tokens: prompt %.1f s, 16 tokens %.2f s, total %.1f s (target 1200)\n",
        static_cast<long long>(tokens + 16), prefill_s, total_s - prefill_s, total_s);
    bool ok = total_s <= 1200;
    ok = report("cache", static_cast<double>(memory.cache), cache_predicted) && ok;
    ok = report("allocator high-water", high_water, static_cast<double>(memory.total())) && ok;
    ok = report("resident above baseline", resident, static_cast<double>(memory.total())) && ok;
    std::printf("# %s\n", ok ? "all targets met" : "some targets missed");
    return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::int64_t tokens = argc > 1 ? std::atoll(argv[1]) : 131072;
    const std::int64_t chunk = argc > 2 ? std::atoll(argv[2]) : 4096;
    const fs::path folder =
        fs::temp_directory_path() / ("r1sim_long_context_" + std::to_string(getpid()));
    const int status = bench(tokens, chunk, folder);
    fs::remove_all(folder);
    return status;
}
