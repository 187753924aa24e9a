// DualPipe (arXiv 2412.19437, sec. 3.2.1), in the order of step() in deepseek-ai/DualPipe's
// dualpipe.py: two pipelines in opposite directions, forward of one overlapped with backward of
// the other. Step names are the published ones; a name lists phases, and phase 0 is the direction
// that enters the pipeline at the end that the rank is closer to.
#include <algorithm>

#include "model/schedule/orders.hpp"

namespace r1 {

namespace {

// RankOrder in terms of phases.
class PhaseOrder {
public:
    explicit PhaseOrder(bool flipped) : order_(2), flip_(flipped ? 1 : 0) {}

    void forward(int phase) { order_.forward(phase ^ flip_); }
    void backward(int phase, bool zero_bubble = false) {
        zero_bubble ? order_.backward_input(phase ^ flip_) : order_.backward(phase ^ flip_);
    }
    void weight() { order_.weight(); }
    void forward_backward(int forward_phase, int backward_phase) {
        order_.overlapped(forward_phase ^ flip_, backward_phase ^ flip_);
    }
    std::vector<ScheduledChunk> take() { return order_.take(); }

private:
    RankOrder order_;
    int flip_;
};

}  // namespace

std::vector<ScheduledChunk> dualpipe_steps(const DualPipePosition& position) {
    const int half_rank = position.half_rank;
    const int ranks_to_middle = position.half_ranks - 1 - half_rank;
    const bool is_middle_rank = ranks_to_middle == 0;
    PhaseOrder order(position.in_second_half);

    // Step 1: nF0
    for (int i = 0; i < 2 * ranks_to_middle; ++i) {
        order.forward(0);
    }
    // Step 2: nF0F1
    for (int i = 0; i < half_rank + 1; ++i) {
        order.forward(0);
        order.forward(1);
    }
    // Step 3: nB1W1F1 (zero bubble)
    for (int i = 0; i < ranks_to_middle; ++i) {
        order.backward(1, true);
        order.weight();
        order.forward(1);
    }
    // Step 4 (main): nF0B1F1B0
    for (int i = 0; i < position.micro_batches - 2 * position.half_ranks + half_rank + 1; ++i) {
        if (i == 0 && is_middle_rank) {
            // The other ranks wait for what the middle hands on: not overlapped, the forward is
            // through sooner, which makes the bubble smaller.
            order.forward(0);
            order.backward(1);
        } else {
            order.forward_backward(0, 1);
        }
        order.forward_backward(1, 0);
    }
    // Step 5: nB1F1B0
    for (int i = 0; i < ranks_to_middle; ++i) {
        order.backward(1);
        order.forward_backward(1, 0);
    }
    // Step 6: nB1B0 (zero bubble from the middle of its half_rank + 1 pairs on; where their number
    // is odd, from the second backward of the middle pair on)
    bool zero_bubble = false;
    const int zero_bubble_from = (half_rank + 1) / 2;
    for (int i = 0; i < half_rank + 1; ++i) {
        zero_bubble = zero_bubble || (i == zero_bubble_from && half_rank % 2 == 1);
        order.backward(1, zero_bubble);
        zero_bubble = zero_bubble || (i == zero_bubble_from && half_rank % 2 == 0);
        order.backward(0, zero_bubble);
    }
    // Step 7: nWB0 (zero bubble)
    for (int i = 0; i < ranks_to_middle; ++i) {
        order.weight();
        order.backward(0, true);
    }
    // Step 8: nW
    for (int i = 0; i < half_rank + 1; ++i) {
        order.weight();
    }
    return order.take();
}

std::vector<ScheduledChunk> dualpipe_order(const ScheduleOptions& options, int rank) {
    return dualpipe_steps({.half_ranks = options.ranks / 2,
                           .half_rank = std::min(rank, options.ranks - 1 - rank),
                           .micro_batches = options.micro_batches / 2,
                           .in_second_half = rank >= options.ranks / 2});
}

}  // namespace r1
