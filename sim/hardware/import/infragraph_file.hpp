// What stands in an InfraGraph file (JSON, current schema of Keysight/infragraph): devices made of
// components and joined by links, instances of devices, and the edges between those.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

enum class InfraKind { custom, device, cpu, xpu, nic, memory, port, network_switch };

struct InfraComponent {
    std::string name;
    std::string description;
    std::string pointer;
    InfraKind kind = InfraKind::custom;
    int count = 0;
    int device = -1;  // of kind device: index into InfraFile::devices
};

struct InfraLink {
    std::string name;
    std::string pointer;
    std::optional<double> gb_per_s;
    std::optional<double> latency_us;
};

// "nic[0:2]": copies 0 and 1; without brackets all of them.
struct InfraStep {
    std::string name;
    int begin = 0;
    std::optional<int> end;
};

enum class InfraScheme { one2one, many2many, ring };

struct InfraEdge {
    std::string pointer;
    std::vector<InfraStep> ends[2];  // the way from the container down to the component
    InfraScheme scheme = InfraScheme::one2one;
    int link = -1;  // index into the links of the container
};

// A device; or the infrastructure, whose components are the instances.
struct InfraContainer {
    std::string name;
    std::string pointer;
    std::vector<InfraComponent> components;
    std::vector<InfraLink> links;
    std::vector<InfraEdge> edges;
};

struct InfraFile {
    std::vector<InfraContainer> devices;
    InfraContainer root;
    bool is_device = false;  // a lone device: one instance of it is the root
};

// Names are resolved, counts bounded, devices not made of themselves; whether slices fit is for the
// expansion to see. The result is usable only if there were no problems.
InfraFile read_infragraph(const Document& document, Diagnostics& diagnostics);

// Refuses what is no JSON of the current schema with one sentence that says so: YAML, old drafts.
void refuse_old_infragraph(std::string_view text, const std::string& file);

}  // namespace r1
