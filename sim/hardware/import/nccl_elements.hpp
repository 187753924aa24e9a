// The elements of an NCCL topology file, as NCCL at commit 5067397c26 writes them.
#pragma once

#include <string_view>
#include <vector>

namespace r1 {

struct NcclElement {
    std::string_view name;
    std::vector<std::string_view> parents;
    std::vector<std::string_view> attributes;
};

// The first is the root.
const std::vector<NcclElement>& nccl_elements();

}  // namespace r1
