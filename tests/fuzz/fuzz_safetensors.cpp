// Any bytes as a safetensors file: either InputError, or tensors that cover the data exactly and
// convert to float32.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "model/checkpoint/convert.hpp"
#include "model/checkpoint/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const auto file = std::as_bytes(std::span(bytes, size));
    try {
        const r1::SafetensorsContent content = r1::parse_safetensors(file, "fuzz.safetensors");
        std::size_t covered = 0;
        for (const r1::TensorView& tensor : content.tensors) {
            covered += tensor.data.size();
            const std::vector<float> values = r1::to_f32(tensor);
            if (values.size() * r1::byte_size(tensor.dtype) != tensor.data.size()) {
                std::abort();
            }
            const r1::TensorView* scale = nullptr;
            for (const r1::TensorView& other : content.tensors) {
                scale = other.name == tensor.name + "_scale_inv" ? &other : scale;
            }
            if (r1::is_fp8(tensor.dtype) && tensor.shape.size() == 2 && scale != nullptr &&
                scale->dtype == r1::StoredType::f32 &&
                scale->shape == r1::scale_shape(tensor.shape)) {
                r1::dequantize_to_f32(tensor, *scale);
            }
        }
        if (covered > size) {
            std::abort();
        }
    } catch (const r1::InputError&) {
        return 0;
    }
    return 0;
}
