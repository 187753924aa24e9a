#include "kernels/swiglu_backward.hpp"

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

namespace {

// A piece of a row. `gate` becomes d_gate, `up` becomes d_up.
struct RowPiece {
    Piece gate;
    Piece up;
    Piece d_act;
    Piece act;  // before the row's weight
};

void piece_backward(RowPiece& row, std::int64_t count, float weight) {
    float* gates = row.gate.data();
    float* ups = row.up.data();
    const float* d_acts = row.d_act.data();
    float* acts = row.act.data();
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) {
            const float gate = gates[i];
            const float up = ups[i];
            const float grad = d_acts[i] * weight;
            const float denominator = 1.0F + exp_f32(-gate);
            const float sigmoid = 1.0F / denominator;
            const float silu = gate / denominator;  // as the forward pass rounds it
            acts[i] = silu * up;
            // 1 - sigmoid by its own exponential: no cancellation where sigmoid is nearly 1.
            gates[i] = grad * up * sigmoid * (1.0F + gate / (1.0F + exp_f32(gate)));
            ups[i] = grad * silu;
        }
    });
}

void store_act(const SwigluBackwardArgs& args, std::int64_t row, std::int64_t column,
               std::int64_t count, float* acts, float weight) {
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) {
            acts[i] *= weight;
        }
    });
    store_row(args.act, row, column, count, acts);
}

void row_backward(const SwigluBackwardArgs& args, std::int64_t row) {
    const float weight = args.row_weights != nullptr ? args.row_weights[row] : 1.0F;
    double route_grad = 0;
    RowPiece piece;
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        load_row(args.gate_up, row, column, count, piece.gate.data());
        load_row(args.gate_up, row, args.width + column, count, piece.up.data());
        load_row(args.d_act, row, column, count, piece.d_act.data());
        piece_backward(piece, count, weight);
        store_row(args.d_gate_up, row, column, count, piece.gate.data());
        store_row(args.d_gate_up, row, args.width + column, count, piece.up.data());
        if (args.route_grad != nullptr) {
            route_grad += sum_of_products(piece.d_act.data(), piece.act.data(), count);
        }
        if (args.act.data != nullptr) {
            store_act(args, row, column, count, piece.act.data(), weight);
        }
    });
    if (args.route_grad != nullptr) {
        args.route_grad[row] = static_cast<float>(route_grad);
    }
}

}  // namespace

void swiglu_backward(const SwigluBackwardArgs& args) {
    parallel_for(args.rows, args.width * 8, [&](std::int64_t row) { row_backward(args, row); });
}

}  // namespace r1::cpu
