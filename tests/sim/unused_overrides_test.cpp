// Overrides of links that carry nothing are named, others are not.
#include "sim/unused_overrides.hpp"

#include <string>
#include <vector>

#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

std::vector<std::string> warnings(const std::string& link, const std::string& change,
                                  std::vector<std::string> overrides = {}) {
    overrides.push_back(R"(cluster.overrides=[{"link": ")" + link + R"(", )" + change + "}]");
    return test::simulated(test::tiny_h800_setting("1f1b", 2, overrides)).warnings;
}

bool is_unused(const std::string& link, const std::string& change,
               const std::vector<std::string>& overrides = {}) {
    const std::vector<std::string> all = warnings(link, change, overrides);
    if (!all.empty()) {
        CHECK(all == std::vector<std::string>{"override of '" + link +
                                              "' changes nothing: no bytes cross it"});
    }
    return !all.empty();
}

const std::string kSlow = R"("degrade": 0.5)";
const std::string kGone = R"("remove": true)";

}  // namespace

// Two pipeline ranks of 16: four nodes of eight are used. Experts of each are on two nodes.
TEST_CASE("unused overrides: NICs and NVLink ports", "[sim][topology][slow]") {
    for (const std::string fold : {"stage", "none"}) {
        const std::vector<std::string> folding = {"replay.fold=" + fold};
        CHECK_FALSE(is_unused("node3.nic2", kSlow, folding));
        CHECK_FALSE(is_unused("node0.gpu7.nvlink", kSlow, folding));
        CHECK(is_unused("node4.nic0", kSlow, folding));
        CHECK(is_unused("node7.gpu0.nvlink", kSlow, folding));
    }
    CHECK_FALSE(is_unused("node3.nic2", kGone));  // its GPU takes another
    CHECK(is_unused("node4.nic0", kGone));
    // One node for all: nothing needs a NIC, and one GPU a node needs no NVLink.
    CHECK(is_unused(
        "node0.nic0", kSlow,
        {"plan.data_parallel=4", "plan.expert_parallel=4", "workload.global_batch_sequences=48"}));
}

TEST_CASE("unused overrides: uplinks count if anything crosses their leaf", "[sim][topology]") {
    const auto leaves_of = [](int nodes) {
        return std::vector<std::string>{"cluster.fabric.switch_ports=" + std::to_string(2 * nodes)};
    };
    // Leaves of four nodes: messages and experts of the four used nodes stay below leaf 0.
    CHECK(is_unused("plane0.leaf0.spine0", kSlow, leaves_of(4)));
    CHECK(is_unused("plane0.leaf1.spine0", kSlow, leaves_of(4)));
    CHECK(is_unused("plane0.leaf1.spine0", kGone, leaves_of(4)));
    // Leaves of two: messages cross from leaf 0 to leaf 1, and nothing reaches leaf 3.
    CHECK_FALSE(is_unused("plane0.leaf0.spine0", kSlow, leaves_of(2)));
    CHECK_FALSE(is_unused("plane0.leaf1.spine1", kGone, leaves_of(2)));
    CHECK(is_unused("plane5.leaf3.spine0", kSlow, leaves_of(2)));
}

}  // namespace r1
