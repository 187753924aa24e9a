#include "sim/search/run_prices.hpp"

#include "model/base/json.hpp"
#include "sim/hardware/device.hpp"
#include "sim/hardware/presets.hpp"

namespace r1 {

namespace {

constexpr Range kHours{0, 1e12, true};
constexpr Range kSeconds{0, 1e9};

void read_hours(ObjectReader& reader, const char* key, std::optional<double>& hours) {
    reader.accept(key);  // null: never fails
    if (reader.has(key)) {
        reader.optional(key, hours.emplace(), kHours);
    }
}

void read_rate(ObjectReader& reader, const char* key, std::optional<BytesPerSecond>& rate) {
    reader.accept(key);
    if (reader.has(key)) {
        double gb_per_second = 1;
        reader.optional(key, gb_per_second, kRate);
        rate = gb_per_s(gb_per_second);
    }
}

}  // namespace

RunPrices read_run_prices(const Document& document, const std::string& pointer,
                          Diagnostics& diagnostics) {
    RunPrices prices;
    ObjectReader reader(document, pointer, diagnostics);
    if (!reader.is_object()) {
        return prices;
    }
    std::string name;
    reader.accept_header("prices");
    reader.optional("name", name);
    reader.required("usd_per_gpu_hour", prices.usd_per_gpu_hour, kUsd);
    reader.optional("usd_per_kwh", prices.usd_per_kwh, kUsd);
    reader.optional("pue", prices.pue, {1, 100});
    if (auto failures = reader.object("failures", false)) {
        read_hours(*failures, "gpu_mtbf_hours", prices.failures.gpu_mtbf_hours);
        read_hours(*failures, "nic_mtbf_hours", prices.failures.nic_mtbf_hours);
        read_hours(*failures, "switch_mtbf_hours", prices.failures.switch_mtbf_hours);
        read_hours(*failures, "node_mtbf_hours", prices.failures.node_mtbf_hours);
        failures->finish();
    }
    double restart_s = 0;
    reader.optional("restart_s", restart_s, kSeconds);
    prices.restart = Seconds(restart_s);
    if (auto checkpoint = reader.object("checkpoint", false)) {
        read_rate(*checkpoint, "write_gb_per_s_per_node", prices.write_per_node);
        read_rate(*checkpoint, "read_gb_per_s_per_node", prices.read_per_node);
        checkpoint->accept("interval_s");  // null: the best one
        if (checkpoint->has("interval_s")) {
            double interval_s = 1;
            checkpoint->optional("interval_s", interval_s, {0, 1e9, true});
            prices.checkpoint_interval = Seconds(interval_s);
        }
        checkpoint->finish();
    }
    read_sources(reader);
    reader.finish();
    return prices;
}

Document load_run_prices(const std::string& file_or_preset, const std::filesystem::path& base) {
    return Document::from_file(find_data_file(file_or_preset, "topologies/prices", base));
}

}  // namespace r1
