#include "kernels/rope_backward.hpp"

#include "kernels/reference/copy_columns.hpp"
#include "kernels/rope_table.hpp"

namespace r1::reference {

namespace {

// Writes the pair (a, b), turned back by the angle of pair j, to y.
void turn_back(const RopeBackwardArgs& args, std::int64_t t, std::int64_t j, double a, double b,
               const Matrix& y, std::int64_t column) {
    const Rotation turn = rotation(args.positions[t], args.frequencies[j], args.magnitude);
    const double cos = turn.cos;
    const double sin = turn.sin;
    store(y, t, column + 2 * j, static_cast<float>(a * cos + b * sin));
    store(y, t, column + 2 * j + 1, static_cast<float>(b * cos - a * sin));
}

double sum_over_heads(const RopeBackwardArgs& args, std::int64_t t, std::int64_t i) {
    double sum = 0;
    for (std::int64_t head = 0; head < args.heads; ++head) {
        sum += load(args.k_grad, t, head * (args.nope_dim + args.rope_dim) + args.nope_dim + i);
    }
    return sum;
}

}  // namespace

void rope_backward(const RopeBackwardArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        for (std::int64_t head = 0; head < args.heads; ++head) {
            const std::int64_t column = head * (args.nope_dim + args.rope_dim);
            const std::int64_t kv_column = head * (args.nope_dim + args.v_dim);
            const std::int64_t rotary = column + args.nope_dim;
            copy_columns(args.q_rope_grad, column, args.q_grad, column, t, args.nope_dim);
            for (std::int64_t j = 0; j < args.rope_dim / 2; ++j) {
                turn_back(args, t, j, load(args.q_rope_grad, t, rotary + 2 * j),
                          load(args.q_rope_grad, t, rotary + 2 * j + 1), args.q_grad, rotary);
            }
            copy_columns(args.k_grad, column, args.kv_grad, kv_column, t, args.nope_dim);
            copy_columns(args.v_grad, head * args.v_dim, args.kv_grad, kv_column + args.nope_dim, t,
                         args.v_dim);
        }
        for (std::int64_t j = 0; j < args.rope_dim / 2; ++j) {
            turn_back(args, t, j, sum_over_heads(args, t, 2 * j),
                      sum_over_heads(args, t, 2 * j + 1), args.k_rope_grad, 0);
        }
    }
}

}  // namespace r1::reference
