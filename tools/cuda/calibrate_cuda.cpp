// r1_calibrate_cuda: measures a Hopper GPU and writes a calibration file. A program of its own so
// that it can be taken to a machine that has a GPU and little else. CMake builds it where there is
// a CUDA compiler; so does, from the repository root, with nothing but nvcc and nlohmann's header:
//
//   nvcc -std=c++20 -arch=sm_90a -O2 -I. -o r1_calibrate_cuda tools/cuda/calibrate_cuda.cpp
//       --fmad=false --expt-relaxed-constexpr kernels/cuda/*.cu kernels/cuda/*.cpp
//       runtime/cuda_calibration/*.cu runtime/cuda_calibration/*.cpp runtime/calibration/*.cpp
//       model/base/diagnostics.cpp model/base/files.cpp -lcublasLt -lcublas
//
// (one line; with -DR1_HAVE_NCCL=1 and -lnccl also collectives). Exit codes are those of r1sim.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

#if __has_include(<r1_version.hpp>)
#include <r1_version.hpp>
#else
#define R1_VERSION "(built without a version)"
#endif

#include "model/base/exit_code.hpp"
#include "model/base/json.hpp"
#include "runtime/calibration/document.hpp"
#include "runtime/calibration/gpu_document.hpp"
#include "runtime/cuda_calibration/calibrate.hpp"

namespace r1 {
namespace {

constexpr const char* kHelp =
    "r1_calibrate_cuda: measures what matrix products, memory-bound kernels and copies reach on a\n"
    "Hopper GPU, on all SMs and beside held ones, and collectives over all GPUs of the machine,\n"
    "and writes a calibration file.\n"
    "\n"
    "  --out FILE      the file; written when everything is measured, never half\n"
    "  --seconds N     time that it may take (default 480); what does not fit is left out, the\n"
    "                  least important first, and the file says so\n"
    "  --quick         the shapes of a training step only, about a minute\n"
    "  --own-kernels   this project's kernels, as run --device cuda starts them: products,\n"
    "                  attention and memory-bound kernels, instead of cuBLASLt's products and\n"
    "                  stand-ins\n"
    "  --device N      which GPU, from 0 (default 0)\n"
    "  --name NAME     name of the calibration (default: the device's, with _measured)\n"
    "  --help          this text\n"
    "\n"
    "  r1_calibrate_cuda --out h100_measured.json\n"
    "  r1_calibrate_cuda --out h100_measured.json --quick\n"
    "  r1_calibrate_cuda --out h100_measured.json --seconds 120 --device 1\n"
    "\n"
    "Exit codes: 0 ok, 1 internal error, 2 usage, 3 the file cannot be written, 5 no GPU that it\n"
    "can run on, 130 interrupted (no file is written).\n";

class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct Arguments {
    std::string out;
    std::string name;
    CudaCalibrationOptions options;
    bool help = false;
};

double number(const std::string& option, const std::string& text, double max) {
    std::size_t used = 0;
    double value = -1;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || !(value >= 0 && value <= max)) {
        throw UsageError(option + " needs a number from 0 to " +
                         std::to_string(static_cast<long>(max)) + ", not '" + text + "'");
    }
    return value;
}

Arguments parse(const std::vector<std::string>& words) {
    Arguments arguments;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        const auto value = [&]() -> const std::string& {
            if (++i == words.size()) {
                throw UsageError(word + " needs a value");
            }
            return words[i];
        };
        if (word == "--help" || word == "-h") {
            arguments.help = true;
        } else if (word == "--out") {
            arguments.out = value();
        } else if (word == "--name") {
            arguments.name = value();
        } else if (word == "--seconds") {
            arguments.options.seconds = number(word, value(), 86400);
        } else if (word == "--device") {
            arguments.options.device = static_cast<int>(number(word, value(), 1023));
        } else if (word == "--own-kernels") {
            arguments.options.kernels = JobKernels::own;
        } else if (word == "--quick") {
            arguments.options.grid = JobGrid::small;
        } else {
            throw UsageError("unknown argument '" + word + "'");
        }
    }
    if (!arguments.help && arguments.out.empty()) {
        throw UsageError("--out FILE is missing");
    }
    return arguments;
}

std::atomic<bool> stop_requested{false};

// The second time, at once.
void request_stop(int signal) {
    if (stop_requested.exchange(true)) {
        std::signal(signal, SIG_DFL);
        std::raise(signal);
    }
}

// On a terminal one line that changes; else a line every ten seconds.
void show_progress(const CudaCalibrationProgress& progress) {
    static double shown_s = -1e9;
    const bool is_terminal = isatty(STDERR_FILENO) != 0;
    const double interval_s = is_terminal ? 0.1 : 10;
    if (progress.elapsed_s - shown_s < interval_s) {
        return;
    }
    shown_s = progress.elapsed_s;
    std::fprintf(stderr, "%s%zu of %zu, %.0f s: %s%s", is_terminal ? "\r\033[K" : "", progress.done,
                 progress.total, progress.elapsed_s, progress.now.c_str(), is_terminal ? "" : "\n");
    std::fflush(stderr);
}

// Better now than after eight minutes.
void check_can_be_written(const std::filesystem::path& file) {
    const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
    if (access(folder.c_str(), W_OK | X_OK) != 0 || std::filesystem::is_directory(file)) {
        throw InputError(file.string(), "cannot be written");
    }
}

void print_summary(const MeasuredCalibration& calibration, const std::string& out) {
    std::printf("%-26s %8s %14s\n", "kernel", "points", "best");
    for (const MeasuredCurve& curve : calibration.curves) {
        double best = 0;
        for (const MeasuredPoint& point : curve.points) {
            best = point.value > best ? point.value : best;
        }
        std::printf("%-26s %8zu %14.1f %s\n", curve.kernel.c_str(), curve.points.size(), best,
                    curve.quantity.c_str());
    }
    std::printf("%s: %s, %.0f s, %zu left out\n", out.c_str(), calibration.device.name.c_str(),
                calibration.seconds, calibration.left_out.size());
}

int run(Arguments arguments) {
    check_can_be_written(arguments.out);
    std::signal(SIGINT, request_stop);
    std::signal(SIGTERM, request_stop);
    arguments.options.stop = &stop_requested;
    arguments.options.progress = show_progress;
    const MeasuredCalibration calibration = run_cuda_calibration(arguments.options);
    if (isatty(STDERR_FILENO) != 0) {
        std::fputs("\r\033[K", stderr);
    }
    if (calibration.interrupted) {
        std::fprintf(stderr, "interrupted: no file was written\n");
        return kInterrupted;
    }
    for (const LeftOut& each : calibration.left_out) {
        std::fprintf(stderr, "left out: %s: %s\n", each.what.c_str(), each.why.c_str());
    }
    if (calibration.curves.empty()) {
        std::fprintf(stderr, "error: nothing was measured, so no file was written\n");
        return kInternalError;
    }
    CalibrationOrigin origin;
    origin.name =
        arguments.name.empty() ? device_preset(calibration.device) + "_measured" : arguments.name;
    origin.program = std::string("r1_calibrate_cuda ") + R1_VERSION;
    origin.date = today();
    write_file_atomically(arguments.out, gpu_calibration_text(calibration, origin));
    print_summary(calibration, arguments.out);
    return kOk;
}

}  // namespace
}  // namespace r1

int main(int argc, char** argv) {
    try {
        r1::Arguments arguments = r1::parse({argv + 1, argv + argc});
        if (arguments.help) {
            std::fputs(r1::kHelp, stdout);
            return r1::kOk;
        }
        return r1::run(std::move(arguments));
    } catch (const r1::UsageError& error) {
        std::fprintf(stderr, "error: %s; try --help\n", error.what());
        return r1::kUsage;
    } catch (const r1::InputError& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return r1::kInvalidInput;
    } catch (const r1::FeatureError& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return r1::kFeatureMissing;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return r1::kInternalError;
    }
}
