#include "runtime/calibration/own_kernels.hpp"

#include "runtime/calibration/v3_sizes.hpp"

namespace r1 {

namespace {

using namespace v3;

constexpr double kBf16 = 2;
constexpr double kF32 = 4;
constexpr double kFp8 = 33.0 / 32;  // E4M3, and an FP32 scale of 128 values
constexpr double kE5m6 = 1.5;

constexpr double kQueries = kHeads * kQkDim;
constexpr double kKeyValues = kHeads * (kNopeDim + kValueDim);
constexpr double kValues = kHeads * kValueDim;

constexpr OwnMemoryKernel kKernels[] = {
    {"rms_norm", kHidden * 2 * kBf16, 1, "bytes = rows x 7168 x (2 read + 2 written), BF16"},
    {"rms_norm_backward", kHidden * 4 * kBf16, 1,
     "bytes = rows x 7168 x (x, gradient and residual 6 read + 2 written), BF16"},
    {"quantize_fp8", kHidden*(kBf16 + kFp8), 1,
     "bytes = rows x 7168 x (2 read, BF16, + 33/32 written, FP8 and scales)"},
    {"dequantize_fp8", 2 * kExpertWidth*(kFp8 + kBf16), 1,
     "bytes = rows x 4096 x (33/32 read, FP8 and scales, + 2 written, BF16)"},
    {"requantize_transpose_fp8", kHidden * 2 * kFp8, 128,
     "bytes = rows x 7168 x (33/32 read + 33/32 written), FP8 and scales"},
    {"quantize_e5m6", kValues*(kBf16 + kE5m6), 1,
     "bytes = rows x 16384 x (2 read, BF16, + 1.5 written, E5M6)"},
    {"dequantize_e5m6", kValues*(kE5m6 + kBf16), 1,
     "bytes = rows x 16384 x (1.5 read, E5M6, + 2 written, BF16)"},
    {"swiglu", kExpertWidth*(2 * kBf16 + kFp8) + kF32, 1,
     "bytes = rows x (4096 x 2 read, BF16, + 4 of the row's weight + 2048 x 33/32 written, FP8 "
     "and scales)"},
    {"swiglu_backward", kExpertWidth*(2 + 1 + 2 + 1) * kBf16 + 2 * kF32, 1,
     "bytes = rows x (2048 x 2 x (3 read + 3 written), BF16, + 8 of the row's weight and its "
     "gradient)"},
    {"permute", kHidden * 2 * kFp8 + 2 * kExpertsPerToken* kF32 + 2 * kF32, 1,
     "bytes = rows x (7168 x (33/32 read + 33/32 written), FP8 and scales, + 64 of experts and "
     "weights read + 8 of the row's token and weight written); one row a received token"},
    {"unpermute", kHidden * 2 * kBf16 + kF32, 1,
     "bytes = rows x (7168 x (2 read + 2 written), BF16, + 4 read for the row's token); one row a "
     "received token"},
    {"residual_add", kHidden * 3 * kBf16, 1, "bytes = rows x 7168 x (4 read + 2 written), BF16"},
    {"rope", (3 * kQueries + kKeyValues + kLatent + kRopeDim) * kBf16, 1,
     "bytes = tokens x 2 x (24576 q + 576 kv_a + 32768 kv read + 2 x 24576 written), BF16"},
    {"rope_backward", (3 * kQueries + kValues + kKeyValues + kRopeDim) * kBf16, 1,
     "bytes = tokens x 2 x (2 x 24576 + 16384 read + 24576 + 32768 + 64 written), BF16"},
    {"router_topk", (kExperts + 2 * kExpertsPerToken) * kF32, 1,
     "bytes = tokens x 4 x (256 logits read + 8 experts and 8 weights written)"},
    {"router_topk_backward", (2 * kExperts + 3 * kExpertsPerToken) * kF32, 1,
     "bytes = tokens x 4 x (256 logits, 8 experts, 8 weights and 8 gradients read + 256 written)"},
    {"cross_entropy", kVocabulary* kBf16 + 3 * kF32, 1,
     "bytes = tokens x (129280 x 2 read, BF16, + 4 of the label + 8 written)"},
    {"cross_entropy_backward", kVocabulary * 2 * kBf16 + 2 * kF32, 1,
     "bytes = tokens x (129280 x (2 read + 2 written), BF16, + 8 of the label and the sum)"},
    {"adamw", kHidden*(3 * kF32 + 5 * kBf16), 1,
     "bytes = elements x (4 gradient, 4 master and 4 moments read + 4 master, 4 moments and 2 of "
     "the parameter written), moments in BF16"},
};

}  // namespace

std::span<const OwnMemoryKernel> own_memory_kernels() { return kKernels; }

}  // namespace r1
