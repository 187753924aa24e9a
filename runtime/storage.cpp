#include "runtime/storage.hpp"

#include <cmath>

namespace r1 {

std::size_t stored_row_bytes(const Tensor& tensor, const ExecutionPolicy& policy) {
    return static_cast<std::size_t>(
        std::ceil(tensor.shape.back().constant * bits(stored_as(tensor, policy)) / 8));
}

std::size_t stored_bytes(const Tensor& tensor, const SymbolValues& values,
                         const ExecutionPolicy& policy) {
    // Scales of a part of a tile are whole: each dimension is rounded up.
    double count = 1;
    for (const Extent& extent : tensor.shape) {
        count *= std::ceil(extent.value(values));
    }
    return static_cast<std::size_t>(std::ceil(count * bits(stored_as(tensor, policy)) / 8));
}

}  // namespace r1
