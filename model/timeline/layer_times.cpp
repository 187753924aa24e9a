#include "model/timeline/layer_times.hpp"

#include <algorithm>
#include <optional>

#include "model/timeline/spans.hpp"
#include "model/timeline/timeline_index.hpp"

namespace r1 {

namespace {

struct LayerSpans {
    std::vector<Span> compute;
    std::vector<Span> comm;
    std::optional<TimePs> begin;  // of the forward pass
};

std::optional<std::uint32_t> first_overlapped(const TimelineIndex& index) {
    const std::vector<Item>& items = index.items(0);
    const auto found = std::find_if(items.begin(), items.end(), [](const Item& item) {
        return item.kind == ItemKind::overlapped;
    });
    if (found == items.end()) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(found - items.begin());
}

bool is_notify(const Op& op) {
    const CommOp* comm = op.comm();
    return comm != nullptr && comm->collective == Collective::notify;
}

std::vector<LayerSpans> spans_by_layer(const TimelineIndex& index, std::uint32_t item) {
    const std::vector<Op>& ops = index.chunk(0, item).ops;
    int last = -1;
    for (const Op& op : ops) {
        last = std::max<int>(last, op.layer);
    }
    std::vector<LayerSpans> layers(static_cast<std::size_t>(last + 1));
    for (std::uint32_t i = 0; i < ops.size(); ++i) {
        const Op& op = ops[i];
        const Interval* interval = index.find({0, item, i});
        if (op.layer < 0 || interval == nullptr) {
            continue;
        }
        const bool forward = op.context == 0;
        LayerSpans& layer = layers[static_cast<std::size_t>(forward ? op.layer : last - op.layer)];
        const Span span{interval->start, interval->end};
        if (computes(op.stream)) {
            layer.compute.push_back(span);
            if (forward && !layer.begin) {
                layer.begin = span.first;
            }
        } else if (op.stream == Stream::comm && !is_notify(op)) {
            layer.comm.push_back(span);
        }
    }
    return layers;
}

}  // namespace

std::vector<LayerTimes> layer_times(const ExecutionGraph& graph, const Timeline& timeline) {
    const TimelineIndex index(graph, timeline);
    std::vector<LayerTimes> times;
    const auto item = index.lane_count() > 0 ? first_overlapped(index) : std::nullopt;
    if (!item) {
        return times;
    }
    std::vector<LayerSpans> layers = spans_by_layer(index, *item);
    std::vector<Span> compute;
    std::vector<Span> comm;
    for (LayerSpans& layer : layers) {
        compute.insert(compute.end(), layer.compute.begin(), layer.compute.end());
        comm.insert(comm.end(), layer.comm.begin(), layer.comm.end());
        unite(layer.compute);
        unite(layer.comm);
    }
    unite(compute);
    unite(comm);
    const auto seconds = [](TimePs time) { return from_ps(time).value(); };
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const TimePs begin = layers[i].begin.value_or(0);
        const TimePs end =
            i + 1 < layers.size() ? layers[i + 1].begin.value_or(begin) : index.makespan();
        const std::vector<Span> sent = within(comm, begin, end);
        times.push_back({seconds(end - begin), seconds(length(layers[i].compute)),
                         seconds(length(layers[i].comm)),
                         seconds(length(sent) - common_length(sent, compute))});
    }
    return times;
}

}  // namespace r1
