// How many of its ops each stream of a rank has started, and on a device whose ops are done by
// then, has done. A stream sleeps until the one that it waits for is far enough, and nobody wakes
// it before.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>

#include "model/graph/op.hpp"

namespace r1 {

// The first `ops` ops of a stream.
struct StreamPoint {
    Stream stream = Stream::compute;
    std::uint32_t ops = 0;
};

// So many ops of each stream.
using StreamPoints = std::array<std::uint32_t, kStreamCount>;

class StreamProgress {
public:
    void reset();
    // Returns when all points are reached; false if the step was stopped. One thread a stream.
    bool wait(Stream own, std::span<const StreamPoint> points);
    // One more op of the stream is started.
    void advance(Stream stream);
    // All waits end.
    void stop();

private:
    struct Line {
        std::uint32_t started = 0;
        bool waits = false;
        StreamPoint awaited;
        std::condition_variable reached;
    };

    std::mutex mutex_;
    std::array<Line, kStreamCount> lines_;
    bool stopped_ = false;
};

}  // namespace r1
