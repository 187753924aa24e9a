// Content hash of graphs (declared in graph.hpp). Values are fed in a fixed order and width, so
// the hash is the same on every machine of the same byte order.
#include <cstring>
#include <string_view>
#include <type_traits>

#include <xxhash.h>

#include "model/graph/graph.hpp"

namespace r1 {

namespace {

class Hasher {
public:
    void bytes(std::string_view data) {
        number(static_cast<std::uint64_t>(data.size()));
        buffer_.append(data);
    }
    template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
    void number(T value) {
        char raw[sizeof(T)];
        std::memcpy(raw, &value, sizeof(T));
        buffer_.append(raw, sizeof(T));
    }
    void extent(const Extent& extent) {
        number(extent.constant);
        for (const double factor : extent.per_symbol) {
            number(factor);
        }
    }
    void extents(const std::vector<Extent>& list) {
        number(static_cast<std::uint64_t>(list.size()));
        for (const Extent& item : list) {
            extent(item);
        }
    }
    void tensors(const std::vector<TensorId>& list) {
        number(static_cast<std::uint64_t>(list.size()));
        for (const TensorId id : list) {
            number(id.value);
        }
    }
    void op(const Op& op) {
        number(static_cast<std::uint8_t>(op.body.index()));
        if (const ComputeOp* compute = op.compute()) {
            bytes(name(compute->kernel));
            extents(compute->dims);
            extent(compute->work.matrix_flops);
            extent(compute->work.read_bytes);
            extent(compute->work.written_bytes);
            number(compute->work.dtype);
        } else {
            bytes(name(op.comm()->collective));
            bytes(name(op.comm()->group));
            extent(op.comm()->payload_bytes);
            extent(op.comm()->metadata_bytes);
            number(op.comm()->tokens);
        }
        number(op.stream);
        number(op.phase);
        number(op.context);
        number(op.layer);
        tensors(op.inputs);
        tensors(op.outputs);
    }
    void context(const Context& context) {
        number(context.stage);
        number(context.direction);
        number(context.micro_batch);
    }
    void chunk(const ChunkTemplate& chunk) {
        number(chunk.contexts);
        number(static_cast<std::uint64_t>(chunk.tensors.size()));
        for (const Tensor& tensor : chunk.tensors) {
            bytes(tensor.name);
            number(tensor.dtype);
            number(tensor.role);
            number(tensor.context);
            extents(tensor.shape);
        }
        number(static_cast<std::uint64_t>(chunk.ops.size()));
        for (const Op& each : chunk.ops) {
            op(each);
        }
    }
    [[nodiscard]] GraphHash finish() const {
        const XXH128_hash_t hash = XXH3_128bits(buffer_.data(), buffer_.size());
        return {hash.high64, hash.low64};
    }

private:
    std::string buffer_;
};

}  // namespace

std::string GraphHash::hex() const {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::uint64_t part : {high, low}) {
        for (int shift = 60; shift >= 0; shift -= 4) {
            text.push_back(digits[(part >> shift) & 0xF]);
        }
    }
    return text;
}

GraphHash hash_of(const ChunkTemplate& chunk) {
    Hasher hasher;
    hasher.chunk(chunk);
    return hasher.finish();
}

GraphHash hash_of(const std::vector<ChunkTemplate>& templates,
                  const std::vector<RankProgram>& programs, const Instances& instances) {
    Hasher hasher;
    hasher.number(static_cast<std::uint64_t>(templates.size()));
    for (const ChunkTemplate& chunk : templates) {
        hasher.chunk(chunk);
    }
    hasher.number(static_cast<std::uint64_t>(programs.size()));
    for (const RankProgram& program : programs) {
        hasher.number(static_cast<std::uint64_t>(program.stages.size()));
        for (const std::int32_t stage : program.stages) {
            hasher.number(stage);
        }
        hasher.number(static_cast<std::uint64_t>(program.items.size()));
        for (const Item& item : program.items) {
            hasher.number(item.kind);
            hasher.number(item.chunk.value);
            hasher.number(item.peer);
            for (const Context& context : item.contexts) {
                hasher.context(context);
            }
        }
        hasher.number(static_cast<std::uint64_t>(program.given.size()));
        for (const Context& context : program.given) {
            hasher.context(context);
        }
    }
    hasher.number(instances.pipeline_parallel);
    hasher.number(instances.data_parallel);
    hasher.number(instances.expert_parallel);
    if (instances.tensor_parallel > 1) {
        hasher.number(instances.tensor_parallel);
    }
    return hasher.finish();
}

}  // namespace r1
