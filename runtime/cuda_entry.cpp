// What runtime/device_library.cpp looks for in libr1_cuda.so.
#include <cstdlib>

#include "runtime/cuda_device.hpp"
#ifdef R1_HAVE_NCCL
#include "runtime/nccl_communicator.hpp"
#endif

namespace {

// What the driver reads at its first call, unless the user has set it. Both keep a stream from
// waiting for what a peer has to do first, which can then wait for this stream.
void set_up_driver() {
    // Else the first launch of a kernel loads its code, and may wait for the device to be idle.
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
    // Else (8) streams share queues of the device, and work waits for that of another stream.
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void r1_cuda_devices(int index,
                                                                       r1::DeviceKind& kind) {
    set_up_driver();
    kind = r1::cuda_devices(index);
#ifdef R1_HAVE_NCCL
    kind.connect = [memory = kind.memory](r1::Communicator& host, const r1::DeviceLinks& links) {
        return r1::connect_by_nccl(host, *memory, links);
    };
#endif
}
