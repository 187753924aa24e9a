// Toy steps on toy clusters, lowered and replayed, against times worked out in comments. A kernel
// takes 1 s.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "model/base/check.hpp"
#include "sim/lowering.hpp"
#include "sim/simulate.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/sim/toy_cluster.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

class StubCost : public CostModel {
public:
    explicit StubCost(double exchange_s, double ring_s = 0)
        : exchange_(exchange_s), ring_(ring_s) {}
    OpTime compute(const ChunkTemplate&, const Op&, const SymbolValues&, int) const override {
        return {Seconds(0), Seconds(1)};
    }
    ExchangeTime expert_exchange(const ExpertExchangeCall&) const override {
        return {Seconds(0), exchange_};
    }
    Seconds node_collective(Collective, std::int64_t, Bytes) const override { return ring_; }
    Seconds notify() const override { return Seconds(0); }

private:
    Seconds exchange_;
    Seconds ring_;
};

// A multi-rail tree of 4-port switches: a leaf holds two NICs and, at 2 to 1, has one uplink.
Topology oversubscribed_topology(int nodes) {
    Topology topology = test::toy_topology(nodes, 1);
    topology.fabric.kind = FabricKind::mrft;
    topology.fabric.switch_ports = 4;
    topology.fabric.planes = 1;
    topology.fabric.oversubscription = 2;
    return topology;
}

// F of stage 0 whose output is ready before its dispatch starts: message and all-to-all together.
ChunkTemplate early_output_forward(double payload_bytes) {
    ChunkBuilder builder("F(0)");
    const auto activation = [&](const char* name) {
        return builder.tensor(name, DType::bf16, {4, 8});
    };
    const TensorId tokens = builder.tensor("tokens", DType::bf16, {4, 8}, TensorRole::input);
    const TensorId weight = builder.tensor("w", DType::bf16, {8}, TensorRole::parameter);
    builder.compute(KernelId::rms_norm, {4, 8}, {tokens, weight}, {activation("a")});
    builder.compute(KernelId::residual_add, {4, 8}, {activation("a"), tokens},
                    {activation("hidden.out")});
    builder.set_stream(Stream::comm);
    CommOp dispatch;
    dispatch.collective = Collective::dispatch;
    dispatch.group = GroupKind::expert_parallel;
    dispatch.tokens = 4;
    dispatch.payload_bytes = payload_bytes;
    builder.communicate(dispatch, {activation("hidden.out")}, {activation("d")});
    return std::move(builder).take();
}

// F of stage 0 that still computes when its output is ready.
ChunkTemplate late_work_forward() {
    ChunkBuilder builder("F(0)");
    const auto activation = [&](const char* name) {
        return builder.tensor(name, DType::bf16, {4, 8});
    };
    const TensorId tokens = builder.tensor("tokens", DType::bf16, {4, 8}, TensorRole::input);
    const TensorId weight = builder.tensor("w", DType::bf16, {8}, TensorRole::parameter);
    builder.compute(KernelId::rms_norm, {4, 8}, {tokens, weight}, {activation("b")});
    builder.compute(KernelId::rms_norm, {4, 8}, {activation("b"), weight},
                    {activation("hidden.out")});
    builder.compute(KernelId::rms_norm, {4, 8}, {activation("b"), weight}, {activation("a")});
    return std::move(builder).take();
}

// HandGraph's step with another F of stage 0.
ExecutionGraph toy_graph(Instances instances, ChunkTemplate first) {
    using Hand = test::HandGraph;
    GraphBuilder graph(instances);
    const auto item = [&](ItemKind kind, ChunkTemplate chunk, std::int32_t stage,
                          std::int32_t peer = -1) {
        const std::int32_t micro_batch = kind == ItemKind::optimizer ? -1 : 0;
        return Item{kind, graph.add(std::move(chunk)), {Context{stage, 0, micro_batch}, {}}, peer};
    };
    const auto message = [](Collective collective, const char* tensor) {
        const bool gradient = std::string(tensor).find(".grad") != std::string::npos;
        return Hand::message(collective, gradient ? Phase::backward_input : Phase::forward, tensor);
    };
    using K = ItemKind;
    graph.add(RankProgram{{0},
                          {item(K::forward, std::move(first), 0),
                           item(K::send, message(Collective::send, "hidden.out"), 0, 1),
                           item(K::recv, message(Collective::recv, "hidden.out.grad"), 0, 1),
                           item(K::backward, Hand::backward("hidden.out.grad", "tokens.grad"), 0),
                           item(K::optimizer, Hand::optimizer(), 0)}});
    graph.add(RankProgram{{1},
                          {item(K::recv, message(Collective::recv, "hidden.in"), 1, 0),
                           item(K::forward, Hand::last_forward(), 1),
                           item(K::backward, Hand::backward("hidden.in", "hidden.in.grad"), 1),
                           item(K::send, message(Collective::send, "hidden.in.grad"), 1, 0),
                           item(K::optimizer, Hand::optimizer(), 1)}});
    return graph.freeze();
}

Timeline replayed(const ExecutionGraph& graph, const Topology& topology, ExpertTraffic traffic = {},
                  double exchange_s = 1e-3) {
    const Fabric fabric = generate_fabric(topology);
    const StubCost cost(exchange_s);
    const ReplayDag dag = lower({graph, topology, fabric, cost, {}, traffic, 0});
    const auto engine = make_engine(Engine::simgrid, dag.network);
    Timeline timeline = replay(dag, *engine);
    CHECK(engine->counts().activities == test::activities(dag));
    return timeline;
}

void check_times(const Timeline& timeline, OpRef op, double start_s, double end_s) {
    INFO("lane " << op.lane << " item " << op.item << " op " << op.op);
    const Interval* interval = timeline.find(op);
    REQUIRE(interval != nullptr);
    CHECK(from_ps(interval->start).value() == Approx(start_s).margin(1e-8));
    CHECK(from_ps(interval->end).value() == Approx(end_s).margin(1e-8));
}

double duration_s(const Timeline& timeline, OpRef op) {
    const Interval* interval = timeline.find(op);
    REQUIRE(interval != nullptr);
    return from_ps(interval->end - interval->start).value();
}

constexpr OpRef kDispatch{0, 0, 1};
constexpr OpRef kFirstSend{0, 1, 0};

// Bytes that a rank passes on, by kind of link, and the delay.
struct ExpectedRing {
    double nic = 0;
    double nvlink = 0;
    double delay_s = 0;
};

ExpectedRing ring_part(const Topology& topology, std::int32_t replicas, Collective collective,
                       GroupKind group, double measured_s = 0) {
    const ExecutionGraph graph = test::HandGraph::build(replicas);
    const Fabric fabric = generate_fabric(topology);
    const StubCost cost(0, measured_s);
    const LoweringInput input{graph, topology, fabric, cost, {}, {}, 0};
    const LaneSet lanes(graph.instances(), Folding::stage);
    const LaneNetwork network(input, lanes);
    CommOp comm;
    comm.collective = collective;
    comm.group = group;
    comm.payload_bytes = 1024;
    Activity activity;
    add_collective_flows(input, lanes, network, comm, 0, 0, BytesPerSecond(0), activity);
    ExpectedRing part;
    part.delay_s = activity.delay.value();
    for (const Flow& flow : activity.flows) {
        CHECK(flow.from == flow.to);
        const std::string& name = network.network().endpoints[flow.from.index()].name;
        (name == "stage0.nic" ? part.nic : part.nvlink) += flow.bytes.value() * flow.multiplicity;
    }
    return part;
}

}  // namespace

TEST_CASE("replay: a two-stage step takes what its chain of ops takes", "[sim][replay]") {
    // A rank a node. A message is 4 x 8 BF16 = 64 B: 0.5 s + 64 / 64 = 1.5 s. Experts are local.
    const Timeline timeline =
        replayed(toy_graph({2, 1, 1}, test::HandGraph::first_forward()), test::toy_topology(2, 1));
    check_times(timeline, {0, 0, 0}, 0, 1);
    check_times(timeline, kDispatch, 1, 1);
    check_times(timeline, {0, 0, 2}, 1, 2);
    check_times(timeline, {0, 0, 3}, 2, 3);
    check_times(timeline, kFirstSend, 3, 4.5);
    check_times(timeline, {1, 0, 0}, 3, 4.5);
    check_times(timeline, {1, 1, 0}, 4.5, 5.5);
    check_times(timeline, {1, 2, 0}, 5.5, 6.5);
    check_times(timeline, {1, 2, 1}, 6.5, 7.5);  // beside the message of the input gradient
    check_times(timeline, {1, 3, 0}, 6.5, 8);
    check_times(timeline, {0, 2, 0}, 6.5, 8);
    check_times(timeline, {0, 3, 0}, 8, 9);
    check_times(timeline, {0, 3, 1}, 9, 10);
    check_times(timeline, {0, 4, 0}, 10, 11);
    check_times(timeline, {1, 4, 0}, 7.5, 8.5);
    // An all-reduce of nothing over two ranks: one step there and one back, from when both can.
    check_times(timeline, {0, 4, 1}, 11, 12);
    check_times(timeline, {1, 4, 1}, 11, 12);
    check_times(timeline, {0, 4, 2}, 12, 13);
    check_times(timeline, {1, 4, 2}, 12, 13);
    CHECK(from_ps(timeline.makespan()).value() == Approx(13));
}

TEST_CASE("replay: a message within a node takes NVLink", "[sim][replay]") {
    // 0.25 s + 64 / 128.
    const Timeline timeline =
        replayed(toy_graph({2, 1, 1}, test::HandGraph::first_forward()), test::toy_topology(1, 2));
    CHECK(duration_s(timeline, kFirstSend) == Approx(0.75));
}

TEST_CASE("replay: an all-to-all between nodes runs beside computation", "[sim][replay]") {
    // Two nodes of one GPU an expert group. 4 tokens x 32 B x 0.5 copies = 64 B over InfiniBand:
    // 0.25 + 0.5 s of latency and 1 s, from 1 to 2.75; the norm beside it ends at 2.
    ExpertTraffic traffic;
    traffic.ib_copies_per_token = 0.5;
    const ExecutionGraph graph = toy_graph({2, 2, 2}, test::HandGraph::first_forward(32));
    const Timeline timeline = replayed(graph, test::toy_topology(4, 1), traffic);
    check_times(timeline, kDispatch, 1, 2.75);
    check_times(timeline, {0, 0, 2}, 1, 2);
    check_times(timeline, {0, 0, 3}, 2.75, 3.75);
}

TEST_CASE("replay: an all-to-all takes its slower network", "[sim][replay]") {
    // Two nodes of two GPUs a group; 4 tokens x 32 B = 128 B a copy. Latency is 0.25 + 0.5 s.
    //   0.5 copies over InfiniBand 64 B / 64 = 1 s, 1.5 over NVLink 192 / 128 = 1.5 s -> 1.5 s
    //   1.0 copies over InfiniBand 128 / 64 = 2 s,  1.5 over NVLink                   -> 2 s
    const ExecutionGraph graph = toy_graph({2, 4, 4}, test::HandGraph::first_forward(32));
    const Topology topology = test::toy_topology(4, 2);
    ExpertTraffic traffic;
    traffic.ib_copies_per_token = 0.5;
    traffic.nvlink_copies_per_token = 1.5;
    CHECK(duration_s(replayed(graph, topology, traffic), kDispatch) == Approx(0.75 + 1.5));
    traffic.ib_copies_per_token = 1.0;
    CHECK(duration_s(replayed(graph, topology, traffic), kDispatch) == Approx(0.75 + 2));
    // Within one node there is no InfiniBand: 0.25 + 1.5 s.
    const ExecutionGraph local = toy_graph({2, 2, 2}, test::HandGraph::first_forward(32));
    traffic.ib_copies_per_token = 0;
    CHECK(duration_s(replayed(local, topology, traffic), kDispatch) == Approx(0.25 + 1.5));
    // Kernels that need 5 s for it are what limits then.
    CHECK(duration_s(replayed(local, topology, traffic, 5), kDispatch) == Approx(0.25 + 5));
}

TEST_CASE("replay: an all-to-all stays on its rail", "[sim][replay]") {
    // In a multi-plane tree rank 0 reaches its like on the other node within a leaf: 0.25 + 0.5 s.
    // Another plane would cost NVLink once more, or the longer path.
    Topology topology = test::toy_topology(4, 2);
    topology.fabric.kind = FabricKind::mpft;
    topology.fabric.planes = 2;
    topology.fabric.cross_leaf_latency = Seconds(50);
    ExpertTraffic traffic;
    traffic.ib_copies_per_token = 0.5;
    const ExecutionGraph graph = toy_graph({2, 4, 4}, test::HandGraph::first_forward(32));
    CHECK(duration_s(replayed(graph, topology, traffic), kDispatch) == Approx(0.75 + 1));
}

TEST_CASE("replay: a message and an all-to-all share their NIC", "[sim][replay]") {
    // Both start at 2 s, with 64 B each over the NIC's up link: the message's flow from 2.5, the
    // all-to-all's from 2.75. Alone until then the message has sent 16 B; 48 B more at half the
    // rate take 1.5 s, to 4.25. By then 48 B of the all-to-all are through; 16 B take 0.25 s more.
    ExpertTraffic traffic;
    traffic.ib_copies_per_token = 0.5;
    const ExecutionGraph graph = toy_graph({2, 2, 2}, early_output_forward(32));
    const Timeline timeline = replayed(graph, test::toy_topology(4, 1), traffic);
    check_times(timeline, kFirstSend, 2, 4.25);
    check_times(timeline, {0, 0, 2}, 2, 4.5);
}

TEST_CASE("replay: a message starts when its tensor is ready, not when its chunk ends",
          "[sim][replay]") {
    const ExecutionGraph graph = toy_graph({2, 1, 1}, late_work_forward());
    const Topology topology = test::toy_topology(2, 1);
    const Timeline timeline = replayed(graph, topology);
    check_times(timeline, {0, 0, 1}, 1, 2);
    check_times(timeline, {0, 0, 2}, 2, 3);
    check_times(timeline, kFirstSend, 2, 3.5);
    // The two ops before the message are one activity, the one after it another.
    const Fabric fabric = generate_fabric(topology);
    const StubCost cost(0);
    const LoweredTemplate lowered =
        lower_template({graph, topology, fabric, cost, {}, {}, 0},
                       graph.chunk(graph.programs()[0].items[0].chunk), async_tensors(graph), 1);
    REQUIRE(lowered.segments.size() == 2);
    CHECK(lowered.segment_of == std::vector<std::uint32_t>{0, 0, 1});
    CHECK(lowered.segments[0].share_end == std::vector<double>{0.5, 1});
    CHECK(lowered.durations[0].value() == 2);
    CHECK(lowered.durations[1].value() == 1);
}

TEST_CASE("replay: rings pass on all but one part of the buffer", "[sim][replay]") {
    // 1024 B over n ranks: (n - 1) / n of it; of g ranks a node one hop leaves the node.
    struct Case {
        int nodes;
        int gpus;
        std::int32_t ranks;
        double nic;
        double nvlink;
        double delay_s;  // log2 n hops of the longer latency
    };
    const std::vector<Case> cases = {
        {2, 4, 4, 0, 768, 0.25 * 2},                   // one node
        {4, 1, 2, 512, 0, 0.5},                        // two nodes of one GPU
        {4, 4, 8, 896.0 / 4, 896.0 * 3 / 4, 0.5 * 3},  // two nodes of four
        {8, 2, 8, 896.0 / 2, 896.0 / 2, 0.5 * 3},      // four nodes of two
        {2, 4, 1, 0, 0, 0},                            // nobody to talk to
    };
    for (const Case& c : cases) {
        INFO(c.ranks << " ranks, " << c.gpus << " a node");
        const Topology topology = test::toy_topology(c.nodes, c.gpus);
        for (const Collective once : {Collective::reduce_scatter, Collective::all_gather}) {
            const ExpectedRing part = ring_part(topology, c.ranks, once, GroupKind::data_parallel);
            CHECK(part.nic == Approx(c.nic));
            CHECK(part.nvlink == Approx(c.nvlink));
            CHECK(part.delay_s == Approx(c.delay_s));
        }
        const ExpectedRing twice =
            ring_part(topology, c.ranks, Collective::all_reduce, GroupKind::data_parallel);
        CHECK(twice.nic == Approx(2 * c.nic));
        CHECK(twice.nvlink == Approx(2 * c.nvlink));
        CHECK(twice.delay_s == Approx(2 * c.delay_s));
    }
}

TEST_CASE("replay: a ring within a node takes at least what was measured there", "[sim][replay]") {
    // All but one of four parts of 1024 B over NVLink; the latencies of two hops are 0.5 s.
    const Topology topology = test::toy_topology(4, 4);
    const double wire_s = 768 / topology.nvlink.achievable().value();
    const auto delay_s = [&](std::int32_t ranks, double measured_s) {
        return ring_part(topology, ranks, Collective::all_gather, GroupKind::data_parallel,
                         measured_s)
            .delay_s;
    };
    CHECK(delay_s(4, wire_s + 10) == Approx(10));
    CHECK(delay_s(4, wire_s + 0.1) == Approx(0.5));
    CHECK(delay_s(8, wire_s + 10) == Approx(1.5));  // over two nodes
}

TEST_CASE("replay: an oversubscribed spine caps what crosses leaves", "[sim][replay]") {
    const Topology topology = oversubscribed_topology(8);
    // Ranks 0 and 1 are on one leaf: 0.5 + 1 s.
    const ChunkTemplate first = test::HandGraph::first_forward();
    CHECK(duration_s(replayed(toy_graph({2, 1, 1}, first), topology), kFirstSend) == Approx(1.5));
    // Ranks 0 and 2 are not: half the rate, 0.5 + 2 s.
    CHECK(duration_s(replayed(toy_graph({2, 2, 1}, first), topology), kFirstSend) == Approx(2.5));
}

TEST_CASE("replay: hops of rings that cross leaves share the trunks", "[sim][replay]") {
    const Topology topology = oversubscribed_topology(8);
    const Fabric fabric = generate_fabric(topology);
    const ExecutionGraph graph = toy_graph({2, 4, 2}, test::HandGraph::first_forward());
    const Trunks trunks(fabric, 8, 0);
    const StubCost cost(0);
    const LoweringInput input{graph, topology, fabric, cost, {}, {}, 0};
    CommOp comm;
    comm.collective = Collective::all_gather;
    // 0 1 | 2 3: one hop leaves each leaf, over an uplink of its own.
    comm.group = GroupKind::data_parallel;
    CHECK(ring_share(input, trunks, comm, 0, 0).value() == 64);
    // Rings of 0 and 2, and of 1 and 3: two hops leave each leaf.
    comm.group = GroupKind::expert_data_parallel;
    CHECK(ring_share(input, trunks, comm, 0, 0).value() == 32);
    // Without trunks nothing is capped.
    CHECK(ring_share(input, Trunks(generate_fabric(test::toy_topology(8, 1)), 4, 0), comm, 0, 0)
              .value() == 0);
}

TEST_CASE("replay: a degraded or removed link slows what uses it", "[sim][replay]") {
    const ExecutionGraph graph = toy_graph({2, 1, 1}, test::HandGraph::first_forward());
    Topology topology = test::toy_topology(2, 1);
    topology.overrides = {{"node1.nic0", 0.25, false}};
    CHECK(duration_s(replayed(graph, topology), kFirstSend) == Approx(0.5 + 4));
    // Two GPUs of a node share the NIC that is left.
    topology = test::toy_topology(4, 2);
    const ExecutionGraph wide = toy_graph({2, 2, 1}, test::HandGraph::first_forward());
    CHECK(duration_s(replayed(wide, topology), kFirstSend) == Approx(0.5 + 1));
    topology.overrides = {{"node0.nic1", 1, true}};
    CHECK(duration_s(replayed(wide, topology), kFirstSend) == Approx(0.5 + 2));
    // The only NIC of a node: nothing can be sent, and the message says so.
    topology = test::toy_topology(2, 1);
    topology.overrides = {{"node1.nic0", 1, true}};
    CHECK_THROWS_AS(replayed(graph, topology), InputError);
}

TEST_CASE("replay: a dag whose nodes wait for each other is a bug", "[sim][replay]") {
    ReplayDag dag;
    dag.lanes.resize(1);
    dag.programs.resize(1);
    dag.programs[0].resize(2);
    for (const std::uint32_t i : {0U, 1U}) {
        dag.programs[0][i].successors = {1 - i};
        dag.programs[0][i].predecessors = 1;
    }
    const auto engine = make_engine(Engine::simgrid, dag.network);
    CHECK_THROWS_AS(replay(dag, *engine), InternalError);
}

}  // namespace r1
