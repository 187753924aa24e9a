// Attention of a block of query rows to one chunk of keys after another, with a running softmax
// (FlashAttention, arXiv 2205.14135): the inner part of both forms of MLA here.
//
// A row's result depends on where the chunks begin and on the keys it sees, not on the rows beside
// it: keys that it does not see add exact zeros.
#pragma once

#include <cstdint>

#include "kernels/cpu/panels.hpp"
#include "kernels/matrix.hpp"

namespace r1::cpu {

inline constexpr std::int64_t kKeyChunk = kDepth;  // weights of a chunk are one pass over k

struct AttentionBlock {
    std::int64_t rows = 0;
    std::int64_t qk_dim = 0;
    std::int64_t v_dim = 0;
    float scale = 1;
    float* q = nullptr;            // [ceil(qk_dim / kDepth)][rows, kRowStride]
    float* scores = nullptr;       // [rows, kRowStride]
    std::int64_t* seen = nullptr;  // [rows] each sees keys 0 .. seen - 1
    float* sums = nullptr;         // [rows, padded(v_dim)] weighted values, not yet divided
    float* largest = nullptr;      // [rows] score
    float* total = nullptr;        // [rows] sum of the weights, relative to the largest
};

// Row r of key i is keys[key0 + i, key_column ..], and likewise for values.
struct KeyChunk {
    ConstMatrix keys;
    std::int64_t key_column = 0;
    ConstMatrix values;
    std::int64_t value_column = 0;
    std::int64_t row0 = 0;   // of the matrices
    std::int64_t begin = 0;  // the same key among those that `seen` counts
    std::int64_t count = 0;  // kKeyChunk at most
};

// Floats of q and scores.
inline constexpr std::int64_t attention_scratch(std::int64_t rows, std::int64_t qk_dim) {
    return (ceil_divide(qk_dim, kDepth) + 1) * rows * kRowStride;
}

// Rows of any width as multiply_panel() takes them: [ceil(width / kDepth)][rows, kRowStride].
void pack_strips(const ConstMatrix& x, std::int64_t row0, std::int64_t rows, std::int64_t column0,
                 std::int64_t width, float* strips);

// Packs queries x[row0 + r, column0 ..].
void pack_queries(const AttentionBlock& block, const ConstMatrix& x, std::int64_t row0,
                  std::int64_t column0);
void clear_attention(const AttentionBlock& block);
// Both.
void begin_attention(const AttentionBlock& block, const ConstMatrix& x, std::int64_t row0,
                     std::int64_t column0);
// Divides the sums by the weights' sum.
void finish_attention(const AttentionBlock& block);
void attend(const AttentionBlock& block, const KeyChunk& chunk);

}  // namespace r1::cpu
