// The same graph again and again in the same memory, each time with other inputs: steps of
// generation. On a device that can record, all runs but the first are started as one, which costs
// the host one call where each kernel would cost it one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "runtime/executor.hpp"

namespace r1 {

class RepeatedRun {
public:
    // `symbols` are those of all runs: where sizes differ, the largest. Keeps references.
    RepeatedRun(const Executor& executor, const SymbolValues& symbols, const LatentCache& cache,
                Arena& arena);

    TensorValues run(const InputValues& inputs);
    // How many of the runs were started as one.
    [[nodiscard]] std::int64_t recorded_runs() const { return recorded_runs_; }

private:
    void start(ChunkBuffers& buffers);

    const Executor& executor_;
    Arena& arena_;
    std::map<std::string, DeviceArray<std::int32_t>> inputs_;
    StepPlaces places_;
    bool has_run_ = false;
    std::unique_ptr<Recording> recording_;
    std::int64_t recorded_runs_ = 0;
};

}  // namespace r1
