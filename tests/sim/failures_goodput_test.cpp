// Goodput under failures: the closed forms against a seeded simulation of a job that fails, and the
// optimal interval against a search and Young's approximation.
#include <cmath>

#include "model/base/rng.hpp"
#include "sim/failures/goodput.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// Plays a job of `segments` checkpoint intervals, failure by failure.
double played_wall_over_productive(const CheckpointedJob& job, Seconds interval, int segments,
                                   std::uint64_t seed) {
    const Rng rng(seed);
    std::uint64_t draws = 0;
    // Failures have no memory: what is left until the next is drawn anew for each attempt.
    const auto fails_after = [&] { return -std::log1p(-rng.uniform(draws++)) * job.mtbf.value(); };
    const double attempt = (interval + job.checkpoint_write).value();
    double wall = 0;
    for (int segment = 0; segment < segments; ++segment) {
        bool restarting = false;
        while (true) {
            const double needed = restarting ? job.restart.value() : attempt;
            const double failure = fails_after();
            wall += std::min(failure, needed);
            if (failure >= needed && !restarting) {
                break;
            }
            restarting = failure < needed;
        }
    }
    return wall / (interval.value() * segments);
}

TEST_CASE("goodput: the closed form is the mean of a job played failure by failure",
          "[sim][search]") {
    for (const double mtbf_s : {2000.0, 10'000.0}) {
        for (const double interval_s : {300.0, 1500.0}) {
            const CheckpointedJob job{Seconds(mtbf_s), Seconds(40), Seconds(600)};
            INFO("MTBF " << mtbf_s << " s, interval " << interval_s << " s");
            const double played = played_wall_over_productive(job, Seconds(interval_s), 50'000, 7);
            CHECK(wall_over_productive(job, Seconds(interval_s)) == Approx(played).epsilon(0.02));
        }
    }
}

TEST_CASE("goodput: no interval is better than the optimal one", "[sim][search]") {
    for (const double write_s : {0.5, 20.0, 600.0}) {
        const CheckpointedJob job{Seconds(9000), Seconds(write_s), Seconds(300)};
        const Seconds best = *optimal_checkpoint_interval(job);
        const double least = wall_over_productive(job, best);
        for (const double factor : {0.5, 0.9, 0.99, 1.01, 1.1, 2.0}) {
            CHECK(wall_over_productive(job, best * factor) > least);
        }
    }
    // Young's approximation is good where a write is short against the time between failures.
    const CheckpointedJob job{Seconds(1e6), Seconds(5), Seconds(300)};
    CHECK(optimal_checkpoint_interval(job)->value() ==
          Approx(std::sqrt(2 * 5 * 1e6)).epsilon(0.01));
}

TEST_CASE("goodput: rates of components add up, and what never fails costs nothing",
          "[sim][search]") {
    // 1000 GPUs fail once in 50 h together, 100 nodes once in 50 h: once in 25 h.
    const FailureRates rates{50'000.0, {}, {}, 5000.0};
    CHECK(mean_time_between_failures(rates, {1000, 1000, 60, 100}).value() == Approx(25.0 * 3600));
    const CheckpointedJob never{mean_time_between_failures({}, {1000, 1000, 60, 100}), Seconds(100),
                                Seconds(100)};
    CHECK_FALSE(optimal_checkpoint_interval(never));
    CHECK(wall_over_productive(never, Seconds(100)) == 1);
}

}  // namespace
}  // namespace r1
