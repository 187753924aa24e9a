// Turns an execution graph into a ReplayDag: segments with durations, messages and collectives with
// flows. Folding `stage`: one lane stands for all data-parallel ranks of a pipeline rank. That
// changes nothing where they do the same, as under balanced routing on equal links; where links
// differ, the slowest of each lane stands for it.
#pragma once

#include "model/routing/traffic.hpp"
#include "model/scenario/scenario.hpp"
#include "sim/cost/cost_model.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

struct LoweringInput {
    const ExecutionGraph& graph;
    const Topology& topology;
    const Fabric& fabric;
    const CostModel& cost;
    SymbolValues symbols{};
    ExpertTraffic traffic;
    int comm_sms = 0;
    ReplaySpec replay{};
    std::uint64_t seed = 0;
};

ExpertGroupShape expert_group_shape(const ExecutionGraph& graph, const Topology& topology);

// How the folded lanes reach each other.
class LaneNetwork {
public:
    explicit LaneNetwork(const LoweringInput& input);

    [[nodiscard]] const EngineNetwork& endpoints() const { return network_; }
    // Throws InputError if the cluster has no such link for the program's ranks.
    [[nodiscard]] EndpointId nic(std::int32_t program) const;
    [[nodiscard]] EndpointId nvlink(std::int32_t program) const;

    // A message between the ranks of two programs with the same replica index: over NVLink if
    // they share a node for every replica, else from NIC to NIC.
    struct Path {
        bool local = false;  // the same rank
        bool over_nvlink = false;
        Seconds latency;
        BytesPerSecond rate_max;  // of an oversubscribed spine; 0: none
    };
    [[nodiscard]] Path path(std::int32_t from, std::int32_t to) const;
    [[nodiscard]] Path path(RankId from, RankId to) const;

private:
    EndpointId add(const std::string& name, BytesPerSecond bandwidth);

    const LoweringInput& input_;
    EngineNetwork network_;
    std::vector<EndpointId> nics_;  // by program; invalid: none
    std::vector<EndpointId> nvlinks_;
};

// Flows of one expert all-to-all, and of one rank's part in a collective over `members`.
Activity expert_exchange_activity(const LoweringInput& input, const LaneNetwork& network,
                                  const Op& op, std::int32_t program, bool overlapped);
void add_collective_flows(const LoweringInput& input, const LaneNetwork& network,
                          const CommOp& comm, std::int32_t stage, std::int32_t program,
                          Activity& activity);

// Splits a template into segments; durations by op, on `sms` SMs, times `factors` by the op's
// context.
struct LoweredTemplate {
    std::vector<Segment> segments;
    std::vector<Seconds> durations;                  // by segment; 0 for communication
    std::vector<std::uint32_t> segment_of;           // by op
    std::vector<std::vector<std::uint32_t>> before;  // by segment: others it waits for
};
// Names of tensors that streams other than compute produce or read across chunks.
struct AsyncTensors {
    std::vector<std::string> produced;  // sorted
    std::vector<std::string> read;      // sorted
};
AsyncTensors async_tensors(const ExecutionGraph& graph);
LoweredTemplate lower_template(const LoweringInput& input, const ChunkTemplate& chunk,
                               const AsyncTensors& async, int sms,
                               const std::array<double, 2>& factors = {1, 1});

ReplayDag lower(const LoweringInput& input);

}  // namespace r1
