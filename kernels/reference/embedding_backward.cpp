#include "kernels/embedding_backward.hpp"

namespace r1::reference {

void embedding_backward(const EmbeddingBackwardArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        const std::int32_t id = args.ids[t];
        R1_CHECK(id >= 0 && id < args.vocabulary);
        for (std::int64_t i = 0; i < args.width; ++i) {
            args.table_grad[id * args.width + i] += load(args.grad, t, i);
        }
    }
}

}  // namespace r1::reference
