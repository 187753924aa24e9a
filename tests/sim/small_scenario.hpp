// Small scenarios, read and simulated, for tests of the replay and of reports.
#pragma once

#include <string>
#include <vector>

#include "sim/hardware/presets.hpp"
#include "sim/simulate.hpp"

namespace r1::test {

// scenarios/tiny_train_cpu.json on one node, 4 pipeline ranks of 2, with overrides as `--set` takes
// them.
inline Setting tiny_setting(const std::vector<std::string>& overrides = {}) {
    std::vector<Override> parsed;
    for (const char* text :
         {"cluster=cpu_local", "plan.pipeline_parallel=4", "plan.data_parallel=2",
          "plan.expert_parallel=2", R"(routing={"source": "balanced"})",
          R"(workload={"kind": "train", "sequence_length": 256, "global_batch_sequences": 16})"}) {
        parsed.push_back(parse_override(text));
    }
    for (const std::string& text : overrides) {
        parsed.push_back(parse_override(text));
    }
    std::vector<std::string> notes;
    return read_setting(load_scenario(data_root() / "scenarios" / "tiny_train_cpu.json", parsed),
                        notes);
}

// The tiny model on 8 nodes of 8 H800: 16 replicas of each pipeline rank, whose experts span two
// nodes, and 12 micro-batches. In the fluid engine: under sanitizers SimGrid switches threads,
// which takes it half of the time.
inline Setting tiny_h800_setting(const std::string& schedule, int ranks,
                                 const std::vector<std::string>& overrides = {}) {
    std::vector<std::string> all = {"cluster=h800_8x8",
                                    "calibration=h800_published",
                                    "plan.data_parallel=16",
                                    "plan.expert_parallel=16",
                                    "plan.comm_sms=20",
                                    "workload.global_batch_sequences=192",
                                    "replay.engine=fluid",
                                    "plan.schedule=" + schedule,
                                    "plan.pipeline_parallel=" + std::to_string(ranks)};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return tiny_setting(all);
}

// scenarios/expert_all_to_all_h800.json.
inline Setting all_to_all_setting(const std::vector<std::string>& overrides) {
    std::vector<Override> parsed;
    for (const std::string& text : overrides) {
        parsed.push_back(parse_override(text));
    }
    std::vector<std::string> notes;
    return read_setting(
        load_scenario(data_root() / "scenarios" / "expert_all_to_all_h800.json", parsed), notes);
}

// That a replay runs.
inline std::int64_t activities(const ReplayDag& dag) {
    std::int64_t count = 0;
    dag.for_each_activity([&](LanePart, const Activity&) { ++count; });
    return count;
}

inline Simulation simulated(const Setting& setting) {
    Simulation simulation = prepare(setting);
    replay(setting, simulation);
    return simulation;
}

}  // namespace r1::test
