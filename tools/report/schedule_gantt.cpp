#include "tools/report/schedule_gantt.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

constexpr char kIdle = '.';

char letter(ChunkKind kind) {
    switch (kind) {
        case ChunkKind::forward: return 'F';
        case ChunkKind::backward_input: return 'B';
        case ChunkKind::backward_weight: return 'W';
        case ChunkKind::backward: return 'G';
        case ChunkKind::overlapped: return 'X';
    }
    return '?';
}

char lower(char upper) { return static_cast<char>(upper - 'A' + 'a'); }
bool is_lower(char glyph) { return glyph >= 'a' && glyph <= 'z'; }

// Odd directions (of an overlapped pair: of its forward) in lower case.
char glyph(const ScheduledChunk& chunk) {
    const bool has_forward =
        chunk.kind == ChunkKind::forward || chunk.kind == ChunkKind::overlapped;
    const int direction = has_forward ? chunk.forward.direction : chunk.backward.direction;
    const char upper = letter(chunk.kind);
    return direction % 2 == 0 ? upper : lower(upper);
}

// At most `columns`, and where possible such that chunk borders fall on columns: then equal
// chunks look equal.
int fitting_columns(const ScheduleTimes& times, int columns) {
    double shortest = times.makespan;
    for (const auto& chunks : times.chunks) {
        for (const auto& [start, end] : chunks) {
            if (end > start) {
                shortest = std::min(shortest, end - start);
            }
        }
    }
    const double cells = shortest > 0 ? std::round(times.makespan / shortest) : 0;
    const bool is_even_grid = cells >= 1 && cells <= columns &&
                              std::abs(cells * shortest - times.makespan) < 1e-6 * shortest;
    return is_even_grid ? columns / static_cast<int>(cells) * static_cast<int>(cells) : columns;
}

std::string draw_rank(const Schedule& schedule, const ScheduleTimes& times, std::size_t rank,
                      int columns) {
    // Share of each column that each glyph fills.
    std::vector<std::array<double, 128>> shares(static_cast<std::size_t>(columns));
    const double scale = times.makespan > 0 ? columns / times.makespan : 0;
    for (std::size_t i = 0; i < times.chunks[rank].size(); ++i) {
        const double start = times.chunks[rank][i].first * scale;
        const double end = times.chunks[rank][i].second * scale;
        const auto key = static_cast<unsigned char>(glyph(schedule.ranks[rank][i]));
        for (int column = static_cast<int>(start); column < end && column < columns; ++column) {
            shares[static_cast<std::size_t>(column)][key] +=
                std::min(end, column + 1.0) - std::max(start, 1.0 * column);
        }
    }
    std::string line;
    for (auto& share : shares) {
        double idle = 1;
        for (const double part : share) {
            idle -= part;
        }
        share[static_cast<std::size_t>(kIdle)] = idle;
        // Work wins a draw against idleness, and rounding must not decide one.
        char best = kIdle;
        for (std::size_t key = 0; key < share.size(); ++key) {
            const double lead = share[key] - share[static_cast<unsigned char>(best)];
            if (lead > 1e-9 || (best == kIdle && share[key] > 0 && lead > -1e-9)) {
                best = static_cast<char>(key);
            }
        }
        line += best;
    }
    return line;
}

std::string colored(const std::string& line) {
    std::string out;
    const char* current = kPlain;
    for (const char glyph : line) {
        const char* wanted = kPlain;
        if (glyph != kIdle) {
            wanted = is_lower(glyph) ? kYellow : kCyan;
        }
        if (wanted != current) {
            out += current = wanted;
        }
        out += is_lower(glyph) ? static_cast<char>(glyph - 'a' + 'A') : glyph;
    }
    return current == kPlain ? out : out + kPlain;
}

std::string legend(const Schedule& schedule, bool color) {
    std::string kinds;
    const auto add = [&](ChunkKind kind, const char* what) {
        for (const auto& chunks : schedule.ranks) {
            for (const ScheduledChunk& chunk : chunks) {
                if (chunk.kind == kind) {
                    kinds += fmt::format("{} {} · ", letter(kind), what);
                    return;
                }
            }
        }
    };
    add(ChunkKind::forward, "forward");
    add(ChunkKind::backward_input, "backward (input)");
    add(ChunkKind::backward_weight, "backward (weight)");
    add(ChunkKind::backward, "whole backward");
    add(ChunkKind::overlapped, "forward overlapped with backward (shown as its forward)");
    std::string even;
    std::string odd;
    switch (schedule.options.kind) {
        case ScheduleKind::dualpipe:
            even = "direction 0 (from rank 0)";
            odd = "direction 1 (from the last rank)";
            break;
        case ScheduleKind::dualpipev:
            even = "chunk 0 (down)";
            odd = "chunk 1 (up)";
            break;
        case ScheduleKind::interleaved:
            even = "even virtual stages";
            odd = "odd virtual stages";
            break;
        case ScheduleKind::one_f_one_b:
        case ScheduleKind::zb1p: return kinds + ". bubble";
    }
    kinds += ". bubble\n";
    if (color) {
        return kinds + fmt::format("{}{}{} · {}{}{}", kCyan, even, kPlain, kYellow, odd, kPlain);
    }
    return kinds + fmt::format("upper case {} · lower case {}", even, odd);
}

}  // namespace

std::string draw_schedule(const Schedule& schedule, const ScheduleTimes& times,
                          const GanttOptions& options) {
    const std::size_t label_width = std::to_string(schedule.ranks.size() - 1).size();
    const int frame = static_cast<int>(label_width) + 8;  // "rank N |" and the closing "|"
    const int width = std::max(options.width, kGanttWidthMin);
    const int columns = fitting_columns(times, std::max(1, width - frame));
    std::string out;
    for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
        const std::string line = draw_rank(schedule, times, rank, columns);
        out += fmt::format("rank {:>{}} |{}|\n", rank, label_width,
                           options.color ? colored(line) : line);
    }
    out += legend(schedule, options.color) + "\n";
    const double percent = times.makespan > 0 ? 100 * times.bubble_mean / times.makespan : 0;
    out += fmt::format("makespan {} {} · mean bubble {} {} a rank ({:.1f} %)\n",
                       short_number(times.makespan, 6), options.time_unit,
                       short_number(times.bubble_mean, 6), options.time_unit, percent);
    return out;
}

}  // namespace r1
