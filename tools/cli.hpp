// The command line: a table of commands, options that all of them share, and exit codes.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <boost/program_options.hpp>

#include "model/base/exit_code.hpp"
#include "model/base/json_fwd.hpp"

namespace r1 {

namespace po = boost::program_options;

// Wrong flags or arguments; main() prints the message and the command's usage line and exits 2.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// What a command gets: its own options, and the shared ones.
class Invocation {
public:
    explicit Invocation(po::variables_map values) : values_(std::move(values)) {}

    [[nodiscard]] bool has(const std::string& option) const { return values_.count(option) > 0; }
    template <class T>
    [[nodiscard]] T get(const std::string& option) const {
        return values_[option].as<T>();
    }
    [[nodiscard]] std::string text(const std::string& option) const {
        return has(option) ? get<std::string>(option) : std::string();
    }
    // All values of an option that takes one or several.
    [[nodiscard]] std::vector<std::string> texts(const std::string& option) const;
    [[nodiscard]] bool flag(const std::string& option) const { return get<bool>(option); }
    [[nodiscard]] std::vector<Override> overrides() const;
    // Those of a scenario: --seed and, where a command has it, --engine are short for one of them.
    [[nodiscard]] std::vector<Override> scenario_overrides() const;
    // --set and --seed as they were given, for another command of this program.
    [[nodiscard]] std::vector<std::string> scenario_arguments() const;
    [[nodiscard]] bool color() const;

    // The same, but answer() prints nothing: a step of another command.
    [[nodiscard]] Invocation silenced() const;
    // The answer: `json` to -o FILE, and to stdout `json` with --json, else `table`.
    void answer(const Json& json, const std::string& table) const;
    // Its second half.
    void print(const Json& json, const std::string& table) const;
    // To stderr: unless --quiet, only with --verbose, or only on a terminal and erased by the next.
    void warn(const std::string& message) const;
    void detail(const std::string& message) const;
    void progress(const std::string& message) const;

private:
    po::variables_map values_;
    bool prints_ = true;
};

struct Command {
    std::string name;
    std::string summary;     // one sentence; empty: no help lists it, the program calls itself
    std::string arguments;   // of the usage line: "SCENARIO"
    std::string positional;  // option that takes them; empty: none
    int positional_count = 1;
    std::vector<std::string> choices;   // what it may be; empty: files
    std::vector<std::string> examples;  // without "r1sim "
    std::vector<std::string> outputs;   // options that name files it writes, beside --output
    std::vector<std::string> inputs;    // those that name files it reads, beside `positional`
    std::function<void(po::options_description&)> add_options;
    std::function<int(const Invocation&)> run;
};

// In tools/commands/, one file each.
Command model_command();
Command schedule_command();
Command simulate_command();
Command run_command();
Command replay_command();
Command validate_command();
Command compare_command();
Command plan_command();
Command topology_command();
Command eval_command();
Command generate_command();
Command calibrate_command();
Command report_command();
Command sweep_command();
Command schema_command();
Command doctor_command();
Command completion_command();
Command manual_command();
const std::vector<Command>& commands();
// No part of the table: what `sweep` starts.
Command sweep_worker_command();

// What the help texts, the manual and shell completion tell of the program.
inline constexpr const char* kProgramSummary =
    "r1sim holds an executable DeepSeek-R1 and a model of the clusters it runs on.";
po::options_description own_options(const Command& command);
po::options_description shared_options();
std::string usage_line(const Command& command);
const std::vector<std::pair<ExitCode, std::string>>& exit_codes();

// The options of a command line after the command's name. Throws UsageError.
Invocation parse_arguments(const Command& command, const std::vector<std::string>& arguments);

// What an exception means to the user. Called while one is handled.
struct Failure {
    ExitCode code = kOk;
    std::string message;
};
Failure current_failure();

// Parses, runs, and turns every exception into a message and an exit code.
int run_command_line(int argc, const char* const* argv);

// printf-free writing to stdout; throws InputError if stdout is closed or full.
void write_stdout(const std::string& text);

}  // namespace r1
