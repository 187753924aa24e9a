// What runtime/nccl_communicator.cpp needs of NCCL, for ranks that are threads of one process. As
// NCCL's, messages have no tags and no sizes of their own: the n-th receive of a pair takes what
// the n-th send gives, and another size is a fault. Unlike NCCL's, sends wait for nobody.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"

enum ncclResult_t { ncclSuccess = 0, ncclInvalidUsage = 5, ncclInProgress = 7 };
enum ncclDataType_t { ncclUint8 = 1 };
struct ncclUniqueId {
    std::uint64_t number;
};
struct ncclConfig_t {
    int maxCTAs;
};
#define NCCL_CONFIG_INITIALIZER \
    { 0 }

namespace r1::emulation {

struct NcclWorld {
    std::mutex mutex;
    std::map<std::pair<int, int>, std::deque<std::vector<char>>> messages;  // by (from, to)
    bool is_aborted = false;
};
std::shared_ptr<NcclWorld> nccl_world(std::uint64_t id);

}  // namespace r1::emulation

struct ncclComm {
    std::shared_ptr<r1::emulation::NcclWorld> world;
    int rank;
};
using ncclComm_t = ncclComm*;

const char* ncclGetErrorString(ncclResult_t result);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state);
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();
