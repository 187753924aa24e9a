// Interleaved 1F1B (Narayanan et al., arXiv 2104.04473, sec. 2.2.2) in Megatron-LM's order: every
// rank holds virtual_stages chunks of the model, and takes micro-batches through them in groups of
// `ranks`: one group through its first chunk, then the same group through the second, and so on.
#include <algorithm>

#include "model/schedule/orders.hpp"

namespace r1 {

namespace {

// Megatron's warm-up: the first group through all chunks but the last, and two more forwards for
// each rank further down, so that a micro-batch comes back just when its backward is due. With
// one chunk this is plain 1F1B, which needs one forward for each rank further down.
int warm_up_chunks(const ScheduleOptions& options, int rank) {
    const int ranks_below = options.ranks - 1 - rank;
    const int chunks = options.virtual_stages * options.micro_batches;
    if (options.virtual_stages == 1) {
        return std::min(ranks_below, chunks);
    }
    return std::min(2 * ranks_below + (options.virtual_stages - 1) * options.ranks, chunks);
}

}  // namespace

std::vector<ScheduledChunk> interleaved_order(const ScheduleOptions& options, int rank) {
    RankOrder order(options.virtual_stages);
    const auto virtual_stage = [&](int i) { return i / options.ranks % options.virtual_stages; };
    const auto forward = [&](int i) { order.forward(virtual_stage(i)); };
    const auto backward = [&](int i) {
        order.backward(options.virtual_stages - 1 - virtual_stage(i));
    };
    const int chunks = options.virtual_stages * options.micro_batches;
    const int warm_up = warm_up_chunks(options, rank);
    for (int i = 0; i < warm_up; ++i) {
        forward(i);
    }
    for (int i = warm_up; i < chunks; ++i) {
        forward(i);
        backward(i - warm_up);
    }
    for (int i = chunks - warm_up; i < chunks; ++i) {
        backward(i);
    }
    return order.take();
}

}  // namespace r1
