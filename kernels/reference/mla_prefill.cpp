#include "kernels/mla_prefill.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/workspace.hpp"

namespace r1::reference {

namespace {

// One head of one sequence, with the keys and values of its whole context.
struct Head {
    const MlaCachedArgs& args;
    std::int64_t sequence;
    std::int64_t head;
    double* keys;     // [context, qk_dim]
    double* values;   // [context, v_dim]
    double* weights;  // [context]
    std::int64_t context = args.context(sequence);
    std::int64_t first_row = sequence * args.cache_rows;
    std::int64_t kv_row = head * (args.nope_dim + args.v_dim);

    // Element `row` of kv_b times the latent of a key.
    [[nodiscard]] double projected(std::int64_t row, std::int64_t key) const {
        double sum = 0;
        for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
            sum += static_cast<double>(load(args.kv_b, kv_row + row, i)) *
                   load(args.latent, first_row + key, i);
        }
        return sum;
    }

    void project() const {
        for (std::int64_t key = 0; key < context; ++key) {
            double* k = keys + key * args.qk_dim();
            for (std::int64_t i = 0; i < args.nope_dim; ++i) {
                k[i] = projected(i, key);
            }
            for (std::int64_t i = 0; i < args.rope_dim; ++i) {
                k[args.nope_dim + i] = load(args.latent, first_row + key, args.kv_lora_rank + i);
            }
            for (std::int64_t i = 0; i < args.v_dim; ++i) {
                values[key * args.v_dim + i] = projected(args.nope_dim + i, key);
            }
        }
    }

    void attend(std::int64_t query) const {
        const std::int64_t row = sequence * args.queries + query;
        const std::int64_t seen = context - args.queries + query + 1;
        double largest = -INFINITY;
        for (std::int64_t key = 0; key < seen; ++key) {
            weights[key] = 0;
            for (std::int64_t i = 0; i < args.qk_dim(); ++i) {
                weights[key] += static_cast<double>(load(args.q, row, head * args.qk_dim() + i)) *
                                keys[key * args.qk_dim() + i];
            }
            weights[key] *= static_cast<double>(args.scale);
            largest = std::max(largest, weights[key]);
        }
        double total = 0;
        for (std::int64_t key = 0; key < seen; ++key) {
            weights[key] = std::exp(weights[key] - largest);
            total += weights[key];
        }
        for (std::int64_t i = 0; i < args.v_dim; ++i) {
            double sum = 0;
            for (std::int64_t key = 0; key < seen; ++key) {
                sum += weights[key] * values[key * args.v_dim + i];
            }
            store(args.o, row, head * args.v_dim + i, static_cast<float>(sum / total));
        }
    }
};

}  // namespace

std::size_t mla_prefill_workspace_bytes(const MlaCachedArgs& args) {
    return workspace_bytes_of<double>(args.context_max * args.qk_dim()) +
           workspace_bytes_of<double>(args.context_max * args.v_dim) +
           workspace_bytes_of<double>(args.context_max);
}

void mla_prefill(const MlaCachedArgs& args) {
    if (args.queries == 0) {
        return;
    }
    Carver carver(args.workspace);
    auto* keys = carver.take<double>(args.context_max * args.qk_dim());
    auto* values = carver.take<double>(args.context_max * args.v_dim);
    auto* weights = carver.take<double>(args.context_max);
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        const std::int64_t context = args.context(sequence);
        R1_CHECK(context >= args.queries && context <= args.cache_rows &&
                 context <= args.context_max);
        for (std::int64_t head = 0; head < args.heads; ++head) {
            const Head one{args, sequence, head, keys, values, weights};
            one.project();
            for (std::int64_t query = 0; query < args.queries; ++query) {
                one.attend(query);
            }
        }
    }
}

}  // namespace r1::reference
