#include "runtime/repeated_run.hpp"

#include "model/base/check.hpp"

namespace r1 {

RepeatedRun::RepeatedRun(const Executor& executor, const SymbolValues& symbols,
                         const LatentCache& cache, Arena& arena)
    : executor_(executor), arena_(arena) {
    places_.symbols = symbols;
    places_.cache = &cache;
    for (const Tensor& tensor : executor.chunk().tensors) {
        if (tensor.role == TensorRole::input) {
            const auto size = static_cast<std::size_t>(elements(tensor).constant);
            const auto added =
                inputs_.try_emplace(tensor.name, executor.device().memory(), size).first;
            places_.inputs[tensor.name] = added->second.data();
        }
    }
}

TensorValues RepeatedRun::run(const InputValues& inputs) {
    Memory& memory = executor_.device().memory();
    for (auto& [name, place] : inputs_) {
        const auto values = inputs.find(name);
        R1_CHECK(values != inputs.end() && values->second.size() == place.size());
        memory.copy(place.data(), values->second.data(), place.size() * sizeof(std::int32_t));
    }
    ChunkBuffers buffers(executor_.plan(), arena_);
    start(buffers);
    memory.finish();
    return executor_.kept(places_.symbols, buffers);
}

void RepeatedRun::start(ChunkBuffers& buffers) {
    // Not the first run: a kernel's code is loaded when it first runs, which no recording may do.
    if (has_run_ && recording_ == nullptr) {
        recording_ = executor_.device().record([&] { executor_.start(places_, buffers); });
    }
    has_run_ = true;
    if (recording_ == nullptr) {
        executor_.start(places_, buffers);
        return;
    }
    recording_->start();
    ++recorded_runs_;
}

}  // namespace r1
