#include "tests/emulation/streams.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "model/base/check.hpp"
#include "tests/emulation/memory.hpp"

namespace {

// A recording of an event.
struct Moment {
    CUstream_st* stream = nullptr;
    bool has_passed = false;
    std::chrono::steady_clock::time_point time;
};

struct Entry {
    std::function<void()> work;
    std::function<bool()> is_ready;
    std::shared_ptr<Moment> awaited;
    std::shared_ptr<Moment> recorded;
};

}  // namespace

struct CUgraph_st {
    std::vector<std::function<void()>> work;
};

struct CUstream_st {
    std::deque<Entry> entries;
    CUgraph_st* recording = nullptr;

    [[nodiscard]] bool can_go_on() const {
        return !entries.empty() && !waits_for_event() &&
               (!entries.front().is_ready || entries.front().is_ready());
    }
    [[nodiscard]] bool waits_for_event() const {
        const auto& awaited = entries.front().awaited;
        return awaited != nullptr && !awaited->has_passed;
    }
};

struct CUevent_st {
    std::shared_ptr<Moment> moment;
};

namespace r1::emulation {

namespace {

// Work of one stream runs at a time, in the thread of one who waits.
class Streams {
public:
    void set_schedule(Schedule schedule, std::uint64_t seed) {
        const std::lock_guard lock(mutex_);
        schedule_ = schedule;
        random_.seed(seed);
    }

    CUstream_st* make() {
        const std::lock_guard lock(mutex_);
        return streams_.emplace_back(std::make_unique<CUstream_st>()).get();
    }
    void destroy(CUstream_st* stream) {
        const std::lock_guard lock(mutex_);
        while (CUstream_st* next = stream->entries.empty() ? nullptr : needed_by(stream)) {
            run_front(*next);
        }
        for (const Entry& entry : stream->entries) {
            if (entry.recorded) {
                pass(*entry.recorded);
            }
        }
        std::erase_if(streams_, [&](const auto& other) { return other.get() == stream; });
    }

    void add(CUstream_st* stream, Entry entry) {
        const std::lock_guard lock(mutex_);
        if (stream == nullptr) {
            CUstream_st at_once;
            at_once.entries.push_back(std::move(entry));
            run_front(at_once);
            return;
        }
        if (stream->recording != nullptr) {
            require(entry.work != nullptr && !entry.is_ready, "events are not recorded");
            stream->recording->work.push_back(std::move(entry.work));
            return;
        }
        stream->entries.push_back(std::move(entry));
        if (schedule_ == Schedule::eager) {
            while (CUstream_st* next = any()) {
                run_front(*next);
            }
        }
        changed_.notify_all();
    }
    void wake() {
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
    }

    void finish(CUstream_st* stream) {
        std::unique_lock lock(mutex_);
        require(stream->recording == nullptr, "who waits for a stream that is recorded?");
        run_until(lock, stream, [&] { return stream->entries.empty(); });
    }
    void finish(const std::shared_ptr<Moment>& moment) {
        std::unique_lock lock(mutex_);
        if (moment != nullptr && !moment->has_passed) {
            run_until(lock, moment->stream, [&] { return moment->has_passed; });
        }
    }
    bool query(const std::shared_ptr<Moment>& moment) {
        const std::lock_guard lock(mutex_);
        if (moment == nullptr || moment->has_passed) {
            return true;
        }
        if (CUstream_st* next = choose(moment->stream)) {
            run_front(*next);
        }
        return false;
    }

    void begin_recording(CUstream_st* stream) {
        const std::lock_guard lock(mutex_);
        require(stream->recording == nullptr, "one recording at a time");
        stream->recording = new CUgraph_st;
    }
    CUgraph_st* end_recording(CUstream_st* stream) {
        const std::lock_guard lock(mutex_);
        return std::exchange(stream->recording, nullptr);
    }
    bool is_recording(CUstream_st* stream) {
        const std::lock_guard lock(mutex_);
        return stream != nullptr && stream->recording != nullptr;
    }

private:
    static void require(bool holds, const char* what) {
        if (!holds) {
            throw InternalError(what);
        }
    }

    template <class Done>
    void run_until(std::unique_lock<std::mutex>& lock, CUstream_st* stream, const Done& done) {
        constexpr std::chrono::seconds kPatience{60};
        while (!done()) {
            if (CUstream_st* next = choose(stream)) {
                run_front(*next);
            } else if (changed_.wait_for(lock, kPatience) == std::cv_status::timeout) {
                throw InternalError("a stream waits for what does not come");
            }
        }
    }

    void run_front(CUstream_st& stream) {
        const Entry entry = std::move(stream.entries.front());
        stream.entries.pop_front();
        changed_.notify_all();
        if (entry.recorded) {
            pass(*entry.recorded);
        }
        if (entry.work) {
            const DeviceAccess access;
            entry.work();
        }
    }
    static void pass(Moment& moment) {
        moment.has_passed = true;
        moment.time = std::chrono::steady_clock::now();
    }

    // A stream that can go on, for one who waits for `stream`.
    CUstream_st* choose(CUstream_st* stream) {
        switch (schedule_) {
            case Schedule::eager: return any();
            case Schedule::needed: return needed_by(stream);
            case Schedule::last_stream_first: return last();
            case Schedule::random: return any();
        }
        return nullptr;
    }
    CUstream_st* needed_by(CUstream_st* stream) {
        while (!stream->can_go_on()) {
            if (!stream->waits_for_event()) {
                return any();  // it waits for a message, which may be any stream's
            }
            stream = stream->entries.front().awaited->stream;
        }
        return stream;
    }
    CUstream_st* last() {
        const auto found = std::find_if(streams_.rbegin(), streams_.rend(),
                                        [](const auto& stream) { return stream->can_go_on(); });
        return found == streams_.rend() ? nullptr : found->get();
    }
    CUstream_st* any() {
        std::vector<CUstream_st*> ready;
        for (const auto& stream : streams_) {
            if (stream->can_go_on()) {
                ready.push_back(stream.get());
            }
        }
        return ready.empty() ? nullptr : ready[random_() % ready.size()];
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::unique_ptr<CUstream_st>> streams_;  // in the order in which they were made
    Schedule schedule_ = Schedule::needed;
    std::mt19937_64 random_;
};

std::atomic<std::uint64_t> stream_wait_count{0};

Streams& streams() {
    static auto* all = new Streams;  // outlives what threads destroy at the end of the process
    return *all;
}

}  // namespace

void set_schedule(Schedule schedule, std::uint64_t seed) { streams().set_schedule(schedule, seed); }

CUstream_st* make_stream() { return streams().make(); }
void destroy_stream(CUstream_st* stream) { streams().destroy(stream); }
void enqueue(CUstream_st* stream, std::function<void()> work, std::function<bool()> is_ready) {
    streams().add(stream, {std::move(work), std::move(is_ready), nullptr, nullptr});
}
void wake_streams() { streams().wake(); }

void synchronize(CUstream_st* stream) {
    ++stream_wait_count;
    if (stream != nullptr) {
        streams().finish(stream);
    }
}
void synchronize(CUevent_st* event) { streams().finish(event->moment); }
std::uint64_t stream_waits() { return stream_wait_count; }

void begin_recording(CUstream_st* stream) { streams().begin_recording(stream); }
CUgraph_st* end_recording(CUstream_st* stream) { return streams().end_recording(stream); }
bool is_recording(CUstream_st* stream) { return streams().is_recording(stream); }
CUgraph_st* copy_recording(const CUgraph_st* recording) { return new CUgraph_st(*recording); }
void destroy_recording(CUgraph_st* recording) { delete recording; }
void start_recording(const CUgraph_st* recording, CUstream_st* stream) {
    enqueue(stream, [work = recording->work] {
        for (const std::function<void()>& each : work) {
            each();
        }
    });
}

CUevent_st* make_event() { return new CUevent_st; }
void destroy_event(CUevent_st* event) { delete event; }
void record(CUevent_st* event, CUstream_st* stream) {
    event->moment = std::make_shared<Moment>();
    event->moment->stream = stream;
    streams().add(stream, {nullptr, nullptr, nullptr, event->moment});
}
void wait_for(CUstream_st* stream, CUevent_st* event) {
    if (event->moment != nullptr) {
        streams().add(stream, {nullptr, nullptr, event->moment, nullptr});
    }
}
bool has_passed(CUevent_st* event) { return streams().query(event->moment); }
float milliseconds_between(CUevent_st* begin, CUevent_st* end) {
    R1_CHECK(begin->moment->has_passed && end->moment->has_passed);
    return std::chrono::duration<float, std::milli>(end->moment->time - begin->moment->time)
        .count();
}

}  // namespace r1::emulation
