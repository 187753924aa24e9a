#include "kernels/adamw.hpp"
#include "kernels/bias_update.hpp"
#include "kernels/concat.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/ema_update.hpp"
#include "kernels/embedding.hpp"
#include "kernels/embedding_backward.hpp"
#include "kernels/gradient_norm.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rms_norm_backward.hpp"
#include "kernels/split.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_backward.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct Shape {
    std::int64_t rows;
    std::int64_t width;
    std::int64_t stride;
};

// None, one, odd sizes, several groups of eight with and without a stride that keeps them aligned.
const std::vector<Shape> kShapes = with_random<Shape>(
    {{0, 8, 8}, {1, 1, 1}, {3, 7, 9}, {5, 64, 72}, {2, 1003, 1003}, {4, 2056, 2056}},
    [](const auto& size) {
        const std::int64_t width = size(700);
        return Shape{size(20), width, width + size(9)};
    });
constexpr DType kTypes[] = {DType::f32, DType::bf16};

template <class Check>
void for_shapes(const Check& check) {
    for (const Shape& shape : kShapes) {
        for (const DType type : kTypes) {
            INFO("rows " << shape.rows << " width " << shape.width << " " << name(type));
            check(shape, type);
        }
    }
}

}  // namespace

TEST_CASE("cuda residual_add: two to four terms, onto one of them too", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        for (std::int64_t terms = 2; terms <= 4; ++terms) {
            check_kernel(
                [&](Place& on) {
                    ResidualAddArgs a{s.rows, s.width, terms, {}, {}};
                    for (std::size_t i = 0; i < 4; ++i) {
                        a.terms[i] = on.matrix(random(s.rows, s.width, type, i, 1, s.stride));
                    }
                    a.y = on.matrix(random(s.rows, s.width, type, 9, 1, s.stride));
                    if (terms == 3) {
                        a.terms[1] = a.y;
                    }
                    return a;
                },
                &reference::residual_add, &cuda::residual_add);
        }
    });
}

TEST_CASE("cuda concat and split: columns of any width side by side", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        const std::int64_t b = s.width / 2 + 3;
        check_kernel(
            [&](Place& on) {
                return ConcatArgs{s.rows,
                                  s.width,
                                  b,
                                  on.matrix(random(s.rows, s.width, type, 1)),
                                  on.matrix(random(s.rows, b, type, 2)),
                                  on.matrix(empty(s.rows, s.width + b, type))};
            },
            &reference::concat, &cuda::concat);
        check_kernel(
            [&](Place& on) {
                return SplitArgs{s.rows,
                                 s.width,
                                 b,
                                 on.matrix(random(s.rows, s.width + b, type, 1)),
                                 on.matrix(empty(s.rows, s.width, type)),
                                 on.matrix(empty(s.rows, b, type))};
            },
            &reference::split, &cuda::split);
    });
}

TEST_CASE("cuda rms_norm: the first columns of wider rows", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        check_kernel(
            [&](Place& on) {
                return RmsNormArgs{s.rows,
                                   s.width,
                                   1e-6F,
                                   on.matrix(random(s.rows, s.width, type, 1, 1, s.stride)),
                                   on.matrix(random(1, s.width, type, 2)),
                                   on.matrix(empty(s.rows, s.width, type, s.stride))};
            },
            &reference::rms_norm, &cuda::rms_norm);
    });
}

TEST_CASE("cuda rms_norm_backward: with residual or tail, weights added up", "[cuda]") {
    std::vector<Shape> shapes = kShapes;
    shapes.push_back({600, 24, 24});
    for (const Shape& s : shapes) {
        for (const std::int64_t tail : {0, 5}) {
            const DType type = s.rows % 2 == 0 ? DType::f32 : DType::bf16;
            INFO("rows " << s.rows << " width " << s.width << " tail " << tail);
            check_kernel_with_workspace(
                [&](Place& on) {
                    RmsNormBackwardArgs a;
                    a.rows = s.rows;
                    a.width = s.width;
                    a.tail_width = tail;
                    a.x = on.matrix(random(s.rows, s.width + tail, type, 1));
                    a.grad = on.matrix(random(s.rows, s.width, type, 2));
                    a.weight = on.matrix(random(1, s.width, type, 3));
                    if (tail > 0) {
                        a.tail = on.matrix(random(s.rows, tail, type, 4));
                    } else {
                        a.residual = on.matrix(random(s.rows, s.width, type, 5));
                    }
                    a.dx = on.matrix(empty(s.rows, s.width + tail, type));
                    a.weight_grad = on.data<float>(random(1, s.width, DType::f32, 6));
                    return a;
                },
                &reference::rms_norm_backward, &cuda::rms_norm_backward,
                &cuda::rms_norm_backward_workspace_bytes);
        }
    }
}

TEST_CASE("cuda swiglu: rows with and without weights, plain and quantised", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        for (const bool weighted : {false, true}) {
            Tolerance tolerance;
            tolerance.neighbours = 1e-3;  // float32 where the reference has double
            check_kernel(
                [&](Place& on) {
                    SwigluArgs a;
                    a.rows = s.rows;
                    a.width = s.width;
                    a.gate_up = on.matrix(random(s.rows, 2 * s.width, type, 1, 30));
                    if (weighted) {
                        a.row_weights = on.data<float>(random(1, s.rows, DType::f32, 2));
                    }
                    a.y = on.matrix(empty(s.rows, s.width, type));
                    a.codes = on.data<std::uint8_t>(empty(s.rows, s.width, DType::e4m3));
                    a.scales = on.data<float>(empty(s.rows, tiles(s.width), DType::f32));
                    return a;
                },
                &reference::swiglu, &cuda::swiglu, tolerance);
        }
    });
}

TEST_CASE("cuda swiglu_backward: all gradients, the activation again on request", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        for (const bool weighted : {false, true}) {
            check_kernel(
                [&](Place& on) {
                    SwigluBackwardArgs a;
                    a.rows = s.rows;
                    a.width = s.width;
                    a.gate_up = on.matrix(random(s.rows, 2 * s.width, type, 1, 8));
                    a.d_act = on.matrix(random(s.rows, s.width, type, 2));
                    a.d_gate_up = on.matrix(empty(s.rows, 2 * s.width, type));
                    if (weighted) {
                        a.row_weights = on.data<float>(random(1, s.rows, DType::f32, 3));
                        a.route_grad = on.data<float>(empty(1, s.rows, DType::f32));
                        a.act = on.matrix(empty(s.rows, s.width, type));
                    }
                    return a;
                },
                &reference::swiglu_backward, &cuda::swiglu_backward);
        }
    });
}

TEST_CASE("cuda cross_entropy: rows with and without a label, forward and back", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        std::vector<std::int32_t> labels = random_integers(s.rows, s.width, 3);
        for (std::size_t i = 1; i < labels.size(); i += 2) {
            labels[i] = -1;
        }
        check_kernel(
            [&](Place& on) {
                return CrossEntropyArgs{s.rows,
                                        s.width,
                                        on.matrix(random(s.rows, s.width, type, 1, 40, s.stride)),
                                        on.data<std::int32_t>(integers(labels)),
                                        on.data<float>(empty(1, s.rows, DType::f32)),
                                        on.data<float>(empty(1, s.rows, DType::f32))};
            },
            &reference::cross_entropy, &cuda::cross_entropy);
        check_kernel(
            [&](Place& on) {
                CrossEntropyBackwardArgs a;
                a.tokens = s.rows;
                a.vocabulary = s.width;
                a.scale = 0.25F;
                a.logits = on.matrix(random(s.rows, s.width, type, 1, 3, s.stride));
                a.log_sum_exp = on.data<float>(random(1, s.rows, DType::f32, 2));
                a.labels = on.data<std::int32_t>(integers(labels));
                a.grad = on.matrix(empty(s.rows, s.width, type));
                if (type == DType::bf16) {
                    a.row_scales = on.data<float>(random(1, s.rows, DType::f32, 4));
                }
                return a;
            },
            &reference::cross_entropy_backward, &cuda::cross_entropy_backward);
    });
}

TEST_CASE("cuda cross_entropy: logits of minus infinity have no share", "[cuda]") {
    Operand logits = random(2, 20, DType::f32, 1);
    for (std::int64_t i = 0; i < 18; ++i) {
        store(logits.view(), 0, i, -INFINITY);
    }
    check_kernel(
        [&](Place& on) {
            return CrossEntropyArgs{2,
                                    20,
                                    on.matrix(logits),
                                    on.data<std::int32_t>(integers({19, 3})),
                                    on.data<float>(empty(1, 2, DType::f32)),
                                    on.data<float>(empty(1, 2, DType::f32))};
        },
        &reference::cross_entropy, &cuda::cross_entropy);
}

TEST_CASE("cuda embedding: rows of the table, and gradients of tokens that repeat", "[cuda]") {
    for_shapes([](const Shape& s, DType type) {
        check_kernel(
            [&](Place& on) {
                return EmbeddingArgs{s.rows,
                                     s.width,
                                     6,
                                     on.data<std::int32_t>(integers(random_integers(s.rows, 6, 1))),
                                     on.matrix(random(6, s.width, type, 2)),
                                     on.matrix(empty(s.rows, s.width, type))};
            },
            &reference::embedding, &cuda::embedding);
    });
    for (const std::int64_t tokens : {0, 1, 40, 700}) {
        // The order of the tokens is the reference's: the same bytes.
        check_kernel(
            [&](Place& on) {
                return EmbeddingBackwardArgs{
                    tokens,
                    19,
                    30,
                    on.data<std::int32_t>(integers(random_integers(tokens, 30, 1))),
                    on.matrix(random(tokens, 19, DType::bf16, 2)),
                    on.data<float>(random(30, 19, DType::f32, 3))};
            },
            &reference::embedding_backward, &cuda::embedding_backward, Tolerance{0, 0, 0, 0});
    }
}

TEST_CASE("cuda adamw: the same bytes as the reference", "[cuda]") {
    for (const std::int64_t elements : {0, 1, 13, 4099}) {
        for (const DType type : kTypes) {
            check_kernel(
                [&](Place& on) {
                    AdamwArgs a;
                    a.elements = elements;
                    a.step = 7;
                    a.lr = 3e-3;
                    a.gradient_scale = 0.7F;
                    a.grad = on.data<float>(random(1, elements, DType::f32, 1));
                    a.master = on.data<float>(random(1, elements, DType::f32, 2));
                    a.exp_avg = on.matrix(random(1, elements, type, 3));
                    Operand squares = random(1, elements, type, 4);
                    for (std::int64_t i = 0; i < elements; ++i) {
                        store(squares.view(), 0, i, std::abs(squares.at(0, i)));
                    }
                    a.exp_avg_sq = on.matrix(squares);
                    if (elements != 13) {
                        a.updated = on.matrix(empty(1, elements, type));
                    }
                    return a;
                },
                &reference::adamw, &cuda::adamw, Tolerance{0, 0, 0, 0});
        }
    }
}

TEST_CASE("cuda ema_update, expert_load and bias_update: the same bytes as the reference",
          "[cuda]") {
    const Tolerance exact{0, 0, 0, 0};
    check_kernel(
        [](Place& on) {
            return EmaUpdateArgs{1000, 0.99F, on.data<float>(random(1, 1000, DType::f32, 1)),
                                 on.data<float>(random(1, 1000, DType::f32, 2))};
        },
        &reference::ema_update, &cuda::ema_update, exact);
    for (const std::int64_t tokens : {0, 50}) {
        check_kernel(
            [&](Place& on) {
                return ExpertLoadArgs{
                    tokens, 20, 4,
                    on.data<std::int32_t>(integers(random_integers(tokens * 4, 20, 1))),
                    on.data<std::int32_t>(integers(random_integers(20, 9, 2)))};
            },
            &reference::expert_load, &cuda::expert_load, exact);
    }
    for (const std::int64_t experts : {1, 20, 300}) {
        check_kernel(
            [&](Place& on) {
                return BiasUpdateArgs{
                    experts, 0.001F,
                    on.data<std::int32_t>(integers(random_integers(experts, 5, 2))),
                    on.data<float>(random(1, experts, DType::f32, 3))};
            },
            &reference::bias_update, &cuda::bias_update, exact);
    }
}

TEST_CASE("cuda gradient_norm: gradients of many sizes", "[cuda]") {
    std::vector<std::span<const float>> spans;
    check_kernel_with_workspace(
        [&](Place& on) {
            spans.clear();
            for (const std::size_t size : {5UL, 0UL, 1UL, 10000UL}) {
                const auto width = static_cast<std::int64_t>(size);
                spans.emplace_back(on.data<float>(random(1, width, DType::f32, size)), size);
            }
            GradientNormArgs a;
            a.gradients = spans;
            a.carried = 2.5F;
            a.sum_of_squares = on.data<float>(empty(1, 1, DType::f32));
            return a;
        },
        &reference::gradient_norm, &cuda::gradient_norm, &cuda::gradient_norm_workspace_bytes);
}

}  // namespace r1
