// An InfraGraph file as a topology.
#pragma once

#include "sim/hardware/import/imported_topology.hpp"

namespace r1 {

// An infrastructure whose hosts are of one device and whose network is one switch, planes or rails;
// or a lone device: one node. Throws InputError with all problems of the file, among them what a
// topology cannot hold. What the file leaves open (which accelerator, bandwidths) is `missing`.
ImportedTopology import_infragraph(std::string_view text, const std::string& file);

}  // namespace r1
