// Lifetimes solved by hand.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/graph/chunk_builder.hpp"
#include "model/graph/graph_builder.hpp"
#include "model/memory/memory_plan.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// A chunk of ops that read and make tensors of so many bytes, whatever a kernel makes of them.
class TestChunk {
public:
    explicit TestChunk(int contexts = 1) : builder_("test", contexts) {}

    ChunkBuilder& builder() { return builder_; }
    TensorId tensor(const std::string& name, int size, TensorRole role = TensorRole::activation) {
        return builder_.tensor(name, DType::u8, {size}, role);
    }
    // At most two inputs and five outputs: "permute" takes that many.
    void op(std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
        const TensorId tokens = tensor("tokens", 1 << 20, TensorRole::input);
        inputs.insert(inputs.begin(), tokens);
        if (inputs.size() < 2) {
            inputs.push_back(tokens);
        }
        builder_.compute(KernelId::permute, {1, 1}, std::move(inputs), std::move(outputs));
    }
    ChunkTemplate take() { return std::move(builder_).take(); }

private:
    ChunkBuilder builder_;
};

Item item(ItemKind kind, TemplateId chunk, Context first, Context second = {}) {
    Item result;
    result.kind = kind;
    result.chunk = chunk;
    result.contexts = {first, second};
    return result;
}
Context micro_batch(int number, int stage = 0) { return {stage, 0, number}; }

ExecutionGraph one_program(GraphBuilder& builder, std::vector<Item> items,
                           std::vector<std::int32_t> stages = {0}) {
    RankProgram program;
    program.stages = std::move(stages);
    program.items = std::move(items);
    builder.add(std::move(program));
    return builder.freeze();
}

RankMemory plan_one(GraphBuilder& builder, std::vector<Item> items) {
    return plan_memory(one_program(builder, std::move(items)), {}).programs.front();
}

void check_peak(const RankMemory& memory, double bytes, std::size_t peak_item, int micro_batches) {
    CHECK(memory.activations_peak == Bytes(bytes));
    CHECK(memory.peak_item == ItemIndex(peak_item));
    CHECK(memory.micro_batches_at_peak == micro_batches);
}

TEST_CASE("memory: buffers are reused within a chunk", "[model][memory]") {
    // op 0 makes a: 100. op 1 reads a, makes b: 110, then a goes. op 2 reads b, makes c: 11.
    TestChunk chunk;
    const TensorId a = chunk.tensor("a", 100);
    const TensorId b = chunk.tensor("b", 10);
    chunk.op({}, {a});
    chunk.op({a}, {b});
    chunk.op({b}, {chunk.tensor("c", 1)});
    GraphBuilder builder({1, 1, 1});
    const TemplateId f = builder.add(chunk.take());
    const RankMemory memory = plan_one(builder, {item(ItemKind::forward, f, micro_batch(0)),
                                                 item(ItemKind::forward, f, micro_batch(1))});
    check_peak(memory, 110, 0, 1);
    CHECK(memory.total() == Bytes(110));
}

TEST_CASE("memory: what nothing reads goes with its producer", "[model][memory]") {
    // op 0 makes a and unread: 1100, then 100. op 1: 110. Were unread kept, it would be 1110.
    TestChunk chunk;
    const TensorId a = chunk.tensor("a", 100);
    chunk.op({}, {a, chunk.tensor("unread", 1000)});
    chunk.op({a}, {chunk.tensor("b", 10)});
    GraphBuilder builder({1, 1, 1});
    const TemplateId f = builder.add(chunk.take());
    check_peak(plan_one(builder, {item(ItemKind::forward, f, micro_batch(0))}), 1100, 0, 1);
}

// F makes s and t. B reads t, makes g. W reads s and g.
struct SplitBackward {
    GraphBuilder builder{Instances{1, 1, 1}};
    TemplateId f, b, w;

    SplitBackward() {
        TestChunk forward;
        forward.op({}, {forward.tensor("s", 100), forward.tensor("t", 50)});
        f = builder.add(forward.take());
        TestChunk input;
        input.op({input.tensor("t", 50)}, {input.tensor("g", 30)});
        b = builder.add(input.take());
        TestChunk weight;
        weight.op({weight.tensor("s", 100), weight.tensor("g", 30)},
                  {weight.tensor("w.grad", 4000, TensorRole::gradient)});
        w = builder.add(weight.take());
    }
    // "F0 B0 W0" and so on.
    RankMemory plan(const std::string& order) {
        std::vector<Item> items;
        for (std::size_t i = 0; i + 1 < order.size(); i += 3) {
            const char kind = order[i];
            const Context context = micro_batch(order[i + 1] - '0');
            items.push_back(kind == 'F'   ? item(ItemKind::forward, f, context)
                            : kind == 'B' ? item(ItemKind::backward_input, b, context)
                                          : item(ItemKind::backward_weight, w, context));
        }
        return plan_one(builder, std::move(items));
    }
};

TEST_CASE("memory: what B and W read is kept for them", "[model][memory]") {
    SECTION("one after the other") {  // F 150; B 180, then 130; W frees all
        check_peak(SplitBackward().plan("F0 B0 W0 F1 B1 W1"), 180, 1, 1);
    }
    SECTION("weights last") {  // 150; 180, 130; 280; 310, 260; 130; 0
        check_peak(SplitBackward().plan("F0 B0 F1 B1 W0 W1"), 310, 3, 2);
    }
    SECTION("forwards first") {  // 150; 300; 330, 280; 310, 260; 130; 0
        check_peak(SplitBackward().plan("F0 F1 B0 B1 W0 W1"), 330, 2, 2);
    }
    SECTION("a gradient is accumulated in one buffer") {
        CHECK(SplitBackward().plan("F0 F1 B0 B1 W0 W1").gradients == Bytes(4000));
    }
}

TEST_CASE("memory: what is computed again lives twice", "[model][memory]") {
    const bool again = GENERATE(true, false);
    TestChunk forward;
    const TensorId r = forward.tensor("r", 100);
    forward.op({}, {r, forward.tensor("k", 1)});
    forward.op({r}, {forward.tensor("out", 10)});
    TestChunk backward;
    const TensorId r_again = backward.tensor("r", 100);
    if (again) {
        backward.op({backward.tensor("k", 1)}, {r_again});
    }
    backward.op({r_again}, {backward.tensor("g", 2)});
    GraphBuilder builder({1, 1, 1});
    const TemplateId f = builder.add(forward.take());
    const TemplateId b = builder.add(backward.take());
    const RankMemory memory = plan_one(
        builder,
        {item(ItemKind::forward, f, micro_batch(0)), item(ItemKind::forward, f, micro_batch(1)),
         item(ItemKind::backward, b, micro_batch(0)), item(ItemKind::backward, b, micro_batch(1))});
    if (again) {
        // F0: 101, 111, then k: 1. F1: 102, 112, then 2. B0: 102, 101, 103, then 1. B1: 101, 102.
        check_peak(memory, 112, 1, 2);
    } else {
        // k goes at once. F0: 101, 100, 110, then r: 100. F1: 201, 200, 210. B0: 202. B1: 102.
        check_peak(memory, 210, 1, 2);
    }
}

TEST_CASE("memory: an overlapped chunk holds two micro-batches", "[model][memory]") {
    const bool forward_first = GENERATE(true, false);
    const auto forward = [](TestChunk& chunk) { chunk.op({}, {chunk.tensor("s", 100)}); };
    const auto backward = [](TestChunk& chunk) {
        chunk.op({chunk.tensor("s", 100)}, {chunk.tensor("g", 30)});
    };
    TestChunk f, b, both(2);
    forward(f);
    backward(b);
    for (const bool is_forward : {forward_first, !forward_first}) {
        both.builder().set_context(is_forward ? 0 : 1);
        if (is_forward) {
            forward(both);
        } else {
            backward(both);
        }
    }
    GraphBuilder builder({1, 1, 1});
    const TemplateId f_id = builder.add(f.take());
    const TemplateId fb_id = builder.add(both.take());
    const TemplateId b_id = builder.add(b.take());
    const RankMemory memory =
        plan_one(builder, {item(ItemKind::forward, f_id, micro_batch(0)),
                           item(ItemKind::overlapped, fb_id, micro_batch(1), micro_batch(0)),
                           item(ItemKind::backward, b_id, micro_batch(1))});
    if (forward_first) {  // 100; 200, 230, then 100; 130
        check_peak(memory, 230, 1, 2);
    } else {  // 100; 130, then 0, 100; 130 again
        check_peak(memory, 130, 1, 1);
    }
}

TEST_CASE("memory: state counts once a stage, the model's own once a rank", "[model][memory]") {
    TestChunk ends;
    ends.op({ends.tensor("model.embed_tokens.weight", 1000, TensorRole::parameter)},
            {ends.tensor("model.embed_tokens.weight.grad", 4000, TensorRole::gradient)});
    ends.op({ends.tensor("layers.0.w", 10, TensorRole::parameter)},
            {ends.tensor("layers.0.w.grad", 40, TensorRole::gradient)});
    TestChunk last;
    last.op({last.tensor("lm_head.weight", 500, TensorRole::parameter),
             last.tensor("mtp.w", 3, TensorRole::parameter)},
            {last.tensor("layers.0.w.grad", 40, TensorRole::gradient)});
    TestChunk update;
    update.op({update.tensor("optimizer.master", 7, TensorRole::optimizer_state)},
              {update.tensor("optimizer.master", 7, TensorRole::optimizer_state),
               update.tensor("layers.0.w", 10, TensorRole::parameter)});
    GraphBuilder builder({1, 1, 1});
    const TemplateId e = builder.add(ends.take());
    const TemplateId l = builder.add(last.take());
    const TemplateId u = builder.add(update.take());
    std::vector<Item> items;
    for (int number = 0; number < 3; ++number) {
        items.push_back(item(ItemKind::forward, e, micro_batch(number, 0)));
        items.push_back(item(ItemKind::forward, e, micro_batch(number, 1)));
        items.push_back(item(ItemKind::forward, l, micro_batch(number, 1)));
    }
    items.push_back(item(ItemKind::optimizer, u, micro_batch(-1, 0)));
    items.push_back(item(ItemKind::optimizer, u, micro_batch(-1, 1)));
    const MemoryPlan plan =
        plan_memory(one_program(builder, std::move(items), {0, 1}), SymbolValues{});
    const RankMemory& memory = plan.programs.front();
    CHECK(memory.weights == Bytes(1000 + 2 * 10 + 500 + 3));
    CHECK(memory.gradients == Bytes(4000 + 2 * 40));
    CHECK(memory.optimizer == Bytes(2 * 7));
    CHECK(memory.activations_peak == Bytes(0));
    CHECK_FALSE(memory.peak_item.valid());
    CHECK(memory.total() == Bytes(1523 + 4080 + 14));
}

TEST_CASE("memory: a message takes its buffer where it is received", "[model][memory]") {
    const bool early = GENERATE(true, false);
    CommOp comm;
    comm.group = GroupKind::pipeline;
    comm.payload_bytes = 100;
    TestChunk first, second, sending, receiving;
    first.op({}, {first.tensor("out", 100)});
    second.op({second.tensor("in", 100)}, {second.tensor("result", 10)});
    comm.collective = Collective::send;
    sending.builder().communicate(comm, {sending.tensor("out", 100)}, {});
    comm.collective = Collective::recv;
    receiving.builder().communicate(comm, {}, {receiving.tensor("in", 100)});
    GraphBuilder builder({2, 1, 1});
    const TemplateId f0 = builder.add(first.take());
    const TemplateId f1 = builder.add(second.take());
    const TemplateId send = builder.add(sending.take());
    const TemplateId recv = builder.add(receiving.take());
    RankProgram programs[2];
    programs[0].stages = {0};
    programs[1].stages = {1};
    std::vector<Item> receives, chunks;
    for (const int number : {0, 1}) {
        programs[0].items.push_back(item(ItemKind::forward, f0, micro_batch(number)));
        programs[0].items.push_back(item(ItemKind::send, send, micro_batch(number)));
        programs[0].items.back().peer = 1;
        receives.push_back(item(ItemKind::recv, recv, micro_batch(number, 1)));
        receives.back().peer = 0;
        chunks.push_back(item(ItemKind::forward, f1, micro_batch(number, 1)));
    }
    programs[1].items = early ? std::vector<Item>{receives[0], receives[1], chunks[0], chunks[1]}
                              : std::vector<Item>{receives[0], chunks[0], receives[1], chunks[1]};
    builder.add(programs[0]);
    builder.add(programs[1]);
    const MemoryPlan plan = plan_memory(builder.freeze(), {});
    check_peak(plan.programs[0], 100, 0, 1);
    if (early) {  // 100; 200; 210, then 100; 110
        check_peak(plan.programs[1], 210, 2, 2);
    } else {  // 100; 110, then 0; the same again
        check_peak(plan.programs[1], 110, 1, 1);
    }
}

TEST_CASE("memory: symbols take their values, buffers are whole bytes", "[model][memory]") {
    TestChunk chunk;
    ChunkBuilder& builder = chunk.builder();
    chunk.op({}, {builder.tensor("rows", DType::bf16, {Symbol::routed_rows, 3}),
                  builder.tensor("stored", DType::e5m6, {5})});  // 12 bits: 7.5, so 8 bytes
    GraphBuilder graph({1, 1, 1});
    const TemplateId f = graph.add(chunk.take());
    const ExecutionGraph frozen = one_program(graph, {item(ItemKind::forward, f, micro_batch(0))});
    CHECK(plan_memory(frozen, {10, 0}).programs[0].activations_peak == Bytes(60 + 8));
    CHECK(plan_memory(frozen, {10.1, 0}).programs[0].activations_peak == Bytes(61 + 8));
}

}  // namespace
}  // namespace r1
