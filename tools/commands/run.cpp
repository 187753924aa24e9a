#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "model/graph/graph_json.hpp"
#include "model/timeline/timeline_json.hpp"
#include "model/tokenizer/text_codec.hpp"
#include "runtime/agreement.hpp"
#include "runtime/binding.hpp"
#include "runtime/byte_model.hpp"
#include "runtime/checkpoint_folder.hpp"
#include "runtime/cpu_device.hpp"
#include "runtime/graph_traffic.hpp"
#include "runtime/required_kernels.hpp"
#include "runtime/run_memory.hpp"
#include "runtime/thread_communicator.hpp"
#include "runtime/training_run.hpp"
#include "sim/recorded_times.hpp"
#include "sim/simulate.hpp"
#include "tools/chakra_files.hpp"
#include "tools/cli.hpp"
#include "tools/model_options.hpp"
#include "tools/processes.hpp"
#include "tools/report/measured_report.hpp"
#include "tools/report/report.hpp"
#include "tools/report/report_html.hpp"
#include "tools/report/trace.hpp"
#ifdef R1_HAVE_MPI
#include "runtime/mpi_communicator.hpp"
#endif

namespace r1 {

namespace {

Setting setting_of(const Invocation& invocation) {
    std::vector<std::string> notes;
    Setting setting = read_setting(
        load_scenario(invocation.text("scenario"), invocation.scenario_overrides()), notes);
    for (const std::string& note : notes) {
        invocation.detail(note);
    }
    if (setting.scenario.workload.kind != WorkloadKind::train) {
        throw FeatureError(
            fmt::format("run executes workloads of kind train; '{}' is simulated only",
                        name(setting.scenario.workload.kind)));
    }
    if (setting.scenario.plan.tensor_parallel > 1) {
        throw FeatureError(
            "run holds whole layers on a rank; plan.tensor_parallel is simulated "
            "only");
    }
    if (setting.scenario.routing.placement == PlacementPolicy::balanced) {
        throw FeatureError(
            "run holds experts one after the other; routing.placement 'balanced' is "
            "simulated only");
    }
    if (setting.scenario.workload.training.data.empty()) {
        throw InputError(invocation.text("scenario"),
                         "names no texts to train on: \"workload\": {\"data\": [\"FOLDER\"]}, or "
                         "--set 'workload.data=[\"FOLDER\"]'");
    }
    return setting;
}

TrainingJob job_of(const Setting& setting, const ExecutionPolicy& policy,
                   const DeviceKind& device) {
    const Scenario& scenario = setting.scenario;
    const TrainingSpec& training = scenario.workload.training;
    TrainingJob job;
    job.setup = scenario.training_setup();
    job.policy = policy;
    job.device = device;
    job.ranks_per_node =
        static_cast<int>(std::min<std::int64_t>(scenario.cluster.gpus_per_node, scenario.ranks()));
    job.node_limit = scenario.routing.node_limit;
    job.f32_moments = training.optimizer.moments == DType::f32;
    job.mtp_weight = training.mtp_loss_weight;
    job.balance_alpha = training.balance_loss_alpha;
    job.bias_speed = training.bias_update_speed;
    return job;
}

// All that ranks share.
struct Job {
    Setting setting;
    Simulation planned;  // not replayed
    Dependencies dependencies;
    TrainingJob training;
    TextCodec codec;
    TrainingData data;

    Job(Setting of, const ExecutionPolicy& policy, const DeviceKind& device)
        : setting(std::move(of)),
          planned(prepare(setting)),
          dependencies(planned.graph),
          training(job_of(setting, policy, device)),
          codec(TextCodec::for_model(spec().initial_checkpoint.value_or(""),
                                     setting.scenario.model.vocab_size)),
          data(spec().data, codec,
               {setting.scenario.workload.sequence_length,
                setting.scenario.workload.global_batch_sequences, spec().held_out_fraction,
                setting.scenario.seed}) {}

    [[nodiscard]] const TrainingSpec& spec() const { return setting.scenario.workload.training; }
};

void check_processes(const Job& job) {
    const std::int64_t ranks = job.setting.scenario.ranks();
    if (processes() > 1 && processes() != ranks) {
        throw UsageError(
            fmt::format("the plan has {} ranks, and mpirun started {} processes: mpirun -n {}",
                        ranks, processes(), ranks));
    }
}

// Takes what the ranks of this process hold in their device's memory; what the process with most
// takes.
std::int64_t reserve_memory(const Job& job) {
    const DeviceKind& device = job.training.device;
    const ExecutionGraph& graph = job.planned.graph;
    const std::unique_ptr<Device> probe = device.make(job.training.routed_config());
    const std::vector<RunMemory> programs =
        plan_run_memory(job.training, graph, job.planned.buffer_symbols, *probe);
    if (processes() == 1) {
        std::vector<RankId> ranks;
        for (std::int64_t rank = 0; rank < graph.instances().ranks(); ++rank) {
            ranks.emplace_back(static_cast<std::size_t>(rank));
        }
        return std::llround(reserve_run_memory(programs, graph, ranks, device).value());
    }
    const RankId own(static_cast<std::size_t>(process_rank()));
    reserve_run_memory(programs, graph, {&own, 1}, device);
    double most = 0;
    for (const RunMemory& each : programs) {
        most = std::max(most, each.total().value());
    }
    return std::llround(most);
}

// A run that was meant to go on, and starts anew.
void warn_of_fresh_start(const Invocation& invocation, const Job& job) {
    if (!invocation.flag("resume") || !is_first_process()) {
        return;
    }
    const auto& checkpoint = job.spec().checkpoint;
    if (!checkpoint) {
        invocation.warn("--resume: the scenario has no workload.checkpoint; starting at step 0");
    } else if (!find_latest(checkpoint->folder)) {
        invocation.warn(fmt::format("--resume: no usable checkpoint in {}; starting at step 0",
                                    checkpoint->folder.string()));
    }
}

void show(const Invocation& invocation, const TrainingProgress& progress) {
    const auto left = static_cast<std::int64_t>(progress.remaining_s);
    invocation.progress(fmt::format("step {} of {}, loss {:.4f}, {:.0f} tokens/s, {}:{:02} left",
                                    progress.step, progress.steps, progress.loss,
                                    progress.tokens_per_s, left / 60, left % 60));
}

// Runs one rank a thread, or this process's rank under mpirun; calls `then` for rank 0. What all
// processes found wrong is said by the first, which gives the job its exit code. The others end as
// if all were well: at the first other code mpirun kills the processes that are left, perhaps the
// first before it has spoken.
void execute(const Invocation& invocation, const Job& job,
             const std::function<void(const TrainingResult&)>& then) {
    const TrainingRun run{job.spec(),
                          job.training,
                          job.planned.graph,
                          job.dependencies,
                          job.data,
                          *job.setting.scenario.document.find("/model"),
                          job.setting.scenario.seed,
                          invocation.flag("resume"),
                          invocation.text("curves"),
                          [&](const TrainingProgress& progress) { show(invocation, progress); }};
    const auto work = [&](Communicator& communicator) {
        const TrainingResult result = run_training(run, communicator);
        if (communicator.rank() == 0) {
            then(result);
        }
    };
    const auto ranks = static_cast<int>(job.setting.scenario.ranks());
    if (processes() == 1) {
        ThreadWorld(ranks, job.training.ranks_per_node, *job.training.device.memory).run(work);
        return;
    }
#ifdef R1_HAVE_MPI
    if (!job.training.device.memory->is_host() && !job.training.device.connect) {
        throw FeatureError("this build has no NCCL: GPUs of processes cannot be joined");
    }
    const DeviceLinks links{pipeline_pairs(job.planned.graph), job.training.setup.plan.comm_sms};
    std::exception_ptr agreed;
    run_mpi_rank(job.training.ranks_per_node, [&](Communicator& communicator) {
        try {
            const auto connect = job.training.device.connect;
            const std::unique_ptr<Communicator> between =
                connect ? connect(communicator, links) : nullptr;
            work(between == nullptr ? communicator : *between);
        } catch (const AgreedError&) {
            agreed = std::current_exception();
        }
    });
    if (agreed && is_first_process()) {
        std::rethrow_exception(agreed);
    }
#else
    throw FeatureError("this build has no MPI: ranks are threads of one process only");
#endif
}

std::string transport(const DeviceKind& device) {
    const bool is_host = device.memory->is_host();
    if (processes() == 1) {
        return is_host ? "threads" : "loopback";
    }
    return is_host ? "mpi" : "nccl";
}

MeasuredRouting routing_of(const TrainingResult& result) {
    MeasuredRouting routing;
    double tokens = 0;
    double nodes = 0;
    for (const ExchangeRecord& record : result.measured.exchanges) {
        tokens += static_cast<double>(record.tokens);
        for (const std::int64_t count : record.to_nodes) {
            nodes += static_cast<double>(count);
        }
        routing.nodes_per_token_max =
            std::max(routing.nodes_per_token_max, record.nodes_per_token_max);
    }
    routing.nodes_per_token_mean = tokens > 0 ? nodes / tokens : 0;
    routing.expert_load = result.expert_load;
    return routing;
}

TrainingOutcome outcome_of(const Job& job, const TrainingResult& result) {
    TrainingOutcome outcome;
    outcome.loss = result.loss;
    if (job.setting.scenario.model.num_nextn_predict_layers > 0) {
        outcome.mtp_loss = result.mtp_loss;
    }
    outcome.held_out_loss = result.held_out_loss;
    if (job.codec.is_bytes()) {
        outcome.byte_model_loss = byte_model_loss(job.data);
    }
    outcome.learning_rate = result.learning_rate;
    outcome.gradient_norm = result.gradient_norm;
    return outcome;
}

// The step as it would be replayed, with the measured times and routing.
void write_chakra(const Invocation& invocation, const Job& job, const MeasuredStep& step) {
    Setting setting = job.setting;
    setting.scenario.replay.fold = Folding::none;
    const Document binding = Document::from_json(
        binding_json({bound_step(job.planned.graph, step.exchanges)}), "binding of the run");
    Simulation simulation =
        prepare(setting, job.planned.graph, step.exchanges.empty() ? nullptr : &binding);
    simulation.dag = lower(setting, simulation);
    take_recorded_times(simulation.dag, simulation.graph, {step.timeline, true, "the run"});
    simulation.timeline = step.timeline;
    write_chakra_files(invocation, setting, simulation);
}

void write_files(const Invocation& invocation, const Job& job, const MeasuredStep& step) {
    const ExecutionGraph& graph = job.planned.graph;
    if (invocation.has("binding")) {
        write_file_atomically(invocation.text("binding"),
                              binding_json({bound_step(graph, step.exchanges)}).dump(2) + "\n");
    }
    if (invocation.has("timeline")) {
        write_file_atomically(
            invocation.text("timeline"),
            timeline_text({{graph, step.timeline.intervals}}, step.timeline.lanes, true));
    }
    if (invocation.has("trace")) {
        std::ostringstream text;
        write_trace(text, graph, step.timeline, TraceDetail::ops);
        write_file_atomically(invocation.text("trace"), text.str());
    }
    if (invocation.has("graph")) {
        write_graph(invocation.text("graph"), graph, &job.setting.scenario.document.root());
    }
    if (invocation.has("chakra")) {
        write_chakra(invocation, job, step);
    }
}

void answer(const Invocation& invocation, const Job& job, std::optional<std::int64_t> planned_bytes,
            const TrainingResult& result) {
    invocation.progress("");
    write_files(invocation, job, result.measured);
    MeasuredRun measured{job.setting,
                         job.planned.graph,
                         result.measured.timeline,
                         result.iteration_s,
                         job.planned.memory,
                         outcome_of(job, result),
                         routing_of(result),
                         result.measured.traffic,
                         {},
                         {}};
    if (job.training.policy.compute == DType::bf16) {
        measured.graph_traffic = graph_traffic(job.planned.graph, result.measured.exchanges,
                                               job.training.ranks_per_node);
    }
    measured.info = {job.training.device.name,
                     transport(job.training.device),
                     job.training.ranks_per_node,
                     result.wall_s,
                     static_cast<std::int64_t>(result.iteration_s.size()),
                     result.peak_memory_bytes,
                     planned_bytes,
                     result.device_peak_bytes,
                     R1_VERSION};
    const Json report = make_measured_report(measured);
    if (invocation.has("html")) {
        write_file_atomically(invocation.text("html"), report_html({report}));
    }
    invocation.answer(report, report_table(report, invocation.color()));
}

int run_run(const Invocation& invocation) {
    make_chakra_folder(invocation);
    const ExecutionPolicy policy = policy_of(invocation);
    const DeviceKind device = device_of(invocation, local_rank());
    Setting setting = setting_of(invocation);
    const std::int64_t ranks = processes() == 1 ? setting.scenario.ranks() : processes_here();
    const std::int64_t cores = std::thread::hardware_concurrency();
    if (!invocation.has("jobs")) {
        set_cpu_threads(std::max<std::int64_t>(1, cores / ranks));
    }
    set_cpu_turns(ranks > cores);
    invocation.progress("building the execution graph and reading texts …");
    const Job job(std::move(setting), policy, device);
    for (const std::string& warning : job.setting.warnings) {
        if (is_first_process()) {
            invocation.warn(warning);
        }
    }
    check_processes(job);
    try {
        require_kernels({job.planned.graph}, job.setting.scenario.model, policy, device);
    } catch (const FeatureError&) {
        if (!is_first_process()) {
            return kOk;  // all processes find the same
        }
        throw;
    }
    const std::optional<std::int64_t> planned_bytes = reserve_memory(job);
    warn_of_fresh_start(invocation, job);
    execute(invocation, job,
            [&](const TrainingResult& result) { answer(invocation, job, planned_bytes, result); });
    return kOk;
}

}  // namespace

Command run_command() {
    Command command;
    command.name = "run";
    command.summary = "Executes the training graph of a scenario, and reports what was measured.";
    command.arguments = "SCENARIO";
    command.positional = "scenario";
    command.examples = {
        "run scenarios/tiny_train_cpu.json",
        "run scenarios/tiny_train_cpu.json --set 'workload.data=[\"texts\"]' --curves curves.jsonl",
        "run scenarios/tiny_train_cpu.json --json -o report.json --trace trace.json"};
    command.outputs = {"html", "trace", "timeline", "graph", "binding", "curves"};
    command.add_options = [](po::options_description& options) {
        options.add_options()                                                                //
            ("scenario", po::value<std::string>()->value_name("SCENARIO"), "scenario file")  //
            ("resume", po::bool_switch(),
             "go on from the newest checkpoint of workload.checkpoint.folder")  //
            ("curves", po::value<std::string>()->value_name("FILE"),
             "write losses and expert loads of each step (JSON lines)")  //
            ("trace", po::value<std::string>()->value_name("FILE"),
             "write a Chrome trace of a step; Perfetto opens it")  //
            ("graph", po::value<std::string>()->value_name("FILE"),
             "write the execution graph (compressed if FILE ends in .zst)")  //
            ("chakra", po::value<std::string>()->value_name("FOLDER"),
             "write Chakra execution traces of a step, one a rank (FOLDER/SCENARIO.RANK.et)")  //
            ("html", po::value<std::string>()->value_name("FILE"),
             "write the report as a page that browsers show (one file, no network)");
        add_execution_options(options, "bf16");
    };
    command.run = run_run;
    return command;
}

}  // namespace r1
