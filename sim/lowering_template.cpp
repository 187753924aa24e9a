// Segments of one chunk template (declared in lowering.hpp).
#include <algorithm>
#include <set>

#include "sim/lowering.hpp"

namespace r1 {

AsyncTensors async_tensors(const ExecutionGraph& graph) {
    std::set<std::string> produced;
    std::set<std::string> read;
    for (const ChunkTemplate& chunk : graph.templates()) {
        const std::vector<OpIndex> producer = producers(chunk);
        for (const Op& op : chunk.ops) {
            if (op.stream == Stream::compute) {
                continue;
            }
            for (const TensorId id : op.outputs) {
                produced.insert(chunk.tensors[id.index()].name);
            }
            for (const TensorId id : op.inputs) {
                if (!producer[id.index()].valid()) {
                    read.insert(chunk.tensors[id.index()].name);
                }
            }
        }
    }
    return {{produced.begin(), produced.end()}, {read.begin(), read.end()}};
}

namespace {

bool contains(const std::vector<std::string>& sorted, const std::string& name) {
    return std::binary_search(sorted.begin(), sorted.end(), name);
}

// Where segments must begin and end: ops that wait for, or are waited for by, another stream.
struct Borders {
    std::vector<bool> begins;
    std::vector<bool> ends;
};

Borders find_borders(const ChunkTemplate& chunk, const AsyncTensors& async,
                     const std::vector<std::vector<OpIndex>>& before, bool serial) {
    const std::size_t count = chunk.ops.size();
    Borders borders{std::vector<bool>(count), std::vector<bool>(count)};
    const std::vector<OpIndex> producer = producers(chunk);
    for (std::size_t i = 0; i < count; ++i) {
        const Op& op = chunk.ops[i];
        if (serial && i > 0 && chunk.ops[i - 1].stream != op.stream) {
            borders.begins[i] = borders.ends[i - 1] = true;
        }
        if (op.comm() != nullptr) {
            borders.begins[i] = borders.ends[i] = true;
        }
        for (const OpIndex predecessor : before[i]) {
            if (chunk.ops[predecessor.index()].stream != op.stream) {
                borders.begins[i] = true;
                borders.ends[predecessor.index()] = true;
            }
        }
        for (const TensorId id : op.inputs) {
            if (!producer[id.index()].valid() &&
                contains(async.produced, chunk.tensors[id.index()].name)) {
                borders.begins[i] = true;
            }
        }
        for (const TensorId id : op.outputs) {
            if (contains(async.read, chunk.tensors[id.index()].name)) {
                borders.ends[i] = true;
            }
        }
    }
    return borders;
}

bool is_constant(const ComputeOp& op) {
    return std::all_of(op.dims.begin(), op.dims.end(),
                       [](const Extent& dim) { return dim.is_constant(); }) &&
           op.work.matrix_flops.is_constant() && op.work.read_bytes.is_constant() &&
           op.work.written_bytes.is_constant();
}

// `more`: than result.durations, by lane and segment.
void fill_by_lane(const std::vector<std::vector<Seconds>>& more, LoweredTemplate& result) {
    result.by_lane.resize(more.empty() ? 0 : result.segments.size());
    for (std::size_t s = 0; s < result.by_lane.size(); ++s) {
        for (const std::vector<Seconds>& lane : more) {
            result.by_lane[s].push_back(result.durations[s] +
                                        (s < lane.size() ? lane[s] : Seconds()));
        }
    }
}

// What segments wait for, and their ops' shares of the durations.
void connect_segments(const std::vector<std::vector<OpIndex>>& before, bool serial,
                      LoweredTemplate& result) {
    result.before.resize(result.segments.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
        std::vector<std::uint32_t>& list = result.before[result.segment_of[i]];
        for (const OpIndex predecessor : before[i]) {
            const std::uint32_t other = result.segment_of[predecessor.index()];
            if (other != result.segment_of[i]) {
                list.push_back(other);
            }
        }
    }
    for (std::size_t s = 0; s < result.segments.size(); ++s) {
        if (serial && s > 0) {
            result.before[s].push_back(static_cast<std::uint32_t>(s - 1));
        }
        std::sort(result.before[s].begin(), result.before[s].end());
        result.before[s].erase(std::unique(result.before[s].begin(), result.before[s].end()),
                               result.before[s].end());
        const double total = result.durations[s].value();
        for (double& share : result.segments[s].share_begin) {
            share = total > 0 ? share / total : 0;
        }
        for (double& share : result.segments[s].share_end) {
            share = total > 0 ? share / total : 1;
        }
    }
}

}  // namespace

LoweredTemplate lower_template(const LoweringInput& input, const ChunkTemplate& chunk,
                               const AsyncTensors& async, int sms,
                               const std::array<double, 2>& factors, const OpSymbols& symbols) {
    const std::vector<std::vector<OpIndex>> before = predecessors(chunk);
    const bool serial = input.replay.without.overlap;
    const Borders borders = find_borders(chunk, async, before, serial);
    LoweredTemplate result;
    result.segment_of.resize(chunk.ops.size());
    std::array<std::int64_t, kStreamCount> open;  // segment that the stream still adds to
    open.fill(-1);
    std::vector<std::vector<Seconds>> more;  // than input.symbols make it, by lane and segment
    const auto time_of = [&](const Op& op, const SymbolValues& values) {
        OpTime time;
        if (op.compute() != nullptr) {
            time = input.cost.compute(chunk, op, values, sms);
            time.scale_busy(factors[op.context]);
        }
        return time;
    };
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        const Op& op = chunk.ops[i];
        std::int64_t& current = open[static_cast<std::size_t>(op.stream)];
        if (current < 0 || borders.begins[i]) {
            current = static_cast<std::int64_t>(result.segments.size());
            result.segments.push_back({op.stream, {}, {}, {}, {}});
            result.durations.emplace_back(0.0);
        }
        const auto index = static_cast<std::size_t>(current);
        result.segment_of[i] = static_cast<std::uint32_t>(index);
        result.segments[index].ops.emplace_back(i);
        const OpTime time = time_of(op, input.symbols);
        result.segments[index].share_begin.push_back((result.durations[index] + time.gap).value());
        result.durations[index] += time.total();
        result.segments[index].share_end.push_back(result.durations[index].value());
        result.segments[index].rates.push_back(time.shares_of_busy());
        if (symbols && op.compute() != nullptr && !is_constant(*op.compute())) {
            if (const std::vector<SymbolValues>* lanes = symbols(op)) {
                more.resize(lanes->size());
                for (std::size_t lane = 0; lane < lanes->size(); ++lane) {
                    more[lane].resize(std::max(more[lane].size(), index + 1));
                    more[lane][index] += time_of(op, (*lanes)[lane]).total() - time.total();
                }
            }
        }
        if (borders.ends[i]) {
            current = -1;
        }
    }
    fill_by_lane(more, result);
    connect_segments(before, serial, result);
    return result;
}

}  // namespace r1
