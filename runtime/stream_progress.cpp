#include "runtime/stream_progress.hpp"

namespace r1 {

void StreamProgress::reset() {
    const std::lock_guard lock(mutex_);
    for (Line& line : lines_) {
        line.started = 0;
    }
    stopped_ = false;
}

bool StreamProgress::wait(Stream own, std::span<const StreamPoint> points) {
    Line& line = lines_[static_cast<std::size_t>(own)];
    std::unique_lock lock(mutex_);
    for (const StreamPoint& point : points) {
        const Line& other = lines_[static_cast<std::size_t>(point.stream)];
        line.awaited = point;
        line.waits = true;
        line.reached.wait(lock, [&] { return stopped_ || other.started >= point.ops; });
        line.waits = false;
    }
    return !stopped_;
}

void StreamProgress::advance(Stream stream) {
    const std::lock_guard lock(mutex_);
    const std::uint32_t started = ++lines_[static_cast<std::size_t>(stream)].started;
    for (Line& line : lines_) {
        if (line.waits && line.awaited.stream == stream && line.awaited.ops == started) {
            line.reached.notify_one();
        }
    }
}

void StreamProgress::stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (Line& line : lines_) {
        line.reached.notify_one();
    }
}

}  // namespace r1
