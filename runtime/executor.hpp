// Executes the forward graph of one rank on a device: op by op, in planned memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/timeline/timeline.hpp"
#include "runtime/arena.hpp"
#include "runtime/device.hpp"
#include "runtime/latent_cache.hpp"

namespace r1 {

// Values of tensors with role `input`, by name: token ids, labels, positions.
using InputValues = std::map<std::string, std::vector<std::int32_t>>;

// Inputs where a device's kernels read them, each copied when it is first asked for. One thread at
// a time; what the thread starts next sees the values.
class InputCopies {
public:
    explicit InputCopies(Memory& memory) : memory_(memory) {}
    // `values` stay as they are and where they are for as long as this lives.
    const std::int32_t* of(const std::vector<std::int32_t>& values);

private:
    Memory& memory_;
    struct Copy {
        DeviceArray<std::int32_t> values;
        std::shared_ptr<const DeviceEvent> made;
    };
    std::map<const std::int32_t*, Copy> copies_;
};

void set_input(TensorArg& arg, const std::int32_t* values);

// A tensor that outlived the run.
struct TensorValue {
    std::vector<std::int64_t> shape;
    DType dtype = DType::f32;
    std::vector<std::byte> data;

    [[nodiscard]] std::vector<float> f32() const;  // f32 and bf16
    [[nodiscard]] std::vector<std::int32_t> i32() const;
};
using TensorValues = std::map<std::string, TensorValue>;

// What stays the same from step to step.
struct ExecutionSetup {
    const ExecutionGraph& graph;  // one rank and one chunk (pipeline_parallel 1, one micro-batch)
    const ModelConfig& config;
    const ExecutionPolicy& policy;
    std::int64_t sequence_length = 0;         // of whole sequences; positions restart with each
    std::function<bool(const Tensor&)> keep;  // which activations to return
};

// What one run of the graph gets.
struct ExecutionStep {
    const InputValues& inputs;
    SymbolValues symbols{};
    const LatentCache* cache = nullptr;  // where the graph has cache tensors
    std::int64_t first_sequence = 0;     // of the cache: the graph's own sequences follow
};

// Where the ops of a run find what is not in its arena.
struct StepPlaces {
    std::map<std::string, const std::int32_t*> inputs{};  // for kernels, by name
    SymbolValues symbols{};
    const LatentCache* cache = nullptr;
    std::int64_t first_sequence = 0;
};

// When ops ran, by Device::mark().
using OpMarks = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

class Executor {
public:
    // Plans memory for steps whose symbols are at most `largest`. Keeps references to the setup's
    // parts, the weights and the device.
    Executor(ExecutionSetup setup, const StageWeights& weights, const SymbolValues& largest,
             Device& device);

    [[nodiscard]] const ArenaPlan& plan() const { return plan_; }
    [[nodiscard]] const ChunkTemplate& chunk() const { return chunk_; }
    [[nodiscard]] Device& device() const { return device_; }

    // Runs the chunk in an arena of at least plan().bytes(). Appends to `intervals`, if given, when
    // each op ran, by clock_ps().
    TensorValues run(const ExecutionStep& step, Arena& arena,
                     std::vector<Interval>* intervals = nullptr, std::int32_t iteration = 0) const;

    // The parts of a run: starts the ops; and when the device is done with them, what they keep.
    void start(const StepPlaces& places, ChunkBuffers& buffers, OpMarks* marks = nullptr) const;
    [[nodiscard]] TensorValues kept(const SymbolValues& symbols, const ChunkBuffers& buffers) const;

private:
    [[nodiscard]] OpCall shaped_call(const Op& op, const SymbolValues& symbols) const;
    void set_data(TensorArg& arg, TensorId id, bool writes, const StepPlaces& places,
                  ChunkBuffers& buffers) const;
    [[nodiscard]] StepPlaces places_of(const ExecutionStep& step, InputCopies& copies) const;
    [[nodiscard]] TensorValue copy_out(TensorId id, const SymbolValues& symbols,
                                       const ChunkBuffers& buffers) const;

    ExecutionSetup setup_;
    const ChunkTemplate& chunk_;
    const StageWeights& weights_;
    Device& device_;
    ArenaPlan plan_;
};

}  // namespace r1
