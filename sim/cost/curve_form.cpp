#include "sim/cost/curve_form.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/base/collective_bus.hpp"

namespace r1 {

namespace {

// Smooth maximum: compute and memory overlap but for a little where both take as long.
double either(double a, double b) { return std::sqrt(std::sqrt(a * a * a * a + b * b * b * b)); }

double blocks(double extent, int block) { return std::ceil(extent / block); }

// What a time is made of, in microseconds; `compute` and `memory` overlap.
struct TimeParts {
    double fixed = 0;
    double compute = 0;
    double memory = 0;

    [[nodiscard]] double together() const {
        return compute > 0 && memory > 0 ? either(compute, memory) : compute + memory;
    }
};

double links_us(std::span<const double> p, const KernelShape& s) {
    return (s.low_latency ? p[0] : 0) +
           std::max(s.nvlink_us / (s.forwarded ? p[1] : 1), s.rdma_us / p[2]);
}

// SMs copy token after token, and several are under way in the buffers of each.
double copies_us(std::span<const double> p, const KernelShape& s) {
    const double copying = (s.nvlink_bytes / p[1] + s.rdma_bytes / p[2]) / (s.sms * 1e3);
    return p[0] + (s.tokens + std::min(s.tokens, p[3] * s.sms)) * std::max(copying, s.link_us);
}

TimeParts parts_us(CurveForm form, std::span<const double> p, const KernelShape& s,
                   const DeviceScale& scale) {
    const auto compute = [&](double rate) {
        return s.flops / (rate * s.sms * 1e6) * scale.compute;
    };
    const auto memory = [&](double bandwidth) {
        return s.bytes / (bandwidth * 1e3) * scale.memory;
    };
    switch (form) {
        case CurveForm::constant: return {p[0]};
        case CurveForm::affine: return {p[0] + p[1] * s.bytes / 1e6};
        case CurveForm::rate: return {0, 0, memory(p[0])};
        case CurveForm::bytes: return {p[0], 0, memory(p[1])};
        case CurveForm::per_sm: return {p[0], 0, memory(p[1] * s.sms)};
        case CurveForm::efficiency: return {0, compute(p[0])};
        case CurveForm::compute: return {p[0], compute(p[1])};
        case CurveForm::roofline: return {p[0], compute(p[1]), memory(p[2])};
        case CurveForm::waves: {
            const double tile = s.k / 128 * (p[1] * s.tile_area + p[2]) + p[3];
            return {p[0], s.waves * tile * scale.compute, memory(p[4])};
        }
        case CurveForm::links: return {links_us(p, s)};
        case CurveForm::copies: return {copies_us(p, s)};
    }
    return {};
}

double value_at(const std::map<std::string, double>& columns, const char* key,
                double fallback = 0) {
    const auto found = columns.find(key);
    return found == columns.end() ? fallback : found->second;
}

void gemm_shape(const std::string& kernel, const std::map<std::string, double>& columns,
                KernelShape& s) {
    s.m = value_at(columns, "m_per_group", value_at(columns, "m"));
    s.n = value_at(columns, "n");
    s.k = value_at(columns, "k_per_group", value_at(columns, "k"));
    s.flops = 2 * s.groups * s.m * s.n * s.k;
    const bool fp8 = kernel.find("fp8") != std::string::npos;
    const bool wgrad = kernel.find("wgrad") != std::string::npos;
    const double operand = fp8 ? 33.0 / 32 : 2;
    choose_tiling(s);
    s.bytes = s.groups * ((s.m * s.k + s.n * s.k) * operand + s.m * s.n * (wgrad ? 4 : 2));
}

}  // namespace

std::string name(CurveForm form) {
    static const std::array<std::string, 11> names = {
        "constant", "affine",   "rate",  "bytes", "per_sm", "efficiency",
        "compute",  "roofline", "waves", "links", "copies"};
    return names[static_cast<std::size_t>(form)];
}

const std::vector<FormParameter>& parameters(CurveForm form) {
    static const std::array<std::vector<FormParameter>, 11> table = {{
        {{"time", "us", 10}},
        {{"launch", "us", 3}, {"per_byte", "us/MB", 0.1}},
        {{"bandwidth", "GB/s", 2000}},
        {{"launch", "us", 3}, {"bandwidth", "GB/s", 2000}},
        {{"launch", "us", 10}, {"bandwidth", "GB/s/SM", 3}},
        {{"rate", "TFLOPS/SM", 4}},
        {{"launch", "us", 5}, {"rate", "TFLOPS/SM", 4}},
        {{"launch", "us", 10}, {"rate", "TFLOPS/SM", 4}, {"bandwidth", "GB/s", 2000}},
        {{"launch", "us", 3},
         {"tile_area", "us", 0.3},
         {"tile", "us", 0.1},
         {"wave", "us", 1},
         {"bandwidth", "GB/s", 2500}},
        {{"startup", "us", 30}, {"forwarding", "of NVLink", 1}, {"rdma", "of the line rate", 0.9}},
        {{"startup", "us", 30},
         {"nvlink", "GB/s/SM", 20},
         {"rdma", "GB/s/SM", 10},
         {"under_way", "tokens/SM", 5}},
    }};
    return table[static_cast<std::size_t>(form)];
}

double time_us(CurveForm form, std::span<const double> p, const KernelShape& shape,
               const DeviceScale& scale) {
    const TimeParts parts = parts_us(form, p, shape, scale);
    return parts.fixed + parts.together();
}

RateShares rate_shares(CurveForm form, std::span<const double> p, const KernelShape& shape,
                       const DeviceScale& scale) {
    const TimeParts parts = parts_us(form, p, shape, scale);
    const double together = parts.together();
    if (!(together > 0)) {
        return {};
    }
    // either() is homogeneous, so its parts' shares add up to it: those of the fourth powers.
    const double compute = std::pow(parts.compute / together, 4);
    const double memory = std::pow(parts.memory / together, 4);
    const double variable = together / (parts.fixed + together) / (compute + memory);
    return {compute * variable, memory * variable};
}

void choose_tiling(KernelShape& s) {
    s.waves = std::numeric_limits<double>::infinity();
    for (const int block_m : {64, 128}) {
        if (block_m > 64 && s.m <= 64) {
            continue;
        }
        for (int block_n = 16; block_n <= 160; block_n += 8) {
            const double tiles = s.groups * blocks(s.m, block_m) * blocks(s.n, block_n);
            const double waves = std::ceil(tiles / s.sms);
            const double area = block_m * block_n / (128.0 * 128.0);
            if (waves < s.waves || (waves == s.waves && area < s.tile_area)) {
                s.waves = waves;
                s.tile_area = area;
            }
        }
    }
}

KernelShape shape_of(const std::string& kernel, const std::map<std::string, double>& columns) {
    KernelShape s;
    s.sms = value_at(columns, "sms", 1);
    s.groups = value_at(columns, "groups", 1);
    if (columns.count("rdma_us") > 0) {
        s.nvlink_us = value_at(columns, "nvlink_us");
        s.rdma_us = value_at(columns, "rdma_us");
        s.forwarded = value_at(columns, "forwarded") > 0;
        s.low_latency = value_at(columns, "low_latency") > 0;
        s.bytes = s.nvlink_us + s.rdma_us;  // as far as sizes are compared
    } else if (columns.count("rdma_bytes") > 0) {
        s.tokens = value_at(columns, "tokens");
        s.nvlink_bytes = value_at(columns, "nvlink_bytes");
        s.rdma_bytes = value_at(columns, "rdma_bytes");
        s.link_us = value_at(columns, "link_us");
        s.bytes = s.tokens * (s.nvlink_bytes + s.rdma_bytes);
    } else if (columns.count("n") > 0) {
        gemm_shape(kernel, columns, s);
    } else if (columns.count("kv_len") > 0) {
        // Absorbed: scores over latent and rotated key (512 + 64), values over the latent.
        const double latent = value_at(columns, "kv_lora_rank", 512);
        const double rope = value_at(columns, "qk_rope_head_dim", 64);
        const double length = value_at(columns, "batch") * value_at(columns, "kv_len");
        s.flops = 2 * length * value_at(columns, "heads") * (2 * latent + rope);
        s.bytes = 2 * length * (latent + rope);
    } else if (columns.count("qk") > 0) {
        const bool backward = kernel.find("backward") != std::string::npos;
        const double tokens = value_at(columns, "tokens");
        const double products = (backward ? 3 : 1) * value_at(columns, "qk") +
                                (backward ? 2 : 1) * value_at(columns, "v");
        s.flops = value_at(columns, "heads") * products * tokens * tokens;  // causal: half of 2 x
    } else if (columns.count("ranks") > 0) {  // a collective: what a rank's link carries
        s.bytes = value_at(columns, "bytes") * bus_factor(kernel, value_at(columns, "ranks"));
    } else {
        s.bytes = value_at(columns, "bytes", 1e9);  // a rate without a size: any
    }
    return s;
}

}  // namespace r1
