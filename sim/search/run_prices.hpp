// A prices file ("r1sim.prices/1"): what GPUs and power cost, and how often what fails.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "model/base/json_fwd.hpp"
#include "model/base/units.hpp"
#include "sim/failures/goodput.hpp"

namespace r1 {

struct RunPrices {
    double usd_per_gpu_hour = 0;
    double usd_per_kwh = 0;  // of the facility's energy; 0: the GPU-hour includes it
    double pue = 1;          // facility power over board power
    FailureRates failures;
    Seconds restart;  // from a failure until the checkpoint is read
    // Of a checkpoint, by each node; nothing: takes no time.
    std::optional<BytesPerSecond> write_per_node;
    std::optional<BytesPerSecond> read_per_node;
    std::optional<Seconds> checkpoint_interval;  // nothing: the optimal one
};

inline constexpr Range kUsd{0, 1e9};  // of a GPU-hour, of a kWh

// Reads the object at `pointer`; problems go to `diagnostics`.
RunPrices read_run_prices(const Document& document, const std::string& pointer,
                          Diagnostics& diagnostics);

// Loads a prices file, or a preset of topologies/prices/. Throws InputError.
Document load_run_prices(const std::string& file_or_preset, const std::filesystem::path& base);

}  // namespace r1
