// One of NCCL's communicators.
#pragma once

#include <nccl.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>

#include "runtime/communicator.hpp"

namespace r1::nccl {

inline void check(ncclResult_t result, const char* what) {
    if (result != ncclSuccess && result != ncclInProgress) {
        throw CommunicatorError(std::string(what) + ": " + ncclGetErrorString(result));
    }
}

inline void send(std::span<const std::byte> data, int peer, ncclComm_t comm, cudaStream_t stream) {
    check(ncclSend(data.data(), data.size(), ncclUint8, peer, comm, stream), "ncclSend");
}
inline void receive(std::span<std::byte> data, int peer, ncclComm_t comm, cudaStream_t stream) {
    check(ncclRecv(data.data(), data.size(), ncclUint8, peer, comm, stream), "ncclRecv");
}

// It takes no call any more once it was aborted: that frees it.
class Link {
public:
    Link(int rank, int ranks, const ncclUniqueId& id, int ctas_max) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        if (ctas_max > 0) {
            config.maxCTAs = ctas_max;
        }
        check(ncclCommInitRankConfig(&comm_, ranks, id, rank, &config), "ncclCommInitRankConfig");
    }
    ~Link() {
        if (!aborted_) {
            ncclCommDestroy(comm_);
        }
    }
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    // Ends what its kernels wait for.
    void end() {
        if (aborted_.exchange(true)) {
            return;
        }
        // Calls return at once, but for those that wait for a peer; only this ends them.
        constexpr std::chrono::seconds kPatience{1};
        const std::unique_lock lock(mutex_, kPatience);
        ncclCommAbort(comm_);
    }
    // Of any threads at once.
    template <class Call>
    void use(const Call& call) const {
        const std::shared_lock lock(mutex_);
        if (aborted_) {
            throw CommunicatorError("the job was aborted");
        }
        call(comm_);
    }
    void throw_if_failed() const {
        use([](ncclComm_t comm) {
            ncclResult_t state = ncclSuccess;
            check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
            check(state, "NCCL");
        });
    }
    void send(std::span<const std::byte> data, int peer, cudaStream_t stream) const {
        use([&](ncclComm_t comm) { nccl::send(data, peer, comm, stream); });
    }
    void receive(std::span<std::byte> data, int peer, cudaStream_t stream) const {
        use([&](ncclComm_t comm) { nccl::receive(data, peer, comm, stream); });
    }

private:
    ncclComm_t comm_ = nullptr;
    mutable std::shared_timed_mutex mutex_;  // a call holds it, and the end of all of them
    std::atomic<bool> aborted_{false};
};

}  // namespace r1::nccl
