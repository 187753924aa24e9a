// A lower bound of a training step's simulated time, and its memory, from the graph of a step with
// fewer micro-batches: a fifth of what a simulation takes.
#pragma once

#include "model/memory/memory_plan.hpp"
#include "sim/simulate.hpp"

namespace r1 {

struct StepBound {
    Seconds time;
    MemoryPlan memory;  // of the whole step: more micro-batches need no more
};

// Of a setting with folding `stage`. Each pipeline rank runs the chunks of its schedule in order,
// so on each of its streams the step takes at least: until its first chunk can begin, then for
// every chunk the longest path from the chunk's first op on the stream to its last, then the
// longest path from the last chunk to the end of the step. Besides, its kernels share its SMs.
// Every op takes what it takes alone (least_times.hpp).
StepBound bound_step(Setting setting, SharedWork& shared);

// The same setting with no more micro-batches than show every chunk that its schedule has.
Setting with_few_micro_batches(Setting setting);

}  // namespace r1
