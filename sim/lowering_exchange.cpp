// Flows of expert all-to-alls (declared in lowering.hpp).
#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "sim/lowering.hpp"
#include "sim/what_if.hpp"

namespace r1 {

namespace {

// Bytes between places of a group, over InfiniBand and over NVLink.
using PairBytes = std::map<std::tuple<bool, std::int32_t, std::int32_t>, double>;

// A token crosses InfiniBand once for each destination node, to the GPU of its own rail there, and
// goes on over NVLink to the GPUs of its experts.
PairBytes two_hops(const GroupTraffic& traffic, double bytes) {
    const ExpertGroupShape& group = traffic.group;
    PairBytes pairs;
    for (std::int64_t source = 0; source < group.ranks; ++source) {
        const std::int64_t rail = source % group.ranks_per_node;
        for (std::int64_t node = 0; node < group.nodes(); ++node) {
            const std::int64_t landing = node * group.ranks_per_node + rail;
            const auto landing_place = static_cast<std::int32_t>(landing);
            if (landing != source) {
                pairs[{false, static_cast<std::int32_t>(source), landing_place}] +=
                    bytes * traffic.to_node(source, node);
            }
            for (std::int64_t local = 0; local < group.ranks_per_node; ++local) {
                const std::int64_t rank = node * group.ranks_per_node + local;
                if (rank != landing) {
                    pairs[{true, landing_place, static_cast<std::int32_t>(rank)}] +=
                        bytes * traffic.to_rank(source, rank);
                }
            }
        }
    }
    return pairs;
}

// Every GPU of a token's experts gets its own copy from the source.
PairBytes one_hop(const GroupTraffic& traffic, double bytes) {
    const ExpertGroupShape& group = traffic.group;
    PairBytes pairs;
    for (std::int64_t source = 0; source < group.ranks; ++source) {
        for (std::int64_t rank = 0; rank < group.ranks; ++rank) {
            if (rank != source) {
                const bool on_node = source / group.ranks_per_node == rank / group.ranks_per_node;
                pairs[{on_node, static_cast<std::int32_t>(source),
                       static_cast<std::int32_t>(rank)}] += bytes * traffic.to_rank(source, rank);
            }
        }
    }
    return pairs;
}

// Of a token of a source: its chosen experts.
double mean_rows(const ExpertLoads& loads) {
    return std::accumulate(loads.rows.begin(), loads.rows.end(), 0.0) /
           static_cast<double>(loads.rows.size());
}

// Combine goes the ways of dispatch back.
PairBytes turned_round(const PairBytes& pairs) {
    PairBytes back;
    for (const auto& [pair, bytes] : pairs) {
        const auto& [over_nvlink, from, to] = pair;
        back[{over_nvlink, to, from}] = bytes;
    }
    return back;
}

// What a place sends and gets over one network.
struct Totals {
    double out = 0;
    double in = 0;
    std::int32_t out_peers = 0;
    std::int32_t in_peers = 0;
};
using PlaceTotals = std::map<std::pair<bool, std::int32_t>, Totals>;

PlaceTotals totals_of(const PairBytes& pairs) {
    PlaceTotals totals;
    for (const auto& [pair, bytes] : pairs) {
        const auto& [over_nvlink, from, to] = pair;
        if (bytes > 0) {
            Totals& sender = totals[{over_nvlink, from}];
            sender.out += bytes;
            ++sender.out_peers;
            Totals& receiver = totals[{over_nvlink, to}];
            receiver.in += bytes;
            ++receiver.in_peers;
        }
    }
    return totals;
}

// How long the trunks take for the exchange of a program's groups, if those of all programs do the
// like at once: lanes that stand for several ranks get no more of them.
Seconds trunk_time(const LoweringInput& input, const Trunks& trunks, std::int32_t program,
                   const PairBytes& pairs) {
    const Instances& instances = input.graph.instances();
    TrunkLoad load(trunks);
    std::vector<TrunkPath> own;
    for (std::int32_t of = 0; of < instances.pipeline_parallel; ++of) {
        for (std::int32_t i = 0; i < instances.data_parallel; i += instances.expert_parallel) {
            for (const auto& [pair, bytes] : pairs) {
                const auto& [over_nvlink, from, to] = pair;
                if (over_nvlink) {
                    break;  // pairs over InfiniBand come first
                }
                const TrunkPath path =
                    trunks.path(instances.rank(of, i + from), instances.rank(of, i + to));
                load.add(path, Bytes(bytes));
                if (of == program) {
                    own.push_back(path);
                }
            }
        }
    }
    Seconds longest;
    for (const TrunkPath& path : own) {
        longest = std::max(longest, load.time(path));
    }
    return longest;
}

// How fast a place's kernels move bytes over a network: what they reach on whole links; degraded
// ones slow them as much, and so do trunks that take longer.
class KernelRates {
public:
    KernelRates(const LoweringInput& input, const LaneNetwork& network, std::int32_t first,
                const ExpertExchangeCall& call, Bytes token, Seconds shortest, Seconds of_trunks)
        : network_(network),
          first_(first),
          crosses_(call.group.nodes() > 1),
          ib_(token * call.traffic.ib_copies_per_token),
          nvlink_(token * call.traffic.nvlink_copies_per_token),
          shortest_(shortest),
          of_trunks_(of_trunks),
          whole_(crosses_ ? input.topology.nic.achievable() : input.topology.nvlink.achievable()) {}

    [[nodiscard]] Seconds shortest(std::int32_t place) const {
        const std::int32_t lane = first_ + place;
        const EndpointId link = crosses_ ? network_.nic(lane) : network_.nvlink(lane);
        return std::max(shortest_ * (whole_ / network_.bandwidth(link)), of_trunks_);
    }
    [[nodiscard]] BytesPerSecond of(std::int32_t place, bool over_nvlink) const {
        return (over_nvlink ? nvlink_ : ib_) / shortest(place);
    }
    // That a rank sends in the mean.
    [[nodiscard]] Bytes ib() const { return ib_; }
    [[nodiscard]] Bytes nvlink() const { return nvlink_; }

private:
    const LaneNetwork& network_;
    std::int32_t first_;
    bool crosses_;
    Bytes ib_;
    Bytes nvlink_;
    Seconds shortest_;
    Seconds of_trunks_;
    BytesPerSecond whole_;
};

// What the fullest place sends or gets.
Bytes most(const PlaceTotals& totals, bool over_nvlink) {
    double bytes = 0;
    for (const auto& [where, total] : totals) {
        if (where.first == over_nvlink) {
            bytes = std::max({bytes, total.out, total.in});
        }
    }
    return Bytes(bytes);
}

// A symmetric group, folded onto one of its members, which sends and gets so many bytes.
void add_folded(const ExpertGroupShape& group, const KernelRates& rates, Bytes ib, Bytes nvlink,
                ExchangeFlows& exchange) {
    const auto add = [&](bool over_nvlink, Bytes sum, std::int64_t peers) {
        if (peers > 0) {
            const Bytes each = sum / static_cast<double>(peers);
            const Bytes mean = over_nvlink ? rates.nvlink() : rates.ib();
            exchange.flows.push_back({0, 0, over_nvlink, static_cast<std::int32_t>(peers), each,
                                      mean / static_cast<double>(peers) / rates.shortest(0)});
        }
    };
    add(false, ib, group.nodes() - 1);
    add(true, nvlink, group.ranks_per_node - 1);
}

// What each place sends in all, and what it gets, as flows that weigh as much beside others as
// those of the pairs.
void add_totals(const PlaceTotals& totals, const KernelRates& rates, ExchangeFlows& exchange) {
    for (const auto& [where, total] : totals) {
        const auto& [over_nvlink, place] = where;
        const BytesPerSecond rate = rates.of(place, over_nvlink);
        const auto add = [&, over = over_nvlink](std::int32_t from, std::int32_t to, double bytes,
                                                 std::int32_t peers) {
            if (peers > 0) {
                exchange.flows.push_back({from, to, over, peers, Bytes(bytes / peers),
                                          rate / static_cast<double>(peers)});
            }
        };
        add(place, PlaceFlow::kNobody, total.out, total.out_peers);
        add(PlaceFlow::kNobody, place, total.in, total.in_peers);
    }
}

// A flow for each pair. The kernels serve peers in proportion to what is to be moved.
void add_pairs(const PairBytes& pairs, const PlaceTotals& totals, const KernelRates& rates,
               const LaneNetwork& network, std::int32_t first, ExchangeFlows& exchange) {
    for (const auto& [pair, bytes] : pairs) {
        const auto& [over_nvlink, from, to] = pair;
        if (bytes > 0) {
            const double sent = bytes / totals.at({over_nvlink, from}).out;
            const double got = bytes / totals.at({over_nvlink, to}).in;
            exchange.flows.push_back(
                {from, to, over_nvlink, 1, Bytes(bytes),
                 std::min(rates.of(from, over_nvlink) * sent, rates.of(to, over_nvlink) * got),
                 over_nvlink ? TrunkPath{} : network.path(first + from, first + to)});
        }
    }
}

// `loads`: nullptr where experts are even.
ExpertExchangeCall call_of(const LoweringInput& input, const Op& op, bool overlapped,
                           const ExpertLoads* loads) {
    const CommOp& comm = *op.comm();
    ExpertExchangeCall call;
    call.collective = comm.collective;
    call.token_bytes = Bytes(comm.payload_bytes.constant);
    call.tokens = comm.tokens;
    call.group = expert_group_shape(input.graph, input.topology);
    const bool direct = low_latency(comm.collective);
    call.traffic = input.traffic;
    if (loads != nullptr) {
        call.traffic = direct ? copy_per_expert(loads->mean, mean_rows(*loads), call.group)
                       : input.replay.without.two_hop ? single_hop_traffic(loads->mean, call.group)
                                                      : loads->mean;
    }
    call.sms = input.comm_sms;
    call.overlapped = overlapped;
    call.backward = op.phase != Phase::forward;
    return call;
}

PairBytes pairs_of(const LoweringInput& input, const ExpertExchangeCall& call, Bytes token,
                   const ExpertLoads* loads) {
    const bool direct = low_latency(call.collective);
    GroupTraffic traffic =
        loads != nullptr ? loads->traffic : even_traffic(input.traffic, call.group);
    if (direct && loads != nullptr) {  // as many copies as rows, as many from each source
        traffic.sources = 1;
        traffic.to_ranks = loads->rows;
        for (double& copies : traffic.to_ranks) {
            copies /= static_cast<double>(call.group.ranks);
        }
    }
    const bool single_hop = direct || input.replay.without.two_hop;
    PairBytes pairs =
        single_hop ? one_hop(traffic, token.value()) : two_hops(traffic, token.value());
    const bool combines = call.collective == Collective::combine ||
                          call.collective == Collective::low_latency_combine;
    return combines ? turned_round(pairs) : pairs;
}

// From the start to the first byte.
Seconds delay_of(const LoweringInput& input, const LaneNetwork& network, RankId near,
                 const ExpertGroupShape& group, Seconds startup) {
    Seconds delay = input.topology.nvlink.latency;
    if (group.nodes() > 1) {
        // A token stays on its rail. The group's nodes follow each other: the first rank and its
        // like on the last node are the farthest apart.
        const RankId far(near.value + static_cast<std::size_t>(group.ranks - group.ranks_per_node));
        delay += network.route(near, far).latency;
    }
    return std::max(delay, startup);  // measured with the links' own
}

}  // namespace

ExchangeFlows exchange_flows(const LoweringInput& input, const LaneSet& lanes,
                             const LaneNetwork& network, const Op& op, std::int32_t first,
                             bool overlapped, const ExpertLoads* loads) {
    const CommOp& comm = *op.comm();
    const ExpertExchangeCall call = call_of(input, op, overlapped, loads);
    ExchangeFlows exchange;
    if (call.group.ranks == 1) {
        return exchange;  // every expert is local
    }
    const Bytes token =
        (call.token_bytes + Bytes(comm.metadata_bytes.constant)) * static_cast<double>(comm.tokens);
    const ExchangeTime shortest = input.cost.expert_exchange(call);
    exchange.delay = delay_of(input, network, lanes.rank(first), call.group, shortest.startup);
    exchange.kernels = shortest.bounds;
    const bool folded = input.replay.fold == Folding::stage;
    const bool alike = folded && loads == nullptr;
    const bool shares = network.trunks().matter() && !network.has_trunks();
    const PairBytes pairs = alike && !shares ? PairBytes() : pairs_of(input, call, token, loads);
    Seconds of_trunks;
    if (shares) {
        of_trunks = trunk_time(input, network.trunks(), lanes.program(first), pairs);
        exchange.kernels.network = std::max(exchange.kernels.network, of_trunks);
    }
    const KernelRates rates(input, network, first, call, token, shortest.transfer, of_trunks);
    if (alike) {
        add_folded(call.group, rates, rates.ib(), rates.nvlink(), exchange);
        return exchange;
    }
    const PlaceTotals totals = totals_of(pairs);
    if (folded) {
        add_folded(call.group, rates, most(totals, false), most(totals, true), exchange);
    } else if (input.replay.fold == Folding::ep_group) {
        add_totals(totals, rates, exchange);
    } else {
        add_pairs(pairs, totals, rates, network, first, exchange);
    }
    return exchange;
}

}  // namespace r1
