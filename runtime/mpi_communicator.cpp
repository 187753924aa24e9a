#include "runtime/mpi_communicator.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "model/base/rng.hpp"

namespace r1 {

namespace {

using Clock = std::chrono::steady_clock;

void check_mpi(int result, const char* call) {
    if (result == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(result, text, &length);
    throw CommunicatorError(
        fmt::format("{}: {}", call, std::string(text, static_cast<std::size_t>(length))));
}

// Counts of MPI are int, so a message of more bytes is one element of a type made for it: blocks of
// 1 GiB and a rest.
class ByteType {
public:
    explicit ByteType(std::size_t bytes) {
        if (bytes <= INT_MAX) {
            count_ = static_cast<int>(bytes);
            return;
        }
        constexpr int kBlock = 1 << 30;
        MPI_Datatype block = MPI_DATATYPE_NULL;
        check_mpi(MPI_Type_contiguous(kBlock, MPI_BYTE, &block), "MPI_Type_contiguous");
        const int lengths[] = {static_cast<int>(bytes / kBlock), static_cast<int>(bytes % kBlock)};
        const MPI_Aint places[] = {0, static_cast<MPI_Aint>(bytes - bytes % kBlock)};
        const MPI_Datatype types[] = {block, MPI_BYTE};
        check_mpi(MPI_Type_create_struct(2, lengths, places, types, &type_),
                  "MPI_Type_create_struct");
        check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit");
        MPI_Type_free(&block);
        count_ = 1;
    }
    ByteType(const ByteType&) = delete;
    ByteType& operator=(const ByteType&) = delete;
    ~ByteType() {
        if (type_ != MPI_BYTE) MPI_Type_free(&type_);  // messages in flight keep it
    }

    [[nodiscard]] MPI_Datatype type() const { return type_; }
    [[nodiscard]] int count() const { return count_; }

private:
    MPI_Datatype type_ = MPI_BYTE;
    int count_ = 0;
};

// A message that has come, matched but not received yet.
struct Arrival {
    MPI_Message message = MPI_MESSAGE_NULL;
    std::size_t bytes = 0;
};

// The MPI side of a request. A receive starts once its message is here and its size is known:
// OpenMPI 4.1.4 writes past the end of a posted receive that is shorter than a large message.
struct Transfer {
    MPI_Request request = MPI_REQUEST_NULL;
    std::span<std::byte> place;     // of a receive
    std::size_t sent = 0;           // what came for it
    std::vector<std::byte> misfit;  // takes a message of another size, so that its sender is done
    std::atomic<bool> started{false};  // after this, all above belongs to the thread that waits

    void start_send(std::span<const std::byte> data, int to, int tag, MPI_Comm comm) {
        const ByteType type(data.size());
        check_mpi(MPI_Isend(data.data(), type.count(), type.type(), to, tag, comm, &request),
                  "MPI_Isend");
        started.store(true, std::memory_order_release);
    }
    void start_receive(Arrival arrival) {
        sent = arrival.bytes;
        if (sent != place.size()) misfit.resize(sent);
        const ByteType type(sent);
        std::byte* to = sent == place.size() ? place.data() : misfit.data();
        check_mpi(MPI_Imrecv(to, type.count(), type.type(), &arrival.message, &request),
                  "MPI_Imrecv");
        started.store(true, std::memory_order_release);
    }
    bool done() {
        if (!started.load(std::memory_order_acquire)) return false;
        int done = 0;
        check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        return done != 0;
    }
};

// Brings messages and receives together, by sender and tag in the order of both.
class Inbox {
public:
    explicit Inbox(MPI_Comm comm) : comm_(comm) {}

    void await(int from, int tag, Transfer& transfer) {
        const std::lock_guard lock(mutex_);
        const auto stream = streams_.try_emplace({from, tag}).first;
        auto& arrived = stream->second.arrived;
        if (arrived.empty()) {
            stream->second.awaited.push_back(&transfer);
            return;
        }
        const Arrival arrival = arrived.front();
        arrived.pop_front();
        if (arrived.empty()) streams_.erase(stream);
        transfer.start_receive(arrival);
    }

    // Takes in what has come, whoever waits for it: a rank that waits for a send to be done must
    // let its own receives go on, since the peer may do the same.
    void take_in() {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock.owns_lock()) return;  // another thread is at it
        for (;;) {
            int found = 0;
            Arrival arrival;
            MPI_Status status;
            check_mpi(
                MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &found, &arrival.message, &status),
                "MPI_Improbe");
            if (found == 0) return;
            MPI_Count bytes = 0;
            check_mpi(MPI_Get_elements_x(&status, MPI_BYTE, &bytes), "MPI_Get_elements_x");
            arrival.bytes = static_cast<std::size_t>(bytes);
            const auto stream = streams_.try_emplace({status.MPI_SOURCE, status.MPI_TAG}).first;
            auto& awaited = stream->second.awaited;
            if (awaited.empty()) {
                stream->second.arrived.push_back(arrival);
                continue;
            }
            Transfer& transfer = *awaited.front();
            awaited.pop_front();
            if (awaited.empty()) streams_.erase(stream);
            transfer.start_receive(arrival);
        }
    }

    void forget(int from, int tag, const Transfer& transfer) {
        const std::lock_guard lock(mutex_);
        const auto stream = streams_.find({from, tag});
        if (stream == streams_.end()) return;
        std::erase(stream->second.awaited, &transfer);
        if (stream->second.awaited.empty() && stream->second.arrived.empty()) {
            streams_.erase(stream);
        }
    }

private:
    // At most one of the two holds something; a stream is here only while one does.
    struct Stream {
        std::deque<Arrival> arrived;
        std::deque<Transfer*> awaited;
    };

    const MPI_Comm comm_;
    std::mutex mutex_;
    std::map<std::pair<int, int>, Stream> streams_;
};

// Which channel each tag of the hashed half stands for while messages are in flight.
class TagsInUse {
public:
    void take(int tag, std::uint64_t channel) {
        const std::lock_guard lock(mutex_);
        Use& use = uses_.try_emplace(tag, Use{channel, 0}).first->second;
        if (use.channel != channel) {
            throw CommunicatorError(
                fmt::format("channels {} and {} have the same MPI tag {} and are in use at once",
                            use.channel, channel, tag));
        }
        ++use.messages;
    }
    void release(int tag) {
        const std::lock_guard lock(mutex_);
        const auto use = uses_.find(tag);
        if (--use->second.messages == 0) uses_.erase(use);
    }

private:
    struct Use {
        std::uint64_t channel;
        int messages;
    };

    std::mutex mutex_;
    std::unordered_map<int, Use> uses_;
};

// Pauses between looks at something that another process does: first it gives way, since on a
// shared core the other may need it, then it sleeps.
class Pause {
public:
    void operator()() {
        if (looks_++ < kLooks) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(sleep_);
            sleep_ = std::min(2 * sleep_, kSleepMax);
        }
    }

private:
    static constexpr int kLooks = 100;
    static constexpr std::chrono::microseconds kSleepMax{500};
    int looks_ = 0;
    std::chrono::microseconds sleep_{10};
};

// This process's part of the job.
class Job {
public:
    Job() : inbox_(comm_) {
        check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
        int* tag_max = nullptr;
        int found = 0;
        check_mpi(MPI_Comm_get_attr(comm_, MPI_TAG_UB, static_cast<void*>(&tag_max), &found),
                  "MPI_Comm_get_attr");
        R1_CHECK(found != 0);
        tag_max_ = *tag_max;
        check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check_mpi(MPI_Comm_size(comm_, &ranks_), "MPI_Comm_size");
    }
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    ~Job() { MPI_Comm_free(&comm_); }

    [[nodiscard]] MPI_Comm comm() const { return comm_; }
    [[nodiscard]] Inbox& inbox() { return inbox_; }
    [[nodiscard]] int rank() const { return rank_; }
    [[nodiscard]] int ranks() const { return ranks_; }

    int take_tag(std::uint64_t channel) {
        const int tag = mpi_tag(channel, tag_max_);
        if (tag > tag_max_ / 2) tags_.take(tag, channel);
        return tag;
    }
    void release_tag(int tag) {
        if (tag > tag_max_ / 2) tags_.release(tag);
    }

    void throw_if_aborted() const {
        if (aborted_.load(std::memory_order_acquire)) throw CommunicatorError(why_);
    }
    [[nodiscard]] bool aborted() const { return aborted_.load(std::memory_order_acquire); }

    // Does not return; nor does a second call, which waits for the end of the process.
    void abort(const std::string& why, ExitCode code) {
        std::call_once(abort_once_, [&] {
            why_ = why;
            aborted_.store(true, std::memory_order_release);
            const std::string line = fmt::format("r1sim: rank {}: {}\n", rank_, why);
            std::fputs(line.c_str(), stderr);
            std::fflush(stderr);
            // MPI_Abort runs exit handlers, which can hang while other threads go on. The signal
            // ends this process then, and mpirun the others.
            ::alarm(2);
            MPI_Abort(MPI_COMM_WORLD, code);
        });
    }

    // Until when requests that an exception leaves behind are waited for: a second in all, however
    // many they are.
    Clock::time_point give_up_at() {
        std::call_once(give_up_once_,
                       [&] { give_up_at_ = Clock::now() + std::chrono::seconds(1); });
        return give_up_at_;
    }

private:
    // Of its own, so that no message of anyone else's is taken for one of ours.
    static MPI_Comm duplicate() {
        MPI_Comm comm = MPI_COMM_NULL;
        check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
        return comm;
    }

    MPI_Comm comm_ = duplicate();
    Inbox inbox_;
    int rank_ = 0;
    int ranks_ = 0;
    int tag_max_ = 0;
    TagsInUse tags_;
    std::once_flag abort_once_;
    std::atomic<bool> aborted_{false};
    std::string why_;  // written once, before aborted_
    std::once_flag give_up_once_;
    Clock::time_point give_up_at_;
};

class MpiRequest final : public Request {
public:
    MpiRequest(Job& job, int peer, std::uint64_t channel)
        : job_(job), peer_(peer), channel_(channel), tag_(job.take_tag(channel)) {}

    ~MpiRequest() override {
        drop();
        job_.release_tag(tag_);
    }

    void start_send(std::span<const std::byte> data) {
        transfer_.start_send(data, peer_, tag_, job_.comm());
    }
    void start_receive(std::span<std::byte> data) {
        transfer_.place = data;
        job_.inbox().await(peer_, tag_, transfer_);
    }

    void wait() override {
        for (Pause pause; !done_; pause()) {
            job_.throw_if_aborted();
            job_.inbox().take_in();
            done_ = transfer_.done();
        }
        job_.throw_if_aborted();
        if (transfer_.sent != transfer_.place.size()) {
            throw size_mismatch(peer_, channel_, transfer_.place.size(),
                                fmt::format("{} sent", transfer_.sent));
        }
    }

private:
    // MPI would go on using the memory, which is about to go: waits, but while an exception is in
    // flight only for what is under way, and not for long, since a rank that failed may be what the
    // peer waits for.
    void drop() noexcept {
        if (done_) return;
        const bool failing = std::uncaught_exceptions() > 0;
        if (failing) job_.inbox().forget(peer_, tag_, transfer_);
        try {
            for (Pause pause; !done_ && !job_.aborted(); pause()) {
                job_.inbox().take_in();
                done_ = transfer_.done();
                if (failing && (!transfer_.started || Clock::now() > job_.give_up_at())) return;
            }
        } catch (const CommunicatorError&) {
            // Whoever waits next sees it too.
        }
        job_.inbox().forget(peer_, tag_, transfer_);
    }

    Job& job_;
    const int peer_;
    const std::uint64_t channel_;
    const int tag_;
    Transfer transfer_;
    bool done_ = false;
};

class MpiCommunicator final : public Communicator {
public:
    MpiCommunicator(Job& job, int ranks_per_node)
        : Communicator(job.rank(), job.ranks(), ranks_per_node), job_(job) {}

    void abort(const std::string& why, ExitCode code) override { job_.abort(why, code); }

private:
    std::unique_ptr<Request> start_send(int to, std::uint64_t channel, MessageKind /*kind*/,
                                        std::span<const std::byte> data) override {
        job_.throw_if_aborted();
        auto request = std::make_unique<MpiRequest>(job_, to, channel);
        request->start_send(data);
        return request;
    }
    std::unique_ptr<Request> start_receive(int from, std::uint64_t channel, MessageKind /*kind*/,
                                           std::span<std::byte> data) override {
        job_.throw_if_aborted();
        auto request = std::make_unique<MpiRequest>(job_, from, channel);
        request->start_receive(data);
        return request;
    }

    Job& job_;
};

}  // namespace

int mpi_tag(std::uint64_t channel, int tag_max) {
    const auto half = static_cast<std::uint64_t>(tag_max / 2);
    if (channel <= half) return static_cast<int>(channel);
    const auto low = static_cast<std::uint32_t>(channel);
    const auto high = static_cast<std::uint32_t>(channel >> 32);
    const std::uint64_t hash = philox4x32({low, high, 0, 0}, {0, 0})[0];
    return static_cast<int>(half + 1 + hash % (static_cast<std::uint64_t>(tag_max) - half));
}

void run_mpi_rank(int ranks_per_node, const std::function<void(Communicator&)>& work) {
    int provided = MPI_THREAD_SINGLE;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    if (provided < MPI_THREAD_MULTIPLE) {
        MPI_Finalize();
        throw FeatureError("this MPI does not allow calls from several threads at once");
    }
    {
        Job job;
        MpiCommunicator communicator(job, ranks_per_node);
        try {
            work(communicator);
        } catch (const std::exception& error) {
            communicator.abort(error.what(), exit_code_of(error));
        } catch (...) {
            communicator.abort("unknown exception", kInternalError);
        }
    }
    MPI_Finalize();
}

}  // namespace r1
