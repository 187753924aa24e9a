// A topology that a foreign file describes in part: what the file says, where it says so, and what
// it leaves open. Turned into a document once --set has had its say.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "model/base/json.hpp"

namespace r1 {

// Fields are named as in "sources": "nic.bandwidth_gb_per_s".
struct ImportedValue {
    std::string field;
    Json value;
    Location location;   // in the foreign file: problems of the value are reported there
    std::string source;  // "h800.xml line 9: nvlink, 8 links of 25 GB/s"
};

// Reported unless --set gives the value.
struct MissingValue {
    std::string field;
    Diagnostic problem;
};

struct ImportedTopology {
    std::string file;     // as it was named
    std::string comment;  // one sentence
    std::vector<ImportedValue> values;
    std::vector<MissingValue> missing;
    std::map<std::string, std::string> defaults;  // fields that take the default of another
    std::vector<std::string> warnings;
    std::vector<std::string> notes;  // for --verbose: what was ignored

    void put(std::string field, Json value, Location location, std::string source);
    // `hint` is the example of a value: "--set nic.bandwidth_gb_per_s=50".
    void need(std::string field, const std::string& hint, Diagnostic problem);
};

// "h800.xml line 9": sources name no folder, so that the same file gives the same bytes anywhere.
std::string source_place(const Location& location);

// The r1sim.topology/1 document: the file's values, the overrides, then for what neither says the
// latencies and achievable fractions of the published presets, each with its source. Throws
// InputError with all that is still missing; the rest is for read_topology() to check.
Document topology_document(const ImportedTopology& imported,
                           const std::vector<Override>& overrides);

}  // namespace r1
