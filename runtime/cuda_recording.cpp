#include "runtime/cuda_recording.hpp"

#include <cuda_runtime_api.h>

#include "kernels/cuda/check.hpp"
#include "runtime/cuda_stream.hpp"

namespace r1::cuda {

namespace {

class Graph {
public:
    explicit Graph(const std::function<void()>& work) {
        const cudaStream_t stream = thread_stream().stream();
        // Other threads go on with what a recording must not do.
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
              "cudaStreamBeginCapture");
        try {
            work();
        } catch (...) {
            cudaStreamEndCapture(stream, &graph_);
            destroy();
            throw;
        }
        check(cudaStreamEndCapture(stream, &graph_), "cudaStreamEndCapture");
    }
    ~Graph() { destroy(); }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    [[nodiscard]] cudaGraph_t get() const { return graph_; }

private:
    void destroy() {
        if (graph_ != nullptr) {
            cudaGraphDestroy(graph_);
        }
    }

    cudaGraph_t graph_ = nullptr;
};

class GraphRecording final : public Recording {
public:
    explicit GraphRecording(const Graph& graph) {
        check(cudaGraphInstantiate(&run_, graph.get(), 0), "cudaGraphInstantiate");
    }
    ~GraphRecording() override { cudaGraphExecDestroy(run_); }

    void start() const override {
        check(cudaGraphLaunch(run_, thread_stream().stream()), "cudaGraphLaunch");
    }

private:
    cudaGraphExec_t run_ = nullptr;
};

}  // namespace

std::unique_ptr<Recording> record_graph(const std::function<void()>& work) {
    return std::make_unique<GraphRecording>(Graph(work));
}

}  // namespace r1::cuda
