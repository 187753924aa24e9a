// The execution graph lowered for replay: segments and messages as nodes of rank programs, and the
// lanes that run them. Lanes of a program share its nodes; what a lane does at a node, it is told
// when the node is ready, so a step of thousands of ranks fits into memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/scenario/scenario.hpp"
#include "model/timeline/timeline.hpp"
#include "sim/cost/curve_form.hpp"
#include "sim/cost/expert_exchange.hpp"
#include "sim/engine.hpp"

namespace r1 {

// Ops that run as one activity: a maximal run on one stream without a dependency to or from
// another stream inside (or a single communication op), with each op's share of the time: it runs
// from share_begin to share_end, and before that is the gap that it costs.
struct Segment {
    Stream stream = Stream::compute;
    std::vector<OpIndex> ops;
    std::vector<double> share_begin;  // of the duration, by op
    std::vector<double> share_end;    // ascending to 1
    std::vector<RateShares> rates;    // by op, of its time after the gap
};

enum class NodeKind : std::uint8_t {
    local,       // computes, or takes time
    send,        // a message to the lane of the same replica in another program
    receive,     // of that message: no work of its own
    exchange,    // a part in an expert all-to-all: all lanes of a group, at once
    collective,  // a part in a collective, which other programs' lanes may have a part in too
};

// A segment of an item of a rank program.
struct ReplayNode {
    std::uint32_t item = 0;
    std::uint32_t segments = 0;  // which list of ReplayDag::segments
    std::uint32_t segment = 0;   // in it
    NodeKind kind = NodeKind::local;
    std::uint16_t predecessors = 0;  // of the program, and the send of a receive
    std::uint32_t work = 0;          // in the list of its kind
    std::int32_t peer = -1;          // of a message: the program at the other end
    std::int32_t other = -1;         // of a message: the node at the other end
    std::int32_t previous = -1;      // of a receive: the receive before it
    std::vector<std::uint32_t> successors;
};
using ReplayProgram = std::vector<ReplayNode>;  // by item

enum class LocalKind : std::uint8_t {
    compute,  // on the lane's SMs
    beside,   // a kernel on the SMs that communication has
    wait,     // for other ranks
};
// Of a lane without stragglers.
struct LocalWork {
    LocalKind kind = LocalKind::compute;
    std::vector<Seconds> times;  // by lane of the program; one: all alike
};

// What a message needs between the lanes of two programs, by lane.
struct Route {
    bool over_nvlink = false;
    Seconds latency;
    BytesPerSecond rate_max;  // share of trunks, where lanes stand for several ranks; 0: no cap
    TrunkPath trunks{};       // where each has its own
};
struct SendWork {
    std::uint32_t routes = 0;  // in ReplayDag::routes
    Bytes bytes;               // 0: the other end is the same rank, nothing is sent
};

// A flow of an exchange, by places in the group; kNobody: whoever it is, its link is no limit.
struct PlaceFlow {
    static constexpr std::int32_t kNobody = -1;

    std::int32_t from = 0;
    std::int32_t to = 0;
    bool over_nvlink = false;
    std::int32_t multiplicity = 1;
    Bytes bytes;
    BytesPerSecond rate_max;
    TrunkPath trunks{};
};
struct ExchangeFlows {
    Seconds delay;
    TransferBounds kernels;  // what they, and shares of trunks, take at least, whatever the links
    std::vector<PlaceFlow> flows;
};
struct ExchangeWork {
    std::uint32_t program = 0;
    std::uint32_t node = 0;
    std::uint32_t flows = 0;  // in ReplayDag::exchange_flows: the program's first group's
};

// A part that a lane has in something that lanes do at once.
struct LanePart {
    std::uint32_t lane = 0;
    std::uint32_t node = 0;
};
struct CollectiveWork {
    std::vector<LanePart> parts;
    Activity activity;
};

struct LaneLinks {
    EndpointId nic;  // invalid: none
    EndpointId nvlink;
};

struct ReplayDag {
    EngineNetwork network;    // lane i has compute i
    std::vector<Lane> lanes;  // program by program; each stands for `multiplicity` ranks
    std::vector<LaneLinks> links;
    std::uint32_t lanes_per_program = 1;
    std::uint32_t lanes_per_group = 1;  // that exchange with each other; divides lanes_per_program
    std::vector<std::uint32_t> shown;   // lanes of the timeline, ascending
    std::vector<Lane> shown_lanes;      // with the ranks that each stands for there

    std::vector<ReplayProgram> programs;
    std::vector<std::vector<Segment>> segments;
    std::vector<LocalWork> locals;  // one a segment, list by list
    std::vector<SendWork> sends;
    std::vector<std::vector<Route>> routes;  // by lane of the sending program
    std::vector<ExchangeWork> exchanges;
    std::vector<ExchangeFlows> exchange_flows;
    std::vector<CollectiveWork> collectives;
    std::vector<std::vector<std::uint32_t>> collective_of;  // by work of the node, and lane

    Stragglers stragglers;
    std::uint64_t seed = 0;

    [[nodiscard]] const Segment& segment(const ReplayNode& node) const {
        return segments[node.segments][node.segment];
    }
    // Where the ops of each item of a program begin in the timeline of its lanes, and their end.
    [[nodiscard]] std::vector<std::size_t> item_offsets(const ReplayProgram& program) const;
    [[nodiscard]] std::uint32_t program_of(std::uint32_t lane) const {
        return lane / lanes_per_program;
    }
    [[nodiscard]] std::uint32_t groups_per_program() const {
        return lanes_per_program / lanes_per_group;
    }
    // What lanes do at once: exchanges of each group, then collectives.
    [[nodiscard]] std::uint32_t joint_count() const {
        return static_cast<std::uint32_t>(exchanges.size()) * groups_per_program() +
               static_cast<std::uint32_t>(collectives.size());
    }
    // Of a lane at a node of kind exchange or collective.
    [[nodiscard]] std::uint32_t joint_of(std::uint32_t lane, const ReplayNode& node) const;
    void for_each_part(std::uint32_t joint, const std::function<void(LanePart)>& visit) const;

    // Of a lane alone, at a node of another kind.
    [[nodiscard]] Activity activity(std::uint32_t lane, const ReplayNode& node) const;
    [[nodiscard]] Activity joint_activity(std::uint32_t joint) const;

    // All that a replay runs, with one of the lanes that it belongs to and its node: a shown one
    // if there is one.
    void for_each_activity(const std::function<void(LanePart, const Activity&)>& visit) const;
};

// Runs the DAG on the engine and returns the timeline of iteration 0. Throws InternalError if the
// engine ends before every node ran, or runs one twice.
Timeline replay(const ReplayDag& dag, ReplayEngine& engine);

}  // namespace r1
