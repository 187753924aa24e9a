#include "tools/report/report.hpp"

#include "model/base/json.hpp"
#include "tools/cli.hpp"
#include "tools/report/report_file.hpp"
#include "tools/report/report_html.hpp"
#include "tools/sweep/sweep_result.hpp"

namespace r1 {

namespace {

constexpr std::size_t kReportsMax = 2;

bool is_sweep_result(const Document& document) {
    const Json* schema = document.find("/schema");
    return schema != nullptr && *schema == "r1sim.sweep_result/1";
}

// Throws InputError if it is not what a sweep's lines make.
void check_sweep_result(const Document& document) {
    Diagnostics diagnostics;
    ObjectReader reader(document, "", diagnostics);
    for (const char* list : {"lines", "effects", "pareto_front", "refused"}) {
        reader.objects(list, true);
    }
    std::string text;
    reader.required("name", text);
    reader.required("sweep", text);
    diagnostics.throw_if_errors();
    with_schema(document, "sweep_result", [&] {
        const Json& result = document.root();
        std::vector<std::string> axes;
        for (const Json& effect : result.at("effects")) {
            axes.push_back(effect.at("axis").get<std::string>());
        }
        sweep_table(sweep_result(result.at("name"), result.at("sweep"), axes, result.at("lines")),
                    false);
        sweep_table(result, false);
    });
}

// The page of a sweep: `sweep` printed its table.
int show_sweep(const Invocation& invocation, const Document& document) {
    if (!invocation.has("html")) {
        throw UsageError("of a sweep, report writes --html only");
    }
    check_sweep_result(document);
    write_file_atomically(invocation.text("html"), sweep_html(document.root()));
    invocation.answer(document.root(), "");
    return kOk;
}

int run_report(const Invocation& invocation) {
    const auto files = invocation.get<std::vector<std::string>>("reports");
    if (files.size() > kReportsMax) {
        throw UsageError("report takes one report, or two to compare");
    }
    if (invocation.has("set")) {
        throw UsageError("--set changes fields of a scenario; simulate it again");
    }
    std::vector<Json> reports;
    std::string tables;
    for (const std::string& file : files) {
        const Document document = Document::from_file(file);
        if (files.size() == 1 && is_sweep_result(document)) {
            return show_sweep(invocation, document);
        }
        reports.push_back(read_report(document));
        with_schema(document, "report", [&] {
            tables +=
                (tables.empty() ? "" : "\n") + report_table(reports.back(), invocation.color());
        });
    }
    if (invocation.has("html")) {
        write_file_atomically(invocation.text("html"), report_html(reports));
    }
    invocation.answer(reports.size() == 1 ? reports.front() : Json(reports), tables);
    return kOk;
}

}  // namespace

Command report_command() {
    Command command;
    command.name = "report";
    command.summary = "Shows a report that simulate or run wrote, or two side by side.";
    command.arguments = "REPORT [REPORT]";
    command.positional = "reports";
    command.positional_count = -1;
    command.examples = {"report report.json", "report report.json --html report.html",
                        "report mpft.json mrft.json --html side_by_side.html"};
    command.outputs = {"html"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("reports", po::value<std::vector<std::string>>()->value_name("REPORT"),
             "reports of simulate and run, or what sweep --json printed")  //
            ("html", po::value<std::string>()->value_name("FILE"),
             "write a page that browsers show (one file, no network)");
    };
    command.run = run_report;
    return command;
}

}  // namespace r1
