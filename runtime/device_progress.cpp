#include "runtime/device_progress.hpp"

#include "model/base/check.hpp"

namespace r1 {

void DeviceProgress::reset() {
    const std::lock_guard lock(mutex_);
    lines_ = {};
}

void DeviceProgress::advance(Stream stream, Memory& memory) {
    if (is_host_) {
        return;
    }
    std::shared_ptr<const DeviceEvent> started = memory.record();
    StreamPoint oldest{stream, 0};
    std::shared_ptr<const DeviceEvent> event;
    {
        const std::lock_guard lock(mutex_);
        Line& own = line(stream);
        own.next.push_back(std::move(started));
        if (own.next.size() > kAheadMax) {
            oldest.ops = own.done + 1;
            event = own.next.front();
        }
    }
    if (event != nullptr) {
        event->finish();
        R1_CHECK(has_passed(oldest));
    }
}

void DeviceProgress::wait_for(std::span<const StreamPoint> points) {
    if (is_host_) {
        return;
    }
    for (const StreamPoint& point : points) {
        std::shared_ptr<const DeviceEvent> event;
        {
            const std::lock_guard lock(mutex_);
            const Line& other = line(point.stream);
            R1_CHECK(point.ops <= other.done + other.next.size());
            if (point.ops > other.done) {
                event = other.next[point.ops - other.done - 1];
            }
        }
        if (event != nullptr) {
            event->wait();
        }
    }
}

bool DeviceProgress::has_passed(const StreamPoint& point) {
    const std::lock_guard lock(mutex_);
    Line& other = line(point.stream);
    if (is_host_ || point.ops <= other.done) {
        return true;
    }
    const std::size_t ahead = point.ops - other.done;
    if (ahead > other.next.size() || !other.next[ahead - 1]->has_passed()) {
        return false;
    }
    other.next.erase(other.next.begin(), other.next.begin() + static_cast<std::ptrdiff_t>(ahead));
    other.done = point.ops;
    return true;
}

}  // namespace r1
