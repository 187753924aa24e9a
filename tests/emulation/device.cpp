// The tests of the CUDA kernels on the emulation.
#include "tests/cuda/device.hpp"

#include <array>
#include <cstring>
#include <new>

#include "kernels/cuda/blas.hpp"
#include "tests/emulation/emulation.hpp"

namespace r1::test {

cuda::Launch device_launch(bool at_best) {
    cuda::Launch launch;
    launch.sms = 2;
    launch.is_hopper = at_best;
    launch.blas = at_best ? cuda::blas_create() : nullptr;
    return launch;
}

void choose_order(int order) {
    using emulation::Order;
    constexpr std::array kFixed = {Order::ascending, Order::descending};
    const auto at = static_cast<std::size_t>(order);
    emulation::set_order(at < kFixed.size() ? kFixed[at] : Order::random,
                         static_cast<unsigned>(order));
}

namespace {
constexpr std::align_val_t kAlignment{256};
}

void* device_allocate(std::size_t bytes) { return ::operator new(bytes, kAlignment); }
void device_free(void* memory) { ::operator delete(memory, kAlignment); }
void device_upload(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
void device_download(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
}

}  // namespace r1::test
