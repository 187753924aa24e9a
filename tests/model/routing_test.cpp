// Expert choice against the golden gate cases, and balanced traffic against closed forms.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "model/routing/router.hpp"
#include "model/routing/traffic.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"
#include "tests/support/training_setup.hpp"

namespace r1 {
namespace {

std::vector<std::filesystem::path> gate_files() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : test::golden_entries("cases")) {
        const std::string file = entry.filename().string();
        if (file.rfind("gate", 0) == 0 && entry.extension() == ".safetensors") {
            files.push_back(entry);
        }
    }
    return files;
}

std::set<std::string> groups_of(const test::SafeTensors& file) {
    std::set<std::string> groups;
    for (const auto& [name, tensor] : file.tensors()) {
        const std::size_t dot = name.rfind('.');
        if (dot != std::string::npos && name.substr(dot) == ".logits") {
            groups.insert(name.substr(0, dot));
        }
    }
    return groups;
}

void check_gate_group(const test::SafeTensors& file, const std::string& group) {
    const std::vector<float> logits = file.as_f32(group + ".logits");
    const std::vector<float> bias = file.as_f32(group + ".bias");
    const std::vector<float> params = file.as_f32(group + ".params");
    const std::vector<std::int32_t> indices = file.as_i32(group + ".indices");
    const std::vector<float> weights = file.as_f32(group + ".weights");
    // params: E, n_group, topk_group, top_k, scale.
    REQUIRE(params.size() == 5);
    RouterSettings settings;
    settings.experts = std::lround(params[0]);
    settings.groups = std::lround(params[1]);
    settings.groups_per_token = std::lround(params[2]);
    settings.experts_per_token = std::lround(params[3]);
    settings.scaling_factor = static_cast<double>(params[4]);
    const std::size_t experts = bias.size();
    REQUIRE(settings.experts == static_cast<std::int64_t>(experts));
    const auto chosen = static_cast<std::size_t>(settings.experts_per_token);
    for (std::size_t token = 0; token < logits.size() / experts; ++token) {
        INFO("token " << token);
        const RouterChoice choice =
            choose_experts(settings, {logits.data() + token * experts, experts}, bias);
        REQUIRE(choice.experts.size() == chosen);
        REQUIRE(choice.weights.size() == chosen);
        for (std::size_t i = 0; i < chosen; ++i) {
            CHECK(choice.experts[i] == indices[token * chosen + i]);
            CHECK(choice.weights[i] == Approx(weights[token * chosen + i]).epsilon(1e-5));
        }
    }
}

ModelConfig r1_config() { return test::model_config(model_preset("deepseek-r1")); }

ModelConfig ungrouped_config() {
    Json json = model_preset("deepseek-r1");
    json["n_group"] = 1;
    json["topk_group"] = 1;
    return test::model_config(json);
}

constexpr ExpertGroupShape kEp64{64, 8};

// Expected number of non-empty bins when k of n balls are taken, which lie evenly in `bins`: each
// bin is missed with probability C(n - n/bins, k) / C(n, k).
double distinct_bins(std::int64_t n, std::int64_t bins, std::int64_t k) {
    double missed = 1;
    const std::int64_t outside = n - n / bins;
    for (std::int64_t i = 0; i < k; ++i) {
        missed *= static_cast<double>(outside - i) / static_cast<double>(n - i);
    }
    return static_cast<double>(bins) * (1 - missed);
}

}  // namespace

TEST_CASE("router: chooses and weighs experts as the golden gate cases",
          "[model][router][golden]") {
    const auto files = gate_files();
    for (const auto& path : files) {
        INFO(path);
        const test::SafeTensors file(path);
        const std::set<std::string> groups = groups_of(file);
        REQUIRE_FALSE(groups.empty());
        for (const std::string& group : groups) {
            INFO(group);
            check_gate_group(file, group);
        }
    }
}

TEST_CASE("router: the smaller index wins ties", "[model][router]") {
    RouterSettings settings;
    settings.experts = 8;
    settings.experts_per_token = 3;
    settings.groups = 4;
    settings.groups_per_token = 2;
    const std::vector<float> logits(8, 0.25F);
    CHECK(choose_experts(settings, logits, {}).experts == std::vector<std::int32_t>{0, 1, 2});
}

TEST_CASE("traffic: on one node nothing crosses InfiniBand", "[model][router][traffic]") {
    const ExpertTraffic traffic = balanced_traffic(r1_config(), {8, 8}, 0, 1);
    CHECK(traffic.nodes_per_token == 1);
    CHECK(traffic.nodes_per_token_max == 1);
    CHECK(traffic.ib_copies_per_token == 0);
    // Four of the eight groups of experts, a group a rank: a group without an expert of the top 8
    // is rare, and the token's own rank is one of them with probability 1/8.
    CHECK(traffic.ranks_per_token <= 4);
    CHECK(traffic.ranks_per_token > 3.8);
    CHECK(traffic.nvlink_copies_per_token == Approx(traffic.ranks_per_token * 7 / 8));
}

TEST_CASE("traffic: a group of one rank moves nothing", "[model][router][traffic]") {
    const ExpertTraffic traffic = balanced_traffic(r1_config(), {1, 1}, 0, 1);
    CHECK(traffic.ranks_per_token == 1);
    CHECK(traffic.ib_copies_per_token == 0);
    CHECK(traffic.nvlink_copies_per_token == 0);
}

TEST_CASE("traffic: a token stays within its groups and experts", "[model][router][traffic]") {
    const ModelConfig config = r1_config();
    const ExpertTraffic traffic = balanced_traffic(config, kEp64, 0, 1);
    CHECK(traffic.nodes_per_token_max <= config.topk_group);
    CHECK(traffic.nodes_per_token <= static_cast<double>(config.topk_group));
    CHECK(traffic.nodes_per_token >= 1);
    CHECK(traffic.ranks_per_token <= static_cast<double>(config.num_experts_per_tok));
    CHECK(traffic.ranks_per_token >= traffic.nodes_per_token);
    // Seven of eight nodes are not the source's own, seven of eight local ranks not its rail.
    CHECK(traffic.ib_copies_per_token == Approx(traffic.nodes_per_token * 7 / 8));
    CHECK(traffic.nvlink_copies_per_token == Approx(traffic.ranks_per_token * 7 / 8));
}

TEST_CASE("traffic: a node limit is reached and never passed", "[model][router][traffic]") {
    const ModelConfig config = r1_config();
    double before = 0;
    for (const std::int64_t limit : {1, 2, 4, 8}) {
        INFO("limit " << limit);
        const ExpertTraffic traffic = balanced_traffic(config, kEp64, limit, 1);
        CHECK(traffic.nodes_per_token_max == limit);
        CHECK(traffic.nodes_per_token > before);
        before = traffic.nodes_per_token;
    }
}

TEST_CASE("traffic: a node limit equals the model's groups where they coincide",
          "[model][router][traffic]") {
    const ModelConfig config = r1_config();
    const ExpertTraffic groups = balanced_traffic(config, kEp64, 0, 7);
    const ExpertTraffic nodes = balanced_traffic(config, kEp64, 4, 7);
    CHECK(nodes.nodes_per_token == groups.nodes_per_token);
    CHECK(nodes.nodes_per_token_max == groups.nodes_per_token_max);
    CHECK(nodes.ranks_per_token == groups.ranks_per_token);
    CHECK(nodes.ib_copies_per_token == groups.ib_copies_per_token);
    CHECK(nodes.nvlink_copies_per_token == groups.nvlink_copies_per_token);
}

TEST_CASE("traffic: without groups, nodes and ranks are draws without replacement",
          "[model][router][traffic]") {
    const ModelConfig config = ungrouped_config();
    struct Case {
        std::int64_t ranks;
        std::int64_t ranks_per_node;
    };
    for (const Case& c : {Case{64, 8}, Case{32, 8}, Case{16, 2}, Case{8, 8}}) {
        INFO(c.ranks << " ranks");
        const ExpertTraffic traffic = balanced_traffic(config, {c.ranks, c.ranks_per_node}, 0, 3);
        const double nodes = distinct_bins(256, c.ranks / c.ranks_per_node, 8);
        const double ranks = distinct_bins(256, c.ranks, 8);
        CHECK(traffic.nodes_per_token == Approx(nodes).epsilon(0.01));
        CHECK(traffic.ranks_per_token == Approx(ranks).epsilon(0.01));
    }
}

TEST_CASE("traffic: the same seed gives the same numbers, and others nearly so",
          "[model][router][traffic]") {
    const ModelConfig config = r1_config();
    const ExpertTraffic one = balanced_traffic(config, kEp64, 0, 1);
    const ExpertTraffic again = balanced_traffic(config, kEp64, 0, 1);
    const ExpertTraffic other = balanced_traffic(config, kEp64, 0, 2);
    CHECK(one.nodes_per_token == again.nodes_per_token);
    CHECK(one.ranks_per_token == again.ranks_per_token);
    CHECK(one.ranks_per_token != other.ranks_per_token);
    CHECK(one.ranks_per_token == Approx(other.ranks_per_token).epsilon(0.01));
}

TEST_CASE("traffic: a dense model has none", "[model][router][traffic]") {
    const ExpertTraffic traffic =
        balanced_traffic(test::model_config(test::variant("dense")), {8, 8}, 0, 1);
    CHECK(traffic.ranks_per_token == 0);
    CHECK(traffic.ib_copies_per_token == 0);
}

TEST_CASE("traffic: the binding gives each rank its even share", "[model][router][traffic]") {
    const ModelConfig config = r1_config();
    ExpertTraffic traffic;
    traffic.ranks_per_token = 6.5;
    const SymbolValues values = balanced_binding(config, traffic, 4096);
    CHECK(values[static_cast<std::size_t>(Symbol::routed_rows)] == 4096 * 8);
    CHECK(values[static_cast<std::size_t>(Symbol::received_tokens)] == 4096 * 6.5);
}

}  // namespace r1
