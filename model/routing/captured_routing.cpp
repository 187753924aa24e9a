#include "model/routing/captured_routing.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "model/base/index.hpp"
#include "model/base/json.hpp"
#include "model/routing/expert_placement.hpp"

namespace r1 {

namespace {

constexpr std::size_t kShownMax = 20;  // problems; a binding of another shape has thousands

// One rank's part in an exchange.
struct Sent {
    std::int64_t tokens = 0;
    std::vector<std::int64_t> to_nodes;
    std::vector<std::int64_t> to_ranks;
    std::vector<std::int64_t> expert_rows;  // of all experts
    std::int64_t nodes_per_token_max = 0;
};
using Sources = std::vector<std::optional<Sent>>;  // by rank of the group

class CapturedReader {
public:
    CapturedReader(const Document& document, const ExecutionGraph& graph, const ModelConfig& config,
                   const ExpertGroupShape& group)
        : document_(document), graph_(graph), config_(config), group_(group) {}

    ExpertRouting read() {
        ObjectReader reader(document_, "", diagnostics_);
        reader.accept_header("binding");
        std::vector<ObjectReader> steps = reader.objects("steps", true);
        if (diagnostics_.ok() && steps.empty()) {
            reader.error("steps", "has no step");
        }
        diagnostics_.throw_if_errors();
        read_step(steps.back());
        diagnostics_.throw_if_errors();
        find_missing();
        diagnostics_.throw_if_errors();
        ExpertRouting routing;
        for (const auto& [place, sources] : exchanges_) {
            routing.add(place, loads_of(sources));
        }
        return routing;
    }

private:
    void report(ObjectReader& reader, const char* key, std::string message) {
        if (diagnostics_.errors().size() < kShownMax) {
            reader.error(key, std::move(message));
        }
    }

    void read_step(ObjectReader& step) {
        if (std::optional<ObjectReader> graph = step.object("graph", true)) {
            std::string hash;
            graph->required("hash", hash);
            if (hash != graph_.hash().hex()) {
                graph->error("hash", fmt::format("is of another graph; this scenario's is {}",
                                                 graph_.hash().hex()));
            }
        }
        diagnostics_.throw_if_errors();
        for (ObjectReader& exchange : step.objects("exchanges", true)) {
            read_exchange(exchange);
        }
    }

    void read_exchange(ObjectReader& reader) {
        ExchangePlace place;
        std::int64_t rank = 0;
        Sent sent;
        const Instances& instances = graph_.instances();
        const auto whole = [](std::int64_t last) { return Range{0, static_cast<double>(last)}; };
        reader.required("rank", rank, whole(instances.ranks() - 1));
        reader.required("stage", place.stage, whole(graph_.stages() - 1));
        reader.required("direction", place.direction, whole(1));
        reader.required("micro_batch", place.micro_batch, kNotNegative);
        reader.required("layer", place.layer, kNotNegative);
        reader.required("tokens", sent.tokens, {1, kInt32Max});
        const Range some = whole(sent.tokens);
        reader.required("tokens_to_nodes", sent.to_nodes, some);
        reader.required("tokens_to_ranks", sent.to_ranks, some);
        reader.required("expert_rows", sent.expert_rows, {0, kInt32Max});
        reader.required("nodes_per_token_max", sent.nodes_per_token_max, whole(group_.nodes()));
        if (!diagnostics_.ok()) {
            if (diagnostics_.errors().size() >= kShownMax) {
                diagnostics_.throw_if_errors();
            }
            return;
        }
        const auto sized = [&](const char* key, std::size_t size, std::int64_t expected) {
            if (size != at(expected)) {
                report(reader, key, fmt::format("has {} entries, not {}", size, expected));
            }
        };
        sized("tokens_to_nodes", sent.to_nodes.size(), group_.nodes());
        sized("tokens_to_ranks", sent.to_ranks.size(), group_.ranks);
        sized("expert_rows", sent.expert_rows.size(), config_.n_routed_experts);
        const std::int32_t replica = instances.replica_of(RankId(at(rank)));
        place.group = replica / instances.expert_parallel;
        Sources& sources = exchanges_[place];
        sources.resize(at(group_.ranks));
        std::optional<Sent>& source = sources[at(replica % instances.expert_parallel)];
        if (source) {
            report(reader, "rank", "has this exchange twice");
        }
        source = std::move(sent);
    }

    // Exchanges of the graph that the binding has not, or not of all ranks.
    void find_missing() {
        const std::int32_t groups =
            graph_.instances().data_parallel / graph_.instances().expert_parallel;
        for (const RankProgram& program : graph_.programs()) {
            for (const Item& item : program.items) {
                for (const Op& op : graph_.chunk(item.chunk).ops) {
                    const CommOp* comm = op.comm();
                    if (comm == nullptr || comm->group != GroupKind::expert_parallel) {
                        continue;
                    }
                    const Context& context = item.contexts[op.context];
                    for (std::int32_t group = 0; group < groups; ++group) {
                        check({context.stage, op.layer, context.direction, context.micro_batch,
                               group});
                    }
                }
            }
        }
    }

    void check(const ExchangePlace& place) {
        const auto found = exchanges_.find(place);
        const bool whole =
            found != exchanges_.end() &&
            std::all_of(found->second.begin(), found->second.end(),
                        [](const std::optional<Sent>& sent) { return sent.has_value(); });
        if (!whole && diagnostics_.errors().size() < kShownMax && missing_.insert(place).second) {
            diagnostics_.error(document_.diagnostic(
                "/steps",
                fmt::format("the last step lacks ranks of the exchange of stage {}, layer {}, "
                            "direction {}, micro-batch {}, group {}",
                            place.stage, place.layer, place.direction, place.micro_batch,
                            place.group)));
        }
    }

    [[nodiscard]] ExpertLoads loads_of(const Sources& sources) const {
        ExpertLoads loads;
        loads.traffic.group = group_;
        loads.traffic.sources = group_.ranks;
        loads.rows.resize(at(group_.ranks));
        loads.experts.resize(at(config_.n_routed_experts));
        double tokens = 0;
        for (const std::optional<Sent>& sent : sources) {
            tokens += static_cast<double>(sent->tokens);
        }
        std::int64_t nodes_max = 0;
        for (const std::optional<Sent>& sent : sources) {
            const auto own = static_cast<double>(sent->tokens);
            for (const std::int64_t count : sent->to_nodes) {
                loads.traffic.to_nodes.push_back(static_cast<double>(count) / own);
            }
            for (const std::int64_t count : sent->to_ranks) {
                loads.traffic.to_ranks.push_back(static_cast<double>(count) / own);
            }
            for (std::int64_t expert = 0; expert < config_.n_routed_experts; ++expert) {
                const double share = static_cast<double>(sent->expert_rows[at(expert)]) / tokens;
                loads.experts[at(expert)] += share;
                loads.rows[at(rank_of_expert(expert, config_.n_routed_experts, group_))] +=
                    share * static_cast<double>(group_.ranks);
            }
            nodes_max = std::max(nodes_max, sent->nodes_per_token_max);
        }
        loads.mean = mean_traffic(loads.traffic);
        loads.mean.nodes_per_token_max = nodes_max;
        return loads;
    }

    const Document& document_;
    const ExecutionGraph& graph_;
    const ModelConfig& config_;
    ExpertGroupShape group_;
    Diagnostics diagnostics_;
    std::map<ExchangePlace, Sources> exchanges_;
    std::set<ExchangePlace> missing_;
};

}  // namespace

ExpertRouting captured_routing(const Document& binding, const ExecutionGraph& graph,
                               const ModelConfig& config, const ExpertGroupShape& group) {
    return CapturedReader(binding, graph, config, group).read();
}

}  // namespace r1
