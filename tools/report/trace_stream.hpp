// Chrome trace events as text, in large pieces: a trace of all ops has a million lines.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

#include "model/base/units.hpp"

namespace r1 {

// Writes {"traceEvents": [...]}; call finish() last.
class TraceStream {
public:
    explicit TraceStream(std::ostream& out);

    // Begins the process that tracks and slices belong to; processes are shown by number.
    void process(std::uint32_t pid, std::string_view title);
    void track(std::size_t number, std::string_view title);
    // `args` are the members of an object. Slices of a track never overlap: one that starts before
    // the one before it has ended, as measured ones may, starts at that end.
    void slice(std::size_t track, std::string_view title, std::string_view category, TimePs start,
               TimePs end, std::string_view args);
    void finish();

private:
    void put(std::string_view text);
    void flush();
    void event(std::string_view text);
    void metadata(std::string_view what, std::size_t track, std::string_view key,
                  std::string_view value);

    std::ostream& out_;
    std::string buffer_;
    bool is_first_ = true;
    std::uint32_t pid_ = 0;
    TimePs free_at_ = 0;  // of the track that is being written
};

}  // namespace r1
