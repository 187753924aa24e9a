#include "runtime/cuda_calibration/nccl_collectives.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cuda/check.hpp"
#include "runtime/calibration/collective_job.hpp"
#include "runtime/cuda_calibration/timer.hpp"
#ifdef R1_HAVE_NCCL
#include <nccl.h>
#endif

namespace r1::cuda {

namespace {

constexpr const char* kCollectives = "collectives";  // of what is left out

int gpu_count() {
    int count = 0;
    check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    return count;
}

#ifdef R1_HAVE_NCCL

constexpr int kCollectiveTimings = 7;

void check_nccl(ncclResult_t result, const char* what) {
    if (result != ncclSuccess) {
        throw CudaError(std::string(what) + ": " + ncclGetErrorString(result));
    }
}

// Sets the current device, and brings back the one before.
class OnDevice {
public:
    explicit OnDevice(int device) {
        check(cudaGetDevice(&before_), "cudaGetDevice");
        check(cudaSetDevice(device), "cudaSetDevice");
    }
    ~OnDevice() { cudaSetDevice(before_); }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

private:
    int before_ = 0;
};

// A GPU's buffers, and the stream that its collectives run on.
struct CollectiveRank {
    int device = 0;
    Stream stream;
    Event start;
    Event end;
    DeviceMemory sent;
    DeviceMemory received;

    CollectiveRank(int index, std::size_t bytes) : device(index), sent(bytes), received(bytes) {
        check(cudaMemsetAsync(sent.as(), 0, bytes, stream.get()), "cudaMemsetAsync");
        stream.wait();
    }
};

// Of the first GPUs, for one number of them.
class CommGroup {
public:
    CommGroup(const std::vector<std::unique_ptr<CollectiveRank>>& ranks, int size) {
        std::vector<int> devices;
        for (int i = 0; i < size; ++i) {
            ranks_.push_back(ranks[static_cast<std::size_t>(i)].get());
            devices.push_back(ranks_.back()->device);
        }
        comms_.resize(devices.size());
        check_nccl(ncclCommInitAll(comms_.data(), size, devices.data()), "ncclCommInitAll");
    }
    ~CommGroup() {
        for (const ncclComm_t comm : comms_) {
            ncclCommDestroy(comm);
        }
    }
    CommGroup(const CommGroup&) = delete;
    CommGroup& operator=(const CommGroup&) = delete;

    [[nodiscard]] int size() const { return static_cast<int>(ranks_.size()); }

    // Microseconds of one collective on the GPU where it takes longest.
    [[nodiscard]] double time_us(const CollectiveJob& job) const {
        const int repetitions = collective_repetitions(job);
        for (const CollectiveRank* rank : ranks_) {
            const OnDevice on(rank->device);
            check(cudaEventRecord(rank->start.get(), rank->stream.get()), "cudaEventRecord");
        }
        for (int i = 0; i < repetitions; ++i) {
            run(job);
        }
        double longest_ms = 0;
        for (const CollectiveRank* rank : ranks_) {
            const OnDevice on(rank->device);
            check(cudaEventRecord(rank->end.get(), rank->stream.get()), "cudaEventRecord");
        }
        for (const CollectiveRank* rank : ranks_) {
            const OnDevice on(rank->device);
            rank->stream.wait();
            float ms = 0;
            check(cudaEventElapsedTime(&ms, rank->start.get(), rank->end.get()),
                  "cudaEventElapsedTime");
            longest_ms = std::max(longest_ms, static_cast<double>(ms));
        }
        return longest_ms * 1e3 / repetitions;
    }

private:
    void run(const CollectiveJob& job) const {
        check_nccl(ncclGroupStart(), "ncclGroupStart");
        for (std::size_t i = 0; i < ranks_.size(); ++i) {
            start(job, *ranks_[i], comms_[i]);
        }
        check_nccl(ncclGroupEnd(), "ncclGroupEnd");
    }

    // Sums are of float32, as those of gradients.
    void start(const CollectiveJob& job, const CollectiveRank& rank, ncclComm_t comm) const {
        const auto all = static_cast<std::size_t>(job.bytes);
        const std::size_t part = all / ranks_.size();
        cudaStream_t stream = rank.stream.get();
        if (job.kernel == "all_reduce") {
            check_nccl(ncclAllReduce(rank.sent.as(), rank.received.as(), all / sizeof(float),
                                     ncclFloat, ncclSum, comm, stream),
                       "ncclAllReduce");
        } else if (job.kernel == "all_gather") {
            check_nccl(
                ncclAllGather(rank.sent.as(), rank.received.as(), part, ncclUint8, comm, stream),
                "ncclAllGather");
        } else if (job.kernel == "reduce_scatter") {
            check_nccl(ncclReduceScatter(rank.sent.as(), rank.received.as(), part / sizeof(float),
                                         ncclFloat, ncclSum, comm, stream),
                       "ncclReduceScatter");
        } else {
            for (std::size_t peer = 0; peer < ranks_.size(); ++peer) {
                const auto to = static_cast<int>(peer);
                check_nccl(ncclSend(rank.sent.as<std::byte>() + peer * part, part, ncclUint8, to,
                                    comm, stream),
                           "ncclSend");
                check_nccl(ncclRecv(rank.received.as<std::byte>() + peer * part, part, ncclUint8,
                                    to, comm, stream),
                           "ncclRecv");
            }
        }
    }

    std::vector<CollectiveRank*> ranks_;
    std::vector<ncclComm_t> comms_;
};

// Of each of two buffers, on the GPU that has least room.
double buffer_bytes_max(int gpus) {
    double least = std::numeric_limits<double>::infinity();
    for (int device = 0; device < gpus; ++device) {
        const OnDevice on(device);
        std::size_t free = 0;
        std::size_t total = 0;
        check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        constexpr double kReserve = 2e9;  // NCCL's own buffers
        least = std::min(least, (static_cast<double>(free) - kReserve) / 2);
    }
    return std::max(0.0, least);
}

std::string version_text() {
    int version = 0;
    check_nccl(ncclGetVersion(&version), "ncclGetVersion");
    return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
           "." + std::to_string(version % 100);
}

class CollectiveSession {
public:
    CollectiveSession(const CollectiveRun& run, int gpus, MeasuredCalibration& result)
        : run_(run), result_(result), jobs_(collective_jobs(gpus, buffer_bytes_max(gpus))) {
        std::int64_t largest = 0;
        for (const CollectiveJob& job : jobs_) {
            largest = std::max(largest, job.bytes);
        }
        for (int device = 0; device < gpus; ++device) {
            const OnDevice on(device);
            ranks_.push_back(
                std::make_unique<CollectiveRank>(device, static_cast<std::size_t>(largest)));
        }
    }

    void measure() {
        for (const CollectiveJob& job : jobs_) {
            if (run_.stop != nullptr && run_.stop->load()) {
                throw Stopped();
            }
            if (elapsed_s() + estimate_s(job) > run_.seconds) {
                result_.left_out.push_back({job.kernel, describe(job), "the time was spent"});
                continue;
            }
            if (run_.progress) {
                run_.progress(describe(job));
            }
            measure(job);
        }
    }

private:
    void measure(const CollectiveJob& job) {
        if (group_ == nullptr || group_->size() != job.ranks) {
            group_ = std::make_unique<CommGroup>(ranks_, job.ranks);
        }
        std::vector<double> times_us;
        (void)group_->time_us(job);  // connects the GPUs for messages of this size
        for (int i = 0; i < kCollectiveTimings; ++i) {
            times_us.push_back(group_->time_us(job));
        }
        const Timing timing = summarize(times_us);
        if (timing.median_us <= 0) {
            throw CudaError("its time is below the resolution of the events");
        }
        add_collective(result_, job, timing,
                       version_text() + ", " + std::to_string(job.ranks) +
                           " GPUs in one process, mean of " +
                           std::to_string(collective_repetitions(job)) + " on the slowest GPU");
    }

    [[nodiscard]] double elapsed_s() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

    const CollectiveRun& run_;
    MeasuredCalibration& result_;
    std::vector<CollectiveJob> jobs_;
    std::vector<std::unique_ptr<CollectiveRank>> ranks_;
    std::unique_ptr<CommGroup> group_;  // before the ranks that it uses
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

#endif

}  // namespace

double collective_seconds() {
    double sum = 0;
#ifdef R1_HAVE_NCCL
    for (const CollectiveJob& job :
         collective_jobs(gpu_count(), std::numeric_limits<double>::max())) {
        sum += estimate_s(job);
    }
#endif
    return sum;
}

void measure_collectives([[maybe_unused]] const CollectiveRun& run, MeasuredCalibration& result) {
    const int gpus = gpu_count();
    if (gpus < 2) {
        result.left_out.push_back(
            {kCollectives, kCollectives, "they need two GPUs, and there is one"});
        return;
    }
#ifdef R1_HAVE_NCCL
    try {
        CollectiveSession(run, gpus, result).measure();
        add_collective_constants(result);
    } catch (const CudaError& error) {  // of whatever is left: an aborted communicator does no more
        result.left_out.push_back({kCollectives, kCollectives, error.what()});
        cudaGetLastError();  // else the next kernel reports it
    }
#else
    result.left_out.push_back({kCollectives, kCollectives, "this program was built without NCCL"});
#endif
}

}  // namespace r1::cuda
