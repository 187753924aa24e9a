#include "sim/hardware/device.hpp"

#include "model/base/json.hpp"

namespace r1 {

FlopsPerSecond DeviceSpec::peak(DType dtype) const {
    switch (dtype) {
        case DType::e4m3:
        case DType::e5m2:
        case DType::u8: return peak_fp8 > FlopsPerSecond(0) ? peak_fp8 : peak_bf16;
        case DType::f32:
        case DType::i32: return peak_fp32 > FlopsPerSecond(0) ? peak_fp32 : peak_bf16;
        case DType::bf16:
        case DType::f16:
        case DType::e5m6: return peak_bf16;
    }
    return peak_bf16;
}

Sources read_sources(ObjectReader& reader) {
    Sources sources;
    const Json* value = reader.raw("sources");
    if (value == nullptr || value->is_null()) return sources;
    if (!value->is_object()) {
        reader.error("sources", "must be an object of texts, one for each field");
        return sources;
    }
    for (const auto& [field, text] : value->items()) {
        if (text.is_string()) {
            sources.emplace(field, text.get<std::string>());
        } else {
            reader.error("sources", "the source of '" + field + "' must be a text");
        }
    }
    return sources;
}

DeviceSpec read_device(const Document& document, const std::string& pointer,
                       Diagnostics& diagnostics) {
    DeviceSpec device;
    ObjectReader reader(document, pointer, diagnostics);
    if (!reader.is_object()) return device;
    reader.accept_header("device");
    reader.required("name", device.name);
    reader.required("sms", device.sms, Range{1, 1e6});
    double memory_gb = 0;
    double hbm_gb_per_s = 0;
    double power_w = 0;
    reader.required("memory_gb", memory_gb, kRate);
    reader.required("hbm_bandwidth_gb_per_s", hbm_gb_per_s, kRate);
    reader.required("power_w", power_w, kRate);
    device.memory = Bytes(memory_gb * 1e9);
    device.hbm = gb_per_s(hbm_gb_per_s);
    device.power = Watts(power_w);
    if (auto peaks = reader.object("peaks_tflops", true)) {
        double bf16 = 0;
        double fp8 = 0;
        double fp32 = 0;
        peaks->required("bf16", bf16, kRate);
        peaks->optional("fp8", fp8, kRate);
        peaks->optional("fp32", fp32, kRate);
        peaks->finish();
        device.peak_bf16 = tflops(bf16);
        device.peak_fp8 = tflops(fp8);
        device.peak_fp32 = tflops(fp32);
    }
    device.sources = read_sources(reader);
    reader.finish();
    return device;
}

}  // namespace r1
