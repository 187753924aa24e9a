// The streams of the emulated device. What a stream is given stays in its queue until somebody
// needs it: one who synchronises or asks for an event. Then work runs in an order that respects
// streams and events and nothing else, so that a wait that the code under test lacks shows as other
// bytes. The null stream runs its work at once.
#pragma once

#include <cstdint>
#include <functional>

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;

namespace r1::emulation {

// Which of the work that could run does, while somebody waits.
enum class Schedule {
    eager,              // all of it, whether somebody waits or not
    needed,             // what he cannot do without, and nothing else
    last_stream_first,  // that of the stream that was made last
    random,
};
// Of all streams, between runs only.
void set_schedule(Schedule schedule, std::uint64_t seed = 0);

CUstream_st* make_stream();
// Its work is done before, as far as it can be.
void destroy_stream(CUstream_st* stream);
// `is_ready`: for work that waits for what is no work of a stream; asked for at any time.
void enqueue(CUstream_st* stream, std::function<void()> work,
             std::function<bool()> is_ready = nullptr);
// What `is_ready` of some work says may have changed.
void wake_streams();

// These return when the work is done. They throw what the work that they ran threw, and
// InternalError where it waits for something that does not come.
void synchronize(CUstream_st* stream);
void synchronize(CUevent_st* event);
// How often synchronize(CUstream_st*) was called.
std::uint64_t stream_waits();

// What the stream is given from now on is recorded and not run. While that goes on nobody may wait
// for the stream or make an event of it: InternalError.
void begin_recording(CUstream_st* stream);
CUgraph_st* end_recording(CUstream_st* stream);
bool is_recording(CUstream_st* stream);
CUgraph_st* copy_recording(const CUgraph_st* recording);
void destroy_recording(CUgraph_st* recording);
void start_recording(const CUgraph_st* recording, CUstream_st* stream);

CUevent_st* make_event();
void destroy_event(CUevent_st* event);
void record(CUevent_st* event, CUstream_st* stream);
void wait_for(CUstream_st* stream, CUevent_st* event);
// Whether it has passed; if not, some work is done, so that who asks again and again sees it pass.
bool has_passed(CUevent_st* event);
float milliseconds_between(CUevent_st* begin, CUevent_st* end);

}  // namespace r1::emulation
