#include <nccl.h>

#include <algorithm>
#include <cstring>

#include "model/base/check.hpp"
#include "tests/emulation/streams.hpp"

namespace {

using r1::emulation::NcclWorld;

struct Message {
    bool is_send;
    void* data;
    std::size_t count;
    int peer;
    std::shared_ptr<NcclWorld> world;
    int rank;
    cudaStream_t stream;
};
thread_local bool in_group = false;
thread_local std::vector<Message> group;

void give(const Message& message) {
    const auto* data = static_cast<const char*>(message.data);
    const std::lock_guard lock(message.world->mutex);
    message.world->messages[{message.rank, message.peer}].emplace_back(data, data + message.count);
}

bool can_take(const Message& message) {
    const std::lock_guard lock(message.world->mutex);
    return message.world->is_aborted ||
           !message.world->messages[{message.peer, message.rank}].empty();
}

void take(const Message& message) {
    const std::lock_guard lock(message.world->mutex);
    if (message.world->is_aborted) {
        return;  // as a kernel that was ended
    }
    auto& queue = message.world->messages[{message.peer, message.rank}];
    R1_CHECK(queue.front().size() == message.count);
    std::memcpy(message.data, queue.front().data(), message.count);
    queue.pop_front();
}

void start(const Message& message) {
    if (message.is_send) {
        r1::emulation::enqueue(message.stream, [message] { give(message); });
    } else {
        r1::emulation::enqueue(
            message.stream, [message] { take(message); }, [message] { return can_take(message); });
    }
}

// The messages of a group are under way at the same time: none waits for another's end.
ncclResult_t add(Message message) {
    if (in_group) {
        group.push_back(std::move(message));
    } else {
        start(message);
    }
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
    r1::emulation::wake_streams();
    return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t /*comm*/, ncclResult_t* state) {
    *state = ncclSuccess;
    return ncclSuccess;
}
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t /*type*/, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
    return add({true, const_cast<void*>(data), count, peer, comm->world, comm->rank, stream});
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t /*type*/, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
    return add({false, data, count, peer, comm->world, comm->rank, stream});
}
ncclResult_t ncclGroupStart() {
    in_group = true;
    return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
    in_group = false;
    std::stable_partition(group.begin(), group.end(), [](const Message& m) { return m.is_send; });
    for (const Message& message : std::exchange(group, {})) {
        start(message);
    }
    return ncclSuccess;
}
