// How far a device is with the ops of a rank's streams, where StreamProgress says which of them the
// host has started. Streams wait for each other on the device, by events, and the host goes on. In
// the host's memory an op is done when it has been started: nothing waits there.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "runtime/memory.hpp"
#include "runtime/stream_progress.hpp"

namespace r1 {

class DeviceProgress {
public:
    explicit DeviceProgress(const Memory& memory) : is_host_(memory.is_host()) {}

    // Before a step: no op is started, and all that came before is done.
    void reset();
    // By the stream's thread: it has started one more op. Waits while the device is too far behind,
    // so that what an op leaves free is not missed for long.
    void advance(Stream stream, Memory& memory);
    // What the calling thread starts from now on runs behind these points, which were started.
    void wait_for(std::span<const StreamPoint> points);
    // Whether the device is done with it; not if it has not been started.
    [[nodiscard]] bool has_passed(const StreamPoint& point);

private:
    // Ops of a stream that the host is ahead of the device: enough to hide what starting one takes.
    static constexpr std::size_t kAheadMax = 16;

    struct Line {
        std::uint32_t done = 0;                               // ops
        std::deque<std::shared_ptr<const DeviceEvent>> next;  // of the ops behind those
    };
    [[nodiscard]] Line& line(Stream stream) { return lines_[static_cast<std::size_t>(stream)]; }

    const bool is_host_;
    std::mutex mutex_;
    std::array<Line, kStreamCount> lines_;
};

}  // namespace r1
