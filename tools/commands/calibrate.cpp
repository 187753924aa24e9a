#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/base/json.hpp"
#include "sim/cost/calibration.hpp"
#include "tools/calibration_import.hpp"
#include "tools/cli.hpp"
#include "tools/cpu_calibration.hpp"
#include "tools/processes.hpp"
#include "tools/report/calibration_report.hpp"
#include "tools/report/calibration_table.hpp"

namespace r1 {

namespace {

// --leave-out adds to what the file leaves out itself.
void leave_out(const Invocation& invocation, Document& document) {
    Json texts = Json::array();
    if (const Json* own = document.find("/leave_out")) {
        texts = *own;
    }
    if (!invocation.has("leave-out") || !texts.is_array()) {
        return;  // what is no list is reported by the reader
    }
    for (const std::string& text : invocation.get<std::vector<std::string>>("leave-out")) {
        texts.push_back(text);
    }
    document.set("/leave_out", texts, {"--leave-out", 0, 0});
}

int show(const Invocation& invocation) {
    Document document = load_calibration(invocation.text("show"));
    for (const Override& override : invocation.overrides()) {
        if (!document.set(override.pointer, override.value, {"--set", 0, 0})) {
            throw InputError("--set " + override.text, "there is no such field to override");
        }
    }
    leave_out(invocation, document);
    Diagnostics diagnostics;
    const Calibration calibration = read_calibration(document, "", diagnostics);
    diagnostics.throw_if_errors();
    const Json report = calibration_report(calibration, document.root());
    invocation.answer(report, calibration_table(report, invocation.color()));
    return kOk;
}

// r1_calibrate_cuda, which stands beside this program where it was built with CUDA: a program of
// its own, so that GPU machines without our other libraries can build it alone.
int measure_cuda(const Invocation& invocation) {
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
    const std::string program = (self.parent_path() / "r1_calibrate_cuda").string();
    if (!std::filesystem::exists(program)) {
        throw FeatureError("this build has no CUDA: " + program + " is missing");
    }
    if (!invocation.has("output")) {
        throw UsageError("calibrate --device cuda needs -o FILE for the calibration file");
    }
    std::vector<std::string> words = {program, "--out", invocation.text("output")};
    if (invocation.flag("own-kernels")) {
        words.emplace_back("--own-kernels");
    }
    if (invocation.flag("quick")) {
        words.emplace_back("--quick");
    }
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    execv(program.c_str(), arguments.data());
    throw FeatureError("cannot run " + program + ": " + std::strerror(errno));
}

// The file goes to -o FILE; how its points fit, or with --json the file, is printed.
void require_place(const Invocation& invocation) {
    if (!invocation.has("output") && !invocation.flag("json")) {
        throw UsageError("calibrate needs -o FILE, or --json, for the calibration");
    }
}

int give(const Invocation& invocation, const Json& calibration_file) {
    const std::string text = calibration_text(calibration_file);
    const Document document = Document::from_text(text, invocation.text("output"));
    Diagnostics diagnostics;
    const Calibration calibration = read_calibration(document, "", diagnostics);
    diagnostics.throw_if_errors();
    if (invocation.has("output")) {
        write_file_atomically(invocation.text("output"), text);
    }
    const Json report = calibration_report(calibration, document.root());
    if (invocation.flag("json")) {
        write_stdout(text);
    } else {
        invocation.print(report, calibration_table(report, invocation.color()));
    }
    return kOk;
}

int measure_cpu(const Invocation& invocation) {
    require_place(invocation);
    if (processes() > 1) {
        throw UsageError("calibrate --device cpu runs in one process");
    }
    const int threads = invocation.has("jobs")
                            ? invocation.get<int>("jobs")
                            : static_cast<int>(std::thread::hardware_concurrency());
    const MeasuredCalibration measured =
        calibrate_cpu({threads, invocation.flag("quick"),
                       [&](const std::string& message) { invocation.progress(message); }});
    return give(invocation, calibration_json(
                                cpu_calibration_header(measured, threads,
                                                       std::string("r1sim ") + R1_VERSION, today()),
                                measured));
}

int measure(const Invocation& invocation) {
    const std::string device = invocation.text("device");
    if (device == "cuda") {
        return measure_cuda(invocation);
    }
    if (device == "cpu") {
        return measure_cpu(invocation);
    }
    throw UsageError("--device takes cuda or cpu, not " + quote(device));
}

int import(const Invocation& invocation) {
    const auto words = invocation.get<std::vector<std::string>>("import");
    const std::vector<std::string> formats{"nccl-tests"};
    if (words.front() == "deepep" || words.front() == "nsys") {
        throw FeatureError(fmt::format("--import {} is not in this version", words.front()));
    }
    if (words.front() != formats.front()) {
        throw UsageError(fmt::format("--import takes nccl-tests, not {}{}", quote(words.front()),
                                     did_you_mean(words.front(), formats)));
    }
    if (words.size() < 2 || !invocation.has("base")) {
        throw UsageError(
            "--import nccl-tests FILE... goes with --base CALIBRATION, which has the "
            "other curves");
    }
    require_place(invocation);
    const std::vector<RingLog> logs = ring_logs(
        {words.begin() + 1, words.end()}, invocation.texts("collective"),
        invocation.has("ranks") ? std::optional(invocation.get<int>("ranks")) : std::nullopt);
    const Document base = load_calibration(invocation.text("base"));
    Diagnostics diagnostics;
    read_calibration(base, "", diagnostics);
    diagnostics.throw_if_errors();
    for (const char* needed : {"all_gather", "reduce_scatter"}) {
        if (std::none_of(logs.begin(), logs.end(),
                         [&](const RingLog& log) { return log.collective == needed; })) {
            invocation.warn(fmt::format(
                "no log of {}: its rings within a node will follow from the links", needed));
        }
    }
    return give(invocation, with_rings(base.root(), logs));
}

int run_calibrate(const Invocation& invocation) {
    int tasks = 0;
    for (const char* task : {"show", "device", "import"}) {
        tasks += invocation.has(task) ? 1 : 0;
    }
    if (tasks != 1) {
        throw UsageError("one of --show, --device and --import is needed");
    }
    if (invocation.has("leave-out") && !invocation.has("show")) {
        throw UsageError("--leave-out goes with --show");
    }
    if (invocation.flag("own-kernels") && invocation.text("device") != "cuda") {
        throw UsageError("--own-kernels goes with --device cuda");
    }
    if (invocation.flag("quick") && !invocation.has("device")) {
        throw UsageError("--quick goes with --device");
    }
    for (const char* option : {"base", "collective", "ranks"}) {
        if (invocation.has(option) && !invocation.has("import")) {
            throw UsageError(fmt::format("--{} goes with --import", option));
        }
    }
    if (invocation.has("import")) {
        return import(invocation);
    }
    return invocation.has("show") ? show(invocation) : measure(invocation);
}

}  // namespace

Command calibrate_command() {
    Command command;
    command.name = "calibrate";
    command.summary = "Measures kernels, and shows what measured ones make of the cost model.";
    command.arguments = "--show FILE | --device cuda|cpu -o FILE | --import nccl-tests FILE...";
    command.examples = {"calibrate --show h800_published",
                        "calibrate --device cuda -o my_h100.json",
                        "calibrate --device cpu -o my_cpu.json"};
    command.inputs = {"show", "base", "import"};
    command.add_options = [](po::options_description& options) {
        options.add_options()  //
            ("show", po::value<std::string>()->value_name("FILE"),
             "calibration file or preset: its curves, their fit and its errors")  //
            ("leave-out", po::value<std::vector<std::string>>()->composing()->value_name("TEXT"),
             "fit without the points of this source or file of sources, or with this text in their "
             "row; may be repeated")  //
            ("device", po::value<std::string>()->value_name("cuda|cpu"),
             "cuda: measures kernels of this machine's GPU, and NCCL's collectives over all of its "
             "GPUs, 8 minutes at most, into -o FILE; cpu: the kernels of run --device cpu and "
             "exchanges between threads, in training steps of small models, half a minute")  //
            ("quick", po::bool_switch(), "with --device: fewer sizes")                       //
            ("own-kernels", po::bool_switch(),
             "with --device cuda: this project's kernels instead of cuBLAS's and stand-ins")  //
            ("import",
             po::value<std::vector<std::string>>()->multitoken()->value_name("nccl-tests FILE..."),
             "logs or -J files of nccl-tests within a node, whose rings take the place of "
             "--base's")  //
            ("base", po::value<std::string>()->value_name("CALIBRATION"),
             "with --import: calibration file or preset with the other curves")  //
            ("collective", po::value<std::vector<std::string>>()->composing()->value_name("NAME"),
             "with --import: all_reduce, all_gather, reduce_scatter or all_to_all, of a log that "
             "does not say; one for each of these, in their order")  //
            ("ranks", po::value<int>()->value_name("N"),
             "with --import: of logs that do not list their ranks");
    };
    command.run = run_calibrate;
    return command;
}

}  // namespace r1
