// Every schedule file of the golden data, whatever its size: make_schedule() gives the same order.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "model/base/json.hpp"
#include "model/schedule/schedule_json.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"

using namespace r1;

namespace {

std::vector<std::filesystem::path> golden_schedules() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : test::golden_entries("schedules")) {
        if (entry.extension() == ".json") {
            files.push_back(entry);
        }
    }
    return files;
}

}  // namespace

TEST_CASE("schedule: equals the golden schedules", "[model][schedule][golden]") {
    const auto files = golden_schedules();
    for (const auto& file : files) {
        INFO(file);
        std::ifstream in(file);
        const Json golden = Json::parse(in);
        const auto kind = parse_schedule_kind(golden.at("schedule").get<std::string>());
        REQUIRE(kind);
        ScheduleOptions options;
        options.kind = *kind;
        options.ranks = golden.at("pipeline_ranks").get<int>();
        options.micro_batches = golden.at("micro_batches").get<int>();
        options.virtual_stages = golden.value("virtual_stages", options.virtual_stages);
        REQUIRE(schedule_problem(options) == std::nullopt);

        const Json json = schedule_to_json(make_schedule(options));
        const Json& ranks = json.at("ranks");
        REQUIRE(ranks.size() == golden.at("ranks").size());
        for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
            INFO("rank " << rank);
            CHECK(ranks[rank] == golden.at("ranks")[rank]);
        }
        CHECK(json == golden);
    }
}
