// Streams of the emulated device run their work late and in any order that their events allow: what
// a run computes must not depend on it. Each wait that the runtime may lack shows here.
#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <vector>

#include "runtime/cuda_device.hpp"
#include "runtime/cuda_stream.hpp"
#include "runtime/executor.hpp"
#include "runtime/generate.hpp"
#include "runtime/nccl_communicator.hpp"
#include "tests/cuda_runtime/trained.hpp"
#include "tests/emulation/streams.hpp"
#include "tests/runtime/tiny_model.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

namespace {

using WorkOrder = emulation::Schedule;

class Scheduled {
public:
    explicit Scheduled(WorkOrder order) { emulation::set_schedule(order, 1); }
    ~Scheduled() { emulation::set_schedule(WorkOrder::needed); }
    Scheduled(const Scheduled&) = delete;
    Scheduled& operator=(const Scheduled&) = delete;
};

// Losses of two steps; those of the second depend on all gradients of the first.
std::vector<double> losses(const TrainingJob& job, const DeviceKind& device, bool is_connected) {
    return test::train(job, device, 2, is_connected).losses;
}

// At once and in order, and late in another one. All other tests run what is needed, when it is.
void check_order(const DeviceKind& device, bool is_connected, WorkOrder order) {
    TrainingJob job = test::short_job({"", ScheduleKind::dualpipe, 2, 2, 2, 2});
    job.setup.micro_batches = 4;
    const auto losses_in = [&](WorkOrder each) {
        const Scheduled scheduled(each);
        return losses(job, device, is_connected);
    };
    CHECK(losses_in(order) == losses_in(WorkOrder::eager));
}

DeviceKind connected_by_nccl() {
    DeviceKind cuda = cuda_devices(0);
    cuda.connect = [memory = cuda.memory](Communicator& host, const DeviceLinks& links) {
        return connect_by_nccl(host, *memory, links);
    };
    return cuda;
}

}  // namespace

TEST_CASE("emulation: streams do not wait for each other of themselves", "[cuda]") {
    const DeviceKind cuda = cuda_devices(0);
    const bool waits = GENERATE(false, true);
    const Scheduled scheduled(WorkOrder::needed);
    DeviceArray<float> value(*cuda.memory, std::vector<float>{1});
    cuda.memory->finish();
    cuda::StreamSlot other(0, false);
    value.zero();  // in this thread's stream
    const auto zeroed = cuda.memory->record();
    cuda::set_thread_stream(&other);
    if (waits) {
        zeroed->wait();
    }
    const float seen = HostView(value).values().front();
    cuda::set_thread_stream(nullptr);
    CHECK(seen == (waits ? 0 : 1));
    CHECK(HostView(value).values().front() == 0);
}

TEST_CASE("cuda: what fails while it is recorded ends the recording, and the stream goes on",
          "[cuda]") {
    const DeviceKind cuda = cuda_devices(0);
    const auto device = cuda.make(test::model_config(test::small_model()));
    DeviceArray<float> value(*cuda.memory, std::vector<float>{1});
    CHECK_THROWS_WITH(device->record([&] {
        value.zero();
        throw std::runtime_error("no such kernel");
    }),
                      Catch::Matchers::Contains("no such kernel"));
    CHECK_THROWS_AS(device->record([&] { cuda.memory->finish(); }), InternalError);
    CHECK(value.on_host().front() == 1);  // recorded, not done
    const auto recording = device->record([&] { value.zero(); });
    CHECK(value.on_host().front() == 1);
    recording->start();
    CHECK(value.on_host().front() == 0);
}

TEST_CASE("cuda: an input is there for every stream that asks for it", "[cuda]") {
    const DeviceKind cuda = cuda_devices(0);
    const Scheduled scheduled(WorkOrder::needed);
    const std::vector<std::int32_t> tokens{5, 6, 7};
    InputCopies copies(*cuda.memory);
    copies.of(tokens);
    cuda::StreamSlot other(0, false);
    cuda::set_thread_stream(&other);
    const HostView seen(*cuda.memory, copies.of(tokens), tokens.size());
    cuda::set_thread_stream(nullptr);
    CHECK(std::ranges::equal(seen.values(), tokens));
}

TEST_CASE("cuda: kernels of communication take the SMs that are planned for them", "[cuda]") {
    const auto device = cuda_devices(0).make(test::model_config(test::small_model()));
    const int all = device->launch(0).sms;
    REQUIRE(all > 1);
    device->set_comm_sms(1);
    device->attach(Stream::comm);
    CHECK(device->launch(0).sms == 1);
    device->attach(Stream::compute);
    CHECK(device->launch(0).sms == all);
    CHECK(device->launch(1).sms == all - 1);
    cuda::set_thread_stream(nullptr);
}

TEST_CASE("cuda: the host's values may go when a copy of them is under way", "[cuda]") {
    const DeviceKind cuda = cuda_devices(0);
    const Scheduled scheduled(WorkOrder::needed);
    constexpr std::size_t kElements = std::size_t{5} << 20U;  // several pages of pinned memory
    std::vector<std::int32_t> values(kElements);
    DeviceArray<std::int32_t> small(*cuda.memory, 3);
    DeviceArray<std::int32_t> large(*cuda.memory, kElements);
    for (std::int32_t round = 1; round <= 2; ++round) {
        for (std::size_t i = 0; i < kElements; ++i) {
            values[i] = round * static_cast<std::int32_t>(i + 7);
        }
        cuda.memory->copy(small.data(), values.data(), 3 * sizeof(std::int32_t));
        cuda.memory->copy(large.data(), values.data(), kElements * sizeof(std::int32_t));
    }
    const std::vector<std::int32_t> expected = values;
    std::fill(values.begin(), values.end(), -1);
    CHECK(small.on_host() == std::vector<std::int32_t>(expected.begin(), expected.begin() + 3));
    CHECK(large.on_host() == expected);
}

TEST_CASE("cuda: ranks of one GPU train the same in any order of its streams", "[cuda][training]") {
    check_order(cuda_devices(0), false, WorkOrder::last_stream_first);
}

TEST_CASE("nccl: ranks train the same in any order of their streams", "[cuda][communicator]") {
    check_order(connected_by_nccl(), true, WorkOrder::random);
}

TEST_CASE("nccl: what a sender does after its wait does not reach the message",
          "[cuda][communicator]") {
    const DeviceKind cuda = connected_by_nccl();
    const Scheduled scheduled(WorkOrder::needed);
    std::vector<float> seen;
    ThreadWorld world(2, 2);
    world.run([&](Communicator& host) {
        const auto nccl = cuda.connect(host, {{{0, 1}}, 0});
        DeviceArray<float> value(*cuda.memory, std::vector<float>{7});
        if (host.rank() == 0) {
            nccl->send(1, 5, MessageKind::pipeline, std::as_bytes(value.span()))->wait();
            value.zero();
            cuda.memory->finish();
        } else {
            nccl->receive(0, 5, MessageKind::pipeline, std::as_writable_bytes(value.span()))
                ->wait();
            seen = value.on_host();
        }
    });
    CHECK(seen == std::vector<float>{7});
}

TEST_CASE("nccl: a rank that fails ends those whose streams wait for it", "[cuda][communicator]") {
    TrainingJob job = test::short_job({"", ScheduleKind::one_f_one_b, 2, 2, 2, 2});
    job.device = connected_by_nccl();
    const ExecutionGraph graph = build_training_graph(job.setup);
    const Dependencies dependencies(graph);
    ThreadWorld world(graph.instances().ranks(), job.ranks_per_node);
    const auto begin = std::chrono::steady_clock::now();
    CHECK_THROWS_WITH(world.run([&](Communicator& host) {
        const auto nccl = job.device.connect(host, {pipeline_pairs(graph), 0});
        RankTrainer trainer(job, graph, dependencies, *nccl, random_parameters(3));
        const bool fails = host.rank() == 1;
        trainer.step(
            [&](std::int64_t index) {
                return fails ? throw std::runtime_error("no batch") : test::sequence(1, index);
            },
            {});
    }),
                      Catch::Matchers::Contains("no batch"));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

// Of a model without experts: only they make a host wait for counts.
TEST_CASE("cuda: the host does not wait for its streams within a step", "[cuda][training]") {
    const auto waits_of = [](int micro_batches) {
        Json model = test::small_model();
        model["num_hidden_layers"] = 2;
        model["first_k_dense_replace"] = 2;
        model["num_nextn_predict_layers"] = 0;
        TrainingJob job = test::job_of({"", ScheduleKind::one_f_one_b, 2, 2}, model);
        job.setup.micro_batches = micro_batches;
        const std::uint64_t before = emulation::stream_waits();
        losses(job, cuda_devices(0), false);
        return emulation::stream_waits() - before;
    };
    const std::uint64_t few = waits_of(1);
    CHECK(few > 0);
    // One more for each loss that is read in the end, in each step, by the two ranks that have it.
    CHECK(waits_of(3) - few == 2 * 2 * 2);
}

TEST_CASE("cuda: in a step of generation the host waits for its end and the token only",
          "[cuda][generate]") {
    const auto waits_of = [](std::int64_t new_tokens) {
        GenerateOptions options;
        options.device = cuda_devices(0);
        options.max_new_tokens = new_tokens;
        const std::uint64_t before = emulation::stream_waits();
        generate(test::tiny_model(), {{3, 17, 5}}, options);
        return emulation::stream_waits() - before;
    };
    // At its end, and for each tensor that comes back: the token.
    CHECK(waits_of(5) - waits_of(2) == 3 * 2);
}

}  // namespace r1
