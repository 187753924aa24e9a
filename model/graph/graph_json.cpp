#include "model/graph/graph_json.hpp"

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/graph/graph_builder.hpp"

namespace r1 {

namespace {

// ---- Writing ------------------------------------------------------------------------------------

Json number(double value) {
    constexpr double kExact = 9007199254740992;  // 2^53
    if (value == std::trunc(value) && std::abs(value) <= kExact) {
        return static_cast<std::int64_t>(value);
    }
    return value;
}

Json extent_to_json(const Extent& extent) {
    if (extent.is_constant()) {
        return number(extent.constant);
    }
    Json json = Json::object();
    for (std::size_t i = 0; i < kSymbolCount; ++i) {
        if (extent.per_symbol[i] != 0) {
            json[std::string(name(static_cast<Symbol>(i)))] = number(extent.per_symbol[i]);
        }
    }
    if (extent.constant != 0) {
        json["constant"] = number(extent.constant);
    }
    return json;
}

Json extents_to_json(const std::vector<Extent>& extents) {
    Json json = Json::array();
    for (const Extent& extent : extents) {
        json.push_back(extent_to_json(extent));
    }
    return json;
}

Json ids_to_json(const std::vector<TensorId>& ids) {
    Json json = Json::array();
    for (const TensorId id : ids) {
        json.push_back(id.value);
    }
    return json;
}

Json op_to_json(const Op& op) {
    Json json = Json::object();
    if (const ComputeOp* compute = op.compute()) {
        json["kernel"] = name(compute->kernel);
        json["dims"] = extents_to_json(compute->dims);
        json["matrix_flops"] = extent_to_json(compute->work.matrix_flops);
        json["read_bytes"] = extent_to_json(compute->work.read_bytes);
        json["written_bytes"] = extent_to_json(compute->work.written_bytes);
        json["dtype"] = name(compute->work.dtype);
    } else {
        const CommOp& comm = *op.comm();
        json["collective"] = name(comm.collective);
        json["group"] = name(comm.group);
        json["payload_bytes"] = extent_to_json(comm.payload_bytes);
        json["metadata_bytes"] = extent_to_json(comm.metadata_bytes);
        json["tokens"] = comm.tokens;
    }
    json["stream"] = name(op.stream);
    json["phase"] = name(op.phase);
    json["context"] = op.context;
    json["layer"] = op.layer;
    json["inputs"] = ids_to_json(op.inputs);
    json["outputs"] = ids_to_json(op.outputs);
    return json;
}

Json template_to_json(const ChunkTemplate& chunk) {
    Json json = {{"name", chunk.name}, {"contexts", chunk.contexts}};
    Json& tensors = json["tensors"] = Json::array();
    for (const Tensor& tensor : chunk.tensors) {
        tensors.push_back({{"name", tensor.name},
                           {"dtype", name(tensor.dtype)},
                           {"role", name(tensor.role)},
                           {"context", tensor.context},
                           {"shape", extents_to_json(tensor.shape)}});
    }
    Json& ops = json["ops"] = Json::array();
    for (const Op& op : chunk.ops) {
        ops.push_back(op_to_json(op));
    }
    return json;
}

Json context_to_json(const Context& context) {
    return Json::array({context.stage, context.direction, context.micro_batch});
}

Json program_to_json(const RankProgram& program) {
    Json json = {{"stages", program.stages}};
    Json& items = json["items"] = Json::array();
    for (const Item& item : program.items) {
        Json entry = {{"kind", name(item.kind)},
                      {"chunk", item.chunk.value},
                      {"context", context_to_json(item.contexts[0])}};
        if (!(item.contexts[1] == Context{})) {
            entry["second_context"] = context_to_json(item.contexts[1]);
        }
        if (item.peer != -1) {
            entry["peer"] = item.peer;
        }
        items.push_back(std::move(entry));
    }
    for (const Context& context : program.given) {
        json["given"].push_back(context_to_json(context));
    }
    return json;
}

// ---- Reading ------------------------------------------------------------------------------------

template <class Enum>
std::vector<std::string> names(std::size_t count) {
    std::vector<std::string> list;
    for (std::size_t i = 0; i < count; ++i) {
        list.emplace_back(name(static_cast<Enum>(i)));
    }
    return list;
}

template <class Enum, std::size_t kCount>
void read_enum(ObjectReader& reader, const char* key, Enum& out) {
    static const std::vector<std::string> list = names<Enum>(kCount);
    int chosen = static_cast<int>(out);
    reader.required_choice(key, list, chosen);
    out = static_cast<Enum>(chosen);
}

void read_dtype(ObjectReader& reader, DType& out) {
    std::string text;
    reader.required("dtype", text);
    if (const std::optional<DType> dtype = parse_dtype(text)) {
        out = *dtype;
    } else if (reader.has("dtype")) {
        reader.error("dtype", "unknown number format " + quote(text));
    }
}

template <class Small>
void read_small(ObjectReader& reader, const char* key, Small& out) {
    std::int64_t value = 0;
    reader.required(key, value,
                    {static_cast<double>(std::numeric_limits<Small>::min()),
                     static_cast<double>(std::numeric_limits<Small>::max())});
    out = static_cast<Small>(value);
}

std::optional<Symbol> parse_symbol(const std::string& key) {
    for (std::size_t i = 0; i < kSymbolCount; ++i) {
        if (key == name(static_cast<Symbol>(i))) {
            return static_cast<Symbol>(i);
        }
    }
    return std::nullopt;
}

std::optional<Extent> parse_extent(const Json& json) {
    if (json.is_number()) {
        return Extent(json.get<double>());
    }
    if (!json.is_object()) {
        return std::nullopt;
    }
    Extent extent;
    for (const auto& [key, value] : json.items()) {
        if (!value.is_number()) {
            return std::nullopt;
        }
        if (key == "constant") {
            extent.constant = value.get<double>();
            continue;
        }
        const std::optional<Symbol> symbol = parse_symbol(key);
        if (!symbol) {
            return std::nullopt;
        }
        extent += Extent(*symbol) * value.get<double>();
    }
    return extent;
}

constexpr const char* kExtentProblem =
    "must be a number, or an object of routed_rows, received_tokens, past_tokens, cache_capacity "
    "and constant";

void read_extent(ObjectReader& reader, const char* key, Extent& out) {
    const Json* json = reader.raw(key);
    const std::optional<Extent> extent = json == nullptr ? std::nullopt : parse_extent(*json);
    if (extent) {
        out = *extent;
    } else {
        reader.error(key, kExtentProblem);
    }
}

void read_extents(ObjectReader& reader, const char* key, std::vector<Extent>& out) {
    const Json* json = reader.raw(key);
    if (json == nullptr || !json->is_array()) {
        reader.error(key, "must be an array of extents");
        return;
    }
    for (const Json& entry : *json) {
        const std::optional<Extent> extent = parse_extent(entry);
        if (!extent) {
            reader.error(key, std::string("an extent ") + kExtentProblem);
            return;
        }
        out.push_back(*extent);
    }
}

void read_ids(ObjectReader& reader, const char* key, std::vector<TensorId>& out) {
    std::vector<std::int64_t> ids;
    reader.required(key, ids, {0, kInt32Max});
    for (const std::int64_t id : ids) {
        out.emplace_back(static_cast<std::size_t>(id));
    }
}

Op read_op(ObjectReader& reader) {
    Op op;
    if (reader.has("collective")) {
        CommOp comm;
        read_enum<Collective, kCollectiveCount>(reader, "collective", comm.collective);
        read_enum<GroupKind, kGroupKindCount>(reader, "group", comm.group);
        read_extent(reader, "payload_bytes", comm.payload_bytes);
        read_extent(reader, "metadata_bytes", comm.metadata_bytes);
        reader.required("tokens", comm.tokens, kNotNegative);
        op.body = comm;
    } else {
        ComputeOp compute;
        std::string kernel;
        reader.required("kernel", kernel);
        if (const std::optional<KernelId> id = parse_kernel(kernel)) {
            compute.kernel = *id;
        } else if (reader.has("kernel")) {
            reader.error("kernel", "unknown kernel " + quote(kernel));
        }
        read_extents(reader, "dims", compute.dims);
        read_extent(reader, "matrix_flops", compute.work.matrix_flops);
        read_extent(reader, "read_bytes", compute.work.read_bytes);
        read_extent(reader, "written_bytes", compute.work.written_bytes);
        read_dtype(reader, compute.work.dtype);
        op.body = std::move(compute);
    }
    read_enum<Stream, kStreamCount>(reader, "stream", op.stream);
    read_enum<Phase, 4>(reader, "phase", op.phase);
    read_small(reader, "context", op.context);
    read_small(reader, "layer", op.layer);
    read_ids(reader, "inputs", op.inputs);
    read_ids(reader, "outputs", op.outputs);
    reader.finish();
    return op;
}

ChunkTemplate read_template(ObjectReader& reader) {
    ChunkTemplate chunk;
    reader.required("name", chunk.name);
    read_small(reader, "contexts", chunk.contexts);
    for (ObjectReader& entry : reader.objects("tensors", true)) {
        Tensor tensor;
        entry.required("name", tensor.name);
        read_dtype(entry, tensor.dtype);
        read_enum<TensorRole, 6>(entry, "role", tensor.role);
        read_small(entry, "context", tensor.context);
        read_extents(entry, "shape", tensor.shape);
        entry.finish();
        chunk.tensors.push_back(std::move(tensor));
    }
    for (ObjectReader& entry : reader.objects("ops", true)) {
        chunk.ops.push_back(read_op(entry));
    }
    reader.finish();
    return chunk;
}

void read_context(ObjectReader& reader, const char* key, Context& context) {
    std::vector<std::int64_t> parts;
    reader.required(key, parts, {-1, kInt32Max});
    if (parts.size() != 3) {
        reader.error(key, "must be [stage, direction, micro-batch]");
        return;
    }
    context = {static_cast<std::int32_t>(parts[0]), static_cast<std::int32_t>(parts[1]),
               static_cast<std::int32_t>(parts[2])};
}

// [[stage, direction, micro-batch], ...]
void read_given(ObjectReader& reader, std::vector<Context>& given) {
    const Json* list = reader.raw("given");
    reader.accept("given");
    if (list == nullptr) {
        return;
    }
    try {
        for (const Json& parts : *list) {
            given.push_back({parts.at(0).get<std::int32_t>(), parts.at(1).get<std::int32_t>(),
                             parts.at(2).get<std::int32_t>()});
        }
    } catch (const Json::exception&) {
        reader.error("given", "must be a list of [stage, direction, micro-batch]");
    }
}

RankProgram read_program(ObjectReader& reader) {
    RankProgram program;
    std::vector<std::int64_t> stages;
    reader.required("stages", stages, {0, kInt32Max});
    for (const std::int64_t stage : stages) {
        program.stages.push_back(static_cast<std::int32_t>(stage));
    }
    for (ObjectReader& entry : reader.objects("items", true)) {
        Item item;
        read_enum<ItemKind, 8>(entry, "kind", item.kind);
        std::int64_t chunk = 0;
        entry.required("chunk", chunk, {0, kInt32Max});
        item.chunk = TemplateId(static_cast<std::size_t>(chunk));
        read_context(entry, "context", item.contexts[0]);
        if (entry.has("second_context")) {
            read_context(entry, "second_context", item.contexts[1]);
        }
        entry.optional("peer", item.peer, {-1, kInt32Max});
        entry.finish();
        program.items.push_back(item);
    }
    read_given(reader, program.given);
    reader.finish();
    return program;
}

Instances read_instances(ObjectReader reader) {
    Instances instances;
    reader.required("pipeline_parallel", instances.pipeline_parallel, {1, kInt32Max});
    reader.required("data_parallel", instances.data_parallel, {1, kInt32Max});
    reader.required("expert_parallel", instances.expert_parallel, {1, kInt32Max});
    reader.optional("tensor_parallel", instances.tensor_parallel, {1, kInt32Max});
    reader.finish();
    return instances;
}

}  // namespace

Json graph_to_json(const ExecutionGraph& graph) {
    const Instances& instances = graph.instances();
    Json json = {{"schema", "r1sim.graph/1"},
                 {"hash", graph.hash().hex()},
                 {"instances",
                  {{"pipeline_parallel", instances.pipeline_parallel},
                   {"data_parallel", instances.data_parallel},
                   {"expert_parallel", instances.expert_parallel}}}};
    if (instances.tensor_parallel > 1) {
        json["instances"]["tensor_parallel"] = instances.tensor_parallel;
    }
    Json& templates = json["templates"] = Json::array();
    for (const ChunkTemplate& chunk : graph.templates()) {
        templates.push_back(template_to_json(chunk));
    }
    Json& programs = json["programs"] = Json::array();
    for (const RankProgram& program : graph.programs()) {
        programs.push_back(program_to_json(program));
    }
    return json;
}

ExecutionGraph graph_from_json(const Document& document) {
    Diagnostics diagnostics;
    ObjectReader reader(document, "", diagnostics);
    diagnostics.throw_if_errors();
    reader.accept_header("graph");
    std::string hash;
    reader.required("hash", hash);
    Instances instances;
    if (std::optional<ObjectReader> object = reader.object("instances", true)) {
        instances = read_instances(*object);
    }
    GraphBuilder builder(instances);
    std::size_t count = 0;
    for (ObjectReader& entry : reader.objects("templates", true)) {
        ChunkTemplate chunk = read_template(entry);
        if (diagnostics.ok() && builder.add(std::move(chunk)).index() != count++) {
            entry.error("", "equals an earlier template");  // ids would no longer agree
        }
    }
    for (ObjectReader& entry : reader.objects("programs", true)) {
        builder.add(read_program(entry));
    }
    reader.object("scenario", false);
    reader.finish();
    diagnostics.throw_if_errors();
    try {
        ExecutionGraph graph = builder.freeze();
        if (graph.hash().hex() != hash) {
            reader.error("hash", "the content has another hash, " + graph.hash().hex());
            diagnostics.throw_if_errors();
        }
        return graph;
    } catch (const GraphError& error) {
        throw InputError(document.file(), error.what());
    }
}

}  // namespace r1
