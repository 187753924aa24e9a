#include "tools/report/report_file.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/base/json_schema.hpp"
#include "sim/hardware/presets.hpp"

namespace r1 {

namespace {

constexpr std::size_t kProblemsShownMax = 20;

std::vector<SchemaProblem> problems_of(const Document& document, const std::string& kind) {
    const auto schema = data_root() / "scenarios" / (kind + ".schema.json");
    return schema_problems(Document::from_file(schema).root(), document.root());
}

void throw_if_any(const Document& document, const std::vector<SchemaProblem>& problems) {
    Diagnostics diagnostics;
    for (std::size_t i = 0; i < std::min(problems.size(), kProblemsShownMax); ++i) {
        diagnostics.error(document.diagnostic(problems[i].pointer, problems[i].message));
    }
    if (problems.size() > kProblemsShownMax) {
        diagnostics.error({document.file(), 0, 0}, "",
                          fmt::format("and {} more", problems.size() - kProblemsShownMax));
    }
    diagnostics.throw_if_errors();
}

}  // namespace

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
    std::vector<SchemaProblem> problems = problems_of(document, "report");
    std::erase_if(problems, [](const SchemaProblem& problem) { return problem.is_of_keys; });
    throw_if_any(document, problems);
    return document.root();
}

void with_schema(const Document& document, const std::string& kind,
                 const std::function<void()>& use) {
    try {
        use();
    } catch (const Json::exception& error) {
        throw_if_any(document, problems_of(document, kind));
        throw InputError(document.file(), fmt::format("not a complete {}: {}", kind, error.what()));
    }
}

}  // namespace r1
