// ZB1P of the DeepSeek-V3 report's table 2: the hand-made schedule ZB-H1 of Qi et al., arXiv
// 2401.10241, sec. 2.2. It is 1F1B with the backward split: rank r puts every weight half off by r
// micro-batches. The activations of ranks - r warm-up micro-batches and of r late weight halves
// make at most `ranks` in all, as on rank 0 of 1F1B; and the last rank, which sets the pace, hands
// its first ranks - 1 input gradients on without a weight half in between. Those weight halves run
// after its last input gradient, while 1F1B idles.
#include <algorithm>

#include "model/schedule/orders.hpp"

namespace r1 {

std::vector<ScheduledChunk> zb1p_order(const ScheduleOptions& options, int rank) {
    RankOrder order(1);
    const int weight_delay = rank;
    const int warm_up = std::min(options.ranks - 1 - rank, options.micro_batches);
    for (int i = 0; i < warm_up; ++i) {
        order.forward(0);
    }
    for (int i = 0; i < options.micro_batches; ++i) {
        if (warm_up + i < options.micro_batches) {
            order.forward(0);
        }
        order.backward_input(0);
        if (i >= weight_delay) {
            order.weight();
        }
    }
    while (order.weights_waiting()) {
        order.weight();
    }
    return order.take();
}

}  // namespace r1
