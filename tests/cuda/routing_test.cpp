#include "kernels/permute.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/router_topk_backward.hpp"
#include "kernels/sequence_balance.hpp"
#include "kernels/unpermute.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct Routing {
    std::int64_t tokens;
    std::int64_t experts;
    std::int64_t chosen;
    std::int64_t groups;
    std::int64_t groups_chosen;
};

const std::vector<Routing> kRoutings = with_random<Routing>(
    {{0, 8, 2, 1, 1},
     {1, 1, 1, 1, 1},
     {7, 16, 4, 1, 1},
     {9, 16, 6, 4, 2},
     {6, 40, 8, 8, 4},
     {5, 256, 8, 8, 4},
     {2, 1024, 8, 1, 1},
     {3, 12, 12, 12, 12}},
    [](const auto& size) {
        const std::int64_t groups = size(8);
        const std::int64_t group = size(9);
        const std::int64_t kept = std::min(groups, size(4));
        return Routing{3 * size(4), groups * group, std::min(kept * group, size(8)), groups, kept};
    });

// Tokens that choose different experts each.
std::vector<std::int32_t> choices(const Routing& r) {
    std::vector<std::int32_t> chosen;
    const std::vector<std::int32_t> first = random_integers(r.tokens, r.experts, 5);
    for (std::int64_t t = 0; t < r.tokens; ++t) {
        for (std::int64_t i = 0; i < r.chosen; ++i) {
            chosen.push_back(
                static_cast<std::int32_t>((first[static_cast<std::size_t>(t)] + i) % r.experts));
        }
    }
    return chosen;
}

}  // namespace

TEST_CASE("cuda router_topk: the reference's experts and weights", "[cuda]") {
    for (const Routing& r : kRoutings) {
        for (const RouterScore score : {RouterScore::sigmoid, RouterScore::softmax}) {
            for (const bool biased : {false, true}) {
                INFO("experts " << r.experts << " groups " << r.groups);
                check_kernel(
                    [&](Place& on) {
                        RouterTopkArgs a;
                        a.tokens = r.tokens;
                        a.experts = r.experts;
                        a.experts_per_token = r.chosen;
                        a.groups = r.groups;
                        a.groups_per_token = r.groups_chosen;
                        a.score = score;
                        a.group_score =
                            biased ? RouterGroupScore::two_best : RouterGroupScore::best;
                        a.normalize = biased;
                        a.scaling_factor = 2.5F;
                        a.logits = on.data<float>(random(r.tokens, r.experts, DType::f32, 1, 4));
                        if (biased) {
                            a.bias = on.data<float>(random(1, r.experts, DType::f32, 2, 0.2));
                        }
                        a.indices = on.data<std::int32_t>(empty(r.tokens, r.chosen, DType::i32));
                        a.weights = on.data<float>(empty(r.tokens, r.chosen, DType::f32));
                        return a;
                    },
                    &reference::router_topk, &cuda::router_topk);
            }
        }
    }
}

TEST_CASE("cuda router_topk: ties go to the smaller index", "[cuda]") {
    check_kernel(
        [](Place& on) {
            RouterTopkArgs a;
            a.tokens = 3;
            a.experts = 70;
            a.experts_per_token = 5;
            a.groups = 7;
            a.groups_per_token = 3;
            a.logits = on.data<float>(zeros(3, 70, DType::f32));
            a.indices = on.data<std::int32_t>(empty(3, 5, DType::i32));
            a.weights = on.data<float>(empty(3, 5, DType::f32));
            return a;
        },
        &reference::router_topk, &cuda::router_topk);
}

TEST_CASE("cuda router_topk_backward: through weights and the balance of sequences", "[cuda]") {
    for (const Routing& r : kRoutings) {
        for (const std::int64_t length : {0, 1, 3}) {
            if (length > 0 && r.tokens % length != 0) {
                continue;
            }
            INFO("experts " << r.experts << " tokens " << r.tokens << " length " << length);
            check_kernel(
                [&](Place& on) {
                    RouterTopkBackwardArgs a;
                    a.tokens = r.tokens;
                    a.experts = r.experts;
                    a.experts_per_token = r.chosen;
                    a.score = length == 3 ? RouterScore::softmax : RouterScore::sigmoid;
                    a.normalize = length != 1;
                    a.scaling_factor = 2.5F;
                    a.logits = on.data<float>(random(r.tokens, r.experts, DType::f32, 1, 4));
                    a.indices = on.data<std::int32_t>(integers(choices(r)));
                    a.weights = on.data<float>(random(r.tokens, r.chosen, DType::f32, 2));
                    if (length != 3) {
                        a.d_weights = on.data<float>(random(r.tokens, r.chosen, DType::f32, 3));
                    }
                    a.sequence_length = length;
                    a.balance_alpha = length > 0 ? 0.1F : 0;
                    a.d_logits = on.data<float>(empty(r.tokens, r.experts, DType::f32));
                    return a;
                },
                &reference::router_topk_backward, &cuda::router_topk_backward,
                // Where all experts are chosen, the balance has no gradient.
                Tolerance{1e-5, 0, 0, 1e-12});
        }
    }
}

TEST_CASE("cuda sequence_balance: f, p and the loss of each sequence", "[cuda]") {
    for (const Routing& r : kRoutings) {
        for (const std::int64_t length : {1, 3}) {
            if (r.tokens % length != 0) {
                continue;
            }
            check_kernel(
                [&](Place& on) {
                    const std::int64_t sequences = r.tokens / length;
                    SequenceBalanceArgs a;
                    a.tokens = r.tokens;
                    a.experts = r.experts;
                    a.experts_per_token = r.chosen;
                    a.sequence_length = length;
                    a.score = length == 1 ? RouterScore::softmax : RouterScore::sigmoid;
                    a.alpha = 0.3F;
                    a.logits = on.data<float>(random(r.tokens, r.experts, DType::f32, 1, 4));
                    a.indices = on.data<std::int32_t>(integers(choices(r)));
                    a.f = on.data<float>(empty(sequences, r.experts, DType::f32));
                    a.p = on.data<float>(empty(sequences, r.experts, DType::f32));
                    a.loss = on.data<float>(empty(1, sequences, DType::f32));
                    return a;
                },
                &reference::sequence_balance, &cuda::sequence_balance);
        }
    }
}

namespace {

// [received, 2 * slots]: an expert, or one of another rank, then weights.
Operand routes(std::int64_t received, std::int64_t slots, std::int64_t experts) {
    Operand route = random(received, 2 * slots, DType::f32, 7);
    const std::vector<std::int32_t> wanted =
        random_integers(received * slots, std::max<std::int64_t>(2 * experts, 1), 8);
    for (std::int64_t t = 0; t < received; ++t) {
        for (std::int64_t slot = 0; slot < slots; ++slot) {
            const std::int32_t expert = wanted[static_cast<std::size_t>(t * slots + slot)];
            store(route.view(), t, slot, expert < experts ? static_cast<float>(expert) : -1.0F);
        }
    }
    return route;
}

std::int64_t rows_of_routes(const Operand& route, std::int64_t slots) {
    std::int64_t rows = 0;
    for (std::int64_t t = 0; t < route.rows; ++t) {
        for (std::int64_t slot = 0; slot < slots; ++slot) {
            rows += route.at(t, slot) >= 0 ? 1 : 0;
        }
    }
    return rows;
}

}  // namespace

TEST_CASE("cuda local_route: experts as numbers, then weights", "[cuda]") {
    for (const auto& [tokens, slots] :
         {std::pair<std::int64_t, std::int64_t>{0, 2}, {1, 8}, {700, 3}}) {
        INFO("tokens " << tokens << " slots " << slots);
        check_kernel(
            [&, tokens = tokens, slots = slots](Place& on) {
                LocalRouteArgs a;
                a.tokens = tokens;
                a.slots = slots;
                a.indices =
                    on.data<std::int32_t>(integers(random_integers(tokens * slots, 256, 1)));
                a.weights = on.data<float>(random(tokens, slots, DType::f32, 2));
                a.route = on.data<float>(empty(tokens, 2 * slots, DType::f32));
                return a;
            },
            &reference::local_route, &cuda::local_route);
    }
}

TEST_CASE("cuda permute: rows by expert in the order of the tokens", "[cuda]") {
    struct Case {
        std::int64_t received, slots, experts, row_bytes;
    };
    for (const Case& c : {Case{0, 2, 3, 8}, Case{1, 1, 1, 1}, Case{9, 4, 5, 6}, Case{40, 2, 3, 48},
                          Case{3000, 3, 6, 4}, Case{5, 2, 0, 4}}) {
        INFO("received " << c.received << " experts " << c.experts);
        const Operand route = routes(c.received, c.slots, c.experts);
        const std::int64_t rows = rows_of_routes(route, c.slots);
        const Operand map = integers(random_integers(rows, c.received, 3));
        const auto data = [&](Place& on) {
            return PermutedBytes{
                c.row_bytes, on.data<std::uint8_t>(random(c.received, c.row_bytes, DType::e4m3, 1)),
                on.data<std::uint8_t>(empty(rows, c.row_bytes, DType::e4m3))};
        };
        const auto scales = [&](Place& on) {
            return PermutedBytes{12, on.data<float>(random(c.received, 3, DType::f32, 2)),
                                 on.data<float>(empty(rows, 3, DType::f32))};
        };
        check_kernel(
            [&](Place& on) {
                PermuteArgs a;
                a.received = c.received;
                a.slots = c.slots;
                a.experts = c.experts;
                a.rows_max = rows;
                a.route = on.data<float>(route);
                a.data = data(on);
                if (c.slots > 1) {
                    a.scales = scales(on);
                }
                a.row_map = on.data<std::int32_t>(empty(1, rows, DType::i32));
                a.row_weights = on.data<float>(empty(1, rows, DType::f32));
                a.offsets = on.data<std::int32_t>(empty(1, c.experts + 1, DType::i32));
                return a;
            },
            &reference::permute, &cuda::permute);
        check_kernel(
            [&](Place& on) {
                return PermuteAgainArgs{rows, on.data<std::int32_t>(map), data(on), scales(on)};
            },
            &reference::permute_again, &cuda::permute_again);
    }
}

TEST_CASE("cuda unpermute: sums in the order of the rows, to the bit", "[cuda]") {
    struct Case {
        std::int64_t rows, received, width;
    };
    for (const Case& c :
         {Case{0, 0, 8}, Case{0, 3, 5}, Case{7, 1, 16}, Case{50, 9, 33}, Case{900, 1500, 8}}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("rows " << c.rows << " received " << c.received);
            check_kernel_with_workspace(
                [&](Place& on) {
                    UnpermuteArgs a;
                    a.rows = c.rows;
                    a.received = c.received;
                    a.width = c.width;
                    a.x = on.matrix(random(c.rows, c.width, type, 1));
                    a.row_map =
                        on.data<std::int32_t>(integers(random_integers(c.rows, c.received, 2)));
                    a.y = on.matrix(empty(c.received, c.width, type));
                    return a;
                },
                &reference::unpermute, &cuda::unpermute, &cuda::unpermute_workspace_bytes,
                Tolerance{0, 0, 0, 0});
        }
    }
}

}  // namespace r1
