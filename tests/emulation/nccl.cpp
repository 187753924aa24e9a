#include <nccl.h>

#include "tests/emulation/memory.hpp"

namespace {

using r1::emulation::NcclWorld;

struct Receive {
    void* data;
    std::size_t count;
    int peer;
    ncclComm_t comm;
};
thread_local bool in_group = false;
thread_local std::vector<Receive> group_receives;

ncclResult_t take(const Receive& receive) {
    NcclWorld& world = *receive.comm->world;
    std::unique_lock lock(world.mutex);
    auto& queue = world.messages[{receive.peer, receive.comm->rank}];
    world.changed.wait(lock, [&] { return !queue.empty() || world.is_aborted; });
    if (world.is_aborted) {
        return ncclSuccess;  // as a kernel that was ended
    }
    if (queue.front().size() != receive.count) {
        return ncclInvalidUsage;
    }
    cudaMemcpy(receive.data, queue.front().data(), receive.count, cudaMemcpyHostToDevice);
    queue.pop_front();
    return ncclSuccess;
}

}  // namespace

namespace r1::emulation {

std::shared_ptr<NcclWorld> nccl_world(std::uint64_t id) {
    static std::mutex mutex;
    static std::map<std::uint64_t, std::shared_ptr<NcclWorld>> all;
    const std::lock_guard lock(mutex);
    auto& world = all[id];
    if (world == nullptr) {
        world = std::make_shared<NcclWorld>();
    }
    return world;
}

}  // namespace r1::emulation

const char* ncclGetErrorString(ncclResult_t /*result*/) { return "invalid usage (emulated)"; }
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    static std::mutex mutex;
    static std::uint64_t next = 0;
    const std::lock_guard lock(mutex);
    id->number = next++;
    return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int /*ranks*/, ncclUniqueId id, int rank,
                                    ncclConfig_t* /*config*/) {
    *comm = new ncclComm{r1::emulation::nccl_world(id.number), rank};
    return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    delete comm;
    return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
    {
        const std::lock_guard lock(comm->world->mutex);
        comm->world->is_aborted = true;
    }
    comm->world->changed.notify_all();
    return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t /*comm*/, ncclResult_t* state) {
    *state = ncclSuccess;
    return ncclSuccess;
}
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t /*type*/, int peer,
                      ncclComm_t comm, cudaStream_t /*stream*/) {
    std::vector<char> message(count);
    cudaMemcpy(message.data(), data, count, cudaMemcpyDeviceToHost);
    {
        const std::lock_guard lock(comm->world->mutex);
        comm->world->messages[{comm->rank, peer}].push_back(std::move(message));
    }
    comm->world->changed.notify_all();
    return ncclSuccess;
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t /*type*/, int peer,
                      ncclComm_t comm, cudaStream_t /*stream*/) {
    const Receive receive{data, count, peer, comm};
    if (in_group) {
        group_receives.push_back(receive);
        return ncclSuccess;
    }
    return take(receive);
}
ncclResult_t ncclGroupStart() {
    in_group = true;
    return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
    in_group = false;
    for (const Receive& receive : std::exchange(group_receives, {})) {
        if (const ncclResult_t result = take(receive); result != ncclSuccess) {
            return result;
        }
    }
    return ncclSuccess;
}
