// Turns an execution graph into a ReplayDag: segments with durations, messages and collectives with
// flows. Folding `stage`: one lane stands for all data-parallel ranks of a pipeline rank. That
// changes nothing where they do the same, as under balanced routing on equal links; where links
// differ, the slowest of each lane stands for it. `ep_group`: a lane for each rank of one
// expert-parallel group of each pipeline rank, which stands for its like in the others, and flows
// of what each sends and gets in all. `none`: a lane for each rank, a flow for each pair of ranks.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "model/routing/expert_routing.hpp"
#include "model/scenario/scenario.hpp"
#include "sim/cost/cost_model.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/rank_network.hpp"
#include "sim/replay_dag.hpp"
#include "sim/trunks.hpp"

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
    const ExpertRouting* routing = nullptr;  // none: even
};

ExpertGroupShape expert_group_shape(const ExecutionGraph& graph, const Topology& topology);

// The lanes of a folding: which ranks each stands for.
class LaneSet {
public:
    LaneSet(const Instances& instances, Folding fold);

    [[nodiscard]] std::int32_t per_program() const { return per_program_; }
    [[nodiscard]] std::int32_t per_group() const {
        return std::min(per_program_, instances_.expert_parallel);
    }
    [[nodiscard]] std::int32_t count() const { return instances_.pipeline_parallel * per_program_; }
    [[nodiscard]] std::int32_t multiplicity() const {
        return instances_.data_parallel / per_program_;
    }
    [[nodiscard]] std::int32_t program(std::int32_t lane) const { return lane / per_program_; }
    // `which` of the ranks that the lane stands for: they lie per_program() apart.
    [[nodiscard]] RankId rank(std::int32_t lane, std::int32_t which = 0) const {
        return instances_.rank(program(lane), lane % per_program_ + which * per_program_);
    }
    // Where each lane stands for one rank.
    [[nodiscard]] std::int32_t lane_of(RankId rank) const {
        return static_cast<std::int32_t>(rank.value);
    }

private:
    Instances instances_;
    std::int32_t per_program_;
};

// How lanes reach each other: the slowest of the ranks that a lane stands for speaks for all.
class LaneNetwork {
public:
    LaneNetwork(const LoweringInput& input, const LaneSet& lanes);

    // One compute and up to two endpoints a lane.
    [[nodiscard]] const EngineNetwork& network() const { return network_; }
    [[nodiscard]] const std::vector<LaneLinks>& links() const { return links_; }
    // Throws InputError if the cluster has no such link for a rank of the lane.
    [[nodiscard]] EndpointId nic(std::int32_t lane) const;
    [[nodiscard]] EndpointId nvlink(std::int32_t lane) const;
    [[nodiscard]] BytesPerSecond bandwidth(EndpointId endpoint) const {
        return network_.endpoints[endpoint.index()].up;
    }

    // Whether flows pass trunks; where lanes stand for several ranks, caps on flows stand for that.
    [[nodiscard]] bool has_trunks() const {
        return input_.replay.fold == Folding::none && trunks_.matter();
    }
    [[nodiscard]] const Trunks& trunks() const { return trunks_; }
    [[nodiscard]] TrunkPath path(std::int32_t from, std::int32_t to) const {
        return has_trunks() ? trunks_.path(lanes_.rank(from), lanes_.rank(to)) : TrunkPath{};
    }

    // Between two ranks, without trunks (rank_network.hpp).
    [[nodiscard]] Route route(RankId from, RankId to) const {
        return rank_route(input_.fabric, input_.topology, from, to);
    }
    // A message between all ranks of two lanes: over NVLink if all share their nodes. Checks that
    // both have the link.
    [[nodiscard]] Route route(std::int32_t from, std::int32_t to) const;

private:
    EndpointId add(const std::string& name, BytesPerSecond bandwidth);
    void add_messages();
    [[nodiscard]] EndpointId existing(EndpointId id, std::int32_t lane, const char* what) const;

    const LoweringInput& input_;
    const LaneSet& lanes_;
    Trunks trunks_;
    TrunkLoad messages_;  // a byte for each message that may be under way at once
    EngineNetwork network_;
    std::vector<LaneLinks> links_;
};

// What the lanes of a program have to do where experts are uneven.
class LayerLoads {
public:
    LayerLoads(const LoweringInput& input, const LaneSet& lanes);

    // Whether there are any; the others may be called then.
    [[nodiscard]] bool differ() const;
    [[nodiscard]] std::size_t index(const Context& context, std::int32_t layer,
                                    std::int32_t group) const;
    [[nodiscard]] const ExpertLoads& loads(std::size_t index) const;
    // By lane of the program.
    const std::vector<SymbolValues>& symbols(const Context& context, std::int32_t layer);

private:
    const LoweringInput& input_;
    const LaneSet& lanes_;
    std::map<std::vector<std::size_t>, std::vector<SymbolValues>> symbols_;  // by loads of groups
};

// Flows of one expert all-to-all between the lanes of a group, of which `first` is the first.
// `loads`: nullptr where experts are even.
ExchangeFlows exchange_flows(const LoweringInput& input, const LaneSet& lanes,
                             const LaneNetwork& network, const Op& op, std::int32_t first,
                             bool overlapped, const ExpertLoads* loads);
// What trunks give each of the rings of a program's ranks, which run at once; 0: no cap.
BytesPerSecond ring_share(const LoweringInput& input, const Trunks& trunks, const CommOp& comm,
                          std::int32_t stage, std::int32_t program);
// Adds those of one lane's part in a collective, whose hops over spines get that share.
void add_collective_flows(const LoweringInput& input, const LaneSet& lanes,
                          const LaneNetwork& network, const CommOp& comm, std::int32_t stage,
                          std::int32_t lane, BytesPerSecond share, Activity& activity);

// Fills in what lanes do at nodes that communicate; methods return ReplayNode::work.
class CommunicationWork {
public:
    CommunicationWork(const LoweringInput& input, const LaneSet& lanes, const LaneNetwork& network,
                      const LayerLoads& loads, ReplayDag& dag)
        : input_(input), lanes_(lanes), network_(network), loads_(loads), dag_(dag) {}

    // Collectives of a program match those of others in order.
    void begin_program() { collectives_seen_.clear(); }

    std::uint32_t send(std::int32_t from, std::int32_t to, const CommOp& comm);
    std::uint32_t exchange(std::int32_t program, const Op& op, const Context& context,
                           bool overlapped, std::uint32_t node);
    // Adds the parts of all lanes of the program.
    std::uint32_t collective(std::int32_t program, std::int32_t stage, const CommOp& comm,
                             std::uint32_t node);

private:
    // Exchanges of a program that are alike have the same flows.
    using ExchangeKey =
        std::tuple<std::int32_t, Collective, bool, bool, double, double, std::int64_t, std::size_t>;

    std::uint32_t routes_between(std::int32_t from, std::int32_t to);
    std::uint32_t flows_of(std::int32_t program, const Op& op, const Context& context,
                           bool overlapped);

    const LoweringInput& input_;
    const LaneSet& lanes_;
    const LaneNetwork& network_;
    const LayerLoads& loads_;
    ReplayDag& dag_;
    std::map<std::pair<std::int32_t, std::int32_t>, std::uint32_t> routes_;
    std::map<ExchangeKey, std::uint32_t> exchange_flows_;
    std::map<std::pair<GroupKind, std::int32_t>, int> collectives_seen_;  // of the program
    std::map<std::tuple<GroupKind, std::int32_t, int, std::uint64_t>, std::uint32_t> collectives_;
};

// Splits a template into segments; durations by op, on `sms` SMs, times `factors` by the op's
// context.
struct LoweredTemplate {
    std::vector<Segment> segments;
    std::vector<Seconds> durations;                  // by segment; 0 for communication
    std::vector<std::vector<Seconds>> by_lane;       // the same, of each lane; empty: all alike
    std::vector<std::uint32_t> segment_of;           // by op
    std::vector<std::vector<std::uint32_t>> before;  // by segment: others it waits for
};
// Names of tensors that streams other than compute produce or read across chunks.
struct AsyncTensors {
    std::vector<std::string> produced;  // sorted
    std::vector<std::string> read;      // sorted
};
AsyncTensors async_tensors(const ExecutionGraph& graph);
// By lane of the program, of an op whose work a binding decides; nullptr: input.symbols.
using OpSymbols = std::function<const std::vector<SymbolValues>*(const Op&)>;
LoweredTemplate lower_template(const LoweringInput& input, const ChunkTemplate& chunk,
                               const AsyncTensors& async, int sms,
                               const std::array<double, 2>& factors = {1, 1},
                               const OpSymbols& symbols = {});

ReplayDag lower(const LoweringInput& input);

}  // namespace r1
