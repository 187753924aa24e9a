#include "kernels/sample.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

std::int32_t largest_logit(const SampleArgs& args, std::int64_t row) {
    Piece piece;
    std::int64_t winner = 0;
    float largest = load(args.logits, row, 0);
    for_pieces(args.vocabulary, [&](std::int64_t column, std::int64_t count) {
        load_row(args.logits, row, column, count, piece.data());
        const float* best = std::max_element(piece.data(), piece.data() + count);
        if (*best > largest) {
            largest = *best;
            winner = column + (best - piece.data());
        }
    });
    return static_cast<std::int32_t>(winner);
}

// Probabilities up to their sum, which is returned. Double as in the reference, and summed in its
// order: a uniform number near a border must fall on the same side of it.
double exponentials(const SampleArgs& args, std::int64_t row, double largest, double* p) {
    parallel_for((args.vocabulary + kPiece - 1) / kPiece, kPiece, [&](std::int64_t index) {
        Piece piece;
        const std::int64_t column = index * kPiece;
        const std::int64_t count = std::min(kPiece, args.vocabulary - column);
        load_row(args.logits, row, column, count, piece.data());
        for (std::int64_t i = 0; i < count; ++i) {
            const double logit = piece[static_cast<std::size_t>(i)];
            p[column + i] = std::exp((logit - largest) / args.temperature);
        }
    });
    return std::accumulate(p, p + args.vocabulary, 0.0);
}

std::int32_t draw(const SampleArgs& args, std::int64_t row, double sum, const double* p,
                  std::int32_t* order) {
    const std::int64_t size = args.vocabulary;
    std::iota(order, order + size, 0);
    const auto better = [p](std::int32_t a, std::int32_t b) {
        return p[a] > p[b] || (p[a] == p[b] && a < b);
    };
    // Sorts from the top only as far as top_p reaches, which is mostly a few tokens.
    std::int64_t sorted = 0;
    std::int64_t kept = 0;
    double mass = 0;
    while (kept < size && (kept == 0 || mass < args.top_p * sum)) {
        if (kept == sorted) {
            const std::int64_t next = std::min(size, std::max<std::int64_t>(64, 8 * sorted));
            std::partial_sort(order + sorted, order + next, order + size, better);
            sorted = next;
        }
        mass += p[order[kept++]];
    }
    double passed = p[order[0]];
    std::int64_t pick = 0;
    while (pick + 1 < kept && passed <= args.randoms[row] * kRandomUnit * mass) {
        passed += p[order[++pick]];
    }
    return order[pick];
}

}  // namespace

void sample(const SampleArgs& args) {
    R1_CHECK(args.vocabulary > 0 || args.rows == 0);
    R1_CHECK(args.temperature >= 0 && args.top_p > 0);
    Carver carver(args.workspace);
    const std::int64_t size = args.temperature == 0 ? 0 : args.vocabulary;
    auto* p = carver.take<double>(size);
    auto* order = carver.take<std::int32_t>(size);
    for (std::int64_t row = 0; row < args.rows; ++row) {
        args.tokens[row] = largest_logit(args, row);
        if (args.temperature > 0) {
            const double largest = load(args.logits, row, args.tokens[row]);
            const double sum = exponentials(args, row, largest, p);
            args.tokens[row] = draw(args, row, sum, p, order);
        }
    }
}

}  // namespace r1::cpu
