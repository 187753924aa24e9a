#include "sim/resources.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// ---- topology ----

// Calls visit(resource, name, get) for each field that a replay or a cost depends on; get(topology)
// is the field itself.
template <class Visit>
void visit_fields(const Visit& visit) {
    using enum Resource;
    visit(
        compute, "device.sms", [](auto& t) -> auto& { return t.device.sms; });
    visit(
        compute, "device.peaks_tflops.bf16", [](auto& t) -> auto& { return t.device.peak_bf16; });
    visit(
        compute, "device.peaks_tflops.fp8", [](auto& t) -> auto& { return t.device.peak_fp8; });
    visit(
        compute, "device.peaks_tflops.fp32", [](auto& t) -> auto& { return t.device.peak_fp32; });
    visit(
        compute, "device.hbm_bandwidth_gb_per_s", [](auto& t) -> auto& { return t.device.hbm; });
    visit(
        nvlink, "nvlink.bandwidth_gb_per_s", [](auto& t) -> auto& { return t.nvlink.bandwidth; });
    visit(
        nvlink, "nvlink.achievable_fraction",
        [](auto& t) -> auto& { return t.nvlink.achievable_fraction; });
    visit(
        nvlink, "nvlink.latency_us", [](auto& t) -> auto& { return t.nvlink.latency; });
    visit(
        network, "nodes", [](auto& t) -> auto& { return t.nodes; });
    visit(
        network, "nic.per_node", [](auto& t) -> auto& { return t.nic.per_node; });
    visit(
        network, "nic.bandwidth_gb_per_s", [](auto& t) -> auto& { return t.nic.bandwidth; });
    visit(
        network, "nic.achievable_fraction",
        [](auto& t) -> auto& { return t.nic.achievable_fraction; });
    visit(
        network, "nic.affinity", [](auto& t) -> auto& { return t.nic.affinity; });
    visit(
        network, "fabric.kind", [](auto& t) -> auto& { return t.fabric.kind; });
    visit(
        network, "fabric.switch_ports", [](auto& t) -> auto& { return t.fabric.switch_ports; });
    visit(
        network, "fabric.oversubscription",
        [](auto& t) -> auto& { return t.fabric.oversubscription; });
    visit(
        network, "fabric.same_leaf_latency_us",
        [](auto& t) -> auto& { return t.fabric.same_leaf_latency; });
    visit(
        network, "fabric.cross_leaf_latency_us",
        [](auto& t) -> auto& { return t.fabric.cross_leaf_latency; });
    visit(
        network, "fabric.path_choice", [](auto& t) -> auto& { return t.fabric.path_choice; });
    visit(
        network, "fabric.planes", [](auto& t) -> auto& { return t.fabric.planes; });
    visit(
        rest, "device.memory_gb", [](auto& t) -> auto& { return t.device.memory; });
    visit(
        rest, "device.power_w", [](auto& t) -> auto& { return t.device.power; });
}

// Without the last bits that the unit of the file cost.
double rounded(double value) { return std::strtod(fmt::format("{:.12g}", value).c_str(), nullptr); }

Json shown(int value) { return value; }
Json shown(double value) { return value; }
Json shown(Bytes value) { return rounded(value.value() / 1e9); }
Json shown(BytesPerSecond value) { return rounded(value.value() / 1e9); }
Json shown(FlopsPerSecond value) { return rounded(value.value() / 1e12); }
Json shown(Seconds value) { return rounded(value.value() * 1e6); }
Json shown(Watts value) { return value.value(); }
Json shown(FabricKind kind) { return name(kind); }
Json shown(PathChoice choice) { return name(choice); }
Json shown(const std::vector<int>& values) { return values; }

Resource resource_of(const LinkOverride& item) {
    return item.link.ends_with(".nvlink") ? Resource::nvlink : Resource::network;
}

// Overrides of one resource as texts; null if there are none.
Json shown_overrides(const Topology& topology, Resource resource) {
    Json list;
    for (const LinkOverride& item : topology.overrides) {
        if (resource_of(item) == resource) {
            list.push_back(item.remove ? item.link + " removed"
                                       : fmt::format("{} x {}", item.link, item.degrade));
        }
    }
    return list;
}

// Whether the topology has the node that an NVLink port is of.
bool has_node_of(const Topology& topology, const std::string& port) {
    constexpr std::string_view kPrefix = "node";
    R1_CHECK(port.starts_with(kPrefix));
    return std::strtol(port.c_str() + kPrefix.size(), nullptr, 10) < topology.nodes;
}

Topology mixed_topology(const Topology& from, const Topology& to, Resource resource) {
    Topology mixed = from;
    visit_fields([&](Resource owner, const char*, auto get) {
        if (owner == resource) {
            get(mixed) = get(to);
        }
    });
    mixed.overrides.clear();
    for (const Topology* side : {&from, &to}) {
        for (const LinkOverride& item : side->overrides) {
            const Resource owner = resource_of(item);
            const bool wanted = (owner == resource) == (side == &to);
            if (wanted && (owner == Resource::network || has_node_of(mixed, item.link))) {
                mixed.overrides.push_back(item);
            }
        }
    }
    return mixed;
}

// ---- calibration ----

// As the cost model divides points (sim/cost/expert_exchange.cpp): one node has 8 GPUs at most.
constexpr double kOneNode = 8;

bool is_exchange(const std::string& kernel) { return kernel == "dispatch" || kernel == "combine"; }

Resource resource_of(const CalibrationCurve& curve, const CalibrationPoint& point) {
    if (is_exchange(curve.kernel)) {
        const int ep = curve.column("ep");
        const bool one_node = ep < 0 || point.columns[static_cast<std::size_t>(ep)] <= kOneNode;
        return one_node ? Resource::nvlink : Resource::network;
    }
    if (curve.kernel == "expert_all_to_all") {
        return Resource::network;  // as a whole: it is one fit
    }
    // Waits of ranks for each other, and what the SMs of an exchange pass on, are no kernel's rate.
    const bool rest = curve.kernel == "notify" || curve.kernel.ends_with("_sm_limit");
    return rest ? Resource::rest : Resource::compute;
}

Resource resource_of_constant(const std::string& constant) {
    const auto holds = [&](const char* part) { return constant.find(part) != std::string::npos; };
    if (holds("nvlink")) {
        return Resource::nvlink;
    }
    const bool network = constant.starts_with("nic_") || holds("_nic_") || holds("_leaf_");
    return network ? Resource::network : Resource::compute;
}

// Whose kernels a point measured: all that the cost model asks of its source.
std::string implementation_of(const Calibration& calibration, const CalibrationPoint& point) {
    const std::string& named = calibration.sources.at(point.source).implementation;
    return named.empty() ? point.source : named;
}

void append_point(const CalibrationCurve& curve, CalibrationPoint point, CalibrationCurve& mixed) {
    for (const std::string& column : curve.columns) {
        if (mixed.column(column) < 0) {
            mixed.columns.push_back(column);
            for (CalibrationPoint& other : mixed.points) {
                other.columns.push_back(0);  // what the cost model reads where there is no column
            }
        }
    }
    const std::vector<double> values = point.columns;
    point.columns.assign(mixed.columns.size(), 0);
    for (std::size_t c = 0; c < values.size(); ++c) {
        point.columns[static_cast<std::size_t>(mixed.column(curve.columns[c]))] = values[c];
    }
    mixed.points.push_back(std::move(point));
}

// Adds the points of a kernel that `keep` accepts. Sources become the implementations that they
// measured, so that sources of two files never meet under one name.
template <class Keep>
void append_points(const Calibration& side, const std::string& kernel, const Keep& keep,
                   CalibrationCurve& mixed, Calibration& owner) {
    const CalibrationCurve* curve = side.curve(kernel);
    if (curve == nullptr) {
        return;
    }
    for (CalibrationPoint point : curve->points) {
        if (!keep(resource_of(*curve, point))) {
            continue;
        }
        if (mixed.points.empty()) {
            mixed.quantity = curve->quantity;
        }
        CalibrationSource source = side.sources.at(point.source);
        point.source = source.implementation = implementation_of(side, point);
        owner.sources.try_emplace(point.source, source);
        append_point(*curve, std::move(point), mixed);
    }
}

// Kernels of both, each once.
std::vector<std::string> kernels_of(const Calibration& from, const Calibration& to) {
    std::vector<std::string> kernels;
    for (const Calibration* side : {&from, &to}) {
        for (const CalibrationCurve& curve : side->curves) {
            if (std::find(kernels.begin(), kernels.end(), curve.kernel) == kernels.end()) {
                kernels.push_back(curve.kernel);
            }
        }
    }
    return kernels;
}

Calibration mixed_calibration(const Calibration& from, const Calibration& to, Resource resource) {
    Calibration mixed;
    mixed.name = from.name;
    mixed.device = from.device;
    mixed.implementation = (resource == Resource::compute ? to : from).implementation;
    for (const std::string& kernel : kernels_of(from, to)) {
        CalibrationCurve curve;
        curve.kernel = kernel;
        append_points(
            from, kernel, [&](Resource r) { return r != resource; }, curve, mixed);
        append_points(
            to, kernel, [&](Resource r) { return r == resource; }, curve, mixed);
        if (curve.points.empty() && is_exchange(kernel)) {
            // Each side has only the links that the other gives: the cost model takes any.
            append_points(
                to, kernel, [](Resource) { return true; }, curve, mixed);
        }
        if (!curve.points.empty()) {
            mixed.curves.push_back(std::move(curve));
        }
    }
    for (const auto& [constant, value] : from.constants) {
        if (resource_of_constant(constant) != resource) {
            mixed.constants[constant] = value;
        }
    }
    for (const auto& [constant, value] : to.constants) {
        if (resource_of_constant(constant) == resource) {
            mixed.constants[constant] = value;
        }
    }
    return mixed;
}

// ---- differences ----

class Changes {
public:
    Changes(const Hardware& from, const Hardware& to) : from_(from), to_(to) {}

    std::vector<HardwareChange> take() && {
        visit_fields([&](Resource resource, const char* what, auto get) {
            if (get(from_.topology) != get(to_.topology)) {
                add(resource, what, shown(get(from_.topology)), shown(get(to_.topology)));
            }
        });
        for (const Resource resource : {Resource::nvlink, Resource::network}) {
            add(resource, fmt::format("overrides.{}", name(resource)),
                shown_overrides(from_.topology, resource), shown_overrides(to_.topology, resource));
        }
        add_implementation();
        for (const std::string& kernel : kernels_of(from_.calibration, to_.calibration)) {
            for (const Resource resource : kResources) {
                add_curve(kernel, resource);
            }
        }
        add_constants();
        std::stable_sort(changes_.begin(), changes_.end(),
                         [](const auto& a, const auto& b) { return a.resource < b.resource; });
        return std::move(changes_);
    }

private:
    // Columns by name, implementation and value.
    using Point = std::tuple<std::map<std::string, double>, std::string, double>;

    void add(Resource resource, std::string what, Json from, Json to) {
        if (from != to) {
            changes_.push_back({resource, std::move(what), std::move(from), std::move(to)});
        }
    }

    void add_implementation() {
        const auto text = [](const Calibration& calibration) {
            return calibration.implementation.empty() ? Json() : Json(calibration.implementation);
        };
        add(Resource::compute, "calibration.implementation", text(from_.calibration),
            text(to_.calibration));
    }

    static std::multiset<Point> points(const Calibration& calibration, const std::string& kernel,
                                       Resource resource) {
        std::multiset<Point> points;
        const CalibrationCurve* curve = calibration.curve(kernel);
        if (curve == nullptr) {
            return points;
        }
        for (const CalibrationPoint& point : curve->points) {
            if (resource_of(*curve, point) == resource) {
                std::map<std::string, double> columns;
                for (std::size_t c = 0; c < curve->columns.size(); ++c) {
                    if (point.columns[c] != 0) {  // as good as no column
                        columns[curve->columns[c]] = point.columns[c];
                    }
                }
                points.emplace(columns, implementation_of(calibration, point), point.value);
            }
        }
        return points;
    }

    void add_curve(const std::string& kernel, Resource resource) {
        const std::multiset<Point> before = points(from_.calibration, kernel, resource);
        const std::multiset<Point> after = points(to_.calibration, kernel, resource);
        std::vector<Point> added;
        std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                            std::back_inserter(added));
        if (before == after) {
            return;
        }
        const auto text = [](const std::multiset<Point>& side) {
            return side.empty() ? Json() : Json(fmt::format("{} points", side.size()));
        };
        const Json to =
            added.empty() || before.empty()
                ? text(after)
                : Json(fmt::format("{} points, {} of them new", after.size(), added.size()));
        changes_.push_back({resource, "calibration.curves." + kernel, text(before), to});
    }

    void add_constants() {
        std::set<std::string> names;
        for (const Hardware* side : {&from_, &to_}) {
            for (const auto& [constant, value] : side->calibration.constants) {
                names.insert(constant);
            }
        }
        const auto value = [](const Calibration& calibration, const std::string& constant) {
            const auto found = calibration.constants.find(constant);
            return found == calibration.constants.end() ? Json() : Json(found->second);
        };
        for (const std::string& constant : names) {
            add(resource_of_constant(constant), "calibration.constants." + constant,
                value(from_.calibration, constant), value(to_.calibration, constant));
        }
    }

    const Hardware& from_;
    const Hardware& to_;
    std::vector<HardwareChange> changes_;
};

}  // namespace

std::string_view name(Resource resource) {
    static constexpr std::array<std::string_view, 4> names = {"compute", "nvlink", "network",
                                                              "rest"};
    return names[static_cast<std::size_t>(resource)];
}

Hardware with_resource(const Hardware& from, const Hardware& to, Resource resource) {
    R1_CHECK(resource != Resource::rest &&
             from.topology.gpus_per_node == to.topology.gpus_per_node);
    return {mixed_topology(from.topology, to.topology, resource),
            mixed_calibration(from.calibration, to.calibration, resource)};
}

std::vector<HardwareChange> hardware_changes(const Hardware& from, const Hardware& to) {
    return Changes(from, to).take();
}

}  // namespace r1
