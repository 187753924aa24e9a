#include "model/timeline/spans.hpp"

#include <algorithm>

namespace r1 {

void unite(std::vector<Span>& spans) {
    if (!std::is_sorted(spans.begin(), spans.end())) {
        std::sort(spans.begin(), spans.end());
    }
    std::size_t kept = 0;
    for (const Span& span : spans) {
        if (kept > 0 && span.first <= spans[kept - 1].second) {
            spans[kept - 1].second = std::max(spans[kept - 1].second, span.second);
        } else {
            spans[kept++] = span;
        }
    }
    spans.resize(kept);
}

TimePs length(const std::vector<Span>& united) {
    TimePs sum = 0;
    for (const Span& span : united) {
        sum += span.second - span.first;
    }
    return sum;
}

TimePs common_length(const std::vector<Span>& a, const std::vector<Span>& b) {
    TimePs sum = 0;
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.size() && j < b.size()) {
        const TimePs start = std::max(a[i].first, b[j].first);
        const TimePs end = std::min(a[i].second, b[j].second);
        sum += std::max<TimePs>(0, end - start);
        if (a[i].second < b[j].second) {
            ++i;
        } else {
            ++j;
        }
    }
    return sum;
}

std::vector<Span> within(const std::vector<Span>& united, TimePs start, TimePs end) {
    std::vector<Span> inside;
    for (const Span& span : united) {
        const Span cut{std::max(span.first, start), std::min(span.second, end)};
        if (cut.first < cut.second) {
            inside.push_back(cut);
        }
    }
    return inside;
}

}  // namespace r1
