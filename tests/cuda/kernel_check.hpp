// One kernel, two versions: the same operands to reference/ on the host and to cuda/ on the device,
// then all that they hold afterwards is compared, inputs included.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/matrix.hpp"
#include "kernels/workspace.hpp"
#include "model/base/rng.hpp"
#include "tests/cuda/device.hpp"

namespace r1::test {

// The operand of a kernel. `type` u8 is any bytes. Rows are `stride` elements apart; what lies
// between, as all that nobody set, is all ones: NaN, or -1.
struct Operand {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    std::int64_t stride = 0;
    DType type = DType::f32;
    std::vector<std::byte> bytes;

    [[nodiscard]] Matrix view() { return {bytes.data(), type, stride}; }
    [[nodiscard]] float at(std::int64_t row, std::int64_t column) const {
        return load({bytes.data(), type, stride}, row, column);
    }
    template <class T>
    [[nodiscard]] T* as() {
        return reinterpret_cast<T*>(bytes.data());
    }
};

Operand empty(std::int64_t rows, std::int64_t width, DType type, std::int64_t stride = 0);
// Uniform in [-1, 1) times `scale`.
Operand random(std::int64_t rows, std::int64_t width, DType type, std::uint64_t seed,
               double scale = 1, std::int64_t stride = 0);
// Codes of any finite value, and positive scales for them.
Operand random_codes(std::int64_t rows, std::int64_t width, std::uint64_t seed);
Operand random_scales(std::int64_t rows, std::int64_t width, std::uint64_t seed);
Operand zeros(std::int64_t rows, std::int64_t width, DType type);
Operand integers(const std::vector<std::int32_t>& values);
// In [0, end).
std::vector<std::int32_t> random_integers(std::int64_t count, std::int64_t end, std::uint64_t seed);

// The shapes of a test, and some that make(size) draws, where size(end) is in [1, end].
template <class Shape, class Make>
std::vector<Shape> with_random(std::vector<Shape> shapes, const Make& make) {
    constexpr std::uint64_t kShapes = 3;
    constexpr std::uint64_t kSizes = 16;  // of one shape, at most
    for (std::uint64_t i = 0; i < kShapes; ++i) {
        std::uint64_t drawn = i * kSizes;
        shapes.push_back(make([&](std::int64_t end) {
            const double at = Rng(kShapes).uniform(drawn++) * static_cast<double>(end);
            return static_cast<std::int64_t>(at) + 1;
        }));
    }
    return shapes;
}

// Operands where one version of the kernel finds them: copies of those of the test.
class Place {
public:
    explicit Place(bool on_device) : on_device_(on_device) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    Matrix matrix(const Operand& operand) {
        return {memory(operand), operand.type, operand.stride};
    }
    template <class T>
    T* data(const Operand& operand) {
        return static_cast<T*>(memory(operand));
    }
    std::span<std::byte> workspace(std::size_t bytes);

    // What the operands hold now, in the order in which they came. Throws if a kernel wrote before
    // or behind one.
    std::vector<Operand> contents();

private:
    struct Piece {
        Operand operand;
        std::byte* memory;  // of the operand, amid its margins
        std::size_t bytes;
    };
    void* memory(const Operand& operand);
    std::byte* allocate(const std::byte* from, std::size_t bytes);

    bool on_device_;
    std::vector<Piece> pieces_;
    std::vector<std::byte*> allocations_;
};

// Largest errors of an element that pass, relative to |value| + the root mean square of the matrix.
// The root mean square of all errors is at most 1e-3 (F32) or 1e-2 (BF16) of that of the values.
struct Tolerance {
    double f32 = 1e-5;
    double bf16 = 1e-2;  // of one that is rounded to the other neighbour
    // Share of the codes that may be neighbours of the right ones.
    double neighbours = 0;
    double absolute = 0;  // that passes besides: for what is zero in exact arithmetic
};

void compare(const std::vector<Operand>& want, const std::vector<Operand>& got,
             const Tolerance& tolerance);
void compare_bytes(const std::vector<Operand>& a, const std::vector<Operand>& b);

// `arguments(place)` makes them; `reference` and `kernel` are the two functions. The kernel's bytes
// must not depend on the order of its threads.
template <class Arguments, class Reference, class Kernel, class Bytes>
void check_kernel_with_workspace(const Arguments& arguments, const Reference& reference,
                                 const Kernel& kernel, const Bytes& workspace_bytes,
                                 const Tolerance& tolerance = {}, bool at_best = true,
                                 int orders = kOrders) {
    Place host(false);
    reference(arguments(host));
    const std::vector<Operand> want = host.contents();
    std::vector<Operand> first;
    for (int order = 0; order < orders; ++order) {
        choose_order(order);
        Place device(true);
        auto args = arguments(device);
        if constexpr (requires { args.workspace; }) {
            args.workspace = device.workspace(workspace_bytes(args));
        }
        kernel(args, device_launch(at_best));
        std::vector<Operand> got = device.contents();
        if (order == 0) {
            compare(want, got, tolerance);
            first = std::move(got);
        } else {
            compare_bytes(first, got);
        }
    }
}

template <class Arguments, class Reference, class Kernel>
void check_kernel(const Arguments& arguments, const Reference& reference, const Kernel& kernel,
                  const Tolerance& tolerance = {}) {
    check_kernel_with_workspace(
        arguments, reference, kernel, [](const auto&) { return std::size_t{0}; }, tolerance);
}

}  // namespace r1::test
