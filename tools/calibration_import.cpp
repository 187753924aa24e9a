#include "tools/calibration_import.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "model/base/collective_bus.hpp"
#include "runtime/calibration/document.hpp"
#include "tools/cli.hpp"

namespace r1 {

namespace {

constexpr const char* kRingSource = "nccl_tests";

bool is_ring(const Json& curve) {
    const std::string kernel = curve.value("kernel", "");
    return kernel == "all_reduce" || kernel == "all_gather" || kernel == "reduce_scatter" ||
           kernel == "all_to_all";
}

Json point_of(const RingLog& ring, const NcclTestsRow& row) {
    const double factor = bus_factor(ring.collective, ring.log.ranks);
    const double rate = static_cast<double>(row.bytes) * factor / row.time_us / 1e3;
    const std::string place = row.line > 0 ? fmt::format(":{}", row.line) : "";
    return {{"bytes", row.bytes},
            {"ranks", ring.log.ranks},
            {"value", six_digits(rate)},
            {"source", kRingSource},
            {"row",
             fmt::format("{}{}: {} us out of place",
                         std::filesystem::path(ring.file).filename().string(), place, row.time_us)},
            {"derivation",
             fmt::format("bytes / time x {:.6g}, as nccl-tests' busbw, with more digits", factor)}};
}

std::string source_of(const std::vector<RingLog>& logs) {
    std::string text;
    for (const RingLog& ring : logs) {
        text +=
            fmt::format("{}{}: {}, {} ranks of {}", text.empty() ? "" : "; ",
                        std::filesystem::path(ring.file).filename().string(), ring.collective,
                        ring.log.ranks, ring.log.device.empty() ? "unknown GPUs" : ring.log.device);
    }
    return text;
}

// What --collective says.
class GivenCollectives {
public:
    explicit GivenCollectives(const std::vector<std::string>& names) : names_(names) {
        static const std::vector<std::string> known{"all_reduce", "all_gather", "reduce_scatter",
                                                    "all_to_all"};
        for (const std::string& name : names) {
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                throw UsageError(fmt::format("--collective: there is no curve for {}{}",
                                             quote(name), did_you_mean(name, known)));
            }
        }
    }

    std::string of(const std::string& file) {
        if (next_ == names_.size()) {
            throw InputError(file, "does not say which collective it is of: --collective NAME");
        }
        return names_[next_++];
    }
    void require_all_used() const {
        if (next_ < names_.size()) {
            throw UsageError(fmt::format("--collective {}: every log has its collective already",
                                         names_[next_]));
        }
    }

private:
    const std::vector<std::string>& names_;
    std::size_t next_ = 0;
};

RingLog ring_log(const std::string& file, GivenCollectives& given, std::optional<int> ranks) {
    RingLog ring{file, "", read_nccl_tests(read_file(file), file)};
    ring.collective = ring.log.test.empty() ? given.of(file) : collective_of(ring.log.test);
    if (ring.collective.empty()) {
        throw FeatureError(fmt::format("{}: there is no curve for {}", file, ring.log.test));
    }
    if (ring.log.ranks == 0 && !ranks) {
        throw InputError(file, "does not list its ranks: --ranks N");
    }
    ring.log.ranks = ring.log.ranks == 0 ? *ranks : ring.log.ranks;
    if (ring.log.ranks < 2) {
        throw InputError(file, "is of one rank, which sends nothing");
    }
    if (ring.log.hosts > 1) {
        throw FeatureError(
            fmt::format("{}: its ranks are on {} hosts; curves are of rings within a node, and "
                        "those between nodes follow from the links",
                        file, ring.log.hosts));
    }
    return ring;
}

}  // namespace

std::vector<RingLog> ring_logs(const std::vector<std::string>& files,
                               const std::vector<std::string>& collectives,
                               std::optional<int> ranks) {
    if (ranks && *ranks < 2) {
        throw UsageError("--ranks must be at least 2");
    }
    GivenCollectives given(collectives);
    std::vector<RingLog> logs;
    for (const std::string& file : files) {
        logs.push_back(ring_log(file, given, ranks));
    }
    given.require_all_used();
    return logs;
}

Json with_rings(Json base, const std::vector<RingLog>& logs) {
    Json& curves = base["curves"];
    curves.erase(std::remove_if(curves.begin(), curves.end(), is_ring), curves.end());
    std::map<std::string, Json> points;
    for (const RingLog& ring : logs) {
        for (const NcclTestsRow& row : ring.log.rows) {
            points[ring.collective].push_back(point_of(ring, row));
        }
    }
    for (const auto& [collective, list] : points) {
        curves.push_back({{"kernel", collective},
                          {"quantity", "bus_gb_per_s"},
                          {"columns", {"bytes", "ranks"}},
                          {"points", list}});
    }
    if (const auto constants = base.find("constants"); constants != base.end()) {
        constants->erase(std::remove_if(constants->begin(), constants->end(),
                                        [](const Json& constant) {
                                            return constant.value("name", "") ==
                                                   "nvlink_bus_gb_per_s";
                                        }),
                         constants->end());
    }
    base["sources"][kRingSource] = {{"file", ""},
                                    {"what", "collectives within a node, nccl-tests"},
                                    {"source", source_of(logs)},
                                    {"level", "measured"}};
    return base;
}

}  // namespace r1
