// The default split of layers over stages, against every contiguous split there is.
#include "model/base/json.hpp"
#include "model/plan/parallel_plan.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "model/config/parameters.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

using Split = std::vector<std::int64_t>;

ModelConfig config_of(const Json& json) {
    Diagnostics diagnostics;
    const ModelConfig config =
        read_model_config(Document::from_json(json, "test"), "", diagnostics);
    diagnostics.throw_if_errors();
    return config;
}

ParallelPlan plan_of(ScheduleKind schedule, int ranks, int virtual_stages = 2) {
    ParallelPlan plan;
    plan.schedule = schedule;
    plan.pipeline_parallel = ranks;
    plan.virtual_stages = virtual_stages;
    return plan;
}

struct Cost {
    double largest = 0;
    double squares = 0;
};

// FLOPs of each stage by the definition: layers by differences of the closed form, and in the last
// stage the head and an MTP module (projection, layer, its own head).
Cost cost_of(const ModelConfig& config, const Split& split, std::int64_t sequence_length) {
    const auto flops = [&](std::int64_t layers, std::int64_t dense) {
        ModelConfig part = config;
        part.num_hidden_layers = layers;
        part.first_k_dense_replace = dense;
        return forward_flops_per_token(part, sequence_length, true).value();
    };
    const double head = flops(0, 0);
    Cost cost;
    std::int64_t layer = 0;
    for (std::size_t s = 0; s < split.size(); ++s) {
        double stage = flops(layer + split[s], config.first_k_dense_replace) -
                       flops(layer, config.first_k_dense_replace);
        layer += split[s];
        if (s + 1 == split.size()) {
            const double hidden = static_cast<double>(config.hidden_size);
            stage += head + static_cast<double>(config.num_nextn_predict_layers) *
                                (4 * hidden * hidden + flops(1, 0));
        }
        cost.largest = std::max(cost.largest, stage);
        cost.squares += stage * stage;
    }
    return cost;
}

template <class Visit>
void each_split(std::int64_t layers, std::size_t stages, Split& split, Visit visit) {
    if (split.size() + 1 == stages) {
        split.push_back(layers);
        visit(split);
        split.pop_back();
        return;
    }
    for (std::int64_t here = 0; here <= layers; ++here) {
        split.push_back(here);
        each_split(layers - here, stages, split, visit);
        split.pop_back();
    }
}

Cost best_of_all(const ModelConfig& config, std::size_t stages, std::int64_t sequence_length) {
    Cost best{1e300, 1e300};
    Split split;
    each_split(config.num_hidden_layers, stages, split, [&](const Split& candidate) {
        const Cost cost = cost_of(config, candidate, sequence_length);
        const bool same = cost.largest <= best.largest * (1 + 1e-9);
        const bool smaller = cost.largest < best.largest * (1 - 1e-9);
        if (smaller || (same && cost.squares < best.squares)) {
            best = cost;
        }
    });
    return best;
}

}  // namespace

TEST_CASE("plan: V3 on 16 stages is 15 times 4 layers, and 1 beside head and MTP",
          "[model][plan]") {
    const ModelConfig config = config_of(model_preset("deepseek-v3"));
    Split expected(15, 4);
    expected.push_back(1);
    CHECK(partition_layers(config, plan_of(ScheduleKind::dualpipe, 16), 4096) == expected);
}

TEST_CASE("plan: the default split is the best of all splits", "[model][plan]") {
    for (const std::int64_t layers : {3, 7, 9}) {
        for (const std::int64_t dense : {0, 2}) {
            for (const int mtp : {0, 1}) {
                for (const std::int64_t vocab : {64, 512, 20000}) {
                    Json json = model_preset("tiny-r1");
                    json["num_hidden_layers"] = layers;
                    json["first_k_dense_replace"] = dense;
                    json["num_nextn_predict_layers"] = mtp;
                    json["vocab_size"] = vocab;
                    json["intermediate_size"] = 1000;
                    const ModelConfig config = config_of(json);
                    for (const int ranks : {1, 2, 4, 5}) {
                        INFO(layers << " layers, " << dense << " dense, MTP " << mtp << ", vocab "
                                    << vocab << ", " << ranks << " ranks");
                        const Split split =
                            partition_layers(config, plan_of(ScheduleKind::one_f_one_b, ranks), 64);
                        REQUIRE(split.size() == static_cast<std::size_t>(ranks));
                        CHECK(std::accumulate(split.begin(), split.end(), std::int64_t{0}) ==
                              layers);
                        const Cost best = best_of_all(config, split.size(), 64);
                        const Cost got = cost_of(config, split, 64);
                        CHECK(got.largest == Approx(best.largest).epsilon(1e-9));
                        CHECK(got.squares == Approx(best.squares).epsilon(1e-9));
                    }
                }
            }
        }
    }
}

TEST_CASE("plan: only the last stage may stay without layers", "[model][plan]") {
    Json json = model_preset("tiny-r1");
    json["vocab_size"] = 20000;
    const ModelConfig config = config_of(json);
    for (const int ranks : {2, 4, 8}) {
        const Split split = partition_layers(config, plan_of(ScheduleKind::one_f_one_b, ranks), 64);
        CHECK(*std::min_element(split.begin(), split.end() - 1) >= 1);
        CHECK(split.back() == 0);
    }
}

TEST_CASE("plan: stages follow the schedule, and a given split wins", "[model][plan]") {
    const ModelConfig config = config_of(model_preset("tiny-r1"));
    CHECK(partition_layers(config, plan_of(ScheduleKind::dualpipev, 2), 64).size() == 4);
    CHECK(partition_layers(config, plan_of(ScheduleKind::interleaved, 2, 3), 64).size() == 6);
    ParallelPlan plan = plan_of(ScheduleKind::zb1p, 3);
    plan.stage_layers = {5, 1, 1};
    CHECK(partition_layers(config, plan, 64) == Split{5, 1, 1});
}
