// A timeline as a Chrome trace (JSON), which Perfetto and chrome://tracing open: a process a lane
// (pid = rank), a track a stream. A view: it computes nothing of its own.
#pragma once

#include <ostream>

#include "model/timeline/timeline.hpp"

namespace r1 {

enum class TraceDetail {
    segments,  // chunks, and on each stream runs of alike ops
    ops,       // chunks, and on each stream every op
};

// Shorter gaps between the ops of a segment are not drawn; longer ones end it, so that exposed
// communication stays visible.
inline constexpr TimePs kSegmentGapPs = 5'000'000;  // 5 us

// Writes {"traceEvents": [...]}. Times are microseconds with all digits of the picoseconds. The
// track "chunks" shows what each chunk owns (as in the pipeline breakdown) and the optimizer; a
// track a stream follows (tid 1 + stream). A segment is a run of ops of one chunk, context, phase
// and layer, communication by kind. Slices never overlap (trace_stream.hpp).
void write_trace(std::ostream& out, const ExecutionGraph& graph, const Timeline& timeline,
                 TraceDetail detail = TraceDetail::segments);

}  // namespace r1
