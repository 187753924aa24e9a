#include "sim/simgrid_engine.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <simgrid/kernel/resource/Model.hpp>
#include <simgrid/kernel/resource/NetworkModelIntf.hpp>
#include <simgrid/s4u.hpp>
#include <simgrid/simix.hpp>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"

namespace r1 {
namespace {

namespace sg = simgrid::s4u;
using simgrid::kernel::actor::simcall_answered;
using simgrid::kernel::resource::Model;

// CPU work is counted in picoseconds, so that SimGrid's absolute precisions, made for flops and
// bytes, stay far below what is simulated.
constexpr double kComputeUnitsPerSecond = 1e12;

// SimGrid takes whole bytes, but expected traffic is fractional.
constexpr double kUnitsPerByte = 1024;

// What all the identical flows move together.
double units_of(const Flow& flow) {
    return std::round(flow.bytes.value() * kUnitsPerByte * flow.multiplicity);
}

// Plain max-min: no TCP effects, no reverse traffic, no window. Events are merged within a
// picosecond, not the default nanosecond, which would add up along a chain of activities. Workers
// need little stack, as callbacks run on the main one.
std::vector<std::string> simgrid_arguments() {
    std::vector<std::string> arguments = {
        "r1sim",
        "--log=root.thres:critical",
        "--cfg=network/model:CM02",
        "--cfg=network/crosstraffic:0",
        "--cfg=network/TCP-gamma:0",
        "--cfg=surf/precision:1e-12",
        "--cfg=contexts/stack-size:64",
        "--cfg=contexts/guard-size:0",
        "--cfg=debug/verbose-exit:0",
    };
#ifdef __SANITIZE_ADDRESS__
    // ASan reports exceptions that cross the stacks of the other factories.
    arguments.push_back("--cfg=contexts/factory:thread");
#endif
    return arguments;
}

// The clock of SimGrid 3.32, private there: it goes on from one Engine of a process to the next,
// and far from zero ties round differently. Weak: another version may not have it.
extern "C" double r1_simgrid_clock __asm__("_ZN7simgrid6kernel10EngineImpl4now_E")
    __attribute__((weak));

std::unique_ptr<sg::Engine> make_engine() {
    if (&r1_simgrid_clock != nullptr) {
        r1_simgrid_clock = 0;
    }
    std::vector<std::string> arguments = simgrid_arguments();
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) argv.push_back(argument.data());
    int argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);
    return std::make_unique<sg::Engine>(&argc, argv.data());
}

// SimGrid keeps its state in globals: one Engine at a time.
class OnlyOne {
public:
    OnlyOne() {
        R1_CHECK(!taken_);
        taken_ = true;
    }
    ~OnlyOne() { taken_ = false; }

    OnlyOne(const OnlyOne&) = delete;
    OnlyOne& operator=(const OnlyOne&) = delete;

private:
    static inline bool taken_ = false;
};

class SimGridEngine final : public ReplayEngine {
public:
    explicit SimGridEngine(const EngineNetwork& network);

    void start(ActivityId id, Activity activity) override;
    void run(const std::function<void(ActivityId, TimePs)>& on_complete) override;
    TimePs now() const override;
    EngineCounts counts() const override { return counts_; }

private:
    struct Job {
        ActivityId id = 0;
        Activity activity;
    };

    // An actor that executes one activity at a time, and sleeps on `wake` between two.
    struct Worker {
        bool busy = false;
        Job job;
        std::vector<sg::CommPtr> comms;
        sg::SemaphorePtr wake;
    };

    // A host of an endpoint, whose flows pass the trunk (if valid) behind its own links.
    struct Place {
        EndpointId endpoint;
        TrunkId trunk;
        auto operator<=>(const Place&) const = default;
    };
    struct TwoWays {
        sg::Link* up;
        sg::Link* down;
    };

    void build_platform(const EngineNetwork& network);
    static TwoWays create_links(sg::NetZone& zone, const std::string& name, BytesPerSecond up,
                                BytesPerSecond down);
    void create_endpoint(sg::NetZone& zone, const std::string& name, Place place,
                         const std::vector<TwoWays>& links);
    void work(Worker& worker);
    void execute(Worker& worker);
    [[nodiscard]] sg::Host* host_of(EndpointId end, TrunkId trunk) const {
        if (!end.valid()) return many_;
        return trunk.valid() ? on_trunks_.at({end, trunk}) : endpoints_[end.index()];
    }
    void start_flow(const Flow& flow, Worker& worker);
    bool complete(Worker& worker);
    void hand_out(Worker* free_worker);
    void create_worker(Job job);

    // Before all that SimGrid has to outlive.
    OnlyOne only_one_;
    ActivityLimits limits_;
    std::unique_ptr<sg::Engine> engine_;
    double epoch_;  // SimGrid's clock goes on from one Engine of a process to the next
    Model* network_model_ = nullptr;
    std::vector<sg::Host*> compute_;
    std::vector<sg::Host*> endpoints_;      // without a trunk
    std::map<Place, sg::Host*> on_trunks_;  // the others
    sg::Host* worker_host_ = nullptr;
    sg::Host* many_ = nullptr;  // the end of a flow that is none in particular

    std::deque<Job> pending_;  // started by the caller, not yet with a worker
    std::deque<Worker> workers_;
    std::vector<Worker*> idle_;
    std::unordered_set<ActivityId> live_;
    const std::function<void(ActivityId, TimePs)>* on_complete_ = nullptr;
    std::exception_ptr error_;
    EngineCounts counts_;
};

SimGridEngine::SimGridEngine(const EngineNetwork& network)
    : limits_(network), engine_(make_engine()), epoch_(sg::Engine::get_clock()) {
    build_platform(network);
    for (Model* model : engine_->get_all_models()) {
        if (dynamic_cast<simgrid::kernel::resource::NetworkModelIntf*>(model) != nullptr) {
            network_model_ = model;
        }
    }
    R1_CHECK(network_model_ != nullptr);
}

// A flat star: every endpoint is a host behind its own up and down link, and once more behind these
// and the links of each trunk that its flows may pass; a host without a loopback reaches itself
// over both. Latency is zero on every link, because SimGrid would weigh the fair shares with it: it
// belongs into the delay of an activity.
void SimGridEngine::build_platform(const EngineNetwork& network) {
    sg::NetZone* zone = sg::create_star_zone("cluster");
    worker_host_ = zone->create_host("workers", kComputeUnitsPerSecond);
    for (std::size_t i = 0; i < network.compute.size(); ++i) {
        const std::string name = "compute/" + std::to_string(i) + "/" + network.compute[i];
        compute_.push_back(zone->create_host(name, kComputeUnitsPerSecond));
    }
    std::vector<TwoWays> trunks;
    for (std::size_t i = 0; i < network.trunks.size(); ++i) {
        const EngineNetwork::Trunk& trunk = network.trunks[i];
        const std::string name = "trunk/" + std::to_string(i) + "/" + trunk.name;
        trunks.push_back(create_links(*zone, name, trunk.up, trunk.down));
    }
    for (std::size_t i = 0; i < network.endpoints.size(); ++i) {
        const EngineNetwork::Endpoint& endpoint = network.endpoints[i];
        const std::string name = "endpoint/" + std::to_string(i) + "/" + endpoint.name;
        const TwoWays own = create_links(*zone, name, endpoint.up, endpoint.down);
        create_endpoint(*zone, name, {EndpointId(i), TrunkId()}, {own});
        for (const TrunkId trunk : endpoint.trunks) {
            create_endpoint(*zone, name + "/trunk/" + std::to_string(trunk.index()),
                            {EndpointId(i), trunk}, {own, trunks[trunk.index()]});
        }
    }
    many_ = zone->create_host("many", kComputeUnitsPerSecond);
    sg::Link* no_limit = zone->create_link("many/link", 1e18 * kUnitsPerByte);
    no_limit->set_sharing_policy(sg::Link::SharingPolicy::FATPIPE);
    no_limit->set_latency(0.0);
    zone->add_route(many_->get_netpoint(), nullptr, nullptr, nullptr, {sg::LinkInRoute(no_limit)},
                    true);
    zone->seal();
}

SimGridEngine::TwoWays SimGridEngine::create_links(sg::NetZone& zone, const std::string& name,
                                                   BytesPerSecond up, BytesPerSecond down) {
    const TwoWays links{zone.create_link(name + "/up", up.value() * kUnitsPerByte),
                        zone.create_link(name + "/down", down.value() * kUnitsPerByte)};
    links.up->set_latency(0.0);
    links.down->set_latency(0.0);
    return links;
}

void SimGridEngine::create_endpoint(sg::NetZone& zone, const std::string& name, Place place,
                                    const std::vector<TwoWays>& links) {
    sg::Host* host = zone.create_host(name, kComputeUnitsPerSecond);
    std::vector<sg::LinkInRoute> up;
    std::vector<sg::LinkInRoute> down;
    for (const TwoWays& link : links) {
        up.emplace_back(link.up);
        down.insert(down.begin(), sg::LinkInRoute(link.down));
    }
    zone.add_route(host->get_netpoint(), nullptr, nullptr, nullptr, up, false);
    zone.add_route(nullptr, host->get_netpoint(), nullptr, nullptr, down, false);
    if (place.trunk.valid()) {
        on_trunks_.emplace(place, host);
    } else {
        endpoints_.push_back(host);
    }
}

void SimGridEngine::start(ActivityId id, Activity activity) {
    limits_.check(activity);
    R1_CHECK(live_.insert(id).second);
    ++counts_.activities;
    for (const Flow& flow : activity.flows) {
        R1_CHECK(units_of(flow) < 0x1p63);
        counts_.flows += flow.multiplicity;
    }
    pending_.push_back({id, std::move(activity)});
}

TimePs SimGridEngine::now() const { return replay_time(Seconds(sg::Engine::get_clock() - epoch_)); }

void SimGridEngine::run(const std::function<void(ActivityId, TimePs)>& on_complete) {
    R1_CHECK(on_complete_ == nullptr && !error_);
    if (pending_.empty()) return;
    on_complete_ = &on_complete;
    hand_out(nullptr);
    engine_->run();
    on_complete_ = nullptr;
    if (error_) std::rethrow_exception(error_);
    R1_CHECK(live_.empty());
    idle_.clear();
    workers_.clear();
}

// Gives the activities just started to the worker that has become free, then to idle ones, in the
// order of their start, and creates workers for the rest.
void SimGridEngine::hand_out(Worker* free_worker) {
    while (!pending_.empty()) {
        Job job = std::move(pending_.front());
        pending_.pop_front();
        if (free_worker != nullptr) {
            free_worker->job = std::move(job);
            free_worker->busy = true;
            free_worker = nullptr;
        } else if (!idle_.empty()) {
            Worker* worker = idle_.back();
            idle_.pop_back();
            worker->job = std::move(job);
            worker->busy = true;
            worker->wake->release();
        } else {
            create_worker(std::move(job));
        }
    }
    if (free_worker != nullptr) idle_.push_back(free_worker);
}

void SimGridEngine::create_worker(Job job) {
    Worker& worker = workers_.emplace_back();
    worker.busy = true;
    worker.job = std::move(job);
    worker.wake = sg::Semaphore::create(0);
    sg::Actor::create("worker", worker_host_, [this, &worker] { work(worker); });
}

void SimGridEngine::work(Worker& worker) {
    while (worker.busy) {
        execute(worker);
        // In SimGrid's own context: the callback gets the main stack and may throw.
        const bool idle = simcall_answered([this, &worker] { return complete(worker); });
        if (error_) {
            sg::Actor::kill_all();
            return;
        }
        // By the answer, not by `busy`: another worker may have handed out a job in between, and
        // its signal must be taken. One without a job says that nothing is live any more.
        if (idle) worker.wake->acquire();
    }
}

void SimGridEngine::execute(Worker& worker) {
    const Activity& activity = worker.job.activity;
    if (activity.delay.value() > 0) sg::this_actor::sleep_for(activity.delay.value());
    sg::ExecPtr exec;
    if (activity.compute.valid() && activity.compute_time.value() > 0) {
        exec = sg::Exec::init();
        exec->set_flops_amount(activity.compute_time.value() * kComputeUnitsPerSecond);
        exec->set_host(compute_[activity.compute.index()]);
        exec->start();
    }
    if (!activity.flows.empty()) {
        simcall_answered([this, &worker] {
            for (const Flow& flow : worker.job.activity.flows) start_flow(flow, worker);
        });
        for (const sg::CommPtr& comm : worker.comms) comm->wait();
        worker.comms.clear();
    }
    if (exec) exec->wait();
}

// Identical flows are one SimGrid flow of all their bytes, whose share of every link weighs as much
// as theirs together (a sharing penalty is the inverse of a weight). Neither that nor a cap can be
// set through the public Comm, which ignores rates between hosts, but both can on the action that
// it has just added to the network model; nothing else runs in between.
void SimGridEngine::start_flow(const Flow& flow, Worker& worker) {
    const double copies = flow.multiplicity;
    const double units = units_of(flow);
    if (units == 0) return;
    sg::CommPtr comm = sg::Comm::sendto_init(host_of(flow.from, flow.trunks.up),
                                             host_of(flow.to, flow.trunks.down));
    comm->set_payload_size(static_cast<std::uint64_t>(units));
    comm->start();
    worker.comms.push_back(std::move(comm));
    if (flow.multiplicity == 1 && flow.rate_max.value() == 0) return;
    auto& action = network_model_->get_started_action_set()->back();
    R1_CHECK(action.get_cost() == units);
    if (flow.multiplicity > 1) action.set_sharing_penalty(1.0 / copies);
    if (flow.rate_max.value() > 0) action.set_bound(flow.rate_max.value() * kUnitsPerByte * copies);
}

// Whether the worker has to wait for its next job.
bool SimGridEngine::complete(Worker& worker) {
    worker.busy = false;
    if (error_) return false;
    live_.erase(worker.job.id);
    try {
        (*on_complete_)(worker.job.id, now());
    } catch (...) {
        error_ = std::current_exception();
        return false;
    }
    hand_out(&worker);
    if (worker.busy) return false;
    if (!live_.empty()) return true;
    for (Worker* idle : idle_) {
        if (idle != &worker) idle->wake->release();
    }
    return false;
}

}  // namespace

std::unique_ptr<ReplayEngine> make_simgrid_engine(const EngineNetwork& network) {
    return std::make_unique<SimGridEngine>(network);
}

}  // namespace r1
