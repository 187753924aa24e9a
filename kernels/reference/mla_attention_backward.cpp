#include "kernels/mla_attention_backward.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace r1::reference {

namespace {

constexpr std::int64_t kColumns = 64;  // of a gradient that are summed at a time

double dot(const ConstMatrix& a, std::int64_t a_row, std::int64_t a_column, const ConstMatrix& b,
           std::int64_t b_row, std::int64_t b_column, std::int64_t count) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        sum += static_cast<double>(load(a, a_row, a_column + i)) * load(b, b_row, b_column + i);
    }
    return sum;
}

// One head of one sequence. Queries and keys are rows of the matrices.
struct Head {
    const MlaAttentionBackwardArgs& args;
    std::int64_t sequence;
    std::int64_t head;
    std::int64_t begin = sequence * args.tokens;
    std::int64_t end = begin + args.tokens;
    std::int64_t qk = head * args.qk_dim;  // first columns of the head
    std::int64_t v = head * args.v_dim;
    std::int64_t kv = head * (args.nope_dim + args.v_dim) + args.nope_dim;

    // What attention pays to the key, and the gradient of the product q k^T.
    [[nodiscard]] double weight(std::int64_t query, std::int64_t key) const {
        const double score = dot(args.q, query, qk, args.k, key, qk, args.qk_dim);
        const double lse = args.lse[query * args.heads + head];
        return std::exp(score * static_cast<double>(args.scale) - lse);
    }
    [[nodiscard]] double score_grad(std::int64_t query, std::int64_t key) const {
        const double of_weight = dot(args.d_o, query, v, args.kv, key, kv, args.v_dim);
        const double mean = dot(args.d_o, query, v, args.o, query, v, args.v_dim);
        return weight(query, key) * (of_weight - mean) * static_cast<double>(args.scale);
    }

    // to[row, column ..] = sum of coefficient(other) * from[other, column ..] over rows `other`
    // in [first, last).
    template <class Coefficient>
    void weighted_sum(const ConstMatrix& from, const Matrix& to, std::int64_t row,
                      std::int64_t column, std::int64_t width, std::int64_t first,
                      std::int64_t last, const Coefficient& coefficient) const {
        for (std::int64_t part = 0; part < width; part += kColumns) {
            const std::int64_t count = std::min(kColumns, width - part);
            std::array<double, kColumns> sums{};
            for (std::int64_t other = first; other < last; ++other) {
                const double factor = coefficient(other);
                for (std::int64_t i = 0; i < count; ++i) {
                    sums[static_cast<std::size_t>(i)] +=
                        factor * load(from, other, column + part + i);
                }
            }
            for (std::int64_t i = 0; i < count; ++i) {
                store(to, row, column + part + i,
                      static_cast<float>(sums[static_cast<std::size_t>(i)]));
            }
        }
    }

    void gradients() const {
        for (std::int64_t row = begin; row < end; ++row) {
            weighted_sum(args.k, args.dq, row, qk, args.qk_dim, begin, row + 1,
                         [&](std::int64_t key) { return score_grad(row, key); });
            weighted_sum(args.q, args.dk, row, qk, args.qk_dim, row, end,
                         [&](std::int64_t query) { return score_grad(query, row); });
            weighted_sum(args.d_o, args.dv, row, v, args.v_dim, row, end,
                         [&](std::int64_t query) { return weight(query, row); });
        }
    }
};

}  // namespace

void mla_attention_backward(const MlaAttentionBackwardArgs& args) {
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        for (std::int64_t head = 0; head < args.heads; ++head) {
            Head{args, sequence, head}.gradients();
        }
    }
}

}  // namespace r1::reference
