#include "runtime/nccl_communicator.hpp"

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "runtime/cuda_event.hpp"
#include "runtime/cuda_stream.hpp"
#include "runtime/nccl_link.hpp"
#include "runtime/thread_communicator.hpp"

namespace r1 {

namespace {

using cuda::Event;
using cuda::StreamSlot;
using cuda::thread_stream;
using nccl::Link;

// Of the host's communicator: announcements of pipeline messages, and identities at the start.
constexpr std::uint64_t kPairChannel = (std::uint64_t{1} << 29U) - 1;

template <class T>
std::span<std::byte> bytes_of(T& value) {
    return std::as_writable_bytes(std::span(&value, 1));
}

// Messages that a thread starts before it waits for one of them.
class Group {
public:
    Group(Communicator& host, Memory& memory, const Link& link)
        : host_(host), memory_(memory), link_(link) {}

    std::size_t add(bool is_send, int peer, std::uint64_t channel, std::byte* data,
                    std::size_t bytes) {
        parts_.push_back({is_send, peer, channel, data, bytes, bytes});
        return parts_.size() - 1;
    }
    // Before anyone waited: the message is lost.
    void drop(std::size_t part) { parts_[part].is_dropped = true; }
    [[nodiscard]] bool is_started() const { return is_started_; }

    void start() {
        announce();
        const cudaStream_t stream = thread_stream().stream();
        link_.use([&](ncclComm_t comm) {
            nccl::check(ncclGroupStart(), "ncclGroupStart");
            for (Part& part : parts_) {
                enqueue(part, comm, stream);
            }
            nccl::check(ncclGroupEnd(), "ncclGroupEnd");
        });
        is_started_ = true;
    }
    // The thread's stream is behind it anyway.
    void check_size(std::size_t which) const {
        const Part& part = parts_[which];
        if (part.announced != part.bytes) {
            throw size_mismatch(part.peer, part.channel, part.bytes,
                                fmt::format("{} sent", part.announced));
        }
    }

private:
    struct Part {
        bool is_send;
        int peer;
        std::uint64_t channel;
        std::byte* data;
        std::uint64_t bytes;
        std::uint64_t announced;
        std::optional<DeviceArray<std::byte>> lost{};
        bool is_dropped = false;
    };

    void enqueue(Part& part, ncclComm_t comm, cudaStream_t stream) {
        if (part.is_dropped || part.announced == 0) {
            return;
        }
        if (part.is_send) {
            nccl::send({part.data, part.bytes}, part.peer, comm, stream);
            return;
        }
        std::byte* data = part.data;
        if (part.announced != part.bytes) {  // to be received, or its sender waits for ever
            part.lost.emplace(memory_, part.announced);
            data = part.lost->data();
        }
        nccl::receive({data, part.announced}, part.peer, comm, stream);
    }

    // Senders tell sizes; returns when all are known.
    void announce() {
        std::vector<std::unique_ptr<Request>> requests;
        for (Part& part : parts_) {
            if (part.is_dropped) {
                continue;
            }
            requests.push_back(
                part.is_send
                    ? host_.send(part.peer, part.channel, MessageKind::report, bytes_of(part.bytes))
                    : host_.receive(part.peer, part.channel, MessageKind::report,
                                    bytes_of(part.announced)));
        }
        for (const std::unique_ptr<Request>& request : requests) {
            request->wait();
        }
    }

    Communicator& host_;
    Memory& memory_;
    const Link& link_;
    std::deque<Part> parts_;
    bool is_started_ = false;
};

// From one rank to another, pipeline messages only.
struct Pair {
    struct Announcement {
        std::uint64_t channel = 0;
        std::uint64_t bytes = 0;
    };
    using Place = std::pair<std::uint64_t, std::uint64_t>;  // channel, its n-th message

    Pair(int peer_rank, bool sends, const ncclUniqueId& id)
        : peer(peer_rank), link(sends ? 0 : 1, 2, id, 0), slot(cuda::device(), true) {}

    int peer;
    Link link;
    StreamSlot slot;
    std::mutex mutex;  // of all that follows, and of sends
    std::condition_variable changed;
    bool is_reading = false;                       // a thread takes the next message; only one does
    std::map<std::uint64_t, std::uint64_t> asked;  // by channel: receives that were started
    std::map<std::uint64_t, std::uint64_t> announced;  // and messages that were announced
    struct Arriving {
        DeviceArray<std::byte> data;
        std::unique_ptr<const Event> here;
    };
    std::map<Place, Arriving> early;  // nobody has waited for them yet
};

class PairSend final : public Request {
public:
    PairSend(Communicator& host, Pair& pair, std::uint64_t channel, std::span<const std::byte> data)
        : pair_(pair), note_{channel, data.size()} {
        const std::lock_guard lock(pair.mutex);
        announcement_ = host.send(pair.peer, kPairChannel, MessageKind::report, bytes_of(note_));
        const cudaStream_t stream = pair.slot.stream();
        Event(thread_stream().stream()).before(stream);
        pair.link.send(data, 1, stream);
        done_.emplace(stream);
    }
    // The memory may be released next, also where an exception ends the job.
    ~PairSend() override {
        try {
            done_->wait();
        } catch (const std::exception&) {
            // The device has failed.
        }
    }
    void wait() override {
        announcement_->wait();
        done_->wait();
    }

private:
    Pair& pair_;
    Pair::Announcement note_;
    std::unique_ptr<Request> announcement_;
    std::optional<Event> done_;
};

class PairReceive final : public Request {
public:
    PairReceive(Communicator& host, Memory& memory, Pair& pair, std::uint64_t channel,
                std::span<std::byte> data)
        : host_(host), memory_(memory), pair_(pair), data_(data) {
        const std::lock_guard lock(pair.mutex);
        place_ = {channel, pair.asked[channel]++};
    }
    void wait() override {
        if (std::exchange(is_done_, true)) {
            return;
        }
        std::unique_lock lock(pair_.mutex);
        while (pair_.early.count(place_) == 0) {
            if (pair_.is_reading) {
                pair_.changed.wait(lock);
            } else {
                take_next(lock);
            }
        }
        const Pair::Arriving found = std::move(pair_.early.extract(place_).mapped());
        lock.unlock();
        found.here->wait();
        if (found.data.size() != data_.size()) {
            throw size_mismatch(pair_.peer, place_.first, data_.size(),
                                fmt::format("{} sent", found.data.size()));
        }
        memory_.copy(data_.data(), found.data.data(), found.data.size());
    }

private:
    // Through memory of its own, also what is asked for: pipeline messages are few and small
    // beside what NCCL's own buffers copy.
    // Others may wait for what it brings, or take the next one meanwhile if it fails.
    void take_next(std::unique_lock<std::mutex>& lock) {
        pair_.is_reading = true;
        lock.unlock();
        Pair::Announcement note;
        std::optional<Pair::Arriving> message;
        std::exception_ptr failure;
        try {
            message.emplace(read(note));
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        pair_.is_reading = false;
        pair_.changed.notify_all();
        if (failure) {
            std::rethrow_exception(failure);
        }
        pair_.early.emplace(Pair::Place{note.channel, pair_.announced[note.channel]++},
                            std::move(*message));
    }
    [[nodiscard]] Pair::Arriving read(Pair::Announcement& note) const {
        host_.receive(pair_.peer, kPairChannel, MessageKind::report, bytes_of(note))->wait();
        DeviceArray<std::byte> message(memory_, note.bytes);
        const cudaStream_t stream = pair_.slot.stream();
        Event(thread_stream().stream()).before(stream);  // that allocated it
        pair_.link.receive(message.span(), 0, stream);
        return {std::move(message), std::make_unique<const Event>(stream)};
    }

    Communicator& host_;
    Memory& memory_;
    Pair& pair_;
    std::span<std::byte> data_;
    Pair::Place place_;
    bool is_done_ = false;
};

class NcclCommunicator final : public Communicator {
public:
    NcclCommunicator(Communicator& host, Memory& memory, const DeviceLinks& links)
        : Communicator(host.rank(), host.ranks(), host.ranks_per_node()),
          host_(host),
          memory_(memory),
          own_(1, 1, memory) {
        for (std::optional<Link>& link : lanes_) {
            link.emplace(rank(), ranks(), agreed_id(), links.comm_sms);
        }
        // In one order on all ranks: the first pair that is not connected has both its ends here.
        for (const auto& [from, to] : links.pipeline) {
            if (from != to && (from == rank() || to == rank())) {
                connect(from, to);
            }
        }
        watch_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
    }

    void abort(const std::string& why, ExitCode code) override {
        host_.abort(why, code);  // ends the process where ranks are processes, with the reason
        for_each_link([](Link& link) { link.end(); });
    }

private:
    template <class Call>
    void for_each_link(const Call& call) {
        for (std::optional<Link>& link : lanes_) {
            call(*link);
        }
        for (auto* pairs : {&to_, &from_}) {
            for (auto& [peer, pair] : *pairs) {
                call(pair.link);
            }
        }
    }

    // Nobody asks NCCL while the host waits for the device, which waits for a peer.
    void watch(const std::stop_token& stop) {
        constexpr std::chrono::milliseconds kPause{100};
        std::mutex mutex;
        std::condition_variable_any sleeps;
        std::unique_lock lock(mutex);
        try {
            while (!sleeps.wait_for(lock, stop, kPause, [] { return false; }) &&
                   !stop.stop_requested()) {
                for_each_link([](const Link& link) { link.throw_if_failed(); });
            }
        } catch (const std::exception& error) {
            abort(error.what(), exit_code_of(error));
        }
    }

    // Of the thread that started it; see Group.
    class GroupRequest final : public Request {
    public:
        GroupRequest(NcclCommunicator& communicator, std::shared_ptr<Group> group, std::size_t part)
            : communicator_(communicator), group_(std::move(group)), part_(part) {}
        ~GroupRequest() override {
            if (!group_->is_started()) {
                group_->drop(part_);
            }
        }
        void wait() override {
            if (!group_->is_started()) {
                communicator_.close(group_);
                group_->start();
            }
            if (!std::exchange(is_done_, true)) {
                group_->check_size(part_);
            }
        }

    private:
        NcclCommunicator& communicator_;
        std::shared_ptr<Group> group_;
        std::size_t part_;
        bool is_done_ = false;
    };

    std::unique_ptr<Request> start_send(int to, std::uint64_t channel, MessageKind kind,
                                        std::span<const std::byte> data) override {
        if (is_of_host(kind)) {
            return host_.send(to, channel, kind, data);
        }
        if (to == rank()) {
            return own_.end(0).send(0, channel, kind, data);
        }
        if (!is_grouped(kind)) {
            return std::make_unique<PairSend>(host_, pair(to_, to), channel, data);
        }
        return add(true, to, channel, kind, const_cast<std::byte*>(data.data()), data.size());
    }

    std::unique_ptr<Request> start_receive(int from, std::uint64_t channel, MessageKind kind,
                                           std::span<std::byte> data) override {
        if (is_of_host(kind)) {
            return host_.receive(from, channel, kind, data);
        }
        if (from == rank()) {
            return own_.end(0).receive(0, channel, kind, data);
        }
        if (!is_grouped(kind)) {
            return std::make_unique<PairReceive>(host_, memory_, pair(from_, from), channel, data);
        }
        return add(false, from, channel, kind, data.data(), data.size());
    }

    static bool is_grouped(MessageKind kind) {
        return kind != MessageKind::pipeline && cuda::has_given_stream();
    }
    [[nodiscard]] Pair& pair(std::map<int, Pair>& pairs, int peer) const {
        const auto found = pairs.find(peer);
        if (found == pairs.end()) {
            throw CommunicatorError(fmt::format(
                "ranks {} and {} are not connected for pipeline messages", rank(), peer));
        }
        return found->second;
    }

    std::unique_ptr<Request> add(bool is_send, int peer, std::uint64_t channel, MessageKind kind,
                                 std::byte* data, std::size_t bytes) {
        const std::size_t lane = kind == MessageKind::collective ? 1 : 0;
        const std::lock_guard lock(mutex_);
        std::shared_ptr<Group>& group = open_[{std::this_thread::get_id(), lane}];
        if (group == nullptr) {
            group = std::make_shared<Group>(host_, memory_, *lanes_[lane]);
        }
        const std::size_t part = group->add(is_send, peer, channel, data, bytes);
        return std::make_unique<GroupRequest>(*this, group, part);
    }
    // What the thread starts next is another group.
    void close(const std::shared_ptr<Group>& group) {
        const std::lock_guard lock(mutex_);
        std::erase_if(open_, [&](const auto& entry) { return entry.second == group; });
    }

    // Rank 0 makes it.
    [[nodiscard]] ncclUniqueId agreed_id() const {
        ncclUniqueId id{};
        if (rank() != 0) {
            host_.receive(0, kPairChannel, MessageKind::report, bytes_of(id))->wait();
            return id;
        }
        nccl::check(ncclGetUniqueId(&id), "ncclGetUniqueId");
        for (int other = 1; other < ranks(); ++other) {
            host_.send(other, kPairChannel, MessageKind::report, bytes_of(id))->wait();
        }
        return id;
    }

    void connect(int from, int to) {
        const bool sends = from == rank();
        const int peer = sends ? to : from;
        ncclUniqueId id{};
        if (sends) {
            nccl::check(ncclGetUniqueId(&id), "ncclGetUniqueId");
            host_.send(peer, kPairChannel, MessageKind::report, bytes_of(id))->wait();
        } else {
            host_.receive(peer, kPairChannel, MessageKind::report, bytes_of(id))->wait();
        }
        auto& pairs = sends ? to_ : from_;
        Pair& pair = pairs
                         .emplace(std::piecewise_construct, std::forward_as_tuple(peer),
                                  std::forward_as_tuple(peer, sends, id))
                         .first->second;
        // The first message makes the connection, for which both ends have to be here: now.
        DeviceArray<std::byte> byte(memory_, 1);
        memory_.finish();
        sends ? pair.link.send(byte.span(), 1, pair.slot.stream())
              : pair.link.receive(byte.span(), 0, pair.slot.stream());
        Event(pair.slot.stream()).finish([&] { pair.link.throw_if_failed(); });
    }

    Communicator& host_;
    Memory& memory_;
    ThreadWorld own_;                           // messages to itself
    std::array<std::optional<Link>, 2> lanes_;  // exchanges of experts, collectives
    std::map<int, Pair> to_;
    std::map<int, Pair> from_;
    std::mutex mutex_;
    std::map<std::pair<std::thread::id, std::size_t>, std::shared_ptr<Group>> open_;
    std::jthread watch_;  // ends first
};

}  // namespace

std::unique_ptr<Communicator> connect_by_nccl(Communicator& host, Memory& memory,
                                              const DeviceLinks& links) {
    return std::make_unique<NcclCommunicator>(host, memory, links);
}

}  // namespace r1
