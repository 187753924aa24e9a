// Where the new tokens of sequences stand in their caches.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

// `contexts`: rows of each sequence, of which its `queries` new tokens are the last.
inline std::vector<std::int32_t> positions_of(const std::vector<std::int32_t>& contexts,
                                              std::int64_t queries) {
    std::vector<std::int32_t> positions;
    for (const std::int32_t context : contexts) {
        for (std::int64_t query = queries; query > 0; --query) {
            positions.push_back(context - static_cast<std::int32_t>(query));
        }
    }
    return positions;
}

}  // namespace r1::test
