// Chakra traces of other programs, and small ones made by hand.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "model/base/json.hpp"
#include "model/chakra/attributes.hpp"
#include "model/chakra/job.hpp"
#include "sim/hardware/presets.hpp"

namespace r1::test {

inline std::filesystem::path chakra_sample(const std::string& name) {
    return data_root() / "tests" / "sim" / "data" / "chakra" / name;
}

inline chakra::Node chakra_node(std::uint64_t id, chakra::NodeType type,
                                const std::vector<std::uint64_t>& before = {}) {
    chakra::Node node;
    node.set_id(id);
    node.set_type(type);
    for (const std::uint64_t other : before) {
        node.add_data_deps(other);
    }
    return node;
}
inline chakra::Node compute_node(std::uint64_t id, std::uint64_t micros,
                                 const std::vector<std::uint64_t>& before = {}) {
    chakra::Node node = chakra_node(id, chakra::COMP_NODE, before);
    node.set_duration_micros(micros);
    return node;
}
// `type`: COMM_SEND_NODE or COMM_RECV_NODE.
inline chakra::Node message(std::uint64_t id, chakra::NodeType type, std::int32_t peer,
                            std::int64_t bytes, const std::vector<std::uint64_t>& before = {}) {
    chakra::Node node = chakra_node(id, type, before);
    const bool sends = type == chakra::COMM_SEND_NODE;
    add_attribute(node, sends ? attribute::kCommDst : attribute::kCommSrc).set_int32_val(peer);
    add_attribute(node, attribute::kCommSize).set_int64_val(bytes);
    add_attribute(node, attribute::kCommTag).set_int32_val(0);
    return node;
}
inline chakra::Node collective(std::uint64_t id, chakra::CollectiveCommType type,
                               std::int64_t bytes, const std::string& group = "",
                               const std::vector<std::uint64_t>& before = {}) {
    chakra::Node node = chakra_node(id, chakra::COMM_COLL_NODE, before);
    add_attribute(node, attribute::kCommType).set_int64_val(type);
    add_attribute(node, attribute::kCommSize).set_int64_val(bytes);
    if (!group.empty()) {
        add_attribute(node, attribute::kPgName).set_string_val(group);
    }
    return node;
}

inline ChakraJob job_of(const std::vector<ChakraFile>& files) {
    return chakra_job(static_cast<std::uint32_t>(files.size()),
                      [&](std::uint32_t rank) { return files[rank]; });
}

// What the InputError says; "": none was thrown.
template <class Work>
std::string input_error_of(const Work& work) {
    try {
        work();
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

// Files "0.et", "1.et", … of so many ranks.
inline std::vector<ChakraFile> chakra_files(std::vector<std::vector<chakra::Node>> ranks) {
    std::vector<ChakraFile> files;
    for (std::vector<chakra::Node>& nodes : ranks) {
        files.push_back({std::to_string(files.size()) + ".et", {{}, std::move(nodes)}});
    }
    return files;
}

}  // namespace r1::test
