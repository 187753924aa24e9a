#include "model/schedule/schedule.hpp"

#include <array>
#include <cstdint>
#include <utility>

#include "model/base/check.hpp"
#include "model/schedule/orders.hpp"

namespace r1 {

namespace {

constexpr std::array<ScheduleKind, 5> kScheduleKinds = {
    ScheduleKind::one_f_one_b, ScheduleKind::zb1p, ScheduleKind::interleaved,
    ScheduleKind::dualpipe, ScheduleKind::dualpipev};

// A guard against typing errors: orders are held in memory, some 28 bytes a chunk. The largest
// jobs known have some 10^4 chunks.
constexpr std::int64_t kChunksMax = 20'000'000;

std::size_t slot(int direction) { return static_cast<std::size_t>(direction); }

std::string needs(const ScheduleOptions& options, const std::string& what, int got) {
    return std::string(name(options.kind)) + " needs " + what + ", got " + std::to_string(got);
}

std::optional<std::string> size_problem(const ScheduleOptions& options) {
    if (options.ranks < 1) {
        return needs(options, "at least 1 rank", options.ranks);
    }
    if (options.micro_batches < 1) {
        return needs(options, "at least 1 micro-batch", options.micro_batches);
    }
    std::int64_t chunks = 3;  // F, B, W
    if (options.kind == ScheduleKind::interleaved) {
        if (options.virtual_stages < 1) {
            return needs(options, "at least 1 virtual stage a rank", options.virtual_stages);
        }
        chunks *= options.virtual_stages;
    }
    // Divided, not multiplied: three large ints overflow 64 bits.
    if (options.ranks > kChunksMax / chunks ||
        options.micro_batches > kChunksMax / (chunks * options.ranks)) {
        return std::string(name(options.kind)) + " of " + std::to_string(options.ranks) +
               " ranks and " + std::to_string(options.micro_batches) +
               " micro-batches has more than " + std::to_string(kChunksMax) + " chunks";
    }
    return std::nullopt;
}

}  // namespace

std::string_view name(ScheduleKind kind) {
    switch (kind) {
        case ScheduleKind::one_f_one_b: return "1f1b";
        case ScheduleKind::zb1p: return "zb1p";
        case ScheduleKind::interleaved: return "interleaved";
        case ScheduleKind::dualpipe: return "dualpipe";
        case ScheduleKind::dualpipev: return "dualpipev";
    }
    check_failed(__FILE__, __LINE__, "schedule kind is known");
}

const std::vector<std::string>& schedule_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const ScheduleKind kind : kScheduleKinds) {
            all.emplace_back(name(kind));
        }
        return all;
    }();
    return names;
}

std::optional<ScheduleKind> parse_schedule_kind(std::string_view text) {
    for (const ScheduleKind kind : kScheduleKinds) {
        if (text == name(kind)) {
            return kind;
        }
    }
    return std::nullopt;
}

std::string_view short_name(ChunkKind kind) {
    switch (kind) {
        case ChunkKind::forward: return "F";
        case ChunkKind::backward_input: return "B";
        case ChunkKind::backward_weight: return "W";
        case ChunkKind::backward: return "BW";
        case ChunkKind::overlapped: return "FB";
    }
    check_failed(__FILE__, __LINE__, "chunk kind is known");
}

std::optional<std::string> schedule_problem(const ScheduleOptions& options) {
    if (auto problem = size_problem(options)) {
        return problem;
    }
    const int ranks = options.ranks;
    const int micro_batches = options.micro_batches;
    switch (options.kind) {
        case ScheduleKind::one_f_one_b:
        case ScheduleKind::zb1p: return std::nullopt;
        case ScheduleKind::interleaved:
            if (micro_batches % ranks != 0) {
                return needs(options,
                             "a number of micro-batches that is a multiple of the ranks (" +
                                 std::to_string(ranks) + ")",
                             micro_batches);
            }
            return std::nullopt;
        case ScheduleKind::dualpipe:
            if (ranks % 2 != 0) {
                return needs(options, "an even number of ranks", ranks);
            }
            if (micro_batches % 2 != 0) {
                return needs(options, "an even number of micro-batches", micro_batches);
            }
            break;
        case ScheduleKind::dualpipev: break;
    }
    if (micro_batches < 2 * ranks) {
        return needs(options,
                     "at least 2 micro-batches a rank (" + std::to_string(2 * ranks) + " for " +
                         std::to_string(ranks) + " ranks)",
                     micro_batches);
    }
    return std::nullopt;
}

Schedule make_schedule(const ScheduleOptions& options) {
    R1_CHECK(!schedule_problem(options));
    const auto order = [&] {
        switch (options.kind) {
            case ScheduleKind::one_f_one_b: return one_f_one_b_order;
            case ScheduleKind::zb1p: return zb1p_order;
            case ScheduleKind::interleaved: return interleaved_order;
            case ScheduleKind::dualpipe: return dualpipe_order;
            case ScheduleKind::dualpipev: return dualpipev_order;
        }
        check_failed(__FILE__, __LINE__, "schedule kind is known");
    }();
    Schedule schedule{options, {}};
    schedule.ranks.reserve(static_cast<std::size_t>(options.ranks));
    for (int rank = 0; rank < options.ranks; ++rank) {
        schedule.ranks.push_back(order(options, rank));
    }
    return schedule;
}

int stage_count(const ScheduleOptions& options) {
    switch (options.kind) {
        case ScheduleKind::interleaved: return options.virtual_stages * options.ranks;
        case ScheduleKind::dualpipev: return 2 * options.ranks;
        case ScheduleKind::one_f_one_b:
        case ScheduleKind::zb1p:
        case ScheduleKind::dualpipe: break;
    }
    return options.ranks;
}

int stage_of(const ScheduleOptions& options, int rank, int direction) {
    R1_CHECK(rank >= 0 && rank < options.ranks);
    R1_CHECK(direction >= 0 && direction < direction_count(options));
    switch (options.kind) {
        case ScheduleKind::interleaved: return direction * options.ranks + rank;
        case ScheduleKind::dualpipe: return direction == 0 ? rank : options.ranks - 1 - rank;
        case ScheduleKind::dualpipev: return direction == 0 ? rank : 2 * options.ranks - 1 - rank;
        case ScheduleKind::one_f_one_b:
        case ScheduleKind::zb1p: break;
    }
    return rank;
}

int rank_of(const ScheduleOptions& options, int stage, int direction) {
    R1_CHECK(stage >= 0 && stage < stage_count(options));
    switch (options.kind) {
        case ScheduleKind::interleaved: return stage % options.ranks;
        case ScheduleKind::dualpipe: return direction == 0 ? stage : options.ranks - 1 - stage;
        case ScheduleKind::dualpipev:
            return stage < options.ranks ? stage : 2 * options.ranks - 1 - stage;
        case ScheduleKind::one_f_one_b:
        case ScheduleKind::zb1p: break;
    }
    return stage;
}

int direction_count(const ScheduleOptions& options) {
    switch (options.kind) {
        case ScheduleKind::interleaved: return options.virtual_stages;
        case ScheduleKind::dualpipe:
        case ScheduleKind::dualpipev: return 2;
        case ScheduleKind::one_f_one_b:
        case ScheduleKind::zb1p: break;
    }
    return 1;
}

RankOrder::RankOrder(int directions) : forwards_(slot(directions)), backwards_(slot(directions)) {}

void RankOrder::forward(int direction) {
    chunks_.push_back({ChunkKind::forward, next_forward(direction), {}});
}

void RankOrder::backward(int direction) {
    chunks_.push_back({ChunkKind::backward, {}, next_backward(direction)});
}

void RankOrder::backward_input(int direction) {
    const ChunkRef ref = next_backward(direction);
    chunks_.push_back({ChunkKind::backward_input, {}, ref});
    weights_.push_back(ref);
}

void RankOrder::weight() {
    R1_CHECK(weights_waiting());
    chunks_.push_back({ChunkKind::backward_weight, {}, weights_.front()});
    weights_.pop_front();
}

void RankOrder::overlapped(int forward_direction, int backward_direction) {
    const ChunkRef forward = next_forward(forward_direction);
    chunks_.push_back({ChunkKind::overlapped, forward, next_backward(backward_direction)});
}

std::vector<ScheduledChunk> RankOrder::take() {
    R1_CHECK(!weights_waiting());
    R1_CHECK(forwards_ == backwards_);
    return std::move(chunks_);
}

ChunkRef RankOrder::next_forward(int direction) {
    return {direction, forwards_[slot(direction)]++};
}

ChunkRef RankOrder::next_backward(int direction) {
    return {direction, backwards_[slot(direction)]++};
}

}  // namespace r1
