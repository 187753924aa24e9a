#include "model/schedule/schedule_times.hpp"

#include <algorithm>
#include <deque>
#include <optional>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// Thousands of equal durations are added up and the bubble is a small difference of two such sums:
// summed in double it would end in digits like 7.2499999999999947.
using Sum = long double;

constexpr Sum kNotDone = -1;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Runs the ranks as far as they get; a rank that waits is taken up again when a stage beside one
// of its own finishes, so the number of visits is linear in the number of chunks.
class ScheduleRun {
public:
    ScheduleRun(const Schedule& schedule, const ChunkSeconds& seconds)
        : schedule_(schedule),
          options_(schedule.options),
          seconds_(seconds),
          stages_(stage_count(options_)),
          next_(schedule.ranks.size()),
          free_at_(schedule.ranks.size()),
          is_queued_(schedule.ranks.size()) {
        // dualpipe's directions pass the same stages on different ranks: two separate pipelines.
        const int pipelines = options_.kind == ScheduleKind::dualpipe ? 2 : 1;
        const std::size_t slots = index(pipelines) * index(stages_) * index(options_.micro_batches);
        forward_end_.assign(slots, kNotDone);
        input_end_.assign(slots, kNotDone);
        times_.chunks.resize(schedule.ranks.size());
    }

    ScheduleTimes run() {
        for (int rank = 0; rank < options_.ranks; ++rank) {
            wake(rank);
        }
        while (!queue_.empty()) {
            const int rank = queue_.front();
            queue_.pop_front();
            is_queued_[index(rank)] = false;
            advance(rank);
        }
        for (std::size_t rank = 0; rank < schedule_.ranks.size(); ++rank) {
            const bool is_deadlocked = next_[rank] < schedule_.ranks[rank].size();
            R1_CHECK(!is_deadlocked);
        }
        sum_up();
        return std::move(times_);
    }

private:
    void wake(int rank) {
        if (!is_queued_[index(rank)]) {
            is_queued_[index(rank)] = true;
            queue_.push_back(rank);
        }
    }

    void advance(int rank) {
        const auto& chunks = schedule_.ranks[index(rank)];
        auto& done = times_.chunks[index(rank)];
        for (std::size_t& next = next_[index(rank)]; next < chunks.size(); ++next) {
            const ScheduledChunk& chunk = chunks[next];
            const std::optional<Sum> ready = ready_time(rank, chunk);
            if (!ready) {
                return;
            }
            Sum& free_at = free_at_[index(rank)];
            const Sum start = std::max(*ready, free_at);
            free_at = start + seconds_of(chunk.kind, seconds_);
            done.emplace_back(static_cast<double>(start), static_cast<double>(free_at));
            finish(rank, chunk, free_at);
        }
    }

    // When the last of the chunk's needs was met; nullopt while one is not.
    [[nodiscard]] std::optional<Sum> ready_time(int rank, const ScheduledChunk& chunk) const {
        Sum ready = 0;
        bool is_ready = true;
        const auto need = [&](Sum end) {
            is_ready = is_ready && end != kNotDone;
            ready = std::max(ready, end);
        };
        if (has_forward(chunk.kind)) {
            const int stage = stage_of(options_, rank, chunk.forward.direction);
            if (stage > 0) {
                need(forward_end_[slot(stage - 1, chunk.forward)]);
            }
        }
        if (chunk.kind == ChunkKind::backward_weight) {
            const int stage = stage_of(options_, rank, chunk.backward.direction);
            need(input_end_[slot(stage, chunk.backward)]);
        } else if (has_input_gradient(chunk.kind)) {
            const int stage = stage_of(options_, rank, chunk.backward.direction);
            need(forward_end_[slot(stage, chunk.backward)]);
            if (stage + 1 < stages_) {
                need(input_end_[slot(stage + 1, chunk.backward)]);
            }
        }
        return is_ready ? std::optional(ready) : std::nullopt;
    }

    void finish(int rank, const ScheduledChunk& chunk, Sum end) {
        if (has_forward(chunk.kind)) {
            const int stage = stage_of(options_, rank, chunk.forward.direction);
            forward_end_[slot(stage, chunk.forward)] = end;
            if (stage + 1 < stages_) {
                wake(rank_of(options_, stage + 1, chunk.forward.direction));
            }
        }
        if (has_input_gradient(chunk.kind)) {
            const int stage = stage_of(options_, rank, chunk.backward.direction);
            input_end_[slot(stage, chunk.backward)] = end;
            if (stage > 0) {
                wake(rank_of(options_, stage - 1, chunk.backward.direction));
            }
        }
    }

    void sum_up() {
        const Sum makespan = *std::max_element(free_at_.begin(), free_at_.end());
        Sum bubbles = 0;
        for (const auto& chunks : schedule_.ranks) {
            Sum busy = 0;
            for (const ScheduledChunk& chunk : chunks) {
                busy += seconds_of(chunk.kind, seconds_);
            }
            times_.busy.push_back(static_cast<double>(busy));
            times_.bubble.push_back(static_cast<double>(makespan - busy));
            bubbles += makespan - busy;
        }
        times_.makespan = static_cast<double>(makespan);
        times_.bubble_mean = static_cast<double>(bubbles / static_cast<Sum>(options_.ranks));
    }

    static bool has_forward(ChunkKind kind) {
        return kind == ChunkKind::forward || kind == ChunkKind::overlapped;
    }
    static bool has_input_gradient(ChunkKind kind) {
        return kind == ChunkKind::backward_input || kind == ChunkKind::backward ||
               kind == ChunkKind::overlapped;
    }

    // Of a stage and a micro-batch in forward_end_ and input_end_.
    [[nodiscard]] std::size_t slot(int stage, ChunkRef ref) const {
        const int pipeline = options_.kind == ScheduleKind::dualpipe ? ref.direction : 0;
        return (index(pipeline) * index(stages_) + index(stage)) * index(options_.micro_batches) +
               index(ref.micro_batch);
    }

    const Schedule& schedule_;
    const ScheduleOptions& options_;
    const ChunkSeconds& seconds_;
    int stages_;
    std::vector<std::size_t> next_;  // by rank: position of the chunk to run next
    std::vector<Sum> free_at_;       // by rank
    std::vector<char> is_queued_;    // by rank
    std::deque<int> queue_;          // ranks that may get further
    std::vector<Sum> forward_end_;
    std::vector<Sum> input_end_;
    ScheduleTimes times_;
};

}  // namespace

double seconds_of(ChunkKind kind, const ChunkSeconds& seconds) {
    switch (kind) {
        case ChunkKind::forward: return seconds.forward;
        case ChunkKind::backward_input: return seconds.backward_input;
        case ChunkKind::backward_weight: return seconds.backward_weight;
        case ChunkKind::backward: return seconds.backward_input + seconds.backward_weight;
        case ChunkKind::overlapped: break;
    }
    return seconds.overlapped > 0
               ? seconds.overlapped
               : seconds.forward + seconds.backward_input + seconds.backward_weight;
}

ScheduleTimes time_schedule(const Schedule& schedule, const ChunkSeconds& seconds) {
    return ScheduleRun(schedule, seconds).run();
}

}  // namespace r1
