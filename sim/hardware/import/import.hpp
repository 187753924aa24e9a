// Clusters that other programs have described.
#pragma once

#include <string>
#include <vector>

#include "sim/hardware/import/imported_topology.hpp"

namespace r1 {

enum class ForeignFormat { nccl_xml, infragraph };
const std::vector<std::string>& foreign_format_names();  // as --import takes them

// Throws InputError with all problems of the file.
ImportedTopology import_topology(const std::string& file, ForeignFormat format);

}  // namespace r1
