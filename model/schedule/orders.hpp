// Private to model/schedule: the builder of one rank's order, and the order of each schedule.
#pragma once

#include <deque>
#include <vector>

#include "model/schedule/schedule.hpp"

namespace r1 {

// One rank's chunks, in execution order. Every published order takes the micro-batches of a
// direction one after the other, so the builder counts them. Weight halves that were put off wait
// in a queue, first in, first out (DualPipe's WeightGradStore).
class RankOrder {
public:
    explicit RankOrder(int directions);

    void forward(int direction);
    void backward(int direction);        // both halves at once
    void backward_input(int direction);  // its weight half joins the queue
    void weight();                       // the oldest weight half of the queue
    void overlapped(int forward_direction, int backward_direction);

    [[nodiscard]] bool weights_waiting() const { return !weights_.empty(); }
    // The finished order; no weight half may be left over.
    [[nodiscard]] std::vector<ScheduledChunk> take();

private:
    ChunkRef next_forward(int direction);
    ChunkRef next_backward(int direction);

    std::vector<ScheduledChunk> chunks_;
    std::vector<int> forwards_;   // by direction
    std::vector<int> backwards_;  // by direction
    std::deque<ChunkRef> weights_;
};

std::vector<ScheduledChunk> one_f_one_b_order(const ScheduleOptions& options, int rank);
std::vector<ScheduledChunk> zb1p_order(const ScheduleOptions& options, int rank);
std::vector<ScheduledChunk> interleaved_order(const ScheduleOptions& options, int rank);
std::vector<ScheduledChunk> dualpipe_order(const ScheduleOptions& options, int rank);
std::vector<ScheduledChunk> dualpipev_order(const ScheduleOptions& options, int rank);

// Where a rank stands in DualPipe: its distance from the end of the pipeline that it is closer to.
// A rank of DualPipeV stands where the like rank of a DualPipe of twice the ranks does.
struct DualPipePosition {
    int half_ranks = 1;     // ranks from the end to the middle
    int half_rank = 0;      // 0 at the end, half_ranks - 1 in the middle
    int micro_batches = 2;  // of one direction
    bool in_second_half = false;
};
std::vector<ScheduledChunk> dualpipe_steps(const DualPipePosition& position);

}  // namespace r1
