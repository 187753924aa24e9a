// Attributes of Chakra nodes, by name. Writers use the value types that other readers look for
// (mlcommons' feeder reads just these); reading takes any type that can hold such a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <chakra.pb.h>

namespace r1 {

namespace attribute {

inline constexpr const char* kIsCpuOp = "is_cpu_op";       // bool
inline constexpr const char* kNumOps = "num_ops";          // int64
inline constexpr const char* kTensorSize = "tensor_size";  // uint64, bytes
inline constexpr const char* kCommType = "comm_type";      // int64, CollectiveCommType
inline constexpr const char* kCommSize = "comm_size";      // int64, bytes
inline constexpr const char* kCommSrc = "comm_src";        // int32
inline constexpr const char* kCommDst = "comm_dst";        // int32
inline constexpr const char* kCommTag = "comm_tag";        // int32
inline constexpr const char* kPgName = "pg_name";          // string

// Ours, which other readers ignore.
// double: duration_micros without rounding.
inline constexpr const char* kDuration = "r1sim.duration_micros";
// bool, of a COMP node; false: it runs beside those that share the rank's SMs.
inline constexpr const char* kSharesSms = "r1sim.shares_sms";
// Of an expert all-to-all, the flows that the rank sends, and those that it gets from nobody in
// particular, as lists of equal length. int32, the rank at the other end; the own one: it stands
// for its likes; -1: all others together.
inline constexpr const char* kFlowPeer = "r1sim.flow_peer";
inline constexpr const char* kFlowIsSent = "r1sim.flow_is_sent";          // bool
inline constexpr const char* kFlowOverNvlink = "r1sim.flow_over_nvlink";  // bool
inline constexpr const char* kFlowBytes = "r1sim.flow_bytes";             // double, of each
inline constexpr const char* kFlowCount = "r1sim.flow_count";             // int32
// double: the share of the rank's link that the kernels reach with all of the flow's `count`.
inline constexpr const char* kFlowLinkShare = "r1sim.flow_link_share";
inline constexpr const char* kStartup = "r1sim.startup_micros";     // double, before the first byte
inline constexpr const char* kGpusPerNode = "r1sim.gpus_per_node";  // int32: the flows hold there

}  // namespace attribute

// nullptr: there is none.
const chakra::AttributeProto* find_attribute(const chakra::Node& node, std::string_view name);
// Of an attribute of any integer type that 64 bits hold with a sign; a bool is 0 or 1.
std::optional<std::int64_t> integer_of(const chakra::AttributeProto& attribute);
std::optional<double> number_of(const chakra::AttributeProto& attribute);

// The attribute is added: the node has none of this name yet.
chakra::AttributeProto& add_attribute(chakra::Node& node, const char* name);

}  // namespace r1
