// The short description of a cluster ("r1sim.topology/1"): one kind of node, how many of them, and
// the network between them. generate_fabric() in fabric.hpp makes switches and links of it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/base/units.hpp"
#include "sim/hardware/device.hpp"

namespace r1 {

struct NvlinkSpec {
    BytesPerSecond bandwidth;  // nominal, per direction and GPU
    double achievable_fraction = 1;
    Seconds latency;      // GPU to GPU
    int switches = 0;     // NVSwitch chips of a node
    int domain_gpus = 0;  // GPUs that reach each other: all of a node

    [[nodiscard]] BytesPerSecond achievable() const { return bandwidth * achievable_fraction; }
};

struct NicSpec {
    int per_node = 0;
    BytesPerSecond bandwidth;  // nominal, per direction
    double achievable_fraction = 1;
    std::vector<int> affinity;  // [gpus_per_node] the NIC of each GPU

    [[nodiscard]] BytesPerSecond achievable() const { return bandwidth * achievable_fraction; }
};

// mpft: multi-plane fat tree, NIC i of every node in plane i, planes joined only through NVLink.
// mrft: multi-rail fat tree, leaf switches of one rail each, spines shared by all rails.
// single_switch: one ideal switch for every NIC. none: a single node.
enum class FabricKind { mpft, mrft, single_switch, none };
std::string_view name(FabricKind kind);

// How what crosses leaves finds a spine. adaptive: it spreads over all uplinks of a leaf. fixed
// ("static" in files): each pair of NICs has one spine, drawn by a hash, whatever else is there.
enum class PathChoice { adaptive, fixed };
std::string_view name(PathChoice choice);

struct FabricSpec {
    FabricKind kind = FabricKind::none;
    int switch_ports = 64;
    double oversubscription = 1;  // leaf ports down to NICs over leaf ports up to spines
    Seconds same_leaf_latency;    // NIC to NIC
    Seconds cross_leaf_latency;
    PathChoice path_choice = PathChoice::adaptive;
    int planes = 0;  // planes (mpft) or rails (mrft): one for each NIC of a node
};

// A link that differs from what the description says.
struct LinkOverride {
    std::string link;    // name as in Fabric::links
    double degrade = 1;  // factor on the bandwidth
    bool remove = false;
};

struct Topology {
    std::string name;
    DeviceSpec device;
    int nodes = 0;
    int gpus_per_node = 0;
    NvlinkSpec nvlink;
    NicSpec nic;
    FabricSpec fabric;
    std::vector<LinkOverride> overrides;
    Sources sources;

    [[nodiscard]] int gpus() const { return nodes * gpus_per_node; }
};

// Leaf and spine counts of one two-layer tree of `nics` endpoints.
struct TreeShape {
    int down = 0;  // NIC ports of a leaf: half of its ports
    int up = 0;    // uplinks of a leaf: down / oversubscription
    int leaves = 0;
    int spines = 0;  // 0: a single leaf needs none
};
// Of one plane (mpft), or of the whole cluster (mrft), whose leaves serve one rail each.
TreeShape tree_shape(const Topology& topology);

// Reads the object at `pointer`, whose `device` must be an object by now (see load_topology).
// Every problem goes to `diagnostics`; the result is usable only if there was none.
Topology read_topology(const Document& document, const std::string& pointer,
                       Diagnostics& diagnostics);

// Loads a topology file or preset and puts the device that it names in place. Throws InputError.
Document load_topology(const std::string& file_or_preset, const std::filesystem::path& base = {});

// As --set does; a device that it names is put in place. Throws InputError if there is no such
// field.
void set_topology_field(Document& document, const Override& override_);

// The second half of load_topology, for a topology that stands inside another document: replaces
// the device name at `pointer`/device, if it is a text, by the device file.
void graft_device(Document& document, const std::string& pointer,
                  const std::filesystem::path& base);

}  // namespace r1
