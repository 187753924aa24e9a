#include "runtime/binding.hpp"

#include <algorithm>

#include "model/base/json.hpp"
#include "model/routing/traffic.hpp"

namespace r1 {

namespace {

constexpr std::string_view kOffsets = ".mlp.experts.offsets";

}  // namespace

SymbolValues local_binding(const ModelConfig& config, std::int64_t tokens) {
    ExpertTraffic here;
    here.ranks_per_token = 1;
    return balanced_binding(config, here, tokens);
}

bool is_expert_offsets(const Tensor& tensor) { return tensor.name.ends_with(kOffsets); }

ExpertRows expert_rows(const TensorValues& values) {
    ExpertRows rows;
    for (const auto& [name, value] : values) {
        if (!name.ends_with(kOffsets)) {
            continue;
        }
        const std::vector<std::int32_t> offsets = value.i32();
        std::vector<std::int32_t>& layer = rows[name.substr(0, name.size() - kOffsets.size())];
        for (std::size_t expert = 0; expert + 1 < offsets.size(); ++expert) {
            layer.push_back(offsets[expert + 1] - offsets[expert]);
        }
    }
    return rows;
}

// Rows that a rank gets are those of its experts, tokens those that the group sends it.
BoundStep bound_step(const ExecutionGraph& graph, const std::vector<ExchangeRecord>& exchanges) {
    BoundStep step;
    step.graph = graph.hash();
    step.exchanges = exchanges;
    double rows = 0;
    double received = 0;
    for (const ExchangeRecord& record : exchanges) {
        for (const std::int32_t count : record.expert_rows) {
            rows += count;
        }
        for (const std::int64_t count : record.to_ranks) {
            received += static_cast<double>(count);
        }
    }
    const auto count = static_cast<double>(std::max<std::size_t>(1, exchanges.size()));
    step.symbols[static_cast<std::size_t>(Symbol::routed_rows)] = rows / count;
    step.symbols[static_cast<std::size_t>(Symbol::received_tokens)] = received / count;
    return step;
}

Json exchange_json(const ExchangeRecord& record) {
    return {{"rank", record.rank},
            {"stage", record.stage},
            {"direction", record.direction},
            {"micro_batch", record.micro_batch},
            {"layer", record.layer},
            {"tokens", record.tokens},
            {"tokens_to_nodes", record.to_nodes},
            {"tokens_to_ranks", record.to_ranks},
            {"expert_rows", record.expert_rows},
            {"nodes_per_token_max", record.nodes_per_token_max}};
}

ExchangeRecord exchange_of(const Json& json) {
    ExchangeRecord record;
    json["rank"].get_to(record.rank);
    json["stage"].get_to(record.stage);
    json["direction"].get_to(record.direction);
    json["micro_batch"].get_to(record.micro_batch);
    json["layer"].get_to(record.layer);
    json["tokens"].get_to(record.tokens);
    json["tokens_to_nodes"].get_to(record.to_nodes);
    json["tokens_to_ranks"].get_to(record.to_ranks);
    json["expert_rows"].get_to(record.expert_rows);
    json["nodes_per_token_max"].get_to(record.nodes_per_token_max);
    return record;
}

Json binding_json(const std::vector<BoundStep>& steps) {
    Json list = Json::array();
    for (const BoundStep& step : steps) {
        Json symbols = Json::object();
        for (std::size_t i = 0; i < kSymbolCount; ++i) {
            symbols[std::string(name(static_cast<Symbol>(i)))] = step.symbols[i];
        }
        list.push_back({{"graph", {{"hash", step.graph.hex()}}},
                        {"symbols", symbols},
                        {"expert_rows", step.expert_rows}});
        if (!step.exchanges.empty()) {
            Json& exchanges = list.back()["exchanges"] = Json::array();
            for (const ExchangeRecord& record : step.exchanges) {
                exchanges.push_back(exchange_json(record));
            }
        }
    }
    return {{"schema", "r1sim.binding/1"}, {"steps", list}};
}

}  // namespace r1
