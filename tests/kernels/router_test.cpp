#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernels/permute.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/unpermute.hpp"
#include "tests/kernels/buffers.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/safetensors.hpp"

namespace r1 {
namespace {

using test::Buffer;
using test::Workspace;

using RouterKernel = void (*)(const RouterTopkArgs&);

struct Choice {
    std::vector<std::int32_t> indices;
    std::vector<float> weights;
};

Choice route(RouterTopkArgs args, RouterKernel kernel) {
    Choice choice;
    const auto count = static_cast<std::size_t>(args.tokens * args.experts_per_token);
    choice.indices.resize(count);
    choice.weights.resize(count);
    args.indices = choice.indices.data();
    args.weights = choice.weights.data();
    kernel(args);
    return choice;
}

// Groups of tensors "<group>.logits" with their bias, parameters and choices.
void check_golden_gate(const test::SafeTensors& file, const std::string& group) {
    INFO(group);
    const std::vector<float> logits = file.as_f32(group + ".logits");
    const std::vector<float> bias = file.as_f32(group + ".bias");
    const std::vector<float> params = file.as_f32(group + ".params");
    const std::vector<float> weights = file.as_f32(group + ".weights");
    REQUIRE(params.size() == 5);  // experts, groups, groups per token, experts per token, scale
    RouterTopkArgs args;
    args.experts = std::lround(params[0]);
    args.groups = std::lround(params[1]);
    args.groups_per_token = std::lround(params[2]);
    args.experts_per_token = std::lround(params[3]);
    args.scaling_factor = params[4];
    args.tokens = file.at(group + ".logits").shape[0];
    args.logits = logits.data();
    args.bias = bias.data();
    for (const RouterKernel kernel : {&reference::router_topk, &cpu::router_topk}) {
        const Choice choice = route(args, kernel);
        CHECK(choice.indices == file.as_i32(group + ".indices"));
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const double allowed = 1e-6 + 1e-5 * std::abs(static_cast<double>(weights[i]));
            CHECK(std::abs(static_cast<double>(choice.weights[i]) - weights[i]) <= allowed);
        }
    }
}

}  // namespace

TEST_CASE("router_topk: the golden gate cases", "[kernels][router][golden]") {
    for (const auto& path : test::golden_cases("gate")) {
        INFO(path.filename().string());
        const test::SafeTensors file(path);
        for (const auto& [name, tensor] : file.tensors()) {
            const std::size_t dot = name.rfind('.');
            if (dot != std::string::npos && name.substr(dot) == ".logits") {
                check_golden_gate(file, name.substr(0, dot));
            }
        }
    }
}

TEST_CASE("router_topk: ties go to the smaller index", "[kernels][router]") {
    const std::vector<float> logits(8, 0.5F);
    RouterTopkArgs args;
    args.tokens = 1;
    args.experts = 8;
    args.experts_per_token = 3;
    args.groups = 4;
    args.groups_per_token = 2;
    args.logits = logits.data();
    for (const RouterKernel kernel : {&reference::router_topk, &cpu::router_topk}) {
        const Choice choice = route(args, kernel);
        CHECK(choice.indices == std::vector<std::int32_t>{0, 1, 2});
        CHECK(choice.weights[0] == Approx(1.0 / 3));
    }
}

TEST_CASE("router_topk: cpu agrees with the reference to the bit", "[kernels][router]") {
    for (const std::int64_t tokens : {0, 1, 50}) {
        Buffer logits = Buffer::random(tokens, 48, DType::f32, 1);
        Buffer bias = Buffer::random(1, 48, DType::f32, 2);
        for (int variant = 0; variant < 16; ++variant) {
            RouterTopkArgs args;
            args.tokens = tokens;
            args.experts = 48;
            args.experts_per_token = 6;
            args.groups = (variant & 1) != 0 ? 8 : 1;
            args.groups_per_token = (variant & 1) != 0 ? 3 : 1;
            args.score = (variant & 2) != 0 ? RouterScore::softmax : RouterScore::sigmoid;
            args.group_score =
                (variant & 4) != 0 ? RouterGroupScore::best : RouterGroupScore::two_best;
            args.normalize = (variant & 8) != 0;
            args.scaling_factor = 2.5F;
            args.logits = static_cast<const float*>(logits.view().data);
            args.bias = (variant & 4) != 0 ? nullptr : static_cast<const float*>(bias.view().data);
            const Choice want = route(args, reference::router_topk);
            const Choice got = route(args, cpu::router_topk);
            CHECK(want.indices == got.indices);
            CHECK(want.weights == got.weights);
        }
    }
}

TEST_CASE("permute: the route of local tokens, by hand", "[kernels][permute]") {
    const std::vector<std::int32_t> indices = {1, 0, 6, 2};
    const std::vector<float> weights = {0.25F, 0.75F, 0.5F, 1};
    for (const bool fast : {false, true}) {
        std::vector<float> route(8);
        const LocalRouteArgs args{2, 2, indices.data(), weights.data(), route.data()};
        fast ? cpu::local_route(args) : reference::local_route(args);
        CHECK(route == std::vector<float>{1, 0, 0.25F, 0.75F, 6, 2, 0.5F, 1});
    }
}

TEST_CASE("permute: rows by expert, by hand", "[kernels][permute]") {
    // Tokens 0, 1, 2 want experts {1, 0}, {1} and none of this rank's.
    const std::vector<float> route = {1, 0, 0.25F, 0.75F, -1, 1, 9, 0.5F, -1, -1, 9, 9};
    std::vector<float> x = {10, 11, 20, 21, 30, 31};
    for (const bool fast : {false, true}) {
        std::vector<float> y(6);
        std::vector<std::int32_t> row_map(3);
        std::vector<std::int32_t> offsets(3);
        std::vector<float> row_weights(3);
        const PermuteArgs args{3,
                               2,
                               2,
                               3,
                               route.data(),
                               {8, x.data(), y.data()},
                               {},
                               row_map.data(),
                               row_weights.data(),
                               offsets.data()};
        fast ? cpu::permute(args) : reference::permute(args);
        CHECK(offsets == std::vector<std::int32_t>{0, 1, 3});
        CHECK(row_map == std::vector<std::int32_t>{0, 0, 1});
        CHECK(row_weights == std::vector<float>{0.75F, 0.25F, 0.5F});
        CHECK(y == std::vector<float>{10, 11, 10, 11, 20, 21});
        PermuteArgs small = args;
        small.rows_max = 2;
        CHECK_THROWS_AS(fast ? cpu::permute(small) : reference::permute(small), InternalError);
    }
}

TEST_CASE("permute: cpu agrees with the reference, and unpermute sums back", "[kernels][permute]") {
    for (const std::int64_t received : {0, 1, 60}) {
        const std::int64_t slots = 4;
        const std::int64_t experts = 9;
        const std::int64_t width = 1300;
        std::vector<float> route(static_cast<std::size_t>(received * 2 * slots));
        const Rng rng(5);
        for (std::int64_t t = 0; t < received; ++t) {
            for (std::int64_t slot = 0; slot < slots; ++slot) {
                const auto at = static_cast<std::size_t>(t * 2 * slots + slot);
                // Every fourth is another rank's; experts of a token are different ones.
                const auto draw = std::floor(rng.uniform(at) * 2) + 2 * static_cast<double>(slot);
                route[at] = rng.uniform(at + 100000) < 0.25 ? -1.0F : static_cast<float>(draw);
                route[at + slots] = static_cast<float>(rng.uniform(at + 200000));
            }
        }
        const std::int64_t rows_max = received * slots;
        Buffer x = Buffer::random(received, width, DType::bf16, 6);
        Buffer scales = Buffer::random(received, tiles(width), DType::f32, 7);
        struct Result {
            Buffer y, scales;
            std::vector<std::int32_t> row_map, offsets;
            std::vector<float> weights;
        };
        std::vector<Result> results;
        for (const bool fast : {false, true}) {
            Result r{Buffer(rows_max, width, DType::bf16),
                     Buffer(rows_max, tiles(width), DType::f32),
                     std::vector<std::int32_t>(static_cast<std::size_t>(rows_max), -1),
                     std::vector<std::int32_t>(experts + 1),
                     std::vector<float>(static_cast<std::size_t>(rows_max))};
            const PermuteArgs args{received,
                                   slots,
                                   experts,
                                   rows_max,
                                   route.data(),
                                   {2 * width, x.codes(), r.y.codes()},
                                   {4 * tiles(width), scales.codes(), r.scales.codes()},
                                   r.row_map.data(),
                                   r.weights.data(),
                                   r.offsets.data()};
            fast ? cpu::permute(args) : reference::permute(args);
            results.push_back(std::move(r));
        }
        CHECK(results[0].offsets == results[1].offsets);
        CHECK(results[0].row_map == results[1].row_map);
        CHECK(results[0].weights == results[1].weights);
        CHECK(results[0].y.bytes() == results[1].y.bytes());
        CHECK(results[0].scales.bytes() == results[1].scales.bytes());

        for (const DType type : {DType::f32, DType::bf16}) {
            Buffer want(received, width, type);
            Buffer got(received, width, type);
            UnpermuteArgs args{results[0].offsets.back(), received,    width, results[0].y.view(),
                               results[0].row_map.data(), want.view(), {}};
            reference::unpermute(args);
            Workspace workspace(cpu::unpermute_workspace_bytes(args));
            args.workspace = workspace.span();
            args.y = got.view();
            cpu::unpermute(args);
            CHECK(want.bytes() == got.bytes());
        }
    }
}

}  // namespace r1
