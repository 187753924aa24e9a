// DualPipeV (deepseek-ai/DualPipe, dualpipev.py; the "cut-in-half" schedule of Sea AI Lab): the
// first half of a DualPipe of twice the ranks. Each rank holds a stage on the way down and one on
// the way up, and what DualPipe sends into the second half turns round at the last rank instead.
// So the direction of DualPipe becomes the chunk of the V, and every rank takes the eight steps
// of the like rank in DualPipe's first half with all micro-batches as one direction's.
#include "model/schedule/orders.hpp"

namespace r1 {

std::vector<ScheduledChunk> dualpipev_order(const ScheduleOptions& options, int rank) {
    return dualpipe_steps({.half_ranks = options.ranks,
                           .half_rank = rank,
                           .micro_batches = options.micro_batches,
                           .in_second_half = false});
}

}  // namespace r1
