#include "kernels/embedding.hpp"

namespace r1::reference {

void embedding(const EmbeddingArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        const std::int32_t id = args.ids[t];
        R1_CHECK(id >= 0 && id < args.vocabulary);
        for (std::int64_t i = 0; i < args.width; ++i) {
            store(args.y, t, i, load(args.table, id, i));
        }
    }
}

}  // namespace r1::reference
