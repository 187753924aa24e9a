#include "kernels/mla_attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace r1::reference {

namespace {

constexpr std::int64_t kColumns = 64;  // of the output that are summed at a time

// One query of one head.
struct Query {
    const MlaAttentionArgs& args;
    std::int64_t sequence;
    std::int64_t query;
    std::int64_t head;
    std::int64_t row = sequence * args.queries + query;
    std::int64_t first_key = sequence * args.keys;
    std::int64_t seen = args.query_offset + query + 1;

    [[nodiscard]] double score(std::int64_t key) const {
        double sum = 0;
        for (std::int64_t i = head * args.qk_dim; i < (head + 1) * args.qk_dim; ++i) {
            sum += static_cast<double>(load(args.q, row, i)) * load(args.k, first_key + key, i);
        }
        return sum * static_cast<double>(args.scale);
    }

    [[nodiscard]] double log_sum_exp() const {
        double largest = -INFINITY;
        for (std::int64_t key = 0; key < seen; ++key) {
            largest = std::max(largest, score(key));
        }
        double sum = 0;
        for (std::int64_t key = 0; key < seen; ++key) {
            sum += std::exp(score(key) - largest);
        }
        return largest + std::log(sum);
    }

    // Columns [begin, end) of the head's output.
    void output(double lse, std::int64_t begin, std::int64_t end) const {
        std::array<double, kColumns> sums{};
        const std::int64_t values = head * (args.nope_dim + args.v_dim) + args.nope_dim;
        for (std::int64_t key = 0; key < seen; ++key) {
            const double p = std::exp(score(key) - lse);
            for (std::int64_t i = begin; i < end; ++i) {
                sums[static_cast<std::size_t>(i - begin)] +=
                    p * load(args.kv, first_key + key, values + i);
            }
        }
        for (std::int64_t i = begin; i < end; ++i) {
            store(args.o, row, head * args.v_dim + i,
                  static_cast<float>(sums[static_cast<std::size_t>(i - begin)]));
        }
    }
};

}  // namespace

void mla_attention(const MlaAttentionArgs& args) {
    R1_CHECK(args.query_offset >= 0 && args.query_offset + args.queries <= args.keys);
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        for (std::int64_t query = 0; query < args.queries; ++query) {
            for (std::int64_t head = 0; head < args.heads; ++head) {
                const Query q{args, sequence, query, head};
                const double lse = q.log_sum_exp();
                for (std::int64_t i = 0; i < args.v_dim; i += kColumns) {
                    q.output(lse, i, std::min(i + kColumns, args.v_dim));
                }
                if (args.lse != nullptr) {
                    args.lse[q.row * args.heads + head] = static_cast<float>(lse);
                }
            }
        }
    }
}

}  // namespace r1::reference
