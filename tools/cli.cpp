#include "tools/cli.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "model/graph/graph_builder.hpp"
#include "model/tokenizer/utf8.hpp"
#include "tools/output_files.hpp"
#include "tools/processes.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

const std::vector<Command>& commands() {
    static const std::vector<Command> table = {
        simulate_command(),   sweep_command(),     plan_command(),     run_command(),
        replay_command(),     validate_command(),  compare_command(),  report_command(),
        model_command(),      schedule_command(),  topology_command(), eval_command(),
        generate_command(),   calibrate_command(), schema_command(),   doctor_command(),
        completion_command(), manual_command()};
    return table;
}

po::options_description own_options(const Command& command) {
    po::options_description own("Options");
    command.add_options(own);
    return own;
}

po::options_description shared_options() {
    po::options_description options("Options of every command");
    options.add_options()                                                                     //
        ("json", po::bool_switch(), "print the answer as one JSON document")                  //
        ("output,o", po::value<std::string>()->value_name("FILE"), "write the JSON to FILE")  //
        ("set", po::value<std::vector<std::string>>()->composing()->value_name("/POINTER=VALUE"),
         "override a field of the input file (plan.expert_parallel=64 works too); may be "
         "repeated")                                                                       //
        ("seed", po::value<std::int64_t>()->value_name("N"), "seed of everything random")  //
        ("jobs", po::value<int>()->value_name("N"), "processes or threads to use")         //
        ("verbose", po::bool_switch(), "say more on stderr")                               //
        ("quiet", po::bool_switch(), "no warnings, no progress")                           //
        ("color", po::value<std::string>()->default_value("auto")->value_name("auto|always|never"),
         "colours in tables")  //
        ("help", po::bool_switch(), "this text");
    return options;
}

std::string usage_line(const Command& command) {
    return fmt::format("usage: r1sim {}{}{} [options]", command.name,
                       command.arguments.empty() ? "" : " ", command.arguments);
}

const std::vector<std::pair<ExitCode, std::string>>& exit_codes() {
    static const std::vector<std::pair<ExitCode, std::string>> codes = {
        {kOk, "ok"},
        {kInternalError, "internal error"},
        {kUsage, "usage"},
        {kInvalidInput, "invalid input"},
        {kInfeasible, "infeasible"},
        {kFeatureMissing, "feature or device missing"},
        {kThresholdExceeded, "threshold exceeded"},
        {kInterrupted, "interrupted"}};
    return codes;
}

void write_stdout(const std::string& text) {
    std::cout << text << std::flush;
    if (!std::cout) {
        throw InputError("stdout", "cannot be written");
    }
}

namespace {

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

po::options_description all_options(const Command& command) {
    const po::options_description own = own_options(command);
    po::options_description all;
    if (!own.options().empty()) {
        all.add(own);
    }
    all.add(shared_options());
    return all;
}

std::string exit_codes_text() {
    std::string text = "Exit codes: ";
    std::string comma;
    for (const auto& [code, meaning] : exit_codes()) {
        text += fmt::format("{}{} {}", comma, static_cast<int>(code), meaning);
        comma = code == kInvalidInput ? ",\n" : ", ";
    }
    return text + ".\n";
}

std::string help(const Command& command) {
    std::ostringstream text;
    text << command.summary << "\n\n" << usage_line(command) << "\n\nExamples:\n";
    for (const std::string& example : command.examples) {
        text << "  r1sim " << example << "\n";
    }
    text << all_options(command) << "\n" << exit_codes_text();
    return text.str();
}

std::string help() {
    std::string text = std::string(kProgramSummary) +
                       "\n\nusage: r1sim COMMAND [FILE] [options]      (r1sim COMMAND --help says "
                       "more)\n\nCommands:\n";
    for (const Command& command : commands()) {
        text += fmt::format("  {:<10} {}\n", command.name, command.summary);
    }
    text +=
        "\nExamples:\n"
        "  r1sim simulate scenarios/train_v3_2048_h800.json\n"
        "  r1sim run scenarios/tiny_train_cpu.json\n"
        "  r1sim schedule dualpipe --ranks 8 --micro-batches 20\n"
        "  r1sim model deepseek-r1 --json\n\n";
    return text + exit_codes_text();
}

const Command& find_command(const std::string& name) {
    static const Command worker = sweep_worker_command();
    if (name == worker.name) {
        return worker;
    }
    std::vector<std::string> names;
    for (const Command& command : commands()) {
        if (command.name == name) {
            return command;
        }
        names.push_back(command.name);
    }
    throw UsageError("there is no command '" + name + "'" + did_you_mean(name, names) +
                     "; 'r1sim --help' lists them");
}

void require_positional(const Command& command, const Invocation& invocation) {
    if (!command.positional.empty() && !invocation.has(command.positional) &&
        command.arguments.front() != '[') {
        throw UsageError("missing " + command.arguments);
    }
    const std::string color = invocation.text("color");
    if (color != "auto" && color != "always" && color != "never") {
        throw UsageError("--color takes auto, always or never, not '" + color + "'");
    }
    if (invocation.has("jobs") && invocation.get<int>("jobs") < 1) {
        throw UsageError("--jobs must be at least 1");
    }
}

int dispatch(const std::vector<std::string>& arguments) {
    const std::string& first = arguments.front();
    if (first == "help" && arguments.size() > 1) {
        write_stdout(help(find_command(arguments[1])));
        return kOk;
    }
    if (first == "--help" || first == "help") {
        write_stdout(help());
        return kOk;
    }
    if (first == "--version") {
        write_stdout(fmt::format("r1sim {}\n", R1_VERSION));
        return kOk;
    }
    const Command& command = find_command(first);
    try {
        const Invocation invocation =
            parse_arguments(command, {arguments.begin() + 1, arguments.end()});
        if (invocation.flag("help")) {
            write_stdout(help(command));
            return kOk;
        }
        require_positional(command, invocation);
        check_output_files(command, invocation);
        return command.run(invocation);
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("{}\n{}", error.what(), usage_line(command)));
    }
}

// Answers name files, and names of files need not be UTF-8.
std::string document_text(const Json& json) {
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

int fail(int code, const std::string& message) {
    std::cerr << printable(message, "\n\t")
              << (message.empty() || message.back() == '\n' ? "" : "\n");
    return code;
}

}  // namespace

std::vector<std::string> Invocation::texts(const std::string& option) const {
    if (!has(option)) {
        return {};
    }
    const auto* one = boost::any_cast<std::string>(&values_[option].value());
    return one != nullptr ? std::vector<std::string>{*one} : get<std::vector<std::string>>(option);
}

std::vector<Override> Invocation::overrides() const {
    std::vector<Override> result;
    if (has("set")) {
        for (const std::string& text : get<std::vector<std::string>>("set")) {
            if (const std::optional<std::size_t> at = utf8_error(text)) {
                throw InputError("--set", fmt::format("{} is not UTF-8: byte {} belongs to no "
                                                      "character",
                                                      quote(text), *at));
            }
            result.push_back(parse_override(text));
        }
    }
    return result;
}

std::vector<Override> Invocation::scenario_overrides() const {
    std::vector<Override> result = overrides();
    if (has("seed")) {
        result.push_back({"/seed", Json(get<std::int64_t>("seed")), "--seed"});
    }
    if (has("engine")) {
        // Here and not by who reads the scenario: an axis of a sweep may hide it.
        const std::vector<std::string> engines = {"simgrid", "fluid", "both"};
        if (std::find(engines.begin(), engines.end(), text("engine")) == engines.end()) {
            throw InputError(
                "--engine",
                fmt::format("must be one of {}, found {}{}", fmt::join(engines, ", "),
                            quote(text("engine")), did_you_mean(text("engine"), engines)));
        }
        result.push_back({"/replay/engine", Json(text("engine")), "--engine"});
    }
    return result;
}

std::vector<std::string> Invocation::scenario_arguments() const {
    std::vector<std::string> arguments;
    if (has("set")) {
        for (const std::string& text : get<std::vector<std::string>>("set")) {
            arguments.insert(arguments.end(), {"--set", text});
        }
    }
    if (has("seed")) {
        arguments.insert(arguments.end(), {"--seed", std::to_string(get<std::int64_t>("seed"))});
    }
    return arguments;
}

bool Invocation::color() const {
    const std::string when = text("color");
    // mpirun reads its processes' output from a terminal of its own, wherever it writes it to.
    const bool on_terminal = isatty(STDOUT_FILENO) == 1 && processes() == 1;
    return when == "always" ||
           (when == "auto" && on_terminal && std::getenv("NO_COLOR") == nullptr);
}

Invocation Invocation::silenced() const {
    Invocation silent = *this;
    silent.prints_ = false;
    return silent;
}

void Invocation::answer(const Json& json, const std::string& table) const {
    if (has("output")) {
        write_file_atomically(text("output"), document_text(json));
    }
    print(json, table);
}

void Invocation::print(const Json& json, const std::string& table) const {
    if (prints_) {
        write_stdout(flag("json") ? document_text(json) : terminal_text(table, color()));
    }
}

void Invocation::warn(const std::string& message) const {
    if (!flag("quiet")) {
        std::cerr << "warning: " << printable(message, "\n") << "\n";
    }
}

void Invocation::detail(const std::string& message) const {
    if (flag("verbose")) {
        std::cerr << printable(message, "\n\t") << "\n";
    }
}

void Invocation::progress(const std::string& message) const {
    if (!flag("quiet") && stderr_is_terminal()) {
        std::cerr << "\r\033[K" << printable(message) << std::flush;
    }
}

Invocation parse_arguments(const Command& command, const std::vector<std::string>& arguments) {
    const po::options_description options = all_options(command);
    po::positional_options_description positional;
    if (!command.positional.empty()) {
        positional.add(command.positional.c_str(), command.positional_count);
    }
    namespace style = po::command_line_style;
    const int strict =
        static_cast<int>(style::unix_style) & ~static_cast<int>(style::allow_guessing);
    po::variables_map values;
    try {
        po::store(po::command_line_parser(arguments)
                      .options(options)
                      .positional(positional)
                      .style(strict)
                      .run(),
                  values);
        po::notify(values);
    } catch (const po::unknown_option& error) {
        std::vector<std::string> names;
        for (const auto& option : options.options()) {
            names.push_back("--" + option->long_name());
        }
        throw UsageError(fmt::format("unknown option {}{}", error.get_option_name(),
                                     did_you_mean(error.get_option_name(), names)));
    } catch (const po::too_many_positional_options_error&) {
        throw UsageError("too many arguments");
    } catch (const po::error& error) {
        throw UsageError(error.what());
    }
    return Invocation(std::move(values));
}

Failure current_failure() {
    try {
        throw;
    } catch (const UsageError& error) {
        return {kUsage, std::string("r1sim: ") + error.what()};
    } catch (const InputError& error) {
        return {exit_code_of(error), render(error.diagnostics())};
    } catch (const GraphError& error) {
        return {kInternalError, std::string("r1sim: ") + error.what()};
    } catch (const std::bad_alloc& error) {
        return {exit_code_of(error), "r1sim: the input needs more memory than this machine has"};
    } catch (const std::exception& error) {
        const ExitCode code = exit_code_of(error);
        const char* prefix = code == kInternalError ? "r1sim: internal error: " : "r1sim: ";
        return {code, prefix + std::string(error.what())};
    }
}

int run_command_line(int argc, const char* const* argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.empty()) {
        return fail(kUsage, help());
    }
    try {
        return dispatch(arguments);
    } catch (const std::exception&) {
        const Failure failure = current_failure();
        return fail(failure.code, failure.message);
    }
}

}  // namespace r1
