// The narrow interface between the replay and what computes the time: a platform of SMs and network
// endpoints, activities that use them, and completions in order of simulated time. Whatever the
// engine, sharing is max-min fair, and equal inputs give equal sequences of completions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/base/ids.hpp"
#include "model/base/units.hpp"

namespace r1 {

// SMs of one rank: capacity 1, shared max-min by the activities that use it.
using ComputeId = Id<struct ComputeIdTag>;
// One end of a star network: an up link and a down link. A GPU has one for each network it is on.
using EndpointId = Id<struct EndpointIdTag>;
// What several endpoints share on their way out and back: an up and a down link, like an
// endpoint's.
using TrunkId = Id<struct TrunkIdTag>;

// What the platform builder fills: ids index the vectors. Names are for messages only.
struct EngineNetwork {
    struct Endpoint {
        std::string name;
        BytesPerSecond up;
        BytesPerSecond down;
        std::vector<TrunkId> trunks{};  // that its flows may pass
    };
    struct Trunk {
        std::string name;
        BytesPerSecond up;
        BytesPerSecond down;
    };

    std::vector<std::string> compute;
    std::vector<Endpoint> endpoints;
    std::vector<Trunk> trunks{};
};

// The trunks that a flow passes: up one of its sender's, down one of its receiver's; invalid: none.
struct TrunkPath {
    TrunkId up;
    TrunkId down;
};

// `multiplicity` identical flows of `bytes` each: they weigh that much in the fair share of every
// link. from == to crosses the endpoint's own up and down link: that is how a symmetric group is
// folded onto one of its members. One end may be invalid: many, whose links are no limit.
struct Flow {
    EndpointId from;
    EndpointId to;
    Bytes bytes;
    int multiplicity = 1;
    BytesPerSecond rate_max{0};  // cap of each of the identical flows; 0: no cap
    TrunkPath trunks{};
};

// Waits `delay`, then does its compute (if valid) and all its flows at once; complete when all are
// done. Zero amounts take no time.
struct Activity {
    Seconds delay{0};
    ComputeId compute;
    Seconds compute_time{0};  // when alone on its compute; k at once take k times as long
    std::vector<Flow> flows;
};

// Chosen by the caller, unique among live activities.
using ActivityId = std::uint64_t;

// What engines demand of activities. Throws InternalError.
class ActivityLimits {
public:
    explicit ActivityLimits(const EngineNetwork& network);
    void check(const Activity& activity) const;

private:
    [[nodiscard]] bool passes(EndpointId end, TrunkId trunk) const;

    std::size_t computes_;
    std::vector<std::vector<TrunkId>> trunks_;  // by endpoint
};

// As a timeline counts, in 64 bits. Throws InputError beyond 100 days.
TimePs replay_time(Seconds now);

struct EngineCounts {
    std::int64_t activities = 0;  // started
    std::int64_t flows = 0;       // started, counted with multiplicity
};

class ReplayEngine {
public:
    virtual ~ReplayEngine() = default;

    // Before run() or from within on_complete. The activity starts at the current instant, and
    // never completes inside this call, however little it has to do.
    virtual void start(ActivityId id, Activity activity) = 0;

    // Returns when nothing is live. What on_complete throws ends the run and is thrown on from
    // here; the engine is then good for nothing but destruction.
    virtual void run(const std::function<void(ActivityId, TimePs now)>& on_complete) = 0;

    virtual TimePs now() const = 0;
    virtual EngineCounts counts() const = 0;
};

}  // namespace r1
