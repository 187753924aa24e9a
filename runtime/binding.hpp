// What a run turned the graph's symbols into, as a file that a simulation can take.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/config/model_config.hpp"
#include "model/graph/graph.hpp"
#include "runtime/exchange_record.hpp"
#include "runtime/executor.hpp"

namespace r1 {

// The symbols of `tokens` tokens on a rank that holds all experts: exact, whatever the router does.
SymbolValues local_binding(const ModelConfig& config, std::int64_t tokens);

// The tensors to keep for expert_rows().
bool is_expert_offsets(const Tensor& tensor);
// Rows that each expert computed, by layer ("layers.3", "mtp").
using ExpertRows = std::map<std::string, std::vector<std::int32_t>>;
ExpertRows expert_rows(const TensorValues& values);

// One execution of a graph. `exchanges`: of a training step, which has expert-parallel ranks.
struct BoundStep {
    GraphHash graph;
    SymbolValues symbols{};
    ExpertRows expert_rows;
    std::vector<ExchangeRecord> exchanges{};
};
// A training step of several ranks: symbols are means over its exchanges.
BoundStep bound_step(const ExecutionGraph& graph, const std::vector<ExchangeRecord>& exchanges);

Json exchange_json(const ExchangeRecord& record);
// Of exchange_json() only.
ExchangeRecord exchange_of(const Json& json);

Json binding_json(const std::vector<BoundStep>& steps);

}  // namespace r1
