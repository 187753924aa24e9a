// What calibration curves need of a compute op: which curve is its kernel's own, and its sizes by
// the names of columns.
#pragma once

#include <map>
#include <string>

#include "model/graph/op.hpp"

namespace r1 {

// The kernel's name; values in E5M6 have curves of their own.
std::string own_curve(const ChunkTemplate& chunk, const Op& op);

// That the op reads and writes.
double bytes_of(const ComputeOp& op, const SymbolValues& values);

// All that any curve of the kernel may have as a column.
std::map<std::string, double> columns_of(const ComputeOp& op, const SymbolValues& values, int sms);

}  // namespace r1
