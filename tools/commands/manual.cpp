#include "tools/manual.hpp"
#include "model/base/json.hpp"
#include "tools/cli.hpp"

namespace r1 {

namespace {

const std::vector<std::string> kFormats = {"man", "markdown"};

int run_manual(const Invocation& invocation) {
    const std::string format = invocation.text("format");
    if (format != "man" && format != "markdown") {
        throw UsageError("there is no manual in '" + format + "'" + did_you_mean(format, kFormats));
    }
    const std::string text = format == "man" ? man_page() : markdown_manual();
    invocation.answer({{"format", format}, {"text", text}}, text);
    return kOk;
}

}  // namespace

Command manual_command() {
    Command command;
    command.name = "manual";
    command.summary = "Prints the manual of all commands, as a man page or as Markdown.";
    command.arguments = "FORMAT";
    command.positional = "format";
    command.choices = kFormats;
    command.examples = {"manual man", "manual markdown", "manual markdown --json -o manual.json"};
    command.add_options = [](po::options_description& options) {
        options.add_options()("format", po::value<std::string>()->value_name("FORMAT"),
                              "man or markdown");
    };
    command.run = run_manual;
    return command;
}

}  // namespace r1
