// What pipeline bubbles come from: the schedule's dependencies, transfers, and SMs that
// communication takes from kernels.
#pragma once

namespace r1 {

struct Setting;
struct Simulation;

// Of the mean bubble of all ranks; they add up to it. A part is what the bubble loses when that is
// left out, transfers first: negative where bubbles grow, as when a chunk that hid another's
// transfers gets shorter.
struct BubbleParts {
    double dependency_s = 0;     // that is left
    double network_s = 0;        // transfers: messages, exchanges, collectives
    double sm_contention_s = 0;  // overlapped kernels leave SMs to communication
};

// Replays the setting twice more. `simulation` has been replayed.
BubbleParts bubble_parts(const Setting& setting, const Simulation& simulation);

}  // namespace r1
