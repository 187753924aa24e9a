// What becomes of an import, for the fuzz targets: every way through it.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/hardware/import/imported_topology.hpp"
#include "sim/hardware/topology.hpp"

namespace r1::test {

// A topology that passes read_topology() is written, read back, and has links.
inline void complete_import_with(const ImportedTopology& imported,
                                 const std::vector<Override>& overrides) {
    const Document document = topology_document(imported, overrides);
    Diagnostics diagnostics;
    read_topology(document, "", diagnostics);
    if (!diagnostics.ok()) {
        render(diagnostics.errors());
        return;
    }
    const Document again = Document::from_text(document.root().dump(2), "again.json");
    const Topology topology = read_topology(again, "", diagnostics);
    if (!diagnostics.ok()) std::abort();
    if (topology.gpus() > 10'000) return;
    if (generate_fabric(topology).gpus() != topology.gpus()) std::abort();
}

template <class Import>
void complete_import(const Import& import) {
    try {
        const ImportedTopology imported = import();
        std::vector<Override> overrides;
        for (const char* setting :
             {"device=h800", "nvlink.bandwidth_gb_per_s=200", "nvlink.switches=4",
              "nic.bandwidth_gb_per_s=50", "fabric.kind=mpft", "fabric.oversubscription=1"}) {
            overrides.push_back(parse_override(setting));
        }
        complete_import_with(imported, overrides);
        complete_import_with(imported, {});
    } catch (const InputError&) {
        return;
    }
}

}  // namespace r1::test
