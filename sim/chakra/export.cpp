#include "sim/chakra/export.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "model/base/index.hpp"
#include "model/chakra/attributes.hpp"

namespace r1 {

namespace {

std::uint64_t whole_micros(double micros) {
    return static_cast<std::uint64_t>(std::llround(std::max(0.0, micros)));
}

// Process groups as numbers, in the order in which ranks first use them.
class ProcessGroups {
public:
    std::string name(GroupKind kind, std::int32_t stage, RankId first) {
        const auto entry =
            numbers_.try_emplace({kind, is_staged(kind) ? stage : -1, first}, numbers_.size());
        return std::to_string(entry.first->second);
    }

private:
    std::map<std::tuple<GroupKind, std::int32_t, RankId>, std::size_t> numbers_;
};

// What all lanes of a program have in common.
struct ProgramShape {
    std::vector<std::uint64_t> first_id;                   // by node of the DAG: its first op
    std::vector<std::vector<std::uint32_t>> predecessors;  // the same: nodes of the program
    std::uint64_t count = 0;                               // ops
};

ProgramShape program_shape(const ReplayDag& dag, const ReplayProgram& program) {
    ProgramShape shape;
    shape.predecessors.resize(program.size());
    for (std::uint32_t i = 0; i < program.size(); ++i) {
        shape.first_id.push_back(shape.count);
        shape.count += dag.segment(program[i]).ops.size();
        for (const std::uint32_t successor : program[i].successors) {
            shape.predecessors[successor].push_back(i);
        }
    }
    return shape;
}

// Flows of one rank's part in an expert all-to-all, as attributes (attributes.hpp).
class FlowAttributes {
public:
    explicit FlowAttributes(chakra::Node& node)
        : peers_(*add_attribute(node, attribute::kFlowPeer).mutable_int32_list()),
          is_sent_(*add_attribute(node, attribute::kFlowIsSent).mutable_bool_list()),
          over_nvlink_(*add_attribute(node, attribute::kFlowOverNvlink).mutable_bool_list()),
          bytes_(*add_attribute(node, attribute::kFlowBytes).mutable_double_list()),
          counts_(*add_attribute(node, attribute::kFlowCount).mutable_int32_list()),
          shares_(*add_attribute(node, attribute::kFlowLinkShare).mutable_double_list()) {}

    void add(std::int32_t peer, bool is_sent, const PlaceFlow& flow, BytesPerSecond link) {
        peers_.add_values(peer);
        is_sent_.add_values(is_sent);
        over_nvlink_.add_values(flow.over_nvlink);
        bytes_.add_values(flow.bytes.value());
        counts_.add_values(flow.multiplicity);
        shares_.add_values(flow.rate_max.value() * flow.multiplicity / link.value());
    }

private:
    chakra::Int32List& peers_;
    chakra::BoolList& is_sent_;
    chakra::BoolList& over_nvlink_;
    chakra::DoubleList& bytes_;
    chakra::Int32List& counts_;
    chakra::DoubleList& shares_;
};

class RankExport {
public:
    RankExport(const Simulation& simulation, const std::vector<ProgramShape>& shapes,
               ProcessGroups& groups, std::int32_t gpus_per_node, RankId rank)
        : simulation_(simulation),
          dag_(simulation.dag),
          graph_(simulation.graph),
          groups_(groups),
          gpus_per_node_(gpus_per_node),
          rank_(rank),
          program_(graph_.instances().program_of(rank)),
          replica_(graph_.instances().replica_of(rank)),
          place_(static_cast<std::uint32_t>(replica_) % dag_.lanes_per_program),
          lane_(static_cast<std::uint32_t>(program_) * dag_.lanes_per_program + place_),
          shape_(shapes[at(program_)]) {
        const auto shown = std::lower_bound(dag_.shown.begin(), dag_.shown.end(), lane_);
        R1_CHECK(shown != dag_.shown.end() && *shown == lane_);
        shown_ = static_cast<std::uint32_t>(shown - dag_.shown.begin());
    }

    ChakraTrace trace() {
        ChakraTrace trace;
        trace.metadata.set_version("0.0.4");
        trace.nodes.reserve(shape_.count);
        const ReplayProgram& nodes = dag_.programs[at(program_)];
        for (std::uint32_t i = 0; i < nodes.size(); ++i) {
            add_ops(i, nodes[i], trace.nodes);
        }
        return trace;
    }

private:
    void add_ops(std::uint32_t index, const ReplayNode& node, std::vector<chakra::Node>& nodes) {
        const Segment& segment = dag_.segment(node);
        const Item& item = graph_.programs()[at(program_)].items[node.item];
        const ChunkTemplate& chunk = graph_.chunk(item.chunk);
        for (std::size_t k = 0; k < segment.ops.size(); ++k) {
            const Op& op = chunk.ops[segment.ops[k].index()];
            chakra::Node& out = nodes.emplace_back();
            out.set_id(shape_.first_id[index] + k);
            out.set_name(fmt::format("{}.{}.mb{}.{}", chunk.name, name(op.phase),
                                     item.contexts[op.context].micro_batch, kind_name(op)));
            if (k > 0) {
                out.add_data_deps(shape_.first_id[index] + k - 1);
            } else {
                add_dependencies(index, node, out);
            }
            const Interval* interval =
                simulation_.timeline.find({shown_, node.item, segment.ops[k].value});
            R1_CHECK(interval != nullptr);
            out.set_start_time_micros(static_cast<std::uint64_t>(interval->start / 1'000'000));
            if (node.kind == NodeKind::local || (is_message(node) && to_itself(node))) {
                add_local(node, segment, k, op, out);
            } else {
                const TimePs took = interval->end - interval->start;
                out.set_duration_micros(whole_micros(static_cast<double>(took) * 1e-6));
                add_communication(index, node, item, op, out);
            }
        }
    }

    // All that a node waits for: feeders release nodes by their data dependencies alone.
    void add_dependencies(std::uint32_t index, const ReplayNode& node, chakra::Node& out) const {
        const auto depend_on = [&](std::uint32_t before) {
            const auto ops = dag_.segment(dag_.programs[at(program_)][before]).ops.size();
            out.add_data_deps(shape_.first_id[before] + ops - 1);
        };
        for (const std::uint32_t before : shape_.predecessors[index]) {
            depend_on(before);
        }
        if (node.kind == NodeKind::receive && to_itself(node)) {
            depend_on(static_cast<std::uint32_t>(node.other));
        }
    }

    static bool is_message(const ReplayNode& node) {
        return node.kind == NodeKind::send || node.kind == NodeKind::receive;
    }
    // Between stages of one rank: no more than an order.
    [[nodiscard]] bool to_itself(const ReplayNode& node) const { return node.peer == program_; }

    void add_local(const ReplayNode& node, const Segment& segment, std::size_t k, const Op& op,
                   chakra::Node& out) const {
        const Activity activity = dag_.activity(lane_, node);
        const bool computes = activity.compute.valid();
        const double share = segment.share_end[k] - (k > 0 ? segment.share_end[k - 1] : 0);
        const Seconds time = computes ? activity.compute_time : activity.delay;
        const double micros = time.value() * share * 1e6;
        out.set_type(chakra::COMP_NODE);
        out.set_duration_micros(whole_micros(micros));
        const bool waits = op.compute() == nullptr;
        add_attribute(out, attribute::kIsCpuOp).set_bool_val(waits);
        if (!waits) {
            const Work& work = op.compute()->work;
            const SymbolValues& symbols = simulation_.symbols;
            add_attribute(out, attribute::kNumOps)
                .set_int64_val(std::llround(work.matrix_flops.value(symbols)));
            const double bytes =
                (work.read_bytes.value(symbols) + work.written_bytes.value(symbols));
            add_attribute(out, attribute::kTensorSize)
                .set_uint64_val(static_cast<std::uint64_t>(std::llround(bytes)));
            if (!computes) {
                add_attribute(out, attribute::kSharesSms).set_bool_val(false);
            }
        }
        add_attribute(out, attribute::kDuration).set_double_val(micros);
    }

    void add_communication(std::uint32_t index, const ReplayNode& node, const Item& item,
                           const Op& op, chakra::Node& out) {
        add_attribute(out, attribute::kIsCpuOp).set_bool_val(false);
        switch (node.kind) {
            case NodeKind::send: add_message(node, index, out); break;
            case NodeKind::receive:
                add_message(node, static_cast<std::uint32_t>(node.other), out);
                break;
            case NodeKind::exchange: add_exchange(node, op, out); break;
            default: add_collective(node, item, op, out);
        }
    }

    // The tag is the place of the send in its program: unique between two ranks.
    void add_message(const ReplayNode& node, std::uint32_t tag, chakra::Node& out) const {
        const bool sends = node.kind == NodeKind::send;
        const ReplayProgram& sender = dag_.programs[at(sends ? program_ : node.peer)];
        const Bytes bytes = dag_.sends[sender[tag].work].bytes;
        const RankId peer = graph_.instances().rank(node.peer, replica_);
        out.set_type(sends ? chakra::COMM_SEND_NODE : chakra::COMM_RECV_NODE);
        add_attribute(out, attribute::kCommSize).set_int64_val(std::llround(bytes.value()));
        add_attribute(out, sends ? attribute::kCommDst : attribute::kCommSrc)
            .set_int32_val(static_cast<std::int32_t>(peer.value));
        add_attribute(out, attribute::kCommTag).set_int32_val(static_cast<std::int32_t>(tag));
    }

    void add_group(const CommOp& comm, std::int32_t stage, chakra::Node& out) {
        const std::vector<RankId> members = graph_.group(comm.group, rank_, stage);
        add_attribute(out, attribute::kPgName)
            .set_string_val(groups_.name(comm.group, stage, members.front()));
    }

    // As Chakra counts: of a gather, what each rank brings along.
    void add_collective(const ReplayNode& node, const Item& item, const Op& op, chakra::Node& out) {
        const CommOp& comm = *op.comm();
        const std::int32_t stage = item.contexts[op.context].stage;
        double bytes = comm.payload_bytes.constant;
        chakra::CollectiveCommType type = chakra::ALL_REDUCE;
        if (comm.collective == Collective::all_gather) {
            type = chakra::ALL_GATHER;
            bytes /= static_cast<double>(graph_.group(comm.group, rank_, stage).size());
        } else if (comm.collective == Collective::reduce_scatter) {
            type = chakra::REDUCE_SCATTER;
        }
        out.set_type(chakra::COMM_COLL_NODE);
        add_attribute(out, attribute::kCommType).set_int64_val(type);
        add_attribute(out, attribute::kCommSize).set_int64_val(std::llround(bytes));
        add_group(comm, stage, out);
        // Latencies, and within a node what kernels take beyond their bytes.
        const std::uint32_t collective = dag_.collective_of[node.work][place_];
        const Seconds delay = dag_.collectives[collective].activity.delay;
        add_attribute(out, attribute::kStartup).set_double_val(delay.value() * 1e6);
    }

    // comm_size: what the rank sends over both networks.
    void add_exchange(const ReplayNode& node, const Op& op, chakra::Node& out) {
        const ExchangeWork& work = dag_.exchanges[node.work];
        const std::uint32_t group = place_ / dag_.lanes_per_group;
        const ExchangeFlows& exchange = dag_.exchange_flows[work.flows + group];
        const std::int32_t first_rank =
            static_cast<std::int32_t>(rank_.value) - replica_ % graph_.instances().expert_parallel;
        out.set_type(chakra::COMM_COLL_NODE);
        add_attribute(out, attribute::kCommType).set_int64_val(chakra::ALL_TO_ALL);
        const auto place = static_cast<std::int32_t>(place_ % dag_.lanes_per_group);
        double sent = 0;
        for (const PlaceFlow& flow : exchange.flows) {
            sent += flow.from == place ? flow.bytes.value() * flow.multiplicity : 0;
        }
        add_attribute(out, attribute::kCommSize).set_int64_val(std::llround(sent));
        add_group(*op.comm(), 0, out);
        add_attribute(out, attribute::kStartup).set_double_val(exchange.delay.value() * 1e6);
        add_attribute(out, attribute::kGpusPerNode).set_int32_val(gpus_per_node_);
        FlowAttributes flows(out);
        for (const PlaceFlow& flow : exchange.flows) {
            const bool is_sent = flow.from == place;
            if (!is_sent && (flow.to != place || flow.from != PlaceFlow::kNobody)) {
                continue;  // it is told by its sender
            }
            const std::int32_t other = is_sent ? flow.to : flow.from;
            const std::int32_t peer = other == PlaceFlow::kNobody ? -1
                                      : other == place ? static_cast<std::int32_t>(rank_.value)
                                                       : first_rank + other;
            const LaneLinks& links = dag_.links[lane_];
            const EndpointId link = flow.over_nvlink ? links.nvlink : links.nic;
            flows.add(peer, is_sent, flow, dag_.network.endpoints[link.index()].up);
        }
    }

    const Simulation& simulation_;
    const ReplayDag& dag_;
    const ExecutionGraph& graph_;
    ProcessGroups& groups_;
    std::int32_t gpus_per_node_;
    RankId rank_;
    std::int32_t program_;
    std::int32_t replica_;
    std::uint32_t place_;  // of the lane in its program
    std::uint32_t lane_;
    const ProgramShape& shape_;
    std::uint32_t shown_ = 0;
};

}  // namespace

void export_chakra(const Setting& setting, const Simulation& simulation,
                   const std::function<void(RankId, const ChakraTrace&)>& take) {
    const Instances& instances = simulation.graph.instances();
    std::vector<ProgramShape> shapes;
    std::int64_t nodes = 0;
    for (const ReplayProgram& program : simulation.dag.programs) {
        shapes.push_back(program_shape(simulation.dag, program));
        nodes += static_cast<std::int64_t>(shapes.back().count) * instances.data_parallel;
    }
    if (nodes > kChakraNodesMax) {
        throw InputError("--chakra",
                         fmt::format("the step of {} ranks has {} nodes, traces of {} at most are "
                                     "written: take fewer micro-batches, layers or ranks",
                                     instances.ranks(), nodes, kChakraNodesMax));
    }
    ProcessGroups groups;
    for (std::int32_t i = 0; i < instances.ranks(); ++i) {
        const RankId rank(static_cast<std::size_t>(i));
        take(rank,
             RankExport(simulation, shapes, groups, setting.topology.gpus_per_node, rank).trace());
    }
}

}  // namespace r1
