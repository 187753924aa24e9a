// An NCCL topology file as a topology: one node of the machine that it describes.
#pragma once

#include "sim/hardware/import/imported_topology.hpp"

namespace r1 {

// Nodes, GPUs in the order of their CUDA indices, NVLink, NICs and which GPU uses which. Throws
// InputError with all problems of the file. What the file cannot say (a bare pci element has no
// speed) or a topology cannot hold (NVLinks that join some pairs of GPUs only) is `missing`.
ImportedTopology import_nccl_xml(std::string text, const std::string& file);

}  // namespace r1
