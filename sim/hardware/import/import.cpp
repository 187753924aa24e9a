#include "sim/hardware/import/import.hpp"

#include "sim/hardware/import/infragraph.hpp"
#include "sim/hardware/import/nccl_xml.hpp"
#include "sim/hardware/import/xml.hpp"

namespace r1 {
namespace {

constexpr std::size_t kInfraGraphBytesMax = std::size_t{64} << 20;

}  // namespace

const std::vector<std::string>& foreign_format_names() {
    static const std::vector<std::string> names{"nccl-xml", "infragraph"};
    return names;
}

ImportedTopology import_topology(const std::string& file, ForeignFormat format) {
    if (format == ForeignFormat::infragraph) {
        return import_infragraph(read_file(file, kInfraGraphBytesMax), file);
    }
    return import_nccl_xml(read_file(file, XmlDocument::kMaxBytes), file);
}

}  // namespace r1
