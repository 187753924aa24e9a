#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct ProductShape {
    std::int64_t m, n, k;
};

// The tensor cores add products of FP8 with some 14 bits (arXiv 2412.19437, sec. 3.3.2).
const Tolerance kFp8InTensorCores{1e-3, 1e-2, 0, 0};

// Empty sides, less and more than a tile, sizes that cuBLASLt takes (the fourth and the last), more
// of k than a block of Hopper's kernel holds at a time, with few columns and with many.
const std::vector<ProductShape> kProducts =
    with_random<ProductShape>({{0, 5, 8},
                               {3, 4, 0},
                               {1, 1, 1},
                               {4, 32, 48},
                               {65, 70, 37},
                               {20, 9, 131},
                               {7, 130, 256},
                               {132, 144, 144},
                               {70, 100, 1168},
                               {196, 272, 1040}},
                              [](const auto& size) {
                                  return ProductShape{size(100), size(100), size(200)};
                              });

struct Groups {
    std::vector<std::int32_t> offsets;
    std::int64_t n, k;
    [[nodiscard]] auto experts() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
    [[nodiscard]] std::int64_t rows() const { return offsets.back(); }
};

// Experts without rows, with one, with more than a tile, beginning inside a tile of 128. The last
// two are for Hopper's kernel: more of k than a block holds at a time, more tiles than blocks.
const std::vector<Groups> kGroups = {{{0, 0}, 8, 8},
                                     {{0, 0}, 24, 48},
                                     {{0, 3, 3, 4, 20}, 24, 40},
                                     {{0, 70, 130, 140, 270}, 17, 130},
                                     {{0, 130, 131}, 136, 33},
                                     {{0, 3, 3, 67, 200}, 40, 1040},
                                     {{0, 129, 130, 400}, 268, 272}};

// x and W may be of two types; y is F32 or BF16.
struct Types {
    DType x, w, y;
};
const std::vector<Types> kTypes3 = {{DType::bf16, DType::bf16, DType::bf16},
                                    {DType::bf16, DType::bf16, DType::f32},
                                    {DType::f32, DType::f32, DType::f32},
                                    {DType::bf16, DType::f32, DType::f32}};

}  // namespace

TEST_CASE("cuda gemm_bf16: any sizes and types, by the library and by our kernel", "[cuda]") {
    for (const ProductShape& s : kProducts) {
        for (const Types& types : kTypes3) {
            for (const bool transposed : {false, true}) {
                const bool accumulate = types.y == DType::f32 && transposed;
                INFO("m " << s.m << " n " << s.n << " k " << s.k << " " << name(types.x) << " x "
                          << name(types.w) << " transposed " << transposed);
                for (const bool at_best : {true, false}) {
                    check_kernel_with_workspace(
                        [&](Place& on) {
                            GemmBf16Args a;
                            a.m = s.m;
                            a.n = s.n;
                            a.k = s.k;
                            a.x = on.matrix(random(s.m, s.k, types.x, 1, 1, s.k + 3));
                            a.w = on.matrix(transposed ? random(s.k, s.n, types.w, 2)
                                                       : random(s.n, s.k, types.w, 2));
                            a.y = on.matrix(random(s.m, s.n, types.y, 3, 1, s.n + 1));
                            a.w_transposed = transposed;
                            a.accumulate = accumulate;
                            return a;
                        },
                        &reference::gemm_bf16, &cuda::gemm_bf16, &cuda::gemm_bf16_workspace_bytes,
                        {}, at_best);
                }
            }
        }
    }
}

TEST_CASE("cuda gemm_bf16_wgrad: added to the gradient", "[cuda]") {
    for (const ProductShape& s : kProducts) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("m " << s.m << " n " << s.n << " k " << s.k);
            for (const bool at_best : {true, false}) {
                check_kernel_with_workspace(
                    [&](Place& on) {
                        GemmBf16WgradArgs a;
                        a.m = s.m;
                        a.n = s.n;
                        a.k = s.k;
                        a.grad = on.matrix(random(s.k, s.m, type, 1));
                        a.x = on.matrix(random(s.k, s.n, type, 2));
                        a.y = on.data<float>(random(s.m, s.n, DType::f32, 3));
                        return a;
                    },
                    &reference::gemm_bf16_wgrad, &cuda::gemm_bf16_wgrad,
                    &cuda::gemm_bf16_wgrad_workspace_bytes, {}, at_best);
            }
        }
    }
}

TEST_CASE("cuda gemm_fp8: block scales in both orientations", "[cuda]") {
    for (const ProductShape& s : kProducts) {
        for (const bool transposed : {false, true}) {
            INFO("m " << s.m << " n " << s.n << " k " << s.k << " transposed " << transposed);
            for (const bool at_best : {true, false}) {
                check_kernel_with_workspace(
                    [&](Place& on) {
                        GemmFp8Args a;
                        a.m = s.m;
                        a.n = s.n;
                        a.k = s.k;
                        a.x = on.data<std::uint8_t>(random_codes(s.m, s.k, 1));
                        a.x_scales = on.data<float>(random_scales(s.m, tiles(s.k), 2));
                        a.w = on.data<std::uint8_t>(random_codes(s.n, s.k, 3));
                        a.w_scales = on.data<float>(random_scales(tiles(s.n), tiles(s.k), 4));
                        a.y = on.matrix(
                            empty(s.m, s.n, transposed ? DType::f32 : DType::bf16, s.n + 2));
                        a.w_transposed = transposed;
                        return a;
                    },
                    &reference::gemm_fp8, &cuda::gemm_fp8, &cuda::gemm_fp8_workspace_bytes,
                    at_best ? kFp8InTensorCores : Tolerance{}, at_best,
                    at_best && s.k > 1000 ? kOrdersOfWaits : kOrders);
            }
        }
    }
}

TEST_CASE("cuda gemm_fp8_wgrad: tiles along the tokens on both sides", "[cuda]") {
    for (const ProductShape& s : kProducts) {
        INFO("m " << s.m << " n " << s.n << " k " << s.k);
        for (const bool at_best : {true, false}) {
            check_kernel_with_workspace(
                [&](Place& on) {
                    GemmFp8WgradArgs a;
                    a.m = s.m;
                    a.n = s.n;
                    a.k = s.k;
                    a.grad = on.data<std::uint8_t>(random_codes(s.m, s.k, 1));
                    a.grad_scales = on.data<float>(random_scales(s.m, tiles(s.k), 2));
                    a.x = on.data<std::uint8_t>(random_codes(s.n, s.k, 3));
                    a.x_scales = on.data<float>(random_scales(s.n, tiles(s.k), 4));
                    a.y = on.data<float>(random(s.m, s.n, DType::f32, 5));
                    return a;
                },
                &reference::gemm_fp8_wgrad, &cuda::gemm_fp8_wgrad,
                &cuda::gemm_fp8_wgrad_workspace_bytes, at_best ? kFp8InTensorCores : Tolerance{},
                at_best);
        }
    }
}

TEST_CASE("cuda grouped_gemm_bf16: each expert's rows by its weights, and the gradient", "[cuda]") {
    for (const Groups& g : kGroups) {
        for (const DType type : {DType::f32, DType::bf16}) {
            for (const bool transposed : {false, true}) {
                INFO("experts " << g.experts() << " rows " << g.rows() << " n " << g.n << " k "
                                << g.k << " transposed " << transposed);
                check_kernel_with_workspace(
                    [&](Place& on) {
                        GroupedGemmBf16Args a;
                        a.experts = g.experts();
                        a.n = g.n;
                        a.k = g.k;
                        a.offsets = on.data<std::int32_t>(integers(g.offsets));
                        a.x = on.matrix(random(g.rows(), g.k, type, 1));
                        a.w = on.matrix(transposed ? random(g.experts() * g.k, g.n, type, 2)
                                                   : random(g.experts() * g.n, g.k, type, 2));
                        a.y = on.matrix(empty(g.rows(), g.n, type));
                        a.w_transposed = transposed;
                        return a;
                    },
                    &reference::grouped_gemm_bf16, &cuda::grouped_gemm_bf16,
                    &cuda::grouped_gemm_bf16_workspace_bytes);
                check_kernel_with_workspace(
                    [&](Place& on) {
                        const std::int64_t m = g.k;
                        GroupedGemmBf16WgradArgs a;
                        a.experts = g.experts();
                        a.m = m;
                        a.n = g.n;
                        a.offsets = on.data<std::int32_t>(integers(g.offsets));
                        a.grad = on.matrix(transposed ? random(m, g.rows(), type, 1)
                                                      : random(g.rows(), m, type, 1));
                        a.x = on.matrix(transposed ? random(g.n, g.rows(), type, 2)
                                                   : random(g.rows(), g.n, type, 2));
                        a.y = on.data<float>(random(g.experts() * m, g.n, DType::f32, 3));
                        a.transposed = transposed;
                        return a;
                    },
                    &reference::grouped_gemm_bf16_wgrad, &cuda::grouped_gemm_bf16_wgrad,
                    &cuda::grouped_gemm_bf16_wgrad_workspace_bytes);
            }
        }
    }
}

TEST_CASE("cuda grouped_gemm_fp8: scales of each expert", "[cuda]") {
    for (const Groups& g : kGroups) {
        for (const bool transposed : {false, true}) {
            for (const bool at_best : {true, false}) {
                INFO("experts " << g.experts() << " rows " << g.rows() << " n " << g.n << " k "
                                << g.k << " transposed " << transposed << " at best " << at_best);
                const bool is_hopper = at_best && g.k % 16 == 0;
                check_kernel_with_workspace(
                    [&](Place& on) {
                        GroupedGemmFp8Args a;
                        a.experts = g.experts();
                        a.rows_max = g.rows();
                        a.n = g.n;
                        a.k = g.k;
                        a.offsets = on.data<std::int32_t>(integers(g.offsets));
                        a.x = on.data<std::uint8_t>(random_codes(g.rows(), g.k, 1));
                        a.x_scales = on.data<float>(random_scales(g.rows(), tiles(g.k), 2));
                        a.w = on.data<std::uint8_t>(random_codes(g.experts() * g.n, g.k, 3));
                        a.w_scales =
                            on.data<float>(random_scales(g.experts() * tiles(g.n), tiles(g.k), 4));
                        a.y = on.matrix(empty(g.rows(), g.n, DType::f32));
                        a.w_transposed = transposed;
                        return a;
                    },
                    &reference::grouped_gemm_fp8, &cuda::grouped_gemm_fp8,
                    &cuda::grouped_gemm_fp8_workspace_bytes,
                    is_hopper ? kFp8InTensorCores : Tolerance{}, at_best,
                    is_hopper ? kOrdersOfWaits : kOrders);
            }
        }
    }
}

// More rows than a warpgroup has, for some; room for more tokens than there are.
TEST_CASE("cuda grouped_gemm_fp8_wgrad: experts that begin inside tiles of tokens", "[cuda]") {
    for (const Groups& g : kGroups) {
        for (const bool at_best : {true, false}) {
            INFO("experts " << g.experts() << " rows " << g.rows() << " n " << g.n << " at best "
                            << at_best);
            check_kernel_with_workspace(
                [&](Place& on) {
                    const std::int64_t m = g.k > 1000 ? 150 : 20;
                    GroupedGemmFp8WgradArgs a;
                    a.experts = g.experts();
                    a.rows_max = g.rows() + 70;
                    a.m = m;
                    a.n = g.n;
                    a.offsets = on.data<std::int32_t>(integers(g.offsets));
                    a.grad = on.data<std::uint8_t>(random_codes(m, g.rows(), 1));
                    a.grad_scales = on.data<float>(random_scales(m, tiles(g.rows()), 2));
                    a.x = on.data<std::uint8_t>(random_codes(g.n, g.rows(), 3));
                    a.x_scales = on.data<float>(random_scales(g.n, tiles(g.rows()), 4));
                    a.y = on.data<float>(random(g.experts() * m, g.n, DType::f32, 5));
                    return a;
                },
                &reference::grouped_gemm_fp8_wgrad, &cuda::grouped_gemm_fp8_wgrad,
                &cuda::grouped_gemm_fp8_wgrad_workspace_bytes,
                at_best ? kFp8InTensorCores : Tolerance{}, at_best,
                at_best ? kOrdersOfWaits : kOrders);
        }
    }
}

}  // namespace r1
