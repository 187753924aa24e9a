#include "tools/report/trace_stream.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

std::string json_string(std::string_view text) { return Json(text).dump(); }

// Picoseconds as decimal microseconds, exactly.
std::string microseconds_text(TimePs time) {
    constexpr TimePs kPsPerUs = 1'000'000;
    const std::string_view sign = time < 0 ? "-" : "";
    const TimePs size = time < 0 ? -time : time;
    return fmt::format("{}{}.{:06}", sign, size / kPsPerUs, size % kPsPerUs);
}

}  // namespace

TraceStream::TraceStream(std::ostream& out) : out_(out) {
    put("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
}

void TraceStream::process(std::uint32_t pid, std::string_view title) {
    pid_ = pid;
    metadata("process_name", 0, "name", json_string(title));
    metadata("process_sort_index", 0, "sort_index", fmt::format("{}", pid));
}

void TraceStream::track(std::size_t number, std::string_view title) {
    metadata("thread_name", number, "name", json_string(title));
    metadata("thread_sort_index", number, "sort_index", fmt::format("{}", number));
    free_at_ = std::numeric_limits<TimePs>::min();
}

void TraceStream::slice(std::size_t track, std::string_view title, std::string_view category,
                        TimePs start, TimePs end, std::string_view args) {
    start = std::max(start, free_at_);
    end = std::max(end, start);
    free_at_ = end;
    event(fmt::format(
        R"({{"ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"name":{},"cat":"{}","args":{{{}}}}})",
        pid_, track, microseconds_text(start), microseconds_text(end - start), json_string(title),
        category, args));
}

void TraceStream::finish() {
    put("\n]}\n");
    flush();
}

void TraceStream::put(std::string_view text) {
    buffer_.append(text);
    if (buffer_.size() > kBufferBytes) {
        flush();
    }
}

void TraceStream::flush() {
    out_.write(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    buffer_.clear();
}

void TraceStream::event(std::string_view text) {
    put(is_first_ ? "\n" : ",\n");
    is_first_ = false;
    put(text);
}

void TraceStream::metadata(std::string_view what, std::size_t track, std::string_view key,
                           std::string_view value) {
    event(fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"{}":{}}}}})", what,
                      pid_, track, key, value));
}

}  // namespace r1
