// Whole training steps of small models: every schedule, variant, precision and recomputation.
#include "model/workload/train.hpp"

#include <string>
#include <vector>

#include "model/graph/graph_builder.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

using namespace r1;
using test::balanced;
using test::recompute_of;
using test::tiny_setup;
using test::variant;
using test::variants;

namespace {

void check_buildable(const TrainingSetup& setup) {
    const ExecutionGraph graph = build_training_graph(setup);
    CHECK(graph.ops() > 0);
    CHECK(graph.ops_stored() < graph.ops());
    const SymbolValues values = balanced(setup.sizes);
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (const ComputeOp* compute = op.compute()) {
                const Work& work = compute->work;
                const bool works = work.read_bytes.value(values) > 0 &&
                                   work.written_bytes.value(values) > 0 &&
                                   work.matrix_flops.value(values) >= 0;
                if (!works) {
                    FAIL(chunk.name << ": " << kind_name(op) << " does nothing");
                }
            } else if (op.comm()->payload_bytes.value(values) <= 0) {
                FAIL(chunk.name << ": " << kind_name(op) << " carries nothing");
            }
        }
    }
}

struct ScheduleCase {
    ScheduleKind kind;
    int ranks;
};

const std::vector<ScheduleCase>& schedules() {
    using K = ScheduleKind;
    static const std::vector<ScheduleCase> cases = {
        {K::one_f_one_b, 1}, {K::one_f_one_b, 2}, {K::one_f_one_b, 3}, {K::one_f_one_b, 4},
        {K::zb1p, 1},        {K::zb1p, 2},        {K::zb1p, 3},        {K::zb1p, 4},
        {K::interleaved, 1}, {K::interleaved, 2}, {K::interleaved, 3}, {K::interleaved, 4},
        {K::dualpipe, 2},    {K::dualpipe, 4},    {K::dualpipev, 1},   {K::dualpipev, 2},
        {K::dualpipev, 3},   {K::dualpipev, 4}};
    return cases;
}

}  // namespace

TEST_CASE("train: every schedule builds every variant", "[model][train][slow]") {
    for (const ScheduleCase& schedule : schedules()) {
        for (const std::string& model : variants()) {
            // A third stage brings nothing new to a variant, but for weights on two stages.
            if (schedule.ranks > 2 && model != variants().front() && model != "tied") {
                continue;
            }
            for (const int zero : {0, 1}) {
                if (zero == 0 && schedule.ranks != 2) {
                    continue;  // the optimizer knows nothing of schedules
                }
                INFO(name(schedule.kind)
                     << ", " << schedule.ranks << " ranks, " << model << ", ZeRO " << zero);
                TrainingSetup setup =
                    tiny_setup(schedule.kind, schedule.ranks, 4 * schedule.ranks, variant(model));
                REQUIRE(schedule_problem(setup.plan.schedule_options(setup.micro_batches)) ==
                        std::nullopt);
                setup.plan.zero_stage = zero;
                REQUIRE_NOTHROW(check_buildable(setup));
            }
        }
    }
}

TEST_CASE("train: every precision and recomputation builds", "[model][train]") {
    for (const ScheduleKind kind : {ScheduleKind::dualpipe, ScheduleKind::zb1p}) {
        for (const std::string& model : variants()) {
            // All of them once; other models and the split backward on a diagonal.
            const bool all = kind == ScheduleKind::dualpipe && model == variants().front();
            for (int bits = 0; bits < 32; bits += all ? 1 : 7) {
                INFO(name(kind) << ", " << model << ", " << bits);
                TrainingSetup setup = tiny_setup(kind, 2, 4, variant(model));
                setup.sizes.recompute = recompute_of(bits);
                setup.sizes.precision.gemm = (bits & 8) != 0 ? DType::bf16 : DType::e4m3;
                setup.sizes.precision.dispatch = (bits & 16) != 0 ? DType::bf16 : DType::e4m3;
                REQUIRE_NOTHROW(check_buildable(setup));
            }
        }
    }
}

TEST_CASE("train: the first and the last stage may be without layers", "[model][train]") {
    for (const ScheduleKind kind :
         {ScheduleKind::one_f_one_b, ScheduleKind::zb1p, ScheduleKind::dualpipe}) {
        INFO(name(kind));
        TrainingSetup setup = tiny_setup(kind, 4, 8);
        setup.stage_layers = {0, 4, 3, 0};
        REQUIRE_NOTHROW(check_buildable(setup));
        setup.stage_layers = {4, 0, 3, 0};  // nothing to do between
        CHECK_THROWS_AS(build_training_graph(setup), GraphError);
    }
}

TEST_CASE("train: forward graphs hold forward chunks only", "[model][train]") {
    const ExecutionGraph graph = build_forward_graph(tiny_setup(ScheduleKind::one_f_one_b, 3, 5));
    for (const RankProgram& program : graph.programs()) {
        for (const Item& item : program.items) {
            CHECK((item.kind == ItemKind::forward || item.kind == ItemKind::send ||
                   item.kind == ItemKind::recv));
        }
    }
    CHECK(graph.programs()[1].items.size() == 3 * 5);
}

TEST_CASE("train: BF16 names no FP8 kernel", "[model][train]") {
    TrainingSetup setup = tiny_setup(ScheduleKind::dualpipe, 2, 4);
    setup.sizes.precision = {DType::bf16, DType::bf16, DType::bf16};
    const ExecutionGraph graph = build_training_graph(setup);
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            const std::string kind(kind_name(op));
            // The optimizer's cast also makes BF16 weights.
            CHECK((kind == "quantize_weight_fp8" || kind.find("fp8") == std::string::npos));
        }
        for (const Tensor& tensor : chunk.tensors) {
            CHECK(tensor.dtype != DType::e4m3);
        }
    }
}
