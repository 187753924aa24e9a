#include "runtime/binding.hpp"

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
    }
    return {{"schema", "r1sim.binding/1"}, {"steps", list}};
}

}  // namespace r1
