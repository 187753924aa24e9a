#include "tools/report/report_file.hpp"

#include "model/base/json.hpp"

namespace r1 {

Json read_report(const Document& document) {
    Diagnostics diagnostics;
    ObjectReader reader(document, "", diagnostics);
    reader.accept_header("report");
    if (reader.is_object()) {
        for (const char* section : {"scenario", "graph", "routing", "memory", "run_info"}) {
            reader.object(section, true);
        }
        for (const char* section : {"confidence", "published"}) {
            reader.objects(section, true);
        }
    }
    diagnostics.throw_if_errors();
    return document.root();
}

}  // namespace r1
