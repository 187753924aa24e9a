// Matrices, random values and workspaces for tests of kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "kernels/matrix.hpp"
#include "kernels/workspace.hpp"
#include "model/base/rng.hpp"

namespace r1::test {

// A matrix that owns its memory. A stride wider than the row is filled with NaN, so a kernel that
// reads beyond its columns shows.
class Buffer {
public:
    Buffer(std::int64_t rows, std::int64_t width, DType dtype, std::int64_t stride = 0)
        : rows_(rows), width_(width), dtype_(dtype), stride_(std::max(stride, width)) {
        const std::int64_t bytes = rows * stride_ *
                                   (dtype == DType::f32    ? 4
                                    : dtype == DType::bf16 ? 2
                                                           : 1);
        bytes_.assign(static_cast<std::size_t>(bytes), 0xFF);
    }

    // Uniform in [-1, 1) before rounding to the type.
    static Buffer random(std::int64_t rows, std::int64_t width, DType dtype, std::uint64_t seed,
                         std::int64_t stride = 0) {
        Buffer buffer(rows, width, dtype, stride);
        const Rng rng(seed);
        for (std::int64_t row = 0; row < rows; ++row) {
            for (std::int64_t i = 0; i < width; ++i) {
                const auto index = static_cast<std::uint64_t>(row * width + i);
                store(buffer.view(), row, i, static_cast<float>(2 * rng.uniform(index) - 1));
            }
        }
        return buffer;
    }

    [[nodiscard]] Matrix view() { return {bytes_.data(), dtype_, stride_}; }
    [[nodiscard]] std::uint8_t* codes() { return bytes_.data(); }
    [[nodiscard]] float at(std::int64_t row, std::int64_t column) const {
        return load({bytes_.data(), dtype_, stride_}, row, column);
    }
    [[nodiscard]] const std::vector<std::uint8_t>& bytes() const { return bytes_; }

    // The largest |a - b|; infinity if one is NaN and the other not.
    friend double distance(const Buffer& a, const Buffer& b) {
        double largest = 0;
        for (std::int64_t row = 0; row < a.rows_; ++row) {
            for (std::int64_t i = 0; i < a.width_; ++i) {
                const double x = a.at(row, i);
                const double y = b.at(row, i);
                if (std::isnan(x) || std::isnan(y)) {
                    largest = std::isnan(x) && std::isnan(y) ? largest : INFINITY;
                } else if (x != y) {
                    largest = std::max(largest, std::abs(x - y));
                }
            }
        }
        return largest;
    }

private:
    std::int64_t rows_;
    std::int64_t width_;
    DType dtype_;
    std::int64_t stride_;
    std::vector<std::uint8_t> bytes_;
};

inline float* floats(Buffer& buffer) { return static_cast<float*>(buffer.view().data); }

class Workspace {
public:
    explicit Workspace(std::size_t bytes) : storage_(bytes + kWorkspaceAlignment), bytes_(bytes) {}
    [[nodiscard]] std::span<std::byte> span() {
        void* begin = storage_.data();
        std::size_t space = storage_.size();
        return {static_cast<std::byte*>(std::align(kWorkspaceAlignment, bytes_, begin, space)),
                bytes_};
    }

private:
    std::vector<std::byte> storage_;
    std::size_t bytes_;
};

// Half a unit in the last place, as a share of the value.
inline double epsilon(DType dtype) { return dtype == DType::bf16 ? 0x1p-8 : 0x1p-24; }

}  // namespace r1::test
