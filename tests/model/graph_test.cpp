// freeze() against graphs with one thing wrong, the content hash, and dependencies by hand.
#include "model/graph/graph.hpp"

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "model/graph/chunk_builder.hpp"
#include "model/graph/graph_builder.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"
#include "tests/support/two_stage_graph.hpp"

using namespace r1;
using test::TwoStages;

namespace {

void check_rejected(const TwoStages& parts, const std::string& problem) {
    INFO("expected: " << problem);
    try {
        static_cast<void>(parts.freeze());
        FAIL("the graph was accepted");
    } catch (const GraphError& error) {
        INFO(error.what());
        CHECK(std::string(error.what()).find(problem) != std::string::npos);
    }
}

ComputeOp& compute_of(Op& op) { return std::get<ComputeOp>(op.body); }
CommOp& comm_of(Op& op) { return std::get<CommOp>(op.body); }

}  // namespace

TEST_CASE("graph: a valid graph freezes", "[model][graph]") {
    const ExecutionGraph graph = TwoStages().freeze();
    CHECK(graph.stages() == 2);
    CHECK(graph.ops_stored() == 12);
    CHECK(graph.ops() == 4 * 13);  // the norm stands in both programs
    CHECK(graph.group_size(GroupKind::data_parallel, 1) == 4);
    CHECK(graph.group_size(GroupKind::expert_data_parallel, 1) == 2);
    CHECK(graph.group_size(GroupKind::world, 0) == 8);
    const RankId rank = graph.instances().rank(1, 3);
    CHECK(graph.group(GroupKind::expert_parallel, rank, 1) ==
          std::vector<RankId>{RankId(6), RankId(7)});
    CHECK(graph.group(GroupKind::expert_data_parallel, rank, 1) ==
          std::vector<RankId>{RankId(5), RankId(7)});
    CHECK(graph.group(GroupKind::embedding, rank, 1) == std::vector<RankId>{RankId(3), RankId(7)});
}

TEST_CASE("graph: freeze() rejects ops that no kernel can run", "[model][graph]") {
    TwoStages parts;
    SECTION("without a kernel") {
        compute_of(parts.forward[0].ops[0]).kernel = KernelId::none;
        check_rejected(parts, "has no kernel signature");
    }
    SECTION("with a kernel out of the table") {
        compute_of(parts.forward[0].ops[0]).kernel = static_cast<KernelId>(kKernelCount);
        check_rejected(parts, "has no kernel signature");
    }
    SECTION("with too few dimensions") {
        compute_of(parts.forward[1].ops[0]).dims.pop_back();
        check_rejected(parts, "has 1 dimensions, the kernel takes 2");
    }
    SECTION("with too few tensors") {
        parts.forward[1].ops[0].inputs.pop_back();
        check_rejected(parts, "1 inputs and 1 outputs do not fit");
    }
    SECTION("with a tensor that does not exist") {
        parts.forward[1].ops[0].inputs[0] = TensorId(99);
        check_rejected(parts, "names a tensor that does not exist");
    }
    SECTION("with a context that does not exist") {
        parts.forward[1].ops[0].context = 1;
        check_rejected(parts, "names a context that the template does not have");
    }
    SECTION("of a tensor in a context that does not exist") {
        parts.forward[1].tensors[0].context = 7;
        check_rejected(parts, "has a context or a shape that cannot be");
    }
    SECTION("with negative work") {
        compute_of(parts.forward[1].ops[0]).work.read_bytes = -1;
        check_rejected(parts, "has a size that cannot be");
    }
}

TEST_CASE("graph: freeze() rejects tensors that are not there", "[model][graph]") {
    TwoStages parts;
    SECTION("nothing produces an input") {
        parts.programs[1].items.erase(parts.programs[1].items.begin());  // the receive
        check_rejected(parts,
                       "nothing produces 'hidden.in' of stage 1, direction 0, micro-batch "
                       "0");
    }
    SECTION("another micro-batch's does not count") {
        for (const std::size_t item : {0, 1}) {
            parts.programs[item].items[item == 0 ? 1 : 0].contexts[0].micro_batch = 1;
        }
        check_rejected(parts,
                       "nothing produces 'hidden.out' of stage 0, direction 0, micro-batch "
                       "1");
    }
    SECTION("read before the template produces it") {
        std::swap(parts.backward[1].ops[0], parts.backward[1].ops[1]);
        check_rejected(parts, "before op 1 produces it");
    }
    SECTION("read before the program produces it") {
        std::swap(parts.programs[1].items[1], parts.programs[1].items[2]);  // F and B
        check_rejected(parts, "nothing produces 'final'");
    }
    SECTION("two producers") {
        parts.forward[1].ops.push_back(parts.forward[1].ops[0]);
        check_rejected(parts, "'final' has two producers");
    }
    SECTION("a gradient that nobody accumulates") {
        parts.backward[1].ops.back().outputs[1] = TensorId(parts.backward[1].tensors.size());
        parts.backward[1].tensors.push_back(
            {"other.grad", DType::f32, TensorRole::gradient, 0, {8}});
        check_rejected(parts, "nothing accumulates gradient 'norm.weight.grad'");
    }
}

TEST_CASE("graph: freeze() rejects messages that do not meet", "[model][graph]") {
    TwoStages parts;
    SECTION("a send without a receive") {
        parts.programs[0].items.push_back(parts.programs[0].items[1]);
        parts.programs[0].items.back().contexts[0].direction = 1;
        parts.programs[0].items.insert(parts.programs[0].items.end() - 1,
                                       parts.programs[0].items[0]);
        (parts.programs[0].items.end() - 2)->contexts[0].direction = 1;
        check_rejected(parts, "1 sends and 0 receives");
    }
    SECTION("sent twice") {
        parts.programs[0].items.push_back(parts.programs[0].items[1]);
        check_rejected(parts, "2 sends and 1 receives");
    }
    SECTION("the ends differ in size") {
        comm_of(parts.messages[1].ops[0]).payload_bytes += 2;
        check_rejected(parts, "the two ends differ in size");
    }
    SECTION("no such peer") {
        parts.programs[0].items[1].peer = 2;
        check_rejected(parts, "its peer does not exist");
    }
    SECTION("a send that receives") {
        parts.programs[1].items[0].kind = ItemKind::send;
        check_rejected(parts, "a message is one send or receive");
    }
    SECTION("a message inside a chunk") {
        Op op = parts.messages[0].ops[0];
        op.inputs = {parts.forward[0].ops[0].outputs[0]};
        parts.forward[0].ops.push_back(op);
        check_rejected(parts, "a message must be an item of its own");
    }
    SECTION("programs wait in a circle") {
        std::vector<Item>& items = parts.programs[0].items;  // F, send, recv, B, optimizer
        std::rotate(items.begin(), items.begin() + 2, items.begin() + 4);
        check_rejected(parts, "waits for itself");
    }
}

TEST_CASE("graph: freeze() rejects ranks and groups that do not fit", "[model][graph]") {
    TwoStages parts;
    SECTION("expert groups do not divide the data-parallel ranks") {
        parts.instances.expert_parallel = 3;
        check_rejected(parts, "expert-parallel groups of 3 do not divide 4");
    }
    SECTION("too few programs") {
        parts.instances.pipeline_parallel = 3;
        check_rejected(parts, "2 rank programs for 3 pipeline ranks");
    }
    SECTION("more ranks than numbers") {
        parts.instances.data_parallel = 2000000000;
        check_rejected(parts, "more ranks than can be numbered");
    }
    SECTION("a stage that the rank does not hold") {
        parts.programs[1].items[1].contexts[0].stage = 0;
        check_rejected(parts, "works for a stage that its rank does not hold");
    }
    SECTION("a stage without a holder") {
        parts.programs[1].stages = {1, 1000000000};
        check_rejected(parts, "a stage before the last one has no holder");
    }
    SECTION("stages out of order") {
        parts.programs[1].stages = {1, 0};
        check_rejected(parts, "its stages are not ascending");
    }
    SECTION("a chunk of the wrong number of contexts") {
        parts.programs[1].items[1].kind = ItemKind::overlapped;
        check_rejected(parts, "its kind needs 2 contexts");
    }
    SECTION("members that do not take part in the same collectives") {
        comm_of(parts.norm.ops.back()).group = GroupKind::world;
        parts.programs[0].items.pop_back();
        check_rejected(parts, "group world of stage -1: programs 0 and 1 do not take part");
    }
    SECTION("an end of the pipeline that does not join the other's embedding") {
        comm_of(parts.optimizer[0].ops[0]).group = GroupKind::embedding;
        check_rejected(parts, "group embedding of stage -1: programs 0 and 1 do not take part");
    }
}

TEST_CASE("graph: freeze() rejects collectives in crossed orders", "[model][graph]") {
    ChunkBuilder builder("reduce");
    builder.set_phase(Phase::optimizer);
    builder.set_stream(Stream::collective);
    CommOp comm;
    comm.collective = Collective::all_reduce;
    comm.group = GroupKind::data_parallel;
    comm.payload_bytes = 4;
    const TensorId state = builder.tensor("state", DType::f32, {1}, TensorRole::optimizer_state);
    builder.communicate(comm, {state}, {state});
    const ChunkTemplate reduce = std::move(builder).take();

    for (const bool crossed : {false, true}) {
        GraphBuilder graph({2, 1, 1});
        const TemplateId id = graph.add(reduce);
        const Item first{ItemKind::optimizer, id, {Context{0, 0, -1}, {}}, -1};
        const Item second{ItemKind::optimizer, id, {Context{1, 0, -1}, {}}, -1};
        graph.add(RankProgram{{0, 1}, {first, second}});
        graph.add(crossed ? RankProgram{{0, 1}, {second, first}}
                          : RankProgram{{0, 1}, {first, second}});
        if (crossed) {
            CHECK_THROWS_WITH(graph.freeze(), Catch::Matchers::Contains("waits for itself"));
        } else {
            CHECK_NOTHROW(graph.freeze());
        }
    }
}

TEST_CASE("graph: every problem is reported at once", "[model][graph]") {
    TwoStages parts;
    compute_of(parts.forward[0].ops[0]).kernel = KernelId::none;
    parts.forward[1].ops[0].inputs.pop_back();
    parts.instances.expert_parallel = 3;
    try {
        static_cast<void>(parts.freeze());
        FAIL("the graph was accepted");
    } catch (const GraphError& error) {
        CHECK(error.problems().size() == 3);
    }
}

TEST_CASE("graph: the hash is that of the content", "[model][graph]") {
    const GraphHash base = TwoStages().freeze().hash();
    CHECK(TwoStages().freeze().hash() == base);
    CHECK(base.hex().size() == 32);
    TwoStages renamed;
    renamed.forward[0].name = "another name";
    CHECK(renamed.freeze().hash() == base);
}

namespace {

struct Content {
    std::vector<ChunkTemplate> templates;
    std::vector<RankProgram> programs;
    Instances instances;
};
using Change = std::function<void(Content&)>;

// One change for each field of templates, tensors and ops.
std::vector<Change> template_changes() {
    const auto compute = [](auto change) {
        return Change([change](Content& c) { change(compute_of(c.templates[0].ops[0])); });
    };
    const auto op = [](auto change) {
        return Change([change](Content& c) { change(c.templates[0].ops[0]); });
    };
    const auto comm = [](auto change) {
        return Change([change](Content& c) { change(comm_of(c.templates[1].ops[0])); });
    };
    const auto tensor = [](auto change) {
        return Change([change](Content& c) { change(c.templates[0].tensors[0]); });
    };
    return {
        [](Content& c) { c.templates.pop_back(); },
        [](Content& c) { c.templates[0].contexts = 2; },
        [](Content& c) { c.templates[0].tensors.pop_back(); },
        [](Content& c) { c.templates[0].ops.pop_back(); },
        tensor([](Tensor& t) { t.name += "x"; }),
        tensor([](Tensor& t) { t.dtype = DType::f16; }),
        tensor([](Tensor& t) { t.role = TensorRole::optimizer_state; }),
        tensor([](Tensor& t) { t.context = 1; }),
        tensor([](Tensor& t) { t.shape.emplace_back(1); }),
        tensor([](Tensor& t) { t.shape[0] += 1; }),
        tensor([](Tensor& t) { t.shape[0] += Symbol::routed_rows; }),
        tensor([](Tensor& t) { t.shape[0] += Symbol::received_tokens; }),
        compute([](ComputeOp& o) { o.kernel = KernelId::rms_norm; }),
        compute([](ComputeOp& o) { o.dims[1] += 1; }),
        compute([](ComputeOp& o) { o.dims.emplace_back(1); }),
        compute([](ComputeOp& o) { o.work.matrix_flops += 1; }),
        compute([](ComputeOp& o) { o.work.read_bytes += 1; }),
        compute([](ComputeOp& o) { o.work.written_bytes += 1; }),
        compute([](ComputeOp& o) { o.work.dtype = DType::u8; }),
        comm([](CommOp& o) { o.collective = Collective::all_gather; }),
        comm([](CommOp& o) { o.group = GroupKind::world; }),
        comm([](CommOp& o) { o.metadata_bytes += 1; }),
        comm([](CommOp& o) { o.payload_bytes += 1; }),
        comm([](CommOp& o) { o.tokens += 1; }),
        op([](Op& o) { o.stream = Stream::comm; }),
        op([](Op& o) { o.phase = Phase::backward_weight; }),
        op([](Op& o) { o.context = 1; }),
        op([](Op& o) { o.layer = 5; }),
        op([](Op& o) { std::swap(o.inputs[0], o.inputs[1]); }),
        op([](Op& o) { o.outputs.push_back(o.outputs[0]); }),
        op([](Op& o) { o.body = CommOp{}; }),
    };
}

// One change for each field of programs, items and instances.
std::vector<Change> program_changes() {
    const auto item = [](auto change) {
        return Change([change](Content& c) { change(c.programs[0].items[1]); });
    };
    return {
        item([](Item& i) { i.kind = ItemKind::recv; }),
        item([](Item& i) { i.chunk = TemplateId(0); }),
        item([](Item& i) { i.peer = 0; }),
        item([](Item& i) { i.contexts[0].stage = 1; }),
        item([](Item& i) { i.contexts[0].direction = 1; }),
        item([](Item& i) { i.contexts[0].micro_batch = 1; }),
        item([](Item& i) { i.contexts[1].micro_batch = 1; }),
        [](Content& c) {
            c.programs[0].stages = {0, 1};
        },
        [](Content& c) { c.programs[0].items.pop_back(); },
        [](Content& c) { std::swap(c.programs[0], c.programs[1]); },
        [](Content& c) { c.instances.pipeline_parallel += 1; },
        [](Content& c) { c.instances.data_parallel += 1; },
        [](Content& c) { c.instances.expert_parallel += 1; },
    };
}

}  // namespace

TEST_CASE("graph: the hash changes with every field", "[model][graph]") {
    const ExecutionGraph graph = TwoStages().freeze();
    const Content base{graph.templates(), graph.programs(), graph.instances()};
    std::vector<Change> changes = template_changes();
    const std::vector<Change> more = program_changes();
    changes.insert(changes.end(), more.begin(), more.end());
    std::set<std::string> hashes = {graph.hash().hex()};
    for (const Change& change : changes) {
        Content content = base;
        change(content);
        hashes.insert(hash_of(content.templates, content.programs, content.instances).hex());
    }
    CHECK(hashes.size() == changes.size() + 1);
}

TEST_CASE("graph: equal templates are stored once", "[model][graph]") {
    const TwoStages parts;
    GraphBuilder builder({1, 1, 1});
    ChunkTemplate renamed = parts.forward[0];
    renamed.name = "other";
    const TemplateId first = builder.add(parts.forward[0]);
    CHECK(builder.add(renamed) == first);
    CHECK(builder.add(parts.forward[1]) != first);
}

TEST_CASE("graph: predecessors by hand", "[model][graph]") {
    // compute: a (makes x), b (reads x, makes y), d (reads z and x); comm: c (reads y, makes z),
    // e (reads nothing made here).
    ChunkBuilder builder("by hand");
    const auto t = [&](const char* name) { return builder.tensor(name, DType::bf16, {8, 8}); };
    const TensorId outside = t("outside");
    builder.compute(KernelId::residual_add, {8, 8}, {outside, outside}, {t("x")});
    builder.compute(KernelId::residual_add, {8, 8}, {t("x"), outside}, {t("y")});
    CommOp comm;
    comm.collective = Collective::combine;
    comm.group = GroupKind::expert_parallel;
    builder.set_stream(Stream::comm);
    builder.communicate(comm, {t("y")}, {t("z")});
    builder.set_stream(Stream::compute);
    builder.compute(KernelId::residual_add, {8, 8}, {t("z"), t("x")}, {t("w")});
    builder.set_stream(Stream::comm);
    builder.communicate(comm, {outside}, {t("v")});
    const ChunkTemplate chunk = std::move(builder).take();

    const auto ops = [](std::vector<std::size_t> list) {
        return std::vector<OpIndex>(list.begin(), list.end());
    };
    using List = std::vector<std::vector<OpIndex>>;
    CHECK(predecessors(chunk) == List{ops({}), ops({0}), ops({1}), ops({0, 1, 2}), ops({2})});
    CHECK(external_activations(chunk) == std::vector<TensorId>{outside});
    CHECK_FALSE(producers(chunk)[outside.index()].valid());
    CHECK(producers(chunk)[3] == OpIndex(2));
}
