// One forward, one backward (Narayanan et al., arXiv 2104.04473, sec. 2.2.1: PipeDream-flush).
#include <algorithm>

#include "model/schedule/orders.hpp"

namespace r1 {

std::vector<ScheduledChunk> one_f_one_b_order(const ScheduleOptions& options, int rank) {
    RankOrder order(1);
    const int warm_up = std::min(options.ranks - 1 - rank, options.micro_batches);
    for (int i = 0; i < warm_up; ++i) {
        order.forward(0);
    }
    for (int i = warm_up; i < options.micro_batches; ++i) {
        order.forward(0);
        order.backward(0);
    }
    for (int i = 0; i < warm_up; ++i) {
        order.backward(0);
    }
    return order.take();
}

}  // namespace r1
