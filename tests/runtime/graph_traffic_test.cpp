// What ranks send is what the graph says under the recorded binding, to the byte.
#include "runtime/graph_traffic.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/cpu_device.hpp"
#include "runtime/thread_communicator.hpp"
#include "tests/runtime/small_training.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

using test::Spread;

struct Sent {
    Traffic counted;
    std::vector<ExchangeRecord> exchanges;
};

// One step in BF16, as the graph stores it.
Sent one_step(const TrainingJob& job, const ExecutionGraph& graph) {
    const Dependencies dependencies(graph);
    set_cpu_threads(1);  // ranks are threads already
    Sent sent;
    std::mutex mutex;
    ThreadWorld(static_cast<int>(graph.instances().ranks()), job.ranks_per_node)
        .run([&](Communicator& communicator) {
            RankTrainer trainer(job, graph, dependencies, communicator, random_parameters(3));
            communicator.reset_traffic();
            trainer.step([](std::int64_t index) { return test::sequence(1, index); }, {});
            const std::lock_guard lock(mutex);
            sent.counted += communicator.traffic();
            for (const ExchangeRecord& record : trainer.executor().exchanges()) {
                sent.exchanges.push_back(record);
            }
        });
    sent.counted[MessageKind::report] = {};  // of no op
    return sent;
}

TrainingJob bf16_job(const Spread& spread, const Precision& precision, const Json& model) {
    TrainingJob job = test::job_of(spread, model);
    job.setup.sizes.precision = precision;
    job.policy.compute = DType::bf16;
    return job;
}

constexpr Precision kBf16 = {DType::bf16, DType::bf16, DType::bf16};
constexpr Precision kFp8 = {DType::e4m3, DType::e4m3, DType::bf16};

constexpr Spread kCountedSpreads[] = {
    {"alone", ScheduleKind::one_f_one_b},
    {"DualPipe", ScheduleKind::dualpipe, 4, 1, 1, 2},
    {"interleaved", ScheduleKind::interleaved, 2, 2, 1, 2},
    {"without ZeRO", ScheduleKind::one_f_one_b, 1, 4, 1, 3, 0, 0},
    {"experts on 4 nodes", ScheduleKind::one_f_one_b, 1, 4, 4, 1},
    {"experts on 2 nodes of 2, pipeline", ScheduleKind::dualpipe, 2, 4, 4, 2},
    {"experts on 4 nodes of 2", ScheduleKind::one_f_one_b, 1, 8, 8, 2, 2},
};

}  // namespace

TEST_CASE("traffic: counted bytes are the graph's under the recorded binding",
          "[runtime][training][slow]") {
    for (const Precision& precision : {kBf16, kFp8}) {
        for (const Spread& spread : kCountedSpreads) {
            INFO(spread.name << ", " << name(precision.gemm));
            const TrainingJob job = bf16_job(spread, precision, test::small_model());
            const ExecutionGraph graph = build_training_graph(job.setup);
            Sent sent = one_step(job, graph);
            const Traffic expected = graph_traffic(graph, sent.exchanges, job.ranks_per_node);
            for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
                INFO("kind " << kind);
                CHECK(sent.counted.by_kind[kind].nvlink == expected.by_kind[kind].nvlink);
                CHECK(sent.counted.by_kind[kind].infiniband == expected.by_kind[kind].infiniband);
            }
            if (spread.expert > 1) {  // one token more for each node shows
                for (std::int64_t& count : sent.exchanges.front().to_nodes) {
                    ++count;
                }
                CHECK_FALSE(graph_traffic(graph, sent.exchanges, job.ranks_per_node) == expected);
            }
        }
    }
}

TEST_CASE("traffic: a node limit bounds the nodes of each token, and matters",
          "[runtime][training]") {
    // Eight ranks on four nodes; free routers, then two nodes a token.
    Json free_model = test::small_model();
    free_model["n_group"] = 1;
    free_model["topk_group"] = 1;
    const auto nodes_of = [&](std::int64_t limit) {
        const Spread spread = {"", ScheduleKind::one_f_one_b, 1, 8, 8, 2, limit};
        const TrainingJob job = bf16_job(spread, kBf16, free_model);
        const ExecutionGraph graph = build_training_graph(job.setup);
        const Sent sent = one_step(job, graph);
        // Copies that were forwarded inside nodes.
        CHECK(sent.counted[MessageKind::dispatch].nvlink > 0);
        double tokens = 0;
        double nodes = 0;
        std::int64_t most = 0;
        for (const ExchangeRecord& record : sent.exchanges) {
            tokens += static_cast<double>(record.tokens);
            for (const std::int64_t count : record.to_nodes) {
                nodes += static_cast<double>(count);
            }
            most = std::max(most, record.nodes_per_token_max);
        }
        return std::pair(nodes / tokens, most);
    };
    const auto [mean_free, most_free] = nodes_of(0);
    const auto [mean_limited, most_limited] = nodes_of(2);
    CHECK(most_limited == 2);
    CHECK(mean_limited <= 2);
    // At most four nodes: of a mean of 2 + x, at least x / 2 of the tokens had to choose anew.
    CHECK(most_free == 4);
    CHECK(mean_free >= 2.2);
}

}  // namespace r1
