#include "model/chakra/attributes.hpp"

#include <algorithm>
#include <limits>

namespace r1 {

namespace {

std::optional<std::int64_t> fitting(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return {};
    }
    return static_cast<std::int64_t>(value);
}

}  // namespace

const chakra::AttributeProto* find_attribute(const chakra::Node& node, std::string_view name) {
    const auto found =
        std::find_if(node.attr().begin(), node.attr().end(),
                     [&](const chakra::AttributeProto& attr) { return attr.name() == name; });
    return found == node.attr().end() ? nullptr : &*found;
}

std::optional<std::int64_t> integer_of(const chakra::AttributeProto& attribute) {
    using Proto = chakra::AttributeProto;
    switch (attribute.value_case()) {
        case Proto::kInt32Val: return attribute.int32_val();
        case Proto::kInt64Val: return attribute.int64_val();
        case Proto::kUint32Val: return attribute.uint32_val();
        case Proto::kUint64Val: return fitting(attribute.uint64_val());
        case Proto::kSint32Val: return attribute.sint32_val();
        case Proto::kSint64Val: return attribute.sint64_val();
        case Proto::kFixed32Val: return attribute.fixed32_val();
        case Proto::kFixed64Val: return fitting(attribute.fixed64_val());
        case Proto::kSfixed32Val: return attribute.sfixed32_val();
        case Proto::kSfixed64Val: return attribute.sfixed64_val();
        case Proto::kBoolVal: return attribute.bool_val() ? 1 : 0;
        default: return {};
    }
}

std::optional<double> number_of(const chakra::AttributeProto& attribute) {
    if (attribute.value_case() == chakra::AttributeProto::kDoubleVal) {
        return attribute.double_val();
    }
    if (attribute.value_case() == chakra::AttributeProto::kFloatVal) {
        return attribute.float_val();
    }
    const std::optional<std::int64_t> integer = integer_of(attribute);
    return integer ? std::optional(static_cast<double>(*integer)) : std::nullopt;
}

chakra::AttributeProto& add_attribute(chakra::Node& node, const char* name) {
    chakra::AttributeProto& attribute = *node.add_attr();
    attribute.set_name(name);
    return attribute;
}

}  // namespace r1
