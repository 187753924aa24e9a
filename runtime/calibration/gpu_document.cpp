#include "runtime/calibration/gpu_document.hpp"

#include <algorithm>
#include <cctype>
#include <map>

#include "model/base/json.hpp"

#include "runtime/calibration/document.hpp"

namespace r1 {

namespace {

std::string device_text(const MeasuredDevice& device) {
    std::string text = device.name + " (compute capability " + device.compute_capability + ", " +
                       std::to_string(device.sms) + " SMs, " +
                       formatted_number(device.memory_gb, "%.1f") + " GB, L2 " +
                       formatted_number(device.l2_mb, "%.1f") + " MB, clocks at most " +
                       formatted_number(device.sm_clock_max_mhz, "%.0f") + " MHz SM and " +
                       formatted_number(device.memory_clock_max_mhz, "%.0f") + " MHz memory";
    if (device.sm_clock_seen_min_mhz && device.sm_clock_seen_max_mhz) {
        text += ", SM clock seen after measurements " +
                formatted_number(*device.sm_clock_seen_min_mhz, "%.0f") + " to " +
                formatted_number(*device.sm_clock_seen_max_mhz, "%.0f") + " MHz";
    }
    text += device.power_limit_w
                ? ", power limit " + formatted_number(*device.power_limit_w, "%.0f") + " W)"
                : std::string(", power limit unknown)");
    return text;
}

std::string origin_text(const MeasuredDevice& device, const CalibrationOrigin& origin) {
    return origin.program + " on " + origin.date + "; " + device_text(device) + "; driver " +
           (device.driver.empty() ? "unknown" : device.driver) + " with CUDA " +
           device.cuda_driver_api + ", CUDA runtime " + device.cuda_runtime + ", cuBLASLt " +
           device.cublaslt;
}

// How many of which kernels are missing, and why.
std::string left_out_text(const std::vector<LeftOut>& left_out) {
    if (left_out.empty()) {
        return "Nothing was left out.";
    }
    std::map<std::string, std::map<std::string, int>> counts;  // why, kernel
    for (const LeftOut& each : left_out) {
        ++counts[each.why][each.kernel];
    }
    std::string text = "Left out:";
    for (const auto& [why, kernels] : counts) {
        for (const auto& [kernel, count] : kernels) {
            text += " " + std::to_string(count) + " " + kernel + ",";
        }
        text.back() = ':';
        text += " " + why + ";";
    }
    text.back() = '.';
    return text;
}

}  // namespace

std::string gpu_calibration_text(const MeasuredCalibration& calibration,
                                 const CalibrationOrigin& origin) {
    CalibrationHeader header;
    header.name = origin.name;
    header.comment =
        "Measured in " + formatted_number(calibration.seconds, "%.0f") +
        " s. Peaks are not measured here. Kernels run alone on one GPU; with fewer SMs than the "
        "device has, blocks that only wait hold the others. " +
        left_out_text(calibration.left_out);
    header.device = device_preset(calibration.device);
    header.origin = origin_text(calibration.device, origin);
    header.sources.push_back(
        {kKernelSource,
         "kernels between CUDA events, L2 emptied by reading before each repetition"});
    if (std::any_of(calibration.curves.begin(), calibration.curves.end(),
                    [](const auto& curve) { return curve.source == kCollectiveSource; })) {
        header.sources.push_back(
            {kCollectiveSource,
             "collectives between CUDA events on all GPUs, several in a row, the GPU that takes "
             "longest"});
    }
    return calibration_text(calibration_json(header, calibration));
}

std::string device_preset(const MeasuredDevice& device) {
    constexpr int kSxmSms = 132;  // the PCIe boards of the same names have fewer, or other memory
    for (const char* preset : {"h100", "h800", "h200"}) {
        std::string model = std::string(" ") + preset;  // not GH200
        model[1] = 'H';
        const bool is_other_board = device.name.find("PCIe") != std::string::npos ||
                                    device.name.find("NVL") != std::string::npos;
        if (device.sms == kSxmSms && !is_other_board &&
            device.name.find(model) != std::string::npos) {
            return preset;
        }
    }
    std::string word;
    for (const char c : device.name) {
        const bool is_word = std::isalnum(static_cast<unsigned char>(c)) != 0;
        if (is_word) {
            word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else if (!word.empty() && word.back() != '_') {
            word += '_';
        }
    }
    return word.empty() ? "unknown" : word;
}

}  // namespace r1
