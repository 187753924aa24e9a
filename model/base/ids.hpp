// Strong indices: a TensorId cannot be passed where an OpIndex is meant.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

namespace r1 {

template <class Tag>
struct Id {
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    std::uint32_t value = kNone;

    constexpr Id() = default;
    explicit constexpr Id(std::size_t index) : value(static_cast<std::uint32_t>(index)) {}

    [[nodiscard]] constexpr bool valid() const { return value != kNone; }
    [[nodiscard]] constexpr std::size_t index() const { return value; }
    constexpr auto operator<=>(const Id&) const = default;
};

using OpIndex = Id<struct OpIndexTag>;        // op within its chunk template
using TensorId = Id<struct TensorIdTag>;      // tensor within its chunk template
using TemplateId = Id<struct TemplateIdTag>;  // chunk template of a graph
using ProgramId = Id<struct ProgramIdTag>;    // rank program of a graph
using ItemIndex = Id<struct ItemIndexTag>;    // chunk or message within a rank program
using RankId = Id<struct RankIdTag>;          // GPU of the job

}  // namespace r1

template <class Tag>
struct std::hash<r1::Id<Tag>> {
    std::size_t operator()(r1::Id<Tag> id) const noexcept { return id.value; }
};
