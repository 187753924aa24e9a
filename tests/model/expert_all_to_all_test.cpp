// The graph of one dispatch and one combine: bytes of DeepEP's tests.
#include "model/workload/expert_all_to_all.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

using namespace r1;

TEST_CASE("expert all-to-all: a dispatch and a combine, of the wire's bytes", "[model][workload]") {
    TrainingSetup setup = test::tiny_setup(ScheduleKind::one_f_one_b, 1, 8, test::variant("R1"));
    setup.plan.data_parallel = 8;
    setup.plan.expert_parallel = 4;
    setup.sizes.config.hidden_size = 7168;
    for (const ExpertKernels kernels : {ExpertKernels::normal, ExpertKernels::low_latency}) {
        const bool direct = kernels == ExpertKernels::low_latency;
        INFO("low latency: " << direct);
        for (const DType dispatch : {DType::e4m3, DType::bf16}) {
            setup.sizes.precision.dispatch = dispatch;
            const ExecutionGraph graph = build_expert_all_to_all_graph(setup, kernels);
            REQUIRE(graph.instances() == Instances{1, 8, 4});
            REQUIRE(graph.templates().size() == 1);
            const std::vector<Op>& ops = graph.templates().front().ops;
            REQUIRE(ops.size() == 2);
            for (const Op& op : ops) {
                REQUIRE(op.comm() != nullptr);
                CHECK(op.comm()->group == GroupKind::expert_parallel);
                CHECK(op.comm()->tokens == setup.sizes.tokens());
                CHECK(low_latency(op.comm()->collective) == direct);
            }
            const double token = dispatch == DType::e4m3 ? 7168 + 4 * 56 : 2 * 7168;
            CHECK(ops[0].comm()->payload_bytes.constant == token + (direct ? 16 : 0));
            CHECK(ops[1].comm()->payload_bytes.constant == 2 * 7168);
        }
    }
}
