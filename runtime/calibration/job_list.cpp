// The grid: which shapes, in which order.
#include <array>
#include <utility>

#include "runtime/calibration/job.hpp"
#include "runtime/calibration/own_kernels.hpp"
#include "runtime/calibration/v3_sizes.hpp"

namespace r1 {

namespace {

using v3::kExperts;
using v3::kHidden;
using v3::kVocabulary;

constexpr std::int64_t kTokens = 4096;  // one training sequence

constexpr std::array kOccupied = {4, 8, 12, 16, 20, 24, 32, 40};
constexpr int kTrainingCommSms = 20;  // arXiv 2412.19437, sec. 3.2.2

struct Linear {
    std::int64_t n;
    std::int64_t k;
};

// Forward, y[m, n] = x[m, k] W[n, k]^T: attention, shared expert, dense MLP, MTP projection.
constexpr std::array<Linear, 11> kForward = {{
    {1536, 7168},   // q_a
    {576, 7168},    // kv_a
    {2112, 7168},   // q_a and kv_a as one
    {24576, 1536},  // q_b
    {32768, 512},   // kv_b
    {7168, 16384},  // o_proj
    {4096, 7168},   // shared expert, gate and up
    {7168, 2048},   // shared expert, down
    {36864, 7168},  // dense MLP, gate and up
    {7168, 18432},  // dense MLP, down
    {7168, 14336},  // eh_proj of the MTP module
}};

// Input gradients that have no shape among the forward ones.
constexpr std::array<Linear, 9> kInputGradient = {{
    {7168, 1536},   // q_a
    {7168, 576},    // kv_a
    {1536, 24576},  // q_b
    {512, 32768},   // kv_b
    {16384, 7168},  // o_proj
    {7168, 4096},   // shared expert, gate and up
    {2048, 7168},   // shared expert, down
    {7168, 36864},  // dense MLP, gate and up
    {18432, 7168},  // dense MLP, down
}};

// Routed experts: gate and up, down, and the input gradients of both.
constexpr std::array<Linear, 4> kExpert = {
    {{4096, 7168}, {7168, 2048}, {2048, 7168}, {7168, 4096}}};

struct ExpertGrouping {
    std::int64_t groups;
    std::int64_t rows;  // of one group
};

// 4096 tokens with 8 experts each over 4 experts a GPU (64-way expert parallel) come first.
constexpr std::array<ExpertGrouping, 8> kGroupings = {
    {{4, 8192}, {8, 4096}, {4, 4096}, {8, 2048}, {8, 1024}, {8, 256}, {32, 512}, {32, 128}}};

constexpr std::array<std::int64_t, 9> kOtherRows = {64,   128,  256,   512,  1024,
                                                    2048, 8192, 16384, 32768};
constexpr std::array<std::int64_t, 5> kSquares = {1024, 2048, 4096, 8192, 16384};

constexpr std::array kCopyKernels = {"memory_bound", "elementwise"};  // no kernel of the graph's
constexpr std::array kMemoryKernels = {"rms_norm", "quantize_fp8", "requantize_transpose_fp8",
                                       "swiglu",   "permute",      "residual_add"};
constexpr std::array kCopies = {"copy_device_to_device", "copy_host_to_device",
                                "copy_device_to_host"};
constexpr double kMiB = 1 << 20;
constexpr std::array kSizes = {64 * kMiB, 256 * kMiB, 16 * kMiB, 4 * kMiB, 1 * kMiB, 1024 * kMiB};

struct Batch {
    std::int64_t sequences;
    std::int64_t tokens;  // of each, in the cache
};
constexpr std::array<Batch, 8> kDecodes = {{{128, 4096},
                                            {128, 1024},
                                            {32, 4096},
                                            {32, 16384},
                                            {8, 4096},
                                            {8, 16384},
                                            {1, 4096},
                                            {1, 1024}}};

class JobList {
public:
    explicit JobList(JobKernels kernels) : is_own_(kernels == JobKernels::own) {}

    void gemm(const char* kernel, std::int64_t m, Linear shape, int occupied) {
        add({JobKind::gemm, kernel, 1, m, shape.n, shape.k, 0, occupied});
    }

    // The shape is the forward's: m of the gradient is its n, n its k, and the sum is over tokens.
    void wgrad(const char* kernel, std::int64_t tokens, Linear shape, int occupied) {
        add({JobKind::gemm, kernel, 1, shape.n, shape.k, tokens, 0, occupied});
    }

    void grouped(const char* kernel, ExpertGrouping grouping, Linear shape, int occupied) {
        add({JobKind::grouped_gemm, kernel, grouping.groups, grouping.rows, shape.n, shape.k, 0,
             occupied});
    }

    void grouped_wgrad(const char* kernel, ExpertGrouping grouping, Linear shape, int occupied) {
        add({JobKind::grouped_gemm, kernel, grouping.groups, shape.n, shape.k, grouping.rows, 0,
             occupied});
    }

    void memory(JobKind kind, const char* kernel, double bytes, int occupied) {
        add({kind, kernel, 1, 0, 0, 0, bytes, occupied});
    }

    // Of own kernels only: the libraries have none for MLA.
    void attention(std::int64_t tokens, int occupied) {
        for (const char* kernel : {"mla_attention", "mla_attention_backward"}) {
            add_attention(kernel, {1, tokens}, occupied);
        }
    }
    void decode() {
        for (const Batch& batch : kDecodes) {
            add_attention("mla_decode", batch, 0);
        }
    }

    // Everything that a training step of 4096 tokens runs, once.
    void training_step(int occupied);
    void memory_kernels(int occupied, std::size_t sizes);

    std::vector<CalibrationJob> jobs;

private:
    void add(CalibrationJob job) { jobs.push_back(std::move(job)); }
    void add_attention(const char* kernel, const Batch& batch, int occupied) {
        if (is_own_) {
            add({JobKind::attention, kernel, 1, 0, 0, 0, 0, occupied, batch.sequences,
                 batch.tokens});
        }
    }

    bool is_own_;
};

void JobList::training_step(int occupied) {
    for (const Linear& shape : kForward) {
        gemm("gemm_fp8", kTokens, shape, occupied);
    }
    for (const Linear& shape : kInputGradient) {
        gemm("gemm_fp8", kTokens, shape, occupied);
    }
    for (const Linear& shape : kForward) {
        wgrad("gemm_fp8_wgrad", kTokens, shape, occupied);
    }
    for (const Linear& shape : kExpert) {
        grouped("grouped_gemm_fp8", kGroupings.front(), shape, occupied);
    }
    for (const std::size_t forward : {0U, 1U}) {
        grouped_wgrad("grouped_gemm_fp8_wgrad", kGroupings.front(), kExpert[forward], occupied);
    }
    for (const std::int64_t out : {kVocabulary, kExperts}) {  // head and gate
        gemm("gemm_bf16", kTokens, {out, kHidden}, occupied);
        gemm("gemm_bf16", kTokens, {kHidden, out}, occupied);
        wgrad("gemm_bf16_wgrad", kTokens, {out, kHidden}, occupied);
    }
    attention(kTokens, occupied);
}

void JobList::memory_kernels(int occupied, std::size_t sizes) {
    for (std::size_t i = 0; i < sizes; ++i) {
        for (const char* kernel : kCopyKernels) {
            memory(JobKind::memory, kernel, kSizes[i], occupied);
        }
        if (is_own_) {
            for (const OwnMemoryKernel& own : own_memory_kernels()) {
                memory(JobKind::memory, own.kernel, kSizes[i], occupied);
            }
            continue;
        }
        for (const char* kernel : kMemoryKernels) {
            memory(JobKind::memory, kernel, kSizes[i], occupied);
        }
    }
}

// Shapes between and beyond those of the training step, on all SMs.
void add_grid(JobList& list) {
    for (const std::int64_t rows : kOtherRows) {
        for (const Linear& shape : kForward) {
            list.gemm("gemm_fp8", rows, shape, 0);
        }
        for (const Linear& shape : kInputGradient) {
            list.gemm("gemm_fp8", rows, shape, 0);
        }
    }
    for (std::size_t i = 1; i < kGroupings.size(); ++i) {
        for (const Linear& shape : kExpert) {
            list.grouped("grouped_gemm_fp8", kGroupings[i], shape, 0);
        }
        for (const std::size_t forward : {0U, 1U}) {
            list.grouped_wgrad("grouped_gemm_fp8_wgrad", kGroupings[i], kExpert[forward], 0);
        }
    }
    for (const std::int64_t tokens : {1024, 2048, 8192, 16384}) {
        for (const Linear& shape : kForward) {
            list.wgrad("gemm_fp8_wgrad", tokens, shape, 0);
        }
    }
}

void add_bf16_grid(JobList& list) {
    for (const std::int64_t rows : kOtherRows) {
        if (rows <= 2 * kTokens) {  // more tokens at once would need 8 GB of logits
            list.gemm("gemm_bf16", rows, {kVocabulary, kHidden}, 0);
        }
        list.gemm("gemm_bf16", rows, {kExperts, kHidden}, 0);
        for (const Linear& shape : kForward) {
            list.gemm("gemm_bf16", rows, shape, 0);
        }
    }
    for (const Linear& shape : kForward) {
        list.gemm("gemm_bf16", kTokens, shape, 0);
        list.wgrad("gemm_bf16_wgrad", kTokens, shape, 0);
    }
    for (const ExpertGrouping& grouping : kGroupings) {
        for (const Linear& shape : kExpert) {
            list.grouped("grouped_gemm_bf16", grouping, shape, 0);
        }
        for (const std::size_t forward : {0U, 1U}) {
            list.grouped_wgrad("grouped_gemm_bf16_wgrad", grouping, kExpert[forward], 0);
        }
    }
    for (const std::int64_t size : kSquares) {
        for (const char* kernel : {"gemm_fp8", "gemm_bf16"}) {
            list.gemm(kernel, size, {size, size}, 0);
        }
    }
}

}  // namespace

std::vector<CalibrationJob> calibration_jobs(JobGrid grid, JobKernels kernels) {
    JobList list(kernels);
    list.training_step(0);
    const bool is_small = grid == JobGrid::small;
    const std::size_t sizes = is_small ? 2 : kSizes.size();
    list.memory_kernels(0, sizes);
    list.training_step(kTrainingCommSms);
    list.memory_kernels(kTrainingCommSms, sizes);
    for (std::size_t i = 0; i < sizes; ++i) {
        for (const char* kernel : kCopies) {
            list.memory(JobKind::copy, kernel, kSizes[i], 0);
        }
    }
    list.decode();
    if (is_small) {
        return std::move(list.jobs);
    }
    for (const std::int64_t tokens : {1024, 2048, 8192, 16384}) {
        list.attention(tokens, 0);
    }
    add_grid(list);
    for (const int occupied : kOccupied) {
        if (occupied != kTrainingCommSms) {
            list.training_step(occupied);
            list.memory_kernels(occupied, sizes);
        }
    }
    add_bf16_grid(list);
    return std::move(list.jobs);
}

}  // namespace r1
