#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <filesystem>
#include <iostream>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "runtime/agreement.hpp"
#include "tools/cli.hpp"
#include "tools/processes.hpp"
#include "tools/report/report_html.hpp"
#include "tools/sweep/dispatch.hpp"
#include "tools/sweep/journal.hpp"
#include "tools/sweep/sweep_line.hpp"
#include "tools/sweep/sweep_result.hpp"
#ifdef R1_HAVE_MPI
#include "runtime/mpi_communicator.hpp"
#endif

namespace r1 {

namespace {

using LinesByPoint = std::map<std::size_t, std::string>;

// The points that this run is for.
struct Part {
    std::string name;  // "1/4", or all
    std::vector<std::size_t> points;
};

// "i/n": each n-th point. i counts from 0 or from 1, as array jobs do either: n is 0.
Part part_of(const Invocation& invocation, const Sweep& sweep) {
    std::size_t shard = 0;
    std::size_t shards = 1;
    const std::string text = invocation.text("shard");
    if (invocation.has("shard")) {
        const char* end = text.data() + text.size();
        const auto first = std::from_chars(text.data(), end, shard);
        const bool has_slash = first.ec == std::errc() && first.ptr != end && *first.ptr == '/';
        const auto second = std::from_chars(has_slash ? first.ptr + 1 : end, end, shards);
        if (!has_slash || second.ec != std::errc() || second.ptr != end || shards == 0 ||
            shard > shards) {
            throw UsageError("--shard takes i/n, with i from 0 to n - 1 or from 1 to n, not '" +
                             text + "'");
        }
    }
    Part part{invocation.has("shard") ? fmt::format("{}/{}", shard % shards, shards) : "all", {}};
    for (std::size_t point = shard % shards; point < sweep.points.size(); point += shards) {
        part.points.push_back(point);
    }
    return part;
}

// A worker's command line: what decides about the sweep, and nothing else.
std::vector<std::string> worker_arguments(const Invocation& invocation) {
    std::vector<std::string> arguments = {"sweep-worker", invocation.text("sweep")};
    const std::vector<std::string> scenario = invocation.scenario_arguments();
    arguments.insert(arguments.end(), scenario.begin(), scenario.end());
    if (invocation.has("engine")) {
        arguments.insert(arguments.end(), {"--engine", invocation.text("engine")});
    }
    return arguments;
}

class ProgressLine {
public:
    ProgressLine(const Invocation& invocation, std::size_t points, std::size_t done)
        : invocation_(invocation), points_(points), done_(done) {}
    ~ProgressLine() { invocation_.progress(""); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void show() const {
        std::string text = fmt::format("{} of {} points", done_, points_);
        if (now_ > 0) {
            const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
            const double rate = now_ / passed.count();
            const auto left =
                static_cast<std::int64_t>(static_cast<double>(points_ - done_) / rate);
            text += fmt::format(", {:.2g} a second, {}:{:02}:{:02} left", rate, left / 3600,
                                left / 60 % 60, left % 60);
        }
        invocation_.progress(text);
    }
    void count() {
        ++done_;
        ++now_;
        show();
    }

private:
    const Invocation& invocation_;
    std::size_t points_;
    std::size_t done_;  // by earlier runs too
    int now_ = 0;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// The part's points that the journal lacks.
void work_off_rest(const Invocation& invocation, const Sweep& sweep, const Part& part,
                   const std::vector<PointWorker>& workers, Journal& journal) {
    std::vector<std::size_t> rest;
    std::copy_if(part.points.begin(), part.points.end(), std::back_inserter(rest),
                 [&](std::size_t point) { return journal.lines().count(point) == 0; });
    if (const std::size_t kept = part.points.size() - rest.size(); kept > 0) {
        invocation.detail(
            fmt::format("{} of {} points were done before", kept, part.points.size()));
    }
    ProgressLine progress(invocation, part.points.size(), part.points.size() - rest.size());
    progress.show();
    PointQueue queue(graph_groups(sweep, rest), workers.size());
    work_off(queue, workers, [&](std::size_t point, const std::string& line) {
        journal.append(point, line);
        progress.count();
    });
}

std::vector<PointWorker> local_workers(const Invocation& invocation, const Sweep& sweep,
                                       std::size_t count) {
    std::vector<PointWorker> workers;
    for (std::size_t i = 0; i < count; ++i) {
        workers.push_back(local_worker(sweep, worker_arguments(invocation)));
    }
    return workers;
}

// Beside the results, where there are any to come to a file.
std::filesystem::path journal_file(const Invocation& invocation) {
    const std::string output = invocation.text("output");
    return output.empty() || is_stream(output) ? "" : output + ".journal";
}

// Puts the results in their place.
LinesByPoint finish(const Invocation& invocation, Journal& journal) {
    if (invocation.has("output")) {
        std::string text;
        for (const auto& [point, line] : journal.lines()) {
            text += line + "\n";
        }
        write_file_atomically(invocation.text("output"), text);
        journal.remove();
    }
    return journal.lines();
}

LinesByPoint sweep_here(const Invocation& invocation, const Sweep& sweep, const Part& part) {
    Journal journal(journal_file(invocation), sweep, part.name, invocation.flag("restart"));
    const std::size_t jobs = invocation.has("jobs")
                                 ? static_cast<std::size_t>(invocation.get<int>("jobs"))
                                 : std::max(1U, std::thread::hardware_concurrency());
    work_off_rest(invocation, sweep, part,
                  local_workers(invocation, sweep, std::min(jobs, part.points.size())), journal);
    return finish(invocation, journal);
}

#ifdef R1_HAVE_MPI
// Each rank has --jobs workers (default: one); rank 0 also gives out the points and keeps the
// journal.
LinesByPoint sweep_over_ranks(const Invocation& invocation, const Sweep& sweep, const Part& part) {
    const int slots = invocation.has("jobs") ? invocation.get<int>("jobs") : 1;
    constexpr std::uint64_t kAgreementChannel = 1 << 20;
    std::unique_ptr<Journal> journal;
    std::exception_ptr agreed;
    run_mpi_rank(processes_here(), [&](Communicator& communicator) {
        const std::vector<PointWorker> workers =
            local_workers(invocation, sweep, static_cast<std::size_t>(slots));
        try {
            const std::vector<std::string> hashes = agree({communicator, kAgreementChannel}, [&] {
                if (communicator.rank() == 0) {
                    journal = std::make_unique<Journal>(journal_file(invocation), sweep, part.name,
                                                        invocation.flag("restart"));
                }
                return sweep.hash;
            });
            if (std::count(hashes.begin(), hashes.end(), sweep.hash) != communicator.ranks()) {
                throw AgreedError(invocation.text("sweep"), "ranks read different sweeps");
            }
        } catch (const AgreedError&) {
            agreed = std::current_exception();
            return;
        }
        if (communicator.rank() > 0) {
            serve_rank_0(communicator, workers);
            return;
        }
        std::vector<PointWorker> all = remote_workers(communicator, slots);
        all.insert(all.end(), workers.begin(), workers.end());
        work_off_rest(invocation, sweep, part, all, *journal);
        release_ranks(communicator, slots);
    });
    if (agreed && is_first_process()) {
        std::rethrow_exception(agreed);
    }
    return journal == nullptr ? LinesByPoint{} : finish(invocation, *journal);
}
#else
LinesByPoint sweep_over_ranks(const Invocation&, const Sweep&, const Part&) {
    throw FeatureError("this build has no MPI: --jobs and --shard work without");
}
#endif

// The lines of all parts, each point once.
LinesByPoint merge(const Invocation& invocation, const Sweep& sweep) {
    LinesByPoint lines;
    Diagnostics diagnostics;
    for (const std::string& file : invocation.get<std::vector<std::string>>("merge")) {
        std::istringstream text(read_file(file));
        std::string line;
        for (int number = 1; std::getline(text, line); ++number) {
            try {
                const std::size_t point = point_of_line(sweep, line, file);
                if (!lines.emplace(point, line).second) {
                    throw InputError(file, fmt::format("point {} is there a second time", point));
                }
            } catch (const InputError& error) {
                Diagnostic problem = error.diagnostics().front();
                problem.location.line = number;
                diagnostics.error(problem);
            }
        }
    }
    diagnostics.throw_if_errors();
    if (const std::size_t missing = sweep.points.size() - lines.size(); missing > 0) {
        std::size_t first = 0;
        while (lines.count(first) > 0) {
            ++first;
        }
        throw InputError(invocation.text("sweep"),
                         fmt::format("{} of {} points are in none of the files, point {} the first",
                                     missing, sweep.points.size(), first));
    }
    return lines;
}

int answer(const Invocation& invocation, const Sweep& sweep, const LinesByPoint& by_point) {
    Json lines = Json::array();
    for (const auto& [point, line] : by_point) {
        lines.push_back(Json::parse(line));
    }
    if (invocation.has("csv")) {
        write_file_atomically(invocation.text("csv"), sweep_csv(sweep.axes, lines));
    }
    const Json result = sweep_result(sweep.name, sweep.hash, sweep.axes, lines);
    if (invocation.has("html")) {
        write_file_atomically(invocation.text("html"), sweep_html(result));
    }
    invocation.print(result, sweep_table(result, invocation.color()));
    if (std::none_of(lines.begin(), lines.end(), is_simulated) && !lines.empty()) {
        std::cerr << "no point could be simulated; the first:\n"
                  << printable(lines.front().at("error").get<std::string>(), "\n") << "\n";
        return lines.front().at("exit_code").get<int>();
    }
    return kOk;
}

// The processes of a sweep each read it, which a pipe allows only once.
void require_file(const std::filesystem::path& file) {
    if (is_stream(file)) {
        throw InputError(file.string(),
                         "is no file on a disk, and every process of a sweep reads it again");
    }
}

int run_sweep(const Invocation& invocation) {
    if (invocation.has("merge") && invocation.has("shard")) {
        throw UsageError("--merge takes whole sweeps: not with --shard");
    }
    require_file(invocation.text("sweep"));
    const Sweep sweep = read_sweep(invocation.text("sweep"), invocation.scenario_overrides());
    const Part part = part_of(invocation, sweep);
    if (invocation.has("merge")) {
        const LinesByPoint lines = merge(invocation, sweep);
        Journal none("", sweep, part.name, false);
        for (const auto& [point, line] : lines) {
            none.append(point, line);
        }
        return answer(invocation, sweep, finish(invocation, none));
    }
    if (processes() == 1) {
        return answer(invocation, sweep, sweep_here(invocation, sweep, part));
    }
    const LinesByPoint lines = sweep_over_ranks(invocation, sweep, part);
    return is_first_process() ? answer(invocation, sweep, lines) : kOk;
}

}  // namespace

Command sweep_command() {
    Command command;
    command.name = "sweep";
    command.summary = "Simulates all points of a sweep, in processes, ranks or shards.";
    command.arguments = "SWEEP";
    command.positional = "sweep";
    command.examples = {
        "sweep scenarios/sweep_nvlink_oversubscription.json --jobs 2 -o points.jsonl",
        "sweep scenarios/sweep_pipeline_comm_sms.json --set plan.schedule=1f1b --csv points.csv",
        "sweep scenarios/sweep_pipeline_comm_sms.json --merge 1.jsonl 2.jsonl -o points.jsonl"};
    command.outputs = {"csv", "html"};
    command.inputs = {"merge"};
    command.add_options = [](po::options_description& options) {
        options.add_options()                                                       //
            ("sweep", po::value<std::string>()->value_name("SWEEP"), "sweep file")  //
            ("engine", po::value<std::string>()->value_name("simgrid|fluid|both"),
             "replay engine; the base says if not given")  //
            ("shard", po::value<std::string>()->value_name("I/N"),
             "only each N-th point; I from 0 or from 1, such as $SLURM_ARRAY_TASK_ID")  //
            ("merge", po::value<std::vector<std::string>>()->multitoken()->value_name("FILE..."),
             "simulate nothing, put the results of all shards together")                        //
            ("csv", po::value<std::string>()->value_name("FILE"), "write a row a point (CSV)")  //
            ("html", po::value<std::string>()->value_name("FILE"),
             "write the result as a page that browsers show (one file, no network)")  //
            ("restart", po::bool_switch(), "drop the results of a sweep that was cut off");
    };
    command.run = run_sweep;
    return command;
}

}  // namespace r1
