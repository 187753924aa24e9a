#include "runtime/storage.hpp"

#include <cmath>

namespace r1 {

std::size_t stored_row_bytes(const Tensor& tensor, const ExecutionPolicy& policy) {
    return static_cast<std::size_t>(
        std::ceil(tensor.shape.back().constant * bits(stored_as(tensor, policy)) / 8));
}

std::size_t stored_bytes(const Tensor& tensor, const SymbolValues& values,
                         const ExecutionPolicy& policy) {
    const double count = elements(tensor).value(values);
    return static_cast<std::size_t>(std::ceil(count * bits(stored_as(tensor, policy)) / 8));
}

}  // namespace r1
