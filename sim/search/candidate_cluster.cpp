#include "sim/search/candidate_cluster.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/scenario/named_members.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/hardware/topology.hpp"
#include "sim/search/plan_files.hpp"
#include "sim/search/run_prices.hpp"

namespace r1 {

namespace {

class ClusterReader {
public:
    ClusterReader(Document& document, std::string pointer, std::filesystem::path base,
                  CandidateCluster defaults, Diagnostics& diagnostics)
        : document_(document),
          pointer_(std::move(pointer)),
          base_(std::move(base)),
          cluster_(std::move(defaults)),
          diagnostics_(diagnostics) {}

    std::optional<CandidateCluster> run() && {
        const std::size_t errors_before = diagnostics_.errors().size();
        std::string topology_pointer = pointer_;
        if (!document_.find(pointer_)->is_string()) {
            read_members();
            topology_pointer += "/cluster";
        }
        if (document_.find(topology_pointer) == nullptr) {
            return std::nullopt;
        }
        const Topology topology = read_topology_at(topology_pointer);
        check_calibration(topology.device.name);
        if (diagnostics_.errors().size() > errors_before) {
            return std::nullopt;
        }
        cluster_.name = topology.name;
        cluster_.gpus_per_node = topology.gpus_per_node;
        if (cluster_.gpus.empty()) {
            cluster_.gpus = {topology.gpus()};
        }
        return std::move(cluster_);
    }

private:
    void read_members() {
        ObjectReader reader(document_, pointer_, diagnostics_);
        if (!reader.is_object()) {
            return;
        }
        reader.accept("cluster");
        if (!reader.has("cluster")) {
            reader.error("", "missing key 'cluster'");
        }
        reader.optional("calibration", cluster_.calibration);
        reader.optional("usd_per_gpu_hour", cluster_.usd_per_gpu_hour, kUsd);
        read_gpus_to_try(reader, cluster_.gpus);
        reader.finish();
    }

    // What `read` throws, becomes a problem of the member that names the file.
    template <class Read>
    void load(const std::string& pointer, Read read) {
        try {
            read();
        } catch (const InputError& problems) {
            diagnostics_.error(document_.diagnostic(pointer, "cannot be loaded:"));
            for (const Diagnostic& problem : problems.diagnostics()) {
                diagnostics_.error(problem);
            }
        }
    }

    Topology read_topology_at(const std::string& pointer) {
        Topology topology;
        const Json& named = *document_.find(pointer);
        if (!named.is_string()) {
            load(pointer, [&] {
                graft_device(document_, pointer, folder(pointer));
                topology = read_topology(document_, pointer, diagnostics_);
            });
            cluster_.topology = named;
            return topology;
        }
        load(pointer, [&] {
            Diagnostics problems;
            const Document document = load_topology(named.get<std::string>(), folder(pointer));
            topology = read_topology(document, "", problems);
            problems.throw_if_errors();
            cluster_.topology = document.root();
        });
        return topology;
    }

    void check_calibration(const std::string& device) {
        std::string pointer = pointer_ + "/calibration";
        if (cluster_.calibration.empty()) {
            if (device.empty()) {
                return;  // of a cluster that cannot be loaded
            }
            pointer = pointer_;
            cluster_.calibration = device + "_published";
            const std::vector<std::string> presets = preset_names(kCalibrationFolder);
            if (std::find(presets.begin(), presets.end(), cluster_.calibration) == presets.end()) {
                diagnostics_.error(document_.diagnostic(
                    pointer, fmt::format("needs a 'calibration': the default for the device '{}', "
                                         "'{}', is no preset of {}",
                                         device, cluster_.calibration, kCalibrationFolder)));
                return;
            }
        }
        load(pointer, [&] {
            Diagnostics problems;
            const Document calibration = load_calibration(cluster_.calibration, folder(pointer));
            read_calibration(calibration, "", problems);
            problems.throw_if_errors();
        });
        cluster_.calibration = seen_from_here(cluster_.calibration, folder(pointer));
    }

    [[nodiscard]] std::filesystem::path folder(const std::string& pointer) const {
        return named_from(document_, pointer, base_);
    }

    Document& document_;
    std::string pointer_;
    std::filesystem::path base_;
    CandidateCluster cluster_;
    Diagnostics& diagnostics_;
};

}  // namespace

std::optional<CandidateCluster> read_candidate_cluster(Document& document,
                                                       const std::string& pointer,
                                                       const std::filesystem::path& base,
                                                       CandidateCluster defaults,
                                                       Diagnostics& diagnostics) {
    return ClusterReader(document, pointer, base, std::move(defaults), diagnostics).run();
}

void read_gpus_to_try(ObjectReader& reader, std::vector<std::int64_t>& gpus) {
    reader.optional("gpus", gpus, {1, 1 << 24});
    if (const Json* given = reader.raw("gpus");
        given != nullptr && given->is_array() && given->empty()) {
        reader.error("gpus", "must list at least one number of GPUs");
    }
}

}  // namespace r1
