#include "runtime/cuda_calibration/own_operation.hpp"

#include "kernels/cuda/hopper/use.hpp"

namespace r1::cuda {

Launch own_launch(const Libraries& libraries, const Pools& pools, int sms) {
    Launch launch;
    launch.sms = sms;
    launch.is_hopper = use_hopper_kernels(90);  // open_device() takes no other
    launch.blas = libraries.lt();
    launch.blas_workspace = pools.workspaces.front().as();
    launch.blas_workspace_bytes = kWorkspaceBytes;
    return launch;
}

}  // namespace r1::cuda
