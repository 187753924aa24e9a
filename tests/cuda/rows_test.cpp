#include <numeric>

#include "kernels/add_rows.hpp"
#include "kernels/residual_add.hpp"
#include "tests/cuda/kernel_check.hpp"
#include "tests/support/catch.hpp"

namespace r1 {

using namespace r1::test;

namespace {

struct RowsShape {
    std::int64_t rows;
    std::int64_t width;
};
const std::vector<RowsShape> kRowsShapes = {{0, 8}, {1, 1}, {5, 33}, {64, 40}, {3, 300}};

}  // namespace

TEST_CASE("cuda add_rows: rows reach their targets, to the bit", "[cuda]") {
    for (const auto& [rows, width] : kRowsShapes) {
        for (const DType type : {DType::f32, DType::bf16}) {
            INFO("rows " << rows << " width " << width);
            std::vector<std::int32_t> targets(static_cast<std::size_t>(rows));
            std::iota(targets.rbegin(), targets.rend(), 2);  // backwards, two rows left alone
            check_kernel(
                [&](Place& on) {
                    AddRowsArgs a;
                    a.rows = rows;
                    a.width = width;
                    a.x = on.matrix(random(rows, width, type, 1));
                    a.targets = on.data<std::int32_t>(integers(targets));
                    a.sums = on.data<float>(random(rows + 2, width, DType::f32, 2));
                    return a;
                },
                &reference::add_rows, &cuda::add_rows, Tolerance{0, 0, 0, 0});
        }
    }
}

TEST_CASE("cuda residual_add: one term changes its storage type", "[cuda]") {
    for (const auto& [rows, width] : kRowsShapes) {
        for (const DType type : {DType::f32, DType::bf16}) {
            check_kernel(
                [&](Place& on) {
                    ResidualAddArgs a;
                    a.rows = rows;
                    a.width = width;
                    a.term_count = 1;
                    a.terms[0] = on.matrix(random(rows, width, type, 1));
                    a.y = on.matrix(
                        empty(rows, width, type == DType::f32 ? DType::bf16 : DType::f32));
                    return a;
                },
                &reference::residual_add, &cuda::residual_add, Tolerance{0, 0, 0, 0});
        }
    }
}

}  // namespace r1
