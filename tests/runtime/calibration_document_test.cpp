// What a GPU calibration writes is what the simulator reads; and the statistics in it.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "runtime/calibration/collective_job.hpp"
#include "runtime/calibration/gpu_document.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/cost/curve_model.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

MeasuredCalibration synthetic() {
    MeasuredCalibration run;
    run.device.name = "NVIDIA H100 80GB HBM3";
    run.device.sms = 132;
    run.device.compute_capability = "9.0";
    run.device.cublaslt = "13.1.0";
    run.seconds = 12;
    add_point(run, "gemm_fp8", "tflops", {"m", "n", "k", "sms"},
              {{4096, 2112, 7168, 132},
               1000.125,
               {124.0, 0.01, 7},
               std::nullopt,
               "cuBLASLt algorithm 1, \"scales\"",
               "2 m n k / median"});
    add_point(
        run, "rms_norm", "gb_per_s", {"bytes", "sms"},
        {{117440512, 112}, 1 / 3.0, {50, 0, 5}, std::nullopt, "own kernel", "bytes / median"});
    add_point(run, "gemm_fp8", "tflops", {"m", "n", "k", "sms"},
              {{4096, 2112, 7168, 112}, 800, {155, 0.02, 9}, 1410, "again", "2 m n k / median"});
    run.constants.push_back({"empty_kernel_us", 2.5, "an empty kernel"});
    run.left_out = {{"gemm_bf16", "a", "the time was spent"},
                    {"gemm_bf16", "b", "the time was spent"},
                    {"permute", "c", "does not fit"}};
    return run;
}

Calibration read_back(const MeasuredCalibration& run) {
    const std::string text = gpu_calibration_text(run, {"h100_here", "program 1.0", "2025-01-31"});
    Diagnostics diagnostics;
    Calibration calibration =
        read_calibration(Document::from_text(text, "test.json"), "", diagnostics);
    diagnostics.throw_if_errors();
    return calibration;
}

}  // namespace

TEST_CASE("calibration document: the simulator reads it", "[runtime][calibration]") {
    const Calibration read = read_back(synthetic());
    CHECK(read.name == "h100_here");
    CHECK(read.device == "h100");
    REQUIRE(read.curves.size() == 2);
    const CalibrationCurve* gemm = read.curve("gemm_fp8");
    REQUIRE(gemm != nullptr);
    REQUIRE(gemm->points.size() == 2);
    CHECK(gemm->quantity == "tflops");
    CHECK(gemm->points[0].value == Approx(1000.13));
    CHECK(gemm->points[1].columns[static_cast<std::size_t>(gemm->column("sms"))] == 112);
    CHECK(gemm->points[0].row ==
          "median 124 us of 7, interquartile range 1.0 %: cuBLASLt algorithm 1, \"scales\"");
    CHECK(gemm->points[1].row ==
          "median 155 us of 9, interquartile range 2.0 %, then SM clock 1410 MHz: again");
    CHECK(read.curve("rms_norm")->points[0].columns[0] == 117440512);
    CHECK(read.curve("rms_norm")->points[0].value == Approx(0.333333));
    CHECK(read.constants.at("empty_kernel_us") == 2.5);
    const CalibrationSource& source = read.sources.begin()->second;
    CHECK(source.level == "measured");
    CHECK(source.text.find("program 1.0 on 2025-01-31; NVIDIA H100 80GB HBM3") == 0);
    CHECK(source.text.find("power limit unknown") != std::string::npos);
}

TEST_CASE("calibration document: says what was left out", "[runtime][calibration]") {
    const Document document =
        Document::from_text(gpu_calibration_text(synthetic(), {"n", "p", "d"}), "test.json");
    const auto comment = document.root()["comment"].get<std::string>();
    CHECK(comment.find("Left out: 1 permute: does not fit; 2 gemm_bf16: the time was spent.") !=
          std::string::npos);
}

// 8 ranks, 1 GB in 4.72973 ms: 370 GB/s on the bus of an all-reduce (2 x 7/8), 185 of a gather.
TEST_CASE("calibration document: collectives are curves that the simulator reads back in time",
          "[runtime][calibration]") {
    MeasuredCalibration run = synthetic();
    const double us = 1e6 * 1.75 / 370e3 * 1e3;
    for (const char* kernel : {"all_reduce", "all_gather", "all_to_all"}) {
        add_collective(run, {kernel, 2, 1 << 20}, {10, 0, 7}, "NCCL 2.26.2");
        add_collective(run, {kernel, 8, 1000000000}, {us, 0, 7}, "NCCL 2.26.2");
    }
    add_collective_constants(run);
    const Calibration read = read_back(run);
    const CalibrationCurve* all_reduce = read.curve("all_reduce");
    REQUIRE(all_reduce != nullptr);
    CHECK(all_reduce->quantity == "bus_gb_per_s");
    CHECK(all_reduce->columns == std::vector<std::string>{"bytes", "ranks"});
    CHECK(all_reduce->points[1].value == Approx(370));
    CHECK(read.curve("all_gather")->points[1].value == Approx(185));
    CHECK(read.constants.at("nvlink_bus_gb_per_s") == Approx(185));
    CHECK(read.sources.at("nccl.measured").level == "measured");
    CHECK(all_reduce->points[0].source == "nccl.measured");
    const CurveModel model(*all_reduce, read);
    CHECK(model.fitted()[1].measured_us == Approx(us).epsilon(1e-5));
}

TEST_CASE("calibration document: no points, no file", "[runtime][calibration]") {
    CHECK_THROWS(gpu_calibration_text(MeasuredCalibration{}, {"n", "p", "d"}));
}

TEST_CASE("calibration document: a device's preset is its exact board", "[runtime][calibration]") {
    MeasuredDevice device;
    device.sms = 132;
    device.name = "NVIDIA H200";
    CHECK(device_preset(device) == "h200");
    device.name = "NVIDIA H100 NVL";
    CHECK(device_preset(device) == "nvidia_h100_nvl");
    device.name = "NVIDIA GH200 480GB";
    CHECK(device_preset(device) == "nvidia_gh200_480gb");
    device.name = "NVIDIA H100 80GB HBM3";
    device.sms = 114;
    CHECK(device_preset(device) == "nvidia_h100_80gb_hbm3");
}

TEST_CASE("timing: median and interquartile range", "[runtime][calibration]") {
    // Sorted: 10, 20, 30, 40, 100. Quartiles 20 and 40, so the range is 20 of 30.
    const Timing five = summarize({100, 30, 10, 20, 40});
    CHECK(five.median_us == 30);
    CHECK(five.spread == Approx(20.0 / 30.0));
    CHECK(five.repetitions == 5);
    CHECK(summarize({1, 3}).median_us == 2);
    CHECK(summarize({7}).spread == 0);
}

}  // namespace r1
