#include "model/chakra/trace_file.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "model/base/json.hpp"

namespace r1 {

namespace {

namespace io = google::protobuf::io;

// Takes a file apart, message by message.
class ChakraReader {
public:
    ChakraReader(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

    [[nodiscard]] bool at_end() const { return place_ == bytes_.size(); }

    // `what` says which message is read.
    void read(google::protobuf::MessageLite& message, const std::string& what) {
        const std::size_t begin = place_;
        const std::uint64_t length = read_length(what);
        const std::size_t left = bytes_.size() - place_;
        if (length > left) {
            throw InputError(file_, fmt::format("{} at byte {} has {} bytes, but only {} are left: "
                                                "the file was cut off",
                                                what, begin, length, left));
        }
        if (!message.ParseFromArray(bytes_.data() + place_, static_cast<int>(length))) {
            throw InputError(file_, fmt::format("{} at byte {} is no such message of a Chakra "
                                                "trace",
                                                what, begin));
        }
        place_ += length;
    }

private:
    std::uint64_t read_length(const std::string& what) {
        constexpr int kVarintBytesMax = 10;
        const std::size_t left = std::min<std::size_t>(bytes_.size() - place_, kVarintBytesMax);
        io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes_.data() + place_),
                                    static_cast<int>(left));
        std::uint64_t length = 0;
        if (!stream.ReadVarint64(&length) || length > std::numeric_limits<int>::max()) {
            throw InputError(file_, fmt::format("{} at byte {} has no valid length", what, place_));
        }
        place_ += static_cast<std::size_t>(stream.CurrentPosition());
        return length;
    }

    std::string_view bytes_;
    const std::string& file_;
    std::size_t place_ = 0;
};

}  // namespace

ChakraTrace read_chakra(std::string_view bytes, const std::string& file) {
    ChakraReader reader(bytes, file);
    ChakraTrace trace;
    if (reader.at_end()) {
        throw InputError(file, "is empty: a Chakra trace begins with its metadata");
    }
    if (bytes.front() == '{' && Json::accept(bytes)) {  // '{' may also be a length
        throw InputError(file, "is JSON: of Chakra traces the binary form is read (.et)");
    }
    reader.read(trace.metadata, "the metadata");
    while (!reader.at_end()) {
        reader.read(trace.nodes.emplace_back(), fmt::format("node {}", trace.nodes.size()));
    }
    return trace;
}

std::string chakra_bytes(const ChakraTrace& trace) {
    std::string bytes;
    io::StringOutputStream out(&bytes);
    io::CodedOutputStream stream(&out);
    const auto write = [&](const google::protobuf::MessageLite& message) {
        stream.WriteVarint64(message.ByteSizeLong());
        message.SerializeWithCachedSizes(&stream);
    };
    write(trace.metadata);
    for (const chakra::Node& node : trace.nodes) {
        write(node);
    }
    stream.Trim();
    return bytes;
}

}  // namespace r1
