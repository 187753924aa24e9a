#include "sim/path_resources.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/sm_sharing.hpp"

namespace r1 {

namespace {

// An op in the DAG.
struct OpPlace {
    const ReplayNode* node = nullptr;
    std::uint32_t node_index = 0;
    const Segment* segment = nullptr;
    std::size_t index = 0;  // in the segment
};

class OpPlaces {
public:
    explicit OpPlaces(const ReplayDag& dag) : dag_(dag) {
        for (const ReplayProgram& program : dag.programs) {
            std::vector<std::uint32_t>& first = first_node_.emplace_back();
            for (std::uint32_t node = 0; node < program.size(); ++node) {
                if (program[node].segment == 0) {  // an item's nodes are its segments in order
                    first.push_back(node);
                }
            }
        }
        for (const std::vector<Segment>& list : dag.segments) {
            std::vector<std::pair<std::uint32_t, std::size_t>>& places = places_.emplace_back();
            for (std::uint32_t segment = 0; segment < list.size(); ++segment) {
                for (std::size_t i = 0; i < list[segment].ops.size(); ++i) {
                    const std::size_t op = list[segment].ops[i].index();
                    places.resize(std::max(places.size(), op + 1));
                    places[op] = {segment, i};
                }
            }
        }
    }

    // `lane` of the DAG.
    [[nodiscard]] OpPlace find(std::uint32_t lane, OpRef op) const {
        const std::uint32_t program = dag_.program_of(lane);
        const std::uint32_t first = first_node_[program][op.item];
        const auto& [segment, index] = places_[dag_.programs[program][first].segments][op.op];
        const ReplayNode& node = dag_.programs[program][first + segment];
        return {&node, first + segment, &dag_.segment(node), index};
    }

private:
    const ReplayDag& dag_;
    std::vector<std::vector<std::uint32_t>> first_node_;  // by program and item
    // Segment and index in it, by list of segments and op.
    std::vector<std::vector<std::pair<std::uint32_t, std::size_t>>> places_;
};

const char* longest_of(const TransferBounds& bounds) {
    const Seconds longest = bounds.longest();
    if (bounds.network == longest) {
        return "network";
    }
    return bounds.nvlink == longest ? "nvlink" : "comm_sms";
}

}  // namespace

std::map<std::string, double> path_resources(const ReplayDag& dag, const Timeline& timeline,
                                             const CriticalPath& path) {
    const OpPlaces places(dag);
    const WorkTimes works(dag);
    const NodeIntervals intervals(dag, timeline);
    const SmSharing sharing(dag, intervals, works);
    std::map<std::string, TimePs> times;
    for (const PathPiece& piece : path.pieces) {
        const std::uint32_t lane = dag.shown[piece.op.lane];
        const OpPlace place = places.find(lane, piece.op);
        const TimePs time = piece.end - piece.start;
        const bool waits = piece.kind == PathPiece::kWait;
        if (place.node->kind == NodeKind::local &&
            dag.locals[place.node->work].kind != LocalKind::wait) {
            const SmShare& share = sharing.of(piece.op.lane, place.node_index);
            const RateShares rates =
                share.mixed(waits ? RateShares{} : place.segment->rates[place.index]);
            const TimePs matrix = std::llround(static_cast<double>(time) * rates.compute);
            const TimePs hbm = std::llround(static_cast<double>(time) * rates.memory);
            times["matrix_units"] += matrix;
            times["hbm"] += hbm;
            times["overhead"] += time - matrix - hbm;
        } else if (waits || place.node->kind == NodeKind::local ||
                   place.node->kind == NodeKind::receive) {
            times["wait"] += time;
        } else {
            const TimePs latency = std::min(time, to_ps(works.delay(lane, *place.node)));
            times["latency"] += latency;
            times[longest_of(works.all()[works.index(lane, *place.node)].bounds)] += time - latency;
        }
    }
    std::map<std::string, double> seconds;
    for (const auto& [resource, time] : times) {
        if (time > 0) {
            seconds[resource] = from_ps(time).value();
        }
    }
    return seconds;
}

}  // namespace r1
