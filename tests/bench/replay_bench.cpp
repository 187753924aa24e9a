// Wall time and memory of replaying a whole DualPipe step, by engine, folding and size, beside what
// they should be on one core. Each case is a process of its own: SimGrid allows one engine a
// process, and memory is counted by process.
// Usage: replay_bench [scenario], in the root of the repository; exits 1 if a case is over its
// target.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "sim/simulate.hpp"

namespace {

using namespace r1;

struct Case {
    const char* name;
    std::vector<std::string> settings;  // as --set takes them
    double replay_s_max;
    double memory_gb_max;  // 0: none
};

// Of the published job, and larger ones of the same pipelines.
std::vector<std::string> gpus(int count) {
    const std::string replicas = std::to_string(count / 16);
    return {"cluster.nodes=" + std::to_string(count / 8), "plan.data_parallel=" + replicas,
            "cluster.fabric.switch_ports=1024",  // a tree of two layers for all of them
            "workload.global_batch_sequences=" + std::to_string(count / 16 * 120)};
}

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

const std::string kUneven = R"(routing={"source":"zipf","skew":0.05})";  // fullest rank: +23 %

std::vector<Case> cases() {
    return {
#ifdef R1_HAVE_SIMGRID
        {"2048 GPUs, simgrid, stage", {"replay.engine=simgrid"}, 15, 1},
#endif
        {"2048 GPUs, fluid, stage", {"replay.engine=fluid"}, 0.2, 1},
        {"2048 GPUs, fluid, ep_group, uneven",
         {"replay.engine=fluid", "replay.fold=ep_group", kUneven},
         8,
         1},
        {"2048 GPUs, fluid, none, uneven",
         {"replay.engine=fluid", "replay.fold=none", kUneven},
         90,
         0},
        {"16384 GPUs, fluid, stage", joined({"replay.engine=fluid"}, gpus(16384)), 1, 0},
        {"131072 GPUs, fluid, stage", joined({"replay.engine=fluid"}, gpus(131072)), 5, 0},
    };
}

// In the child.
bool run(const Case& item, const char* scenario) {
    std::vector<Override> overrides;
    for (const std::string& text : item.settings) overrides.push_back(parse_override(text));
    std::vector<std::string> notes;
    const Setting setting = read_setting(load_scenario(scenario, overrides), notes);
    Simulation simulation = prepare(setting);
    replay(setting, simulation);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const double memory_gb = static_cast<double>(usage.ru_maxrss) * 1024 / 1e9;
    const WallClock& wall = simulation.wall;
    const bool good = wall.replay_s <= item.replay_s_max && wall.graph_build_s <= 1 &&
                      (item.memory_gb_max == 0 || memory_gb <= item.memory_gb_max);
    std::printf("%-36s %8.3f %8.3f %8.3f %8.1f %8.2f  %s\n", item.name, wall.graph_build_s,
                wall.lower_s, wall.replay_s, item.replay_s_max, memory_gb, good ? "ok" : "OVER");
    return good;
}

}  // namespace

int main(int argc, char** argv) {
    const char* scenario = argc > 1 ? argv[1] : "scenarios/train_v3_2048_h800.json";
    std::printf("%-36s %8s %8s %8s %8s %8s\n", "case", "graph s", "lower s", "replay s", "at most",
                "GB");
    bool all_good = true;
    for (const Case& item : cases()) {
        std::fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            const bool good = run(item, scenario);
            std::fflush(stdout);
            _exit(good ? 0 : 1);
        }
        int status = 1;
        all_good = waitpid(child, &status, 0) == child && status == 0 && all_good;
    }
    return all_good ? 0 : 1;
}
