#include "runtime/cuda_calibration/grouped_gemm.hpp"

#include <utility>

namespace r1::cuda {

namespace {

constexpr int kGroupedAlgorithmsMax = 3;  // times two ways to queue them

const void* offset(const void* data, std::int64_t bytes) {
    return static_cast<const char*>(data) + bytes;
}

void* offset(void* data, std::int64_t bytes) { return static_cast<char*>(data) + bytes; }

std::vector<GemmOperands> groups_of(const Pools& pools, const GemmShape& shape, int groups) {
    const GemmOperands first = operands_of(pools, shape);
    const std::int64_t element = shape.is_fp8 ? 1 : 2;
    const std::int64_t result_element = shape.is_wgrad ? 4 : 2;
    std::vector<GemmOperands> all;
    for (int g = 0; g < groups; ++g) {
        all.push_back({offset(first.a, g * shape.m * shape.k * element),
                       offset(first.b, g * shape.n * shape.k * element),
                       offset(first.d, g * shape.m * shape.n * result_element)});
    }
    return all;
}

Operation sequence(const std::shared_ptr<const LtGemm>& gemm, std::size_t algorithm,
                   std::vector<GemmOperands> groups, const Pools& pools, const SideStreams& sides,
                   std::size_t lanes) {
    Operation operation;
    const std::size_t count = groups.size();
    operation.ran = std::to_string(count) + " products in sequence on " + std::to_string(lanes) +
                    (lanes == 1 ? " stream: " : " streams: ") + gemm->describe(algorithm);
    operation.launches = static_cast<int>(count + 4 * (lanes - 1));
    operation.run = [=, groups = std::move(groups), &pools, &sides](cudaStream_t main) {
        if (lanes > 1) {
            sides.fork(main);
        }
        for (std::size_t g = 0; g < count; ++g) {
            const std::size_t lane = g % lanes;
            gemm->run(algorithm, groups[g], pools.workspaces[lane], sides.lane(lane, main));
        }
        if (lanes > 1) {
            sides.join(main);
        }
    };
    return operation;
}

// cuBLAS's grouped product: sizes on the host, pointers on the device.
class GroupedCall {
public:
    GroupedCall(cublasHandle_t blas, const std::vector<GemmOperands>& groups,
                const GemmShape& shape, int sms)
        : blas_(blas),
          sms_(sms),
          groups_(static_cast<int>(groups.size())),
          pointers_(groups.size() * 3 * sizeof(void*)),
          transposed_(groups.size(), CUBLAS_OP_T),
          plain_(groups.size(), CUBLAS_OP_N),
          m_(groups.size(), static_cast<int>(shape.m)),
          n_(groups.size(), static_cast<int>(shape.n)),
          k_(groups.size(), static_cast<int>(shape.k)),
          sizes_(groups.size(), 1),
          ones_(groups.size(), 1.0F),
          zeros_(groups.size(), 0.0F) {
        std::vector<const void*> host;
        for (const GemmOperands& each : groups) {
            host.push_back(each.b);
        }
        for (const GemmOperands& each : groups) {
            host.push_back(each.a);
        }
        for (const GemmOperands& each : groups) {
            host.push_back(each.d);
        }
        check(cudaMemcpy(pointers_.as(), host.data(), pointers_.bytes(), cudaMemcpyHostToDevice),
              "cudaMemcpy");
    }

    // As in LtGemm, column-major: D^T[n, m] = (B^T)^T A^T.
    void run() const {
        void** const all = pointers_.as<void*>();
        check(cublasSetSmCountTarget(blas_, sms_), "cublasSetSmCountTarget");
        check(cublasGemmGroupedBatchedEx(blas_, transposed_.data(), plain_.data(), n_.data(),
                                         m_.data(), k_.data(), ones_.data(), all, CUDA_R_16BF,
                                         k_.data(), all + groups_, CUDA_R_16BF, k_.data(),
                                         zeros_.data(), all + 2 * groups_, CUDA_R_16BF, n_.data(),
                                         groups_, sizes_.data(), CUBLAS_COMPUTE_32F),
              "cublasGemmGroupedBatchedEx");
    }

private:
    cublasHandle_t blas_;
    int sms_;
    int groups_;
    DeviceMemory pointers_;
    std::vector<cublasOperation_t> transposed_;
    std::vector<cublasOperation_t> plain_;
    std::vector<int> m_;
    std::vector<int> n_;
    std::vector<int> k_;
    std::vector<int> sizes_;
    std::vector<float> ones_;
    std::vector<float> zeros_;
};

}  // namespace

void SideStreams::fork(cudaStream_t main) const {
    check(cudaEventRecord(forked_.get(), main), "cudaEventRecord");
    for (const Stream& side : sides_) {
        check(cudaStreamWaitEvent(side.get(), forked_.get(), 0), "cudaStreamWaitEvent");
    }
}

void SideStreams::join(cudaStream_t main) const {
    for (const Stream& side : sides_) {
        // A wait is for the last record before it, so one event serves all.
        check(cudaEventRecord(joined_.get(), side.get()), "cudaEventRecord");
        check(cudaStreamWaitEvent(main, joined_.get(), 0), "cudaStreamWaitEvent");
    }
}

Alternatives grouped_gemm_operations(const Libraries& libraries, const Pools& pools,
                                     const SideStreams& sides, const GemmShape& shape, int groups,
                                     int sms) {
    Alternatives alternatives;
    const std::vector<GemmOperands> all = groups_of(pools, shape, groups);
    for (const Fp8Scales scales : scales_by_preference(shape)) {
        const auto gemm = std::make_shared<const LtGemm>(libraries, pools, shape, scales, sms,
                                                         kGroupedAlgorithmsMax);
        std::vector<Operation>& operations = alternatives.emplace_back();
        for (std::size_t i = 0; i < gemm->algorithms(); ++i) {
            for (const std::size_t lanes : {std::size_t{1}, 1 + kSideStreams}) {
                operations.push_back(sequence(gemm, i, all, pools, sides, lanes));
            }
        }
    }
    if (!shape.is_fp8 && !shape.is_wgrad) {  // it has no FP8 and no FP32 result for BF16
        const auto call = std::make_shared<const GroupedCall>(libraries.blas(), all, shape, sms);
        constexpr int kLaunches = 8;  // the library copies sizes to the device first
        alternatives.front().push_back(
            {"BF16, one cublasGemmGroupedBatchedEx", kLaunches, [call](auto) { call->run(); }});
    }
    return alternatives;
}

}  // namespace r1::cuda
