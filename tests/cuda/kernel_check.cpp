#include "tests/cuda/kernel_check.hpp"

#include <algorithm>
#include <cstring>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"

namespace r1::test {

namespace {

constexpr std::size_t kMargin = 256;
constexpr std::byte kUntouched{0xFF};

std::size_t bytes_of(DType type) { return static_cast<std::size_t>(bits(type) / 8); }

double root_mean_square(const Operand& operand) {
    double sum = 0;
    for (std::int64_t row = 0; row < operand.rows; ++row) {
        for (std::int64_t i = 0; i < operand.width; ++i) {
            const double value = operand.at(row, i);
            sum += std::isfinite(value) ? value * value : 0;
        }
    }
    return std::sqrt(sum /
                     static_cast<double>(std::max<std::int64_t>(1, operand.rows * operand.width)));
}

void compare_values(const Operand& want, const Operand& got, double tolerance, double absolute) {
    const double scale = root_mean_square(want);
    double largest = 0;
    double squares = 0;
    for (std::int64_t row = 0; row < want.rows; ++row) {
        for (std::int64_t i = 0; i < want.width; ++i) {
            const double a = want.at(row, i);
            const double b = got.at(row, i);
            if (std::isfinite(a) && std::isfinite(b)) {
                const double error = std::max(0.0, std::abs(a - b) - absolute);
                largest = std::max(largest, error / (std::abs(a) + scale + 1e-30));
                squares += error * error;
            } else if (!(a == b || (std::isnan(a) && std::isnan(b)))) {
                largest = INFINITY;
            }
        }
    }
    const auto count = static_cast<double>(std::max<std::int64_t>(1, want.rows * want.width));
    CHECK(largest <= tolerance);
    CHECK(std::sqrt(squares / count) <= (want.type == DType::bf16 ? 1e-2 : 1e-3) * scale);
}

void compare_codes(const Operand& want, const Operand& got, double share) {
    std::size_t neighbours = 0;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < want.bytes.size(); ++i) {
        const int apart =
            std::abs(std::to_integer<int>(want.bytes[i]) - std::to_integer<int>(got.bytes[i]));
        neighbours += apart == 1 ? 1 : 0;
        wrong += apart > 1 ? 1 : 0;
    }
    CHECK(wrong == 0);
    CHECK(static_cast<double>(neighbours) <= share * static_cast<double>(want.bytes.size()));
}

}  // namespace

Operand empty(std::int64_t rows, std::int64_t width, DType type, std::int64_t stride) {
    stride = std::max(stride, width);
    return {rows, width, stride, type,
            std::vector<std::byte>(static_cast<std::size_t>(rows * stride) * bytes_of(type),
                                   kUntouched)};
}

Operand random(std::int64_t rows, std::int64_t width, DType type, std::uint64_t seed, double scale,
               std::int64_t stride) {
    Operand operand = empty(rows, width, type, stride);
    const Rng rng(seed);
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
            const auto index = static_cast<std::uint64_t>(row * width + i);
            store(operand.view(), row, i, static_cast<float>((2 * rng.uniform(index) - 1) * scale));
        }
    }
    return operand;
}

Operand random_codes(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
    return random(rows, width, DType::e4m3, seed, kE4m3Max);
}

Operand random_scales(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
    Operand operand = empty(rows, width, DType::f32);
    const Rng rng(seed);
    for (std::int64_t i = 0; i < rows * width; ++i) {
        operand.as<float>()[i] =
            static_cast<float>((0.5 + rng.uniform(static_cast<std::uint64_t>(i))) / kE4m3Max);
    }
    return operand;
}

Operand zeros(std::int64_t rows, std::int64_t width, DType type) {
    Operand operand = empty(rows, width, type);
    std::fill(operand.bytes.begin(), operand.bytes.end(), std::byte{0});
    return operand;
}

Operand integers(const std::vector<std::int32_t>& values) {
    Operand operand = empty(1, static_cast<std::int64_t>(values.size()), DType::i32);
    std::copy(values.begin(), values.end(), operand.as<std::int32_t>());
    return operand;
}

std::vector<std::int32_t> random_integers(std::int64_t count, std::int64_t end,
                                          std::uint64_t seed) {
    std::vector<std::int32_t> values;
    const Rng rng(seed);
    for (std::int64_t i = 0; i < count; ++i) {
        const double at = rng.uniform(static_cast<std::uint64_t>(i)) * static_cast<double>(end);
        values.push_back(static_cast<std::int32_t>(at));
    }
    return values;
}

Place::~Place() {
    for (std::byte* each : allocations_) {
        if (on_device_) {
            device_free(each);
        } else {
            ::operator delete (each, std::align_val_t{kMargin});
        }
    }
}

// The operand between two margins of ones.
std::byte* Place::allocate(const std::byte* from, std::size_t bytes) {
    const std::size_t aligned = (bytes + kMargin - 1) / kMargin * kMargin;
    std::vector<std::byte> image(aligned + 2 * kMargin, kUntouched);
    std::copy(from, from + bytes, image.begin() + kMargin);
    auto* memory = static_cast<std::byte*>(
        on_device_ ? device_allocate(image.size())
                   : ::operator new (image.size(), std::align_val_t{kMargin}));
    allocations_.push_back(memory);
    if (on_device_) {
        device_upload(memory, image.data(), image.size());
    } else {
        std::memcpy(memory, image.data(), image.size());
    }
    return memory + kMargin;
}

void* Place::memory(const Operand& operand) {
    pieces_.push_back(
        {operand, allocate(operand.bytes.data(), operand.bytes.size()), operand.bytes.size()});
    return pieces_.back().memory;
}

std::span<std::byte> Place::workspace(std::size_t bytes) {
    const std::vector<std::byte> image(bytes, kUntouched);
    return {allocate(image.data(), bytes), bytes};
}

std::vector<Operand> Place::contents() {
    std::vector<Operand> all;
    for (const Piece& piece : pieces_) {
        std::vector<std::byte> image(piece.bytes + 2 * kMargin);
        if (on_device_) {
            device_download(image.data(), piece.memory - kMargin, image.size());
        } else {
            std::memcpy(image.data(), piece.memory - kMargin, image.size());
        }
        const auto untouched = [](std::byte each) { return each == kUntouched; };
        const auto begin = image.begin() + kMargin;
        const auto end = begin + static_cast<std::ptrdiff_t>(piece.bytes);
        REQUIRE(std::all_of(image.begin(), begin, untouched));
        REQUIRE(std::all_of(end, image.end(), untouched));
        all.push_back(piece.operand);
        all.back().bytes.assign(begin, end);
    }
    return all;
}

void compare(const std::vector<Operand>& want, const std::vector<Operand>& got,
             const Tolerance& tolerance) {
    REQUIRE(want.size() == got.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
        INFO("operand " << i);
        switch (want[i].type) {
            case DType::f32:
                compare_values(want[i], got[i], tolerance.f32, tolerance.absolute);
                break;
            case DType::bf16:
                compare_values(want[i], got[i], tolerance.bf16, tolerance.absolute);
                break;
            case DType::e4m3: compare_codes(want[i], got[i], tolerance.neighbours); break;
            default: CHECK(want[i].bytes == got[i].bytes);
        }
    }
}

void compare_bytes(const std::vector<Operand>& a, const std::vector<Operand>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
        INFO("operand " << i << " in another order of threads");
        CHECK((a[i].bytes == b[i].bytes));
    }
}

}  // namespace r1::test
