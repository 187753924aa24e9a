#include "runtime/calibration/job.hpp"

#include <algorithm>

#include "runtime/calibration/v3_sizes.hpp"

namespace r1 {

namespace {

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

constexpr double kScaledValues = 128;  // values that share an FP8 scale

double element_bytes(const CalibrationJob& job) { return job.is_fp8() ? 1 : 2; }

double elements(std::int64_t groups, std::int64_t rows, std::int64_t columns) {
    return static_cast<double>(groups) * static_cast<double>(rows) * static_cast<double>(columns);
}

PoolBytes matrix_bytes(const CalibrationJob& job) {
    PoolBytes bytes;
    const double a = elements(job.groups, job.m, job.k) * element_bytes(job);
    const double b = elements(job.groups, job.n, job.k) * element_bytes(job);
    (job.is_fp8() ? bytes.fp8_a : bytes.bf16_a) = a;
    (job.is_fp8() ? bytes.fp8_b : bytes.bf16_b) = b;
    bytes.result = elements(job.groups, job.m, job.n) * (job.is_wgrad() ? 4 : 2);
    if (job.is_fp8()) {
        // FP32 for each tile; layouts pad to multiples of a few.
        constexpr double kPadding = 1 << 20;
        bytes.scales = std::max(a, b) / kScaledValues * 4 * 1.25 + kPadding;
    }
    return bytes;
}

// A memory kernel reads at most two operands and writes one, none larger than all it moves. The
// FP8 one reads codes and writes codes; the scales are a 32nd of them.
PoolBytes stream_bytes(const CalibrationJob& job) {
    PoolBytes bytes;
    constexpr double kSlack = 1 << 22;  // a kernel moves whole rows or tiles, at least a few
    const double all = job.bytes + kSlack;
    bytes.bf16_a = all;
    bytes.bf16_b = all;
    bytes.result = all;
    if (job.is_fp8()) {
        bytes.fp8_a = all;
        bytes.scales = all / 16;
    }
    if (job.kind == JobKind::copy && !contains(job.kernel, "device_to_device")) {
        bytes.pinned = job.bytes;
    }
    return bytes;
}

bool is_decode(const CalibrationJob& job) { return job.kernel == "mla_decode"; }
bool is_backward(const CalibrationJob& job) { return contains(job.kernel, "backward"); }

// BF16 operands and results of attention, as kernels/mla_*.hpp list them.
PoolBytes attention_bytes(const CalibrationJob& job) {
    using namespace v3;
    const double query = kHeads * kQkDim;
    const double value = kHeads * kValueDim;
    const double key_value = kHeads * (kNopeDim + kValueDim);
    const double rows = static_cast<double>(job.batch) * static_cast<double>(job.tokens);
    PoolBytes bytes;
    if (is_decode(job)) {
        const auto batch = static_cast<double>(job.batch);
        bytes.bf16_a = 2 * (rows * (kLatent + kRopeDim) + batch * query + key_value * kLatent);
        bytes.result = 2 * batch * value;
    } else if (is_backward(job)) {
        bytes.bf16_a = 2 * rows * (2 * query + key_value + 2 * value) + 4 * rows * kHeads;
        bytes.result = 2 * rows * (2 * query + value);
    } else {
        bytes.bf16_a = 2 * rows * (2 * query + key_value);
        bytes.result = 2 * rows * value + 4 * rows * kHeads;
    }
    constexpr double kGaps = 1 << 16;  // between operands, which are aligned
    bytes.bf16_a += kGaps;
    bytes.result += kGaps;
    return bytes;
}

// As the cost model counts: of a causal matrix half.
double attention_flops(const CalibrationJob& job) {
    using namespace v3;
    const double rows = static_cast<double>(job.batch) * static_cast<double>(job.tokens);
    if (is_decode(job)) {  // absorbed: scores over latent and rotated key, values over the latent
        return 2 * rows * kHeads * (2 * kLatent + kRopeDim);
    }
    const double products = is_backward(job) ? 3 * kQkDim + 2 * kValueDim : kQkDim + kValueDim;
    return rows * static_cast<double>(job.tokens) * kHeads * products;
}

PoolBytes bytes_of(const CalibrationJob& job) {
    if (job.is_matrix()) {
        return matrix_bytes(job);
    }
    return job.has_flops() ? attention_bytes(job) : stream_bytes(job);
}

void grow(PoolBytes& pools, const PoolBytes& job) {
    for (double PoolBytes::*pool :
         {&PoolBytes::fp8_a, &PoolBytes::fp8_b, &PoolBytes::bf16_a, &PoolBytes::bf16_b,
          &PoolBytes::result, &PoolBytes::scales, &PoolBytes::pinned}) {
        pools.*pool = std::max(pools.*pool, job.*pool);
    }
}

}  // namespace

bool CalibrationJob::is_fp8() const { return contains(kernel, "fp8"); }

bool CalibrationJob::is_wgrad() const { return contains(kernel, "wgrad"); }

double CalibrationJob::flops() const {
    return kind == JobKind::attention ? attention_flops(*this)
                                      : 2 * elements(groups, m, n) * static_cast<double>(k);
}

double PoolBytes::device() const { return fp8_a + fp8_b + bf16_a + bf16_b + result + scales; }

std::vector<std::string> curve_columns(const CalibrationJob& job) {
    switch (job.kind) {
        case JobKind::gemm: return {"m", "n", "k", "sms"};
        case JobKind::grouped_gemm:
            return job.is_wgrad()
                       ? std::vector<std::string>{"groups", "m", "n", "k_per_group", "sms"}
                       : std::vector<std::string>{"groups", "m_per_group", "n", "k", "sms"};
        case JobKind::attention:
            return is_decode(job) ? std::vector<std::string>{"batch", "kv_len", "heads", "sms"}
                                  : std::vector<std::string>{"tokens", "heads", "qk", "v", "sms"};
        case JobKind::memory:
        case JobKind::copy: break;
    }
    return {"bytes", "sms"};
}

std::vector<double> column_values(const CalibrationJob& job, int free_sms, double bytes) {
    const auto sms = static_cast<double>(free_sms);
    if (job.kind == JobKind::attention) {
        const auto tokens = static_cast<double>(job.tokens);
        const auto batch = static_cast<double>(job.batch);
        return is_decode(job) ? std::vector<double>{batch, tokens, v3::kHeads, sms}
                              : std::vector<double>{tokens, batch * v3::kHeads, v3::kQkDim,
                                                    v3::kValueDim, sms};
    }
    if (!job.is_matrix()) {
        return {bytes, sms};
    }
    std::vector<double> values = {static_cast<double>(job.m), static_cast<double>(job.n),
                                  static_cast<double>(job.k), sms};
    if (job.kind == JobKind::grouped_gemm) {
        values.insert(values.begin(), static_cast<double>(job.groups));
    }
    return values;
}

std::string describe(const CalibrationJob& job) {
    std::string text = job.kernel;
    if (job.is_matrix()) {
        if (job.kind == JobKind::grouped_gemm) {
            text += " groups " + std::to_string(job.groups);
        }
        text += " m " + std::to_string(job.m) + " n " + std::to_string(job.n) + " k " +
                std::to_string(job.k);
    } else if (job.kind == JobKind::attention) {
        text += " " + std::to_string(job.batch) + " x " + std::to_string(job.tokens) + " tokens";
    } else {
        text += " " + std::to_string(static_cast<std::int64_t>(job.bytes / (1 << 20))) + " MiB";
    }
    if (job.occupied_sms > 0) {
        text += ", " + std::to_string(job.occupied_sms) + " SMs held";
    }
    return text;
}

std::int64_t whole_rows(double bytes, double row_bytes, std::int64_t step) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(bytes / row_bytes) / step) * step;
}

double estimate_s(const CalibrationJob& job) {
    // Rough on purpose: TimeBudget corrects them by what the first jobs take.
    constexpr double kAround = 0.03;   // heuristics, first launches, holding SMs
    constexpr double kFlush = 120e-6;  // reads 256 MB before each repetition
    constexpr double kSms = 132;
    const double free_share = (kSms - job.occupied_sms) / kSms;
    if (job.has_flops()) {
        constexpr double kRuns = 50;  // candidates, then repetitions
        const double rate = (job.is_fp8() ? 700e12 : 450e12) * free_share;
        const double launches = static_cast<double>(job.groups);
        return kAround + kRuns * (kFlush + 10e-6 * launches + job.flops() / rate);
    }
    constexpr double kRuns = 25;
    const bool is_link = contains(job.kernel, "host");
    const double rate = is_link ? 20e9 : 1.5e12 * free_share;
    return kAround + kRuns * (kFlush + job.bytes / rate);
}

PoolBytes pool_bytes(const std::vector<CalibrationJob>& jobs) {
    PoolBytes pools;
    for (const CalibrationJob& job : jobs) {
        grow(pools, bytes_of(job));
    }
    return pools;
}

std::vector<CalibrationJob> sustained_jobs(const std::vector<CalibrationJob>& jobs) {
    std::vector<CalibrationJob> chosen;
    for (const char* kernel : {"gemm_fp8", "gemm_bf16"}) {
        const CalibrationJob* largest = nullptr;
        for (const CalibrationJob& job : jobs) {
            const bool fits = job.kernel == kernel && job.occupied_sms == 0;
            if (fits && (largest == nullptr || job.flops() > largest->flops())) {
                largest = &job;
            }
        }
        if (largest != nullptr) {
            chosen.push_back(*largest);
        }
    }
    return chosen;
}

void leave_out_what_does_not_fit(std::vector<CalibrationJob>& jobs, double device_bytes,
                                 std::vector<LeftOut>& left_out) {
    while (pool_bytes(jobs).device() > device_bytes) {
        const auto by_size = [](const auto& a, const auto& b) {
            return bytes_of(a).device() < bytes_of(b).device();
        };
        const auto largest = std::max_element(jobs.begin(), jobs.end(), by_size);
        left_out.push_back(
            {largest->kernel, describe(*largest), "does not fit the device's free memory"});
        jobs.erase(largest);
    }
}

}  // namespace r1
