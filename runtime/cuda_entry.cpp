// What runtime/device_library.cpp looks for in libr1_cuda.so.
#include "runtime/cuda_device.hpp"
#ifdef R1_HAVE_NCCL
#include "runtime/nccl_communicator.hpp"
#else
#include "model/base/diagnostics.hpp"
#endif

extern "C" __attribute__((visibility("default"))) void r1_cuda_devices(int index,
                                                                       r1::DeviceKind& kind) {
    kind = r1::cuda_devices(index);
    kind.connect = [memory = kind.memory](
                       r1::Communicator& host,
                       const r1::DeviceLinks& links) -> std::unique_ptr<r1::Communicator> {
#ifdef R1_HAVE_NCCL
        return r1::connect_by_nccl(host, *memory, links);
#else
        throw r1::FeatureError("this build has no NCCL: GPUs of processes cannot be joined");
#endif
    };
}
