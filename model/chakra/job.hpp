// A job as Chakra execution traces tell it, one a rank: checked, and with the ends of its messages
// and the parts of its collectives found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/base/units.hpp"
#include "model/chakra/trace_file.hpp"

namespace r1 {

enum class ChakraWork : std::uint8_t {
    delay,    // takes time, but no SMs: on the CPU, in memory, or beside communication
    compute,  // on the rank's SMs
    send,
    receive,
    collective,
};

// One flow of a rank's part in an expert all-to-all (attributes.hpp).
struct ChakraFlow {
    std::int32_t peer = 0;
    bool is_sent = true;
    bool over_nvlink = false;
    Bytes bytes;
    std::int32_t count = 1;
    double link_share = 0;  // 0: no cap
};

struct ChakraNode {
    std::uint64_t id = 0;
    ChakraWork work = ChakraWork::delay;
    std::vector<std::uint32_t> before;  // nodes of the rank that it waits for, ascending
    Seconds time;                       // delay, compute
    Bytes bytes;                        // send, receive
    std::uint32_t peer = 0;             // of a message: the rank at the other end
    std::uint32_t other = 0;            // of a message: the node there; else the collective
};

struct ChakraPart {
    std::uint32_t rank = 0;
    std::uint32_t node = 0;
    // Of an expert all-to-all that r1sim wrote:
    std::vector<ChakraFlow> flows;
};
struct ChakraCollective {
    chakra::CollectiveCommType type = chakra::ALL_REDUCE;
    Bytes bytes;                    // as Chakra counts: what a rank brings along
    std::vector<ChakraPart> parts;  // by rank, ascending
    Seconds startup;                // before the first byte, as far as r1sim wrote it
    // Whether the parts say what flows, on nodes of so many GPUs.
    std::int32_t flows_gpus_per_node = 0;
};

struct ChakraJob {
    std::vector<std::vector<ChakraNode>> ranks;
    std::vector<ChakraCollective> collectives;
    std::int64_t missing_dependencies = 0;  // on nodes that no file has: left out

    [[nodiscard]] std::int64_t nodes() const;
};

struct ChakraFile {
    std::string name;  // for messages
    ChakraTrace trace;
};

// Asks for the ranks' traces in order, one at a time. Throws InputError with the first problems,
// each with its file and node.
ChakraJob chakra_job(std::uint32_t ranks, const std::function<ChakraFile(std::uint32_t)>& file);

// Of the files NAME.RANK.et of a folder, or of one file as the only rank.
ChakraJob read_chakra_job(const std::filesystem::path& path);

}  // namespace r1
