// Messages between the ranks of a job, whatever carries them: threads of one process
// (thread_communicator.hpp) or processes (mpi_communicator.hpp).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "model/base/exit_code.hpp"

namespace r1 {

// What crosses between two ranks and why: bytes are counted by it. `report`: what ranks tell each
// other about the run, and no op of the graph sends. Notes and reports lie in the host's memory at
// both ends, all else in the memory of the job's devices.
enum class MessageKind : std::uint8_t { pipeline, dispatch, combine, notify, collective, report };
inline constexpr std::size_t kMessageKinds = 6;
constexpr bool is_of_host(MessageKind kind) {
    return kind == MessageKind::notify || kind == MessageKind::report;
}

// Bytes that one rank sent to others, by the link that they take on the modelled cluster.
struct TrafficBytes {
    std::uint64_t nvlink = 0;      // to ranks of its node
    std::uint64_t infiniband = 0;  // to ranks of other nodes

    bool operator==(const TrafficBytes&) const = default;
};

struct Traffic {
    std::array<TrafficBytes, kMessageKinds> by_kind{};

    [[nodiscard]] TrafficBytes& operator[](MessageKind kind) {
        return by_kind[static_cast<std::size_t>(kind)];
    }
    [[nodiscard]] const TrafficBytes& operator[](MessageKind kind) const {
        return by_kind[static_cast<std::size_t>(kind)];
    }
    Traffic& operator+=(const Traffic& other) {
        for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
            by_kind[kind].nvlink += other.by_kind[kind].nvlink;
            by_kind[kind].infiniband += other.by_kind[kind].infiniband;
        }
        return *this;
    }
    bool operator==(const Traffic&) const = default;
};

// A peer failed or aborted, or a message had another size than its receiver expected.
class CommunicatorError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A message on its way. Destroying a request that is not complete loses the message; it may wait
// for it, but not for long while an exception is in flight, since that exception ends the job.
class Request {
public:
    Request() = default;
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;
    virtual ~Request() = default;
    // Returns when the memory is the caller's again: the message is here, or is out; of a device's
    // memory, for what the thread starts there next. Throws CommunicatorError. By one thread only;
    // once it has returned, it returns at once.
    virtual void wait() = 0;
};

// One rank's end; calls come from several threads of the rank at once. Whoever catches an
// exception of a rank's work ends the job with abort(), else peers wait for messages that nobody
// sends.
class Communicator {
public:
    virtual ~Communicator() = default;
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;

    [[nodiscard]] int rank() const { return rank_; }
    [[nodiscard]] int ranks() const { return ranks_; }
    [[nodiscard]] int ranks_per_node() const { return ranks_per_node_; }
    [[nodiscard]] int node_of(int rank) const { return rank / ranks_per_node_; }

    // Messages from one rank to another on one channel arrive in order, and receives take them in
    // the order in which they were started. Returns at once; the memory must stay until wait()
    // returned. A rank may send to itself. Where only a wait() moves data (MPI), a large message
    // is on its way while its two ends wait, not before.
    std::unique_ptr<Request> send(int to, std::uint64_t channel, MessageKind kind,
                                  std::span<const std::byte> data);
    // Kind and size must match the message's exactly, else wait() throws CommunicatorError; the
    // message is lost then.
    std::unique_ptr<Request> receive(int from, std::uint64_t channel, MessageKind kind,
                                     std::span<std::byte> data);

    // Ends the job: every rank's waiting and later calls throw CommunicatorError with the text of
    // the first abort. `code`: what the program exits with, where that ends the process.
    virtual void abort(const std::string& why, ExitCode code = kInternalError) = 0;

    // What this rank has sent to others since the start or the last reset.
    [[nodiscard]] Traffic traffic() const;
    void reset_traffic();

protected:
    // Node = rank / ranks_per_node.
    Communicator(int rank, int ranks, int ranks_per_node);

private:
    virtual std::unique_ptr<Request> start_send(int to, std::uint64_t channel, MessageKind kind,
                                                std::span<const std::byte> data) = 0;
    virtual std::unique_ptr<Request> start_receive(int from, std::uint64_t channel,
                                                   MessageKind kind, std::span<std::byte> data) = 0;

    struct Counter {
        std::atomic<std::uint64_t> nvlink{0};
        std::atomic<std::uint64_t> infiniband{0};
    };

    const int rank_;
    const int ranks_;
    const int ranks_per_node_;
    std::array<Counter, kMessageKinds> counters_;
};

// "receive from rank 1 on channel 7: 8 bytes expected, 12 sent": the error of a wrong size.
CommunicatorError size_mismatch(int from, std::uint64_t channel, std::size_t expected,
                                const std::string& sent);

}  // namespace r1
