// Graphs as text and on disk, compressed where the name asks for it (declared in graph_json.hpp).
#include <memory>
#include <string_view>
#include <vector>

#include <zstd.h>

#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "model/graph/graph_json.hpp"

namespace r1 {

namespace {

constexpr std::string_view kZstdMagic = "\x28\xB5\x2F\xFD";

// Lists of objects take a line for each; all else is compact.
void write_text(const Json& json, std::string& text) {
    if (json.is_object()) {
        const char* separator = "{";
        for (const auto& [key, value] : json.items()) {
            text += separator + Json(key).dump() + ":";
            write_text(value, text);
            separator = ",";
        }
        text += json.empty() ? "{}" : "}";
    } else if (json.is_array() && !json.empty() && json.front().is_object()) {
        const char* separator = "[\n";
        for (const Json& value : json) {
            text += separator;
            write_text(value, text);
            separator = ",\n";
        }
        text += "]";
    } else {
        text += json.dump();
    }
}

std::string compress(const std::string& text) {
    constexpr int kLevel = 9;  // a graph repeats itself: higher levels gain little
    std::string packed(ZSTD_compressBound(text.size()), '\0');
    const std::size_t size =
        ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), kLevel);
    R1_CHECK(ZSTD_isError(size) == 0);
    packed.resize(size);
    return packed;
}

// Streams, so that a small file cannot claim more memory than any document may have.
std::string decompress(const std::string& packed, const std::string& file) {
    struct Free {
        void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
    };
    const std::unique_ptr<ZSTD_DStream, Free> stream(ZSTD_createDStream());
    R1_CHECK(stream != nullptr);
    std::string text;
    std::vector<char> block(ZSTD_DStreamOutSize());
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    std::size_t left = 1;  // 0: a frame is complete
    bool full = true;      // the last block was: zstd may hold more
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out{block.data(), block.size(), 0};
        left = ZSTD_decompressStream(stream.get(), &out, &in);
        if (ZSTD_isError(left) != 0) {
            throw InputError(file, std::string("damaged zstd data: ") + ZSTD_getErrorName(left));
        }
        text.append(block.data(), out.pos);
        if (text.size() > Document::kMaxBytes) {
            throw InputError(file, "larger than any document may be, once decompressed");
        }
        full = left != 0 && out.pos == out.size;
    }
    if (left != 0) {
        throw InputError(file, "the zstd data ends too early");
    }
    return text;
}

}  // namespace

std::string graph_to_text(const ExecutionGraph& graph) {
    std::string text;
    write_text(graph_to_json(graph), text);
    text += "\n";
    return text;
}

void write_graph(const std::filesystem::path& file, const ExecutionGraph& graph,
                 const Json* scenario) {
    Json json = graph_to_json(graph);
    if (scenario != nullptr) {
        json["scenario"] = *scenario;
    }
    std::string text;
    write_text(json, text);
    text += "\n";
    write_file_atomically(file, file.extension() == ".zst" ? compress(text) : text);
}

GraphFile read_graph(const std::filesystem::path& file) {
    std::string text = read_file(file);
    if (text.compare(0, kZstdMagic.size(), kZstdMagic) == 0) {
        text = decompress(text, file.string());
    }
    const Document document = Document::from_text(text, file.string());
    GraphFile result{graph_from_json(document)};
    if (const Json* scenario = document.find("/scenario");
        scenario != nullptr && scenario->is_object()) {
        result.scenario = document.part("/scenario");
    }
    return result;
}

}  // namespace r1
