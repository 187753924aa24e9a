#include "kernels/sample.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/workspace.hpp"

namespace r1 {

std::size_t sample_workspace_bytes(const SampleArgs& args) {
    return args.temperature == 0 ? 0
                                 : workspace_bytes_of<double>(args.vocabulary) +
                                       workspace_bytes_of<std::int32_t>(args.vocabulary);
}

namespace reference {

namespace {

std::int32_t largest_logit(const SampleArgs& args, std::int64_t row) {
    std::int32_t winner = 0;
    for (std::int32_t i = 1; i < args.vocabulary; ++i) {
        if (load(args.logits, row, i) > load(args.logits, row, winner)) {
            winner = i;
        }
    }
    return winner;
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
        const std::int32_t first = largest_logit(args, row);
        args.tokens[row] = first;
        if (args.temperature == 0) {
            continue;
        }
        const double largest = load(args.logits, row, first);
        double sum = 0;
        for (std::int64_t i = 0; i < size; ++i) {
            p[i] = std::exp((static_cast<double>(load(args.logits, row, i)) - largest) /
                            args.temperature);
            sum += p[i];
        }
        std::iota(order, order + size, 0);
        std::sort(order, order + size, [p](std::int32_t a, std::int32_t b) {
            return p[a] > p[b] || (p[a] == p[b] && a < b);
        });
        // How many of the most probable tokens stay, and their share.
        std::int64_t kept = 0;
        double mass = 0;
        while (kept < size && (kept == 0 || mass < args.top_p * sum)) {
            mass += p[order[kept++]];
        }
        double passed = p[order[0]];
        std::int64_t pick = 0;
        while (pick + 1 < kept && passed <= args.randoms[row] * kRandomUnit * mass) {
            passed += p[order[++pick]];
        }
        args.tokens[row] = order[pick];
    }
}

}  // namespace reference

}  // namespace r1
