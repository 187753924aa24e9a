#include "kernels/mla_decode.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/workspace.hpp"

namespace r1::reference {

namespace {

// One query of one head.
struct Query {
    const MlaCachedArgs& args;
    std::int64_t row;        // of q and o
    std::int64_t first_key;  // row of the cache
    std::int64_t seen;
    std::int64_t head;
    double* q_latent;  // [kv_lora_rank]
    double* o_latent;  // [kv_lora_rank]
    std::int64_t q_column = head * (args.nope_dim + args.rope_dim);
    std::int64_t kv_row = head * (args.nope_dim + args.v_dim);

    void absorb() const {
        for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
            q_latent[i] = 0;
            o_latent[i] = 0;
            for (std::int64_t j = 0; j < args.nope_dim; ++j) {
                q_latent[i] += static_cast<double>(load(args.q, row, q_column + j)) *
                               load(args.kv_b, kv_row + j, i);
            }
        }
    }

    [[nodiscard]] double score(std::int64_t key) const {
        double sum = 0;
        for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
            sum += q_latent[i] * load(args.latent, first_key + key, i);
        }
        for (std::int64_t i = 0; i < args.rope_dim; ++i) {
            sum += static_cast<double>(load(args.q, row, q_column + args.nope_dim + i)) *
                   load(args.latent, first_key + key, args.kv_lora_rank + i);
        }
        return sum * static_cast<double>(args.scale);
    }

    void attend() const {
        double largest = -INFINITY;
        for (std::int64_t key = 0; key < seen; ++key) {
            largest = std::max(largest, score(key));
        }
        double sum = 0;
        for (std::int64_t key = 0; key < seen; ++key) {
            const double p = std::exp(score(key) - largest);
            sum += p;
            for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
                o_latent[i] += p * load(args.latent, first_key + key, i);
            }
        }
        for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
            o_latent[i] /= sum;
        }
    }

    void output() const {
        for (std::int64_t j = 0; j < args.v_dim; ++j) {
            double sum = 0;
            for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
                sum += o_latent[i] * load(args.kv_b, kv_row + args.nope_dim + j, i);
            }
            store(args.o, row, head * args.v_dim + j, static_cast<float>(sum));
        }
    }
};

}  // namespace

std::size_t mla_decode_workspace_bytes(const MlaCachedArgs& args) {
    return 2 * workspace_bytes_of<double>(args.kv_lora_rank);
}

void mla_decode(const MlaCachedArgs& args) {
    if (args.queries == 0) {
        return;
    }
    Carver carver(args.workspace);
    double* q_latent = carver.take<double>(args.kv_lora_rank);
    double* o_latent = carver.take<double>(args.kv_lora_rank);
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        const std::int64_t context = args.context(sequence);
        R1_CHECK(context >= args.queries && context <= args.cache_rows);
        for (std::int64_t query = 0; query < args.queries; ++query) {
            for (std::int64_t head = 0; head < args.heads; ++head) {
                const Query q{args,
                              sequence * args.queries + query,
                              sequence * args.cache_rows,
                              context - args.queries + query + 1,
                              head,
                              q_latent,
                              o_latent};
                q.absorb();
                q.attend();
                q.output();
            }
        }
    }
}

}  // namespace r1::reference
