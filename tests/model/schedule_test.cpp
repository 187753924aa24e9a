#include "model/schedule/schedule.hpp"
#include "model/base/json.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "model/schedule/schedule_json.hpp"
#include "model/schedule/schedule_times.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

constexpr int kRanksMax = 16;
constexpr int kMicroBatchesMax = 40;

ScheduleOptions size(ScheduleKind kind, int ranks, int micro_batches, int virtual_stages = 2) {
    return {kind, ranks, micro_batches, virtual_stages};
}

// Every valid size up to PP16 x 40; interleaved with one to three virtual stages.
std::vector<ScheduleOptions> valid_sizes() {
    std::vector<ScheduleOptions> sizes;
    for (const std::string& kind : schedule_names()) {
        const ScheduleKind parsed = *parse_schedule_kind(kind);
        const int virtual_stages_max = parsed == ScheduleKind::interleaved ? 3 : 1;
        for (int ranks = 1; ranks <= kRanksMax; ++ranks) {
            for (int micro_batches = 1; micro_batches <= kMicroBatchesMax; ++micro_batches) {
                for (int v = 1; v <= virtual_stages_max; ++v) {
                    const ScheduleOptions options = size(parsed, ranks, micro_batches, v);
                    if (!schedule_problem(options)) {
                        sizes.push_back(options);
                    }
                }
            }
        }
    }
    return sizes;
}

int micro_batches_of_direction(const ScheduleOptions& options) {
    return options.kind == ScheduleKind::dualpipe ? options.micro_batches / 2
                                                  : options.micro_batches;
}

// What a rank does with one micro-batch of one direction, as positions in its order.
struct Visit {
    int forwards = 0;
    int inputs = 0;
    int weights = 0;
    std::size_t forward_at = 0;
    std::size_t input_at = 0;
    std::size_t weight_at = 0;
};

std::map<std::pair<int, int>, Visit> visits(const std::vector<ScheduledChunk>& chunks) {
    std::map<std::pair<int, int>, Visit> found;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        const ScheduledChunk& chunk = chunks[i];
        if (chunk.kind == ChunkKind::forward || chunk.kind == ChunkKind::overlapped) {
            Visit& visit = found[{chunk.forward.direction, chunk.forward.micro_batch}];
            ++visit.forwards;
            visit.forward_at = i;
        }
        if (chunk.kind == ChunkKind::forward) {
            continue;
        }
        Visit& visit = found[{chunk.backward.direction, chunk.backward.micro_batch}];
        if (chunk.kind != ChunkKind::backward_weight) {
            ++visit.inputs;
            visit.input_at = i;
        }
        if (chunk.kind != ChunkKind::backward_input) {
            ++visit.weights;
            visit.weight_at = i;
        }
    }
    return found;
}

// Each micro-batch once forward and once backward (BW, FB, or B and then W), in that order.
bool is_complete(const std::vector<ScheduledChunk>& chunks, const ScheduleOptions& options) {
    const auto found = visits(chunks);
    const int directions = direction_count(options);
    const int micro_batches = micro_batches_of_direction(options);
    bool complete = static_cast<int>(found.size()) == directions * micro_batches;
    for (const auto& [ref, visit] : found) {
        complete = complete && ref.first >= 0 && ref.first < directions && ref.second >= 0 &&
                   ref.second < micro_batches && visit.forwards == 1 && visit.inputs == 1 &&
                   visit.weights == 1 && visit.forward_at < visit.input_at &&
                   visit.input_at <= visit.weight_at;
    }
    return complete;
}

// Most micro-batches whose activations a rank holds at once: from forward to weight half.
int in_flight_max(const std::vector<ScheduledChunk>& chunks) {
    int held = 0;
    int most = 0;
    for (const ScheduledChunk& chunk : chunks) {
        const bool begins = chunk.kind == ChunkKind::forward || chunk.kind == ChunkKind::overlapped;
        const bool ends =
            chunk.kind != ChunkKind::forward && chunk.kind != ChunkKind::backward_input;
        held += begins ? 1 : 0;
        most = std::max(most, held);
        held -= ends ? 1 : 0;
    }
    return most;
}

int count(const std::vector<ScheduledChunk>& chunks, ChunkKind kind) {
    return static_cast<int>(std::count_if(chunks.begin(), chunks.end(),
                                          [&](const ScheduledChunk& c) { return c.kind == kind; }));
}

ScheduleTimes times_of(const ScheduleOptions& options, const ChunkSeconds& seconds) {
    return time_schedule(make_schedule(options), seconds);
}

bool near(double a, double b) { return std::abs(a - b) < 1e-9 * (1 + std::abs(a) + std::abs(b)); }

// Forward, input half, weight half over the ratios that matter, exact in binary.
std::vector<ChunkSeconds> time_grid() {
    std::vector<ChunkSeconds> grid;
    const double steps[] = {0.25, 0.5, 1, 1.5, 2, 3};
    for (const double forward : steps) {
        for (const double input : steps) {
            for (const double weight : steps) {
                grid.push_back({forward, input, weight, 0});
            }
        }
    }
    return grid;
}

// Deterministic stand-in for random sizes and times.
class Draws {
public:
    int integer(int from, int to) {
        return from + static_cast<int>(next() % static_cast<unsigned>(to - from + 1));
    }
    double real(double from, double to) {
        return from + (to - from) * static_cast<double>(next()) / 4294967296.0;
    }

private:
    std::uint32_t next() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<std::uint32_t>(state_ >> 32U);
    }
    std::uint64_t state_ = 1;
};

}  // namespace

TEST_CASE("schedule: names go both ways", "[model][schedule]") {
    CHECK(schedule_names() ==
          std::vector<std::string>{"1f1b", "zb1p", "interleaved", "dualpipe", "dualpipev"});
    for (const std::string& kind : schedule_names()) {
        REQUIRE(parse_schedule_kind(kind));
        CHECK(name(*parse_schedule_kind(kind)) == kind);
    }
    CHECK_FALSE(parse_schedule_kind("dualpipe2"));
    CHECK_FALSE(parse_schedule_kind(""));
}

TEST_CASE("schedule: invalid sizes state the precondition", "[model][schedule]") {
    const auto problem = [](ScheduleKind kind, int ranks, int micro_batches, int v = 2) {
        return schedule_problem(size(kind, ranks, micro_batches, v)).value_or("valid");
    };
    using enum ScheduleKind;
    CHECK(problem(dualpipe, 5, 20) == "dualpipe needs an even number of ranks, got 5");
    CHECK(problem(dualpipe, 4, 9) == "dualpipe needs an even number of micro-batches, got 9");
    CHECK(problem(dualpipe, 4, 6) ==
          "dualpipe needs at least 2 micro-batches a rank (8 for 4 ranks), got 6");
    CHECK(problem(dualpipev, 3, 5) ==
          "dualpipev needs at least 2 micro-batches a rank (6 for 3 ranks), got 5");
    CHECK(problem(interleaved, 4, 6) ==
          "interleaved needs a number of micro-batches that is a multiple of the ranks (4), got 6");
    CHECK(problem(interleaved, 4, 8, 0) ==
          "interleaved needs at least 1 virtual stage a rank, got 0");
    CHECK(problem(one_f_one_b, 0, 8) == "1f1b needs at least 1 rank, got 0");
    CHECK(problem(zb1p, 4, -1) == "zb1p needs at least 1 micro-batch, got -1");
    CHECK(problem(one_f_one_b, 2147483647, 2147483647) ==
          "1f1b of 2147483647 ranks and 2147483647 micro-batches has more than 20000000 chunks");
    CHECK(problem(interleaved, 2, 2147483646, 2147483647).find("more than") != std::string::npos);

    CHECK(problem(dualpipe, 2, 4) == "valid");
    CHECK(problem(dualpipev, 1, 2) == "valid");
    CHECK(problem(dualpipev, 3, 7) == "valid");
    CHECK(problem(one_f_one_b, 8, 1) == "valid");
    CHECK(problem(interleaved, 1, 3, 1) == "valid");
    CHECK_THROWS_AS(make_schedule(size(dualpipe, 5, 20)), InternalError);
}

TEST_CASE("schedule: stages and ranks are inverse", "[model][schedule]") {
    using enum ScheduleKind;
    for (const ScheduleOptions& options :
         {size(one_f_one_b, 4, 8), size(zb1p, 4, 8), size(interleaved, 4, 8, 3),
          size(dualpipe, 4, 8), size(dualpipev, 4, 8)}) {
        std::vector<int> holders(static_cast<std::size_t>(stage_count(options)));
        for (int rank = 0; rank < options.ranks; ++rank) {
            for (int direction = 0; direction < direction_count(options); ++direction) {
                const int stage = stage_of(options, rank, direction);
                CHECK(rank_of(options, stage, direction) == rank);
                ++holders[static_cast<std::size_t>(stage)];
            }
        }
        const int copies = options.kind == dualpipe ? 2 : 1;
        CHECK(holders == std::vector<int>(holders.size(), copies));
    }
    CHECK(stage_of(size(dualpipe, 8, 20), 1, 1) == 6);
    CHECK(stage_of(size(dualpipev, 4, 8), 1, 1) == 6);
    CHECK(stage_of(size(interleaved, 4, 8, 3), 1, 2) == 9);
}

TEST_CASE("schedule: every valid size is complete and does not deadlock", "[model][schedule]") {
    const auto sizes = valid_sizes();
    CHECK(sizes.size() > 2000);
    int incomplete = 0;
    for (const ScheduleOptions& options : sizes) {
        const Schedule schedule = make_schedule(options);
        for (const auto& chunks : schedule.ranks) {
            incomplete += is_complete(chunks, options) ? 0 : 1;
        }
        const ScheduleTimes times = time_schedule(schedule, kUnitChunkSeconds);
        for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
            incomplete += times.chunks[rank].size() == schedule.ranks[rank].size() ? 0 : 1;
        }
    }
    CHECK(incomplete == 0);
}

TEST_CASE("schedule: activations in flight are as published", "[model][schedule]") {
    // reference/dualpipe.json, activations_per_device: 1F1B and ZB1P at most PP, DualPipe PP + 1.
    int wrong = 0;
    for (const ScheduleOptions& options : valid_sizes()) {
        const Schedule schedule = make_schedule(options);
        for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
            const int held = in_flight_max(schedule.ranks[rank]);
            const int below = options.ranks - static_cast<int>(rank);
            switch (options.kind) {
                case ScheduleKind::one_f_one_b:
                    wrong += held == std::min(below, options.micro_batches) ? 0 : 1;
                    break;
                case ScheduleKind::zb1p:
                    wrong += held == std::min(options.ranks, options.micro_batches) ? 0 : 1;
                    break;
                case ScheduleKind::dualpipe: wrong += held <= options.ranks + 1 ? 0 : 1; break;
                case ScheduleKind::dualpipev: wrong += held <= 2 * options.ranks + 1 ? 0 : 1; break;
                case ScheduleKind::interleaved: break;
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("schedule: overlapped pairs of the V3 job", "[model][schedule]") {
    // reference/dualpipe.json, derived_for_v3: PP16, 120 micro-batches, outermost to middle.
    const std::vector<int> pairs = {97, 98, 99, 100, 101, 102, 103, 103};
    const std::vector<int> forwards = {23, 22, 21, 20, 19, 18, 17, 17};
    const Schedule schedule = make_schedule(size(ScheduleKind::dualpipe, 16, 120));
    for (std::size_t rank = 0; rank < 16; ++rank) {
        const std::size_t r = std::min(rank, 15 - rank);
        CHECK(count(schedule.ranks[rank], ChunkKind::overlapped) == pairs[r]);
        CHECK(count(schedule.ranks[rank], ChunkKind::forward) == forwards[r]);
    }
}

TEST_CASE("schedule: dualpipe is symmetric", "[model][schedule]") {
    // Rank r runs what rank PP-1-r runs, with the directions exchanged.
    const Schedule schedule = make_schedule(size(ScheduleKind::dualpipe, 6, 18));
    for (std::size_t rank = 0; rank < 6; ++rank) {
        std::vector<ScheduledChunk> mirrored = schedule.ranks[5 - rank];
        for (ScheduledChunk& chunk : mirrored) {
            const bool has_backward = chunk.kind != ChunkKind::forward;
            const bool has_forward =
                chunk.kind == ChunkKind::forward || chunk.kind == ChunkKind::overlapped;
            chunk.forward.direction = has_forward ? 1 - chunk.forward.direction : 0;
            chunk.backward.direction = has_backward ? 1 - chunk.backward.direction : 0;
        }
        CHECK(mirrored == schedule.ranks[rank]);
    }
}

TEST_CASE("schedule: dualpipev is the first half of dualpipe", "[model][schedule]") {
    for (const auto& [ranks, micro_batches] : {std::pair{1, 2}, {3, 7}, {4, 10}, {5, 23}}) {
        const Schedule v = make_schedule(size(ScheduleKind::dualpipev, ranks, micro_batches));
        const Schedule whole =
            make_schedule(size(ScheduleKind::dualpipe, 2 * ranks, 2 * micro_batches));
        CHECK(std::equal(v.ranks.begin(), v.ranks.end(), whole.ranks.begin()));
        const ChunkSeconds seconds{1, 1.5, 0.5, 2.4};
        CHECK(time_schedule(v, seconds).makespan == time_schedule(whole, seconds).makespan);
    }
}

TEST_CASE("schedule: 1f1b bubble is the closed form", "[model][schedule]") {
    // Bubble (PP-1)(F+B), B the whole backward: rank 0 waits for PP-1 forwards and as many
    // backwards further down; all ranks work as long, so all bubbles are equal.
    int wrong = 0;
    for (const ChunkSeconds& t : time_grid()) {
        const double pair = t.forward + t.backward_input + t.backward_weight;
        for (int ranks = 1; ranks <= 8; ++ranks) {
            for (const int micro_batches : {1, 3, 8, 20}) {
                const auto times =
                    times_of(size(ScheduleKind::one_f_one_b, ranks, micro_batches), t);
                wrong += near(times.makespan, (micro_batches + ranks - 1) * pair) ? 0 : 1;
                wrong += near(times.bubble.front(), (ranks - 1) * pair) ? 0 : 1;
                wrong += near(times.bubble_mean, (ranks - 1) * pair) ? 0 : 1;
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("schedule: zb1p bubble is the closed form", "[model][schedule]") {
    // Bubble (PP-1)(F+B-2W), B = B_input + W the whole backward, that is (PP-1)(F+B_input-W). It
    // holds for W <= F and W <= B_input (a late weight half fits where 1F1B idles) and at least PP
    // micro-batches (else there are too few weight halves); where W is larger, the bubble is too.
    int wrong = 0;
    int in_regime = 0;
    for (const ChunkSeconds& t : time_grid()) {
        const double whole = t.backward_input + t.backward_weight;
        const bool fits = t.backward_weight <= t.forward && t.backward_weight <= t.backward_input;
        for (int ranks = 1; ranks <= 8; ++ranks) {
            const double bubble = (ranks - 1) * (t.forward + whole - 2 * t.backward_weight);
            for (const int micro_batches : {ranks, ranks + 1, 12, 20}) {
                const auto times = times_of(size(ScheduleKind::zb1p, ranks, micro_batches), t);
                const double work = micro_batches * (t.forward + whole);
                if (fits) {
                    ++in_regime;
                    wrong += near(times.makespan, work + bubble) ? 0 : 1;
                    wrong += near(times.bubble_mean, bubble) ? 0 : 1;
                } else {
                    wrong += times.bubble_mean >= bubble - 1e-9 ? 0 : 1;
                }
            }
        }
    }
    CHECK(in_regime > 1000);
    CHECK(wrong == 0);
}

TEST_CASE("schedule: interleaved divides the bubble by the virtual stages", "[model][schedule]") {
    // Narayanan et al., sec. 2.2.2: (PP-1)(F+B) with F and B of a chunk, 1/v of a rank's layers.
    for (const int virtual_stages : {1, 2, 3, 4}) {
        for (const int groups : {2, 3}) {
            const ScheduleOptions options =
                size(ScheduleKind::interleaved, 4, 4 * groups, virtual_stages);
            const auto times = times_of(options, {1, 1.25, 0.75, 0});
            CHECK(times.bubble_mean == Approx(3 * 3.0));
            CHECK(times.makespan == Approx((4 * groups * virtual_stages + 3) * 3.0));
        }
    }
    // One virtual stage is plain 1F1B.
    CHECK(make_schedule(size(ScheduleKind::interleaved, 4, 8, 1)).ranks ==
          make_schedule(size(ScheduleKind::one_f_one_b, 4, 8)).ranks);
}

TEST_CASE("schedule: dualpipe bubble where the formula holds", "[model][schedule]") {
    // Formula (PP/2-1)(F&B + B - 3W), B the whole backward: 3 * (3 + 2 - 3) = 6. All chunk halves
    // are equal and an overlapped pair takes as long as its parts: 6 on every rank.
    const ChunkSeconds seconds{1, 1, 1, 3};
    const auto times = times_of(size(ScheduleKind::dualpipe, 8, 20), seconds);
    CHECK(times.makespan == 66.0);
    CHECK(times.bubble == std::vector<double>(8, 6.0));
    CHECK(times.bubble_mean == 6.0);
    // 0 stands for the sum of the parts.
    CHECK(times_of(size(ScheduleKind::dualpipe, 8, 20), {1, 1, 1, 0}).bubble == times.bubble);
    CHECK(times_of(size(ScheduleKind::dualpipev, 4, 10), seconds).bubble ==
          std::vector<double>(4, 6.0));
}

TEST_CASE("schedule: dualpipe bubble where the formula is too large", "[model][schedule]") {
    // Formula: 3 * (2.4 + 2 - 1.5) = 8.7. The published order: 7.7 on the middle ranks, as it
    // waits for 3 * B_input - F, not 3 * B_input; and 0.6 (F + B - F&B) less for each overlapped
    // pair that a rank has less than those: 2 on the outermost. Mean 8.7 - 1 - 0.6 * 3/4 = 7.25.
    const ChunkSeconds seconds{1, 1.5, 0.5, 2.4};
    for (const auto& options :
         {size(ScheduleKind::dualpipe, 8, 20), size(ScheduleKind::dualpipev, 4, 10)}) {
        const auto times = times_of(options, seconds);
        CHECK(times.makespan == 61.1);
        CHECK(times.bubble_mean == 7.25);
        const std::vector<double> bubble = {6.5, 7.1, 7.7, 7.7, 7.7, 7.7, 7.1, 6.5};
        for (std::size_t rank = 0; rank < times.bubble.size(); ++rank) {
            CHECK(times.bubble[rank] == Approx(bubble[rank]).epsilon(1e-12));
        }
    }
}

TEST_CASE("schedule: dualpipe bubble of any size", "[model][schedule]") {
    // With h = PP/2 and for W <= B_input, max(F, B) <= F&B: the middle ranks idle for
    // (h-1)(F&B - 2W) + max((h-1) F, (h-1) B_input - F), and a rank with k overlapped pairs less
    // than they have for k (F + B - F&B) less. Found on this grid, and equal to the published
    // formula where F = B_input and F&B = F + B.
    int wrong = 0;
    for (ChunkSeconds t : time_grid()) {
        const double whole = t.backward_input + t.backward_weight;
        if (t.backward_weight > t.backward_input) {
            continue;
        }
        for (const double share : {0.7, 0.85, 1.0}) {
            t.overlapped = std::max({t.forward, whole, share * (t.forward + whole)});
            for (const auto& [ranks, micro_batches] :
                 {std::pair{2, 4}, {4, 8}, {4, 14}, {6, 12}, {8, 20}, {12, 40}}) {
                const int h = ranks / 2;
                const double middle =
                    (h - 1) * (t.overlapped - 2 * t.backward_weight) +
                    std::max((h - 1) * t.forward, (h - 1) * t.backward_input - t.forward);
                const auto times = times_of(size(ScheduleKind::dualpipe, ranks, micro_batches), t);
                for (int rank = 0; rank < ranks; ++rank) {
                    const int pairs_less = std::max(0, h - 2 - std::min(rank, ranks - 1 - rank));
                    const double expected =
                        middle - pairs_less * (t.forward + whole - t.overlapped);
                    const double got = times.bubble[static_cast<std::size_t>(rank)];
                    wrong += std::abs(got - expected) < 1e-9 ? 0 : 1;
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("schedule: makespan bounds the work of random sizes", "[model][schedule]") {
    Draws draws;
    for (int i = 0; i < 400; ++i) {
        const ScheduleKind kind =
            *parse_schedule_kind(schedule_names()[static_cast<std::size_t>(draws.integer(0, 4))]);
        const int ranks = 2 * draws.integer(1, 10);
        const int micro_batches = ranks * draws.integer(2, 6);
        const ScheduleOptions options = size(kind, ranks, micro_batches, draws.integer(1, 4));
        REQUIRE(schedule_problem(options) == std::nullopt);
        ChunkSeconds seconds{draws.real(0, 2), draws.real(0, 2), draws.real(0, 2), 0};
        seconds.overlapped = draws.real(0.1, 6);
        const auto times = times_of(options, seconds);
        const double stage_path = stage_count(options) * (seconds.forward + seconds.backward_input);
        INFO(name(kind) << " " << ranks << " x " << micro_batches);
        CHECK(times.makespan >= *std::max_element(times.busy.begin(), times.busy.end()) - 1e-9);
        CHECK(*std::min_element(times.bubble.begin(), times.bubble.end()) >= -1e-9);
        if (kind != ScheduleKind::dualpipe && kind != ScheduleKind::dualpipev) {
            CHECK(times.makespan >= stage_path - 1e-9);  // one micro-batch there and back
        }
        for (const auto& chunks : times.chunks) {
            double free_at = 0;
            for (const auto& [start, end] : chunks) {
                CHECK(start >= free_at);
                free_at = end;
            }
        }
    }
}

TEST_CASE("schedule: an order that cannot run is found out", "[model][schedule]") {
    Schedule schedule = make_schedule(size(ScheduleKind::one_f_one_b, 2, 4));
    std::reverse(schedule.ranks[1].begin(), schedule.ranks[1].end());
    CHECK_THROWS_AS(time_schedule(schedule, kUnitChunkSeconds), InternalError);
}

TEST_CASE("schedule: json with times and virtual stages", "[model][schedule]") {
    const Schedule schedule = make_schedule(size(ScheduleKind::interleaved, 2, 2, 2));
    const Json json = schedule_to_json(schedule, time_schedule(schedule, kUnitChunkSeconds));
    CHECK(json.at("virtual_stages") == 2);
    CHECK(json.at("bubble_s").size() == 2);
    CHECK(json.at("makespan_s").get<double>() == 15.0);
    CHECK(json.at("bubble_mean_s").get<double>() == 3.0);
    CHECK(
        json.at("ranks")[1].dump() ==
        R"([["F",0,0],["F",0,1],["F",1,0],["BW",1,0],["F",1,1],["BW",1,1],["BW",0,0],["BW",0,1]])");
    CHECK_FALSE(schedule_to_json(schedule).contains("makespan_s"));
}
