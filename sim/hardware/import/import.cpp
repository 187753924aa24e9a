#include "sim/hardware/import/import.hpp"

#include "sim/hardware/import/nccl_xml.hpp"
#include "sim/hardware/import/xml.hpp"

namespace r1 {
const std::vector<std::string>& foreign_format_names() {
    static const std::vector<std::string> names{"nccl-xml", "infragraph"};
    return names;
}

ImportedTopology import_topology(const std::string& file, ForeignFormat format) {
    if (format == ForeignFormat::infragraph) {
        throw FeatureError("topology --import infragraph is not implemented in this version");
    }
    return import_nccl_xml(read_file(file, XmlDocument::kMaxBytes), file);
}

}  // namespace r1
