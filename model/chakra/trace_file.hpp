// Chakra execution traces as files (chakra.proto): what one rank of a job does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <chakra.pb.h>

namespace r1 {

struct ChakraTrace {
    chakra::GlobalMetadata metadata;
    std::vector<chakra::Node> nodes;  // in the file's order
};

// `file` is for messages. Fields that the schema does not know are kept. Throws InputError with the
// byte where a message is cut off or damaged, and the node.
ChakraTrace read_chakra(std::string_view bytes, const std::string& file);
// The same bytes for the same trace.
std::string chakra_bytes(const ChakraTrace& trace);

}  // namespace r1
