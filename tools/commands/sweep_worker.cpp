// Not for people: `sweep` starts it, and says the rest of its command line again.
#include <malloc.h>

#include <charconv>
#include <limits>

#include "model/base/check.hpp"
#include "sim/shared_work.hpp"
#include "tools/cli.hpp"
#include "tools/sweep/sweep_line.hpp"
#include "tools/sweep/worker_process.hpp"

namespace r1 {

namespace {

// Each point needs the memory that the one before gave back: kept from the kernel, it need not be
// cleared and mapped again, which saves a tenth of the time.
void keep_freed_memory() {
    ::mallopt(M_MMAP_MAX, 0);
    ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

int run_sweep_worker(const Invocation& invocation) {
    keep_freed_memory();
    const Sweep sweep = read_sweep(invocation.text("sweep"), invocation.scenario_overrides());
    SharedWork shared;
    serve_as_worker(sweep.hash, [&](const std::string& request) {
        std::size_t point = 0;
        const auto end =
            std::from_chars(request.data(), request.data() + request.size(), point).ptr;
        R1_CHECK(end == request.data() + request.size() && point < sweep.points.size());
        return simulate_point(sweep, point, shared).dump();
    });
    return kOk;
}

}  // namespace

Command sweep_worker_command() {
    Command command;
    command.name = "sweep-worker";
    command.arguments = "SWEEP";
    command.positional = "sweep";
    command.add_options = [](po::options_description& options) {
        options.add_options()                                                       //
            ("sweep", po::value<std::string>()->value_name("SWEEP"), "sweep file")  //
            ("engine", po::value<std::string>()->value_name("simgrid|fluid|both"), "replay engine");
    };
    command.run = run_sweep_worker;
    return command;
}

}  // namespace r1
