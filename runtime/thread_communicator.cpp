#include "runtime/thread_communicator.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace r1 {

namespace {

struct Message {
    DeviceArray<std::byte> data;
    std::shared_ptr<const DeviceEvent> made;
};

// Where a started receive finds its message; the receiver copies it out in its own time, so no
// sender writes into memory that its owner may have given up.
using Slot = std::shared_ptr<std::optional<Message>>;

// Messages of one sender on one channel. At most one of the two queues holds something.
struct ChannelQueue {
    std::deque<Message> arrived;
    std::deque<Slot> awaited;
};

// What one rank is sent, by (sender, channel). A stream is here only while something is pending.
struct Mailbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::pair<int, std::uint64_t>, ChannelQueue> streams;

    void put(int from, std::uint64_t channel, Message message) {
        {
            const std::lock_guard lock(mutex);
            const auto stream = streams.try_emplace({from, channel}).first;
            auto& awaited = stream->second.awaited;
            if (awaited.empty()) {
                stream->second.arrived.push_back(std::move(message));
                return;
            }
            *awaited.front() = std::move(message);
            awaited.pop_front();
            if (awaited.empty()) streams.erase(stream);
        }
        changed.notify_all();
    }

    Slot take(int from, std::uint64_t channel) {
        auto slot = std::make_shared<std::optional<Message>>();
        const std::lock_guard lock(mutex);
        const auto stream = streams.try_emplace({from, channel}).first;
        auto& arrived = stream->second.arrived;
        if (arrived.empty()) {
            stream->second.awaited.push_back(slot);
            return slot;
        }
        *slot = std::move(arrived.front());
        arrived.pop_front();
        if (arrived.empty()) streams.erase(stream);
        return slot;
    }
};

}  // namespace

class ThreadWorld::State {
public:
    State(int ranks, Memory& memory)
        : memory_(memory), mailboxes_(static_cast<std::size_t>(ranks)) {}

    [[nodiscard]] Memory& memory_of(MessageKind kind) {
        return is_of_host(kind) ? host_memory() : memory_;
    }

    [[nodiscard]] Mailbox& mailbox(int rank) { return mailboxes_[static_cast<std::size_t>(rank)]; }

    [[nodiscard]] bool aborted() const { return aborted_.load(std::memory_order_acquire); }
    void throw_if_aborted() const {
        if (aborted()) throw CommunicatorError(why_);
    }

    void abort(const std::string& why) {
        {
            const std::lock_guard lock(abort_mutex_);
            if (aborted()) return;
            why_ = why;
            aborted_.store(true, std::memory_order_release);
        }
        for (Mailbox& mailbox : mailboxes_) {
            // A waiter has looked at aborted_ before and sleeps now, or will look after this.
            { const std::lock_guard lock(mailbox.mutex); }
            mailbox.changed.notify_all();
        }
    }

private:
    Memory& memory_;
    std::deque<Mailbox> mailboxes_;
    std::mutex abort_mutex_;
    std::atomic<bool> aborted_{false};
    std::string why_;  // written once, before aborted_
};

class ThreadWorld::Receive final : public Request {
public:
    Receive(State& state, Mailbox& mailbox, int from, std::uint64_t channel,
            std::span<std::byte> data)
        : state_(state),
          mailbox_(mailbox),
          from_(from),
          channel_(channel),
          data_(data),
          slot_(mailbox.take(from, channel)) {}

    void wait() override {
        if (slot_ == nullptr) return;
        {
            std::unique_lock lock(mailbox_.mutex);
            mailbox_.changed.wait(lock, [&] { return slot_->has_value() || state_.aborted(); });
        }
        state_.throw_if_aborted();
        const Slot slot = std::exchange(slot_, nullptr);  // ours alone from here on
        const DeviceArray<std::byte>& message = (*slot)->data;
        if ((*slot)->made != nullptr) {  // the host's memory needs no event
            (*slot)->made->wait();
        }
        if (message.size() != data_.size()) {
            throw size_mismatch(from_, channel_, data_.size(),
                                fmt::format("{} sent", message.size()));
        }
        message.memory().copy(data_.data(), message.data(), message.size());
    }

private:
    State& state_;
    Mailbox& mailbox_;
    const int from_;
    const std::uint64_t channel_;
    const std::span<std::byte> data_;
    Slot slot_;
};

class ThreadWorld::End final : public Communicator {
public:
    End(State& state, int rank, int ranks, int ranks_per_node)
        : Communicator(rank, ranks, ranks_per_node), state_(state) {}

    void abort(const std::string& why, ExitCode /*code*/) override { state_.abort(why); }

private:
    class Sent final : public Request {
    public:
        explicit Sent(const State& state) : state_(state) {}
        void wait() override { state_.throw_if_aborted(); }

    private:
        const State& state_;
    };

    std::unique_ptr<Request> start_send(int to, std::uint64_t channel, MessageKind kind,
                                        std::span<const std::byte> data) override {
        state_.throw_if_aborted();
        Memory& memory = state_.memory_of(kind);
        DeviceArray<std::byte> copy(memory, data);
        state_.mailbox(to).put(rank(), channel, {std::move(copy), memory.record()});
        return std::make_unique<Sent>(state_);
    }

    std::unique_ptr<Request> start_receive(int from, std::uint64_t channel, MessageKind /*kind*/,
                                           std::span<std::byte> data) override {
        state_.throw_if_aborted();
        return std::make_unique<Receive>(state_, state_.mailbox(rank()), from, channel, data);
    }

    State& state_;
};

ThreadWorld::ThreadWorld(int ranks, int ranks_per_node, Memory& memory)
    : state_(std::make_unique<State>(ranks, memory)) {
    for (int rank = 0; rank < ranks; ++rank) {
        ends_.push_back(std::make_unique<End>(*state_, rank, ranks, ranks_per_node));
    }
}

ThreadWorld::~ThreadWorld() = default;

Communicator& ThreadWorld::end(int rank) { return *ends_.at(static_cast<std::size_t>(rank)); }

void ThreadWorld::run(const std::function<void(Communicator&)>& work) {
    std::mutex mutex;
    std::exception_ptr first;
    bool first_follows = false;  // from what another rank will throw
    // Kept before the abort that it causes: what the others then throw is not the first. A rank may
    // have ended the job before it throws, though, and others be here before it.
    const auto failed = [&](Communicator& rank, const char* what, bool follows) {
        {
            const std::lock_guard lock(mutex);
            if (first == nullptr || (first_follows && !follows)) {
                first = std::current_exception();
                first_follows = follows;
            }
        }
        rank.abort(fmt::format("rank {}: {}", rank.rank(), what));
    };
    const auto run_rank = [&work, &failed](Communicator& rank) {
        try {
            work(rank);
        } catch (const CommunicatorError& error) {
            failed(rank, error.what(), true);
        } catch (const std::exception& error) {
            failed(rank, error.what(), false);
        } catch (...) {
            failed(rank, "unknown exception", false);
        }
    };
    std::vector<std::jthread> threads;
    try {
        for (const auto& end : ends_) threads.emplace_back(run_rank, std::ref(*end));
    } catch (const std::exception& error) {  // no more threads: those that run wait for the others
        failed(*ends_[threads.size()], error.what(), false);
    }
    threads.clear();  // joins
    if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace r1
