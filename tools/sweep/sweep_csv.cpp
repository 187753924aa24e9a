// The lines of a sweep for spreadsheets (declared in sweep_result.hpp): RFC 4180.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tools/sweep/sweep_line.hpp"
#include "tools/sweep/sweep_result.hpp"

namespace r1 {

namespace {

std::string cell(const Json& value) {
    const std::string text = value.is_null()     ? ""
                             : value.is_string() ? value.get<std::string>()
                                                 : value.dump();
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    }
    return quoted + "\"";
}

// Numbers and texts by pointer; lists have no place in a row.
void flatten(const Json& value, const std::string& pointer, std::map<std::string, Json>& cells,
             std::vector<std::string>& columns) {
    if (value.is_object()) {
        for (const auto& [key, member] : value.items()) {
            flatten(member, join_pointer(pointer, key), cells, columns);
        }
    } else if (!value.is_array()) {
        cells[pointer] = value;
        if (std::find(columns.begin(), columns.end(), pointer) == columns.end()) {
            columns.push_back(pointer);
        }
    }
}

std::string row_text(const std::vector<std::string>& cells) {
    return fmt::format("{}\r\n", fmt::join(cells, ","));
}

}  // namespace

std::string sweep_csv(const std::vector<std::string>& axes, const Json& lines) {
    const std::vector<std::string> first = {"point", "exit_code"};
    std::vector<std::string> columns;
    std::vector<std::map<std::string, Json>> rows;
    for (const Json& line : lines) {
        std::map<std::string, Json>& cells = rows.emplace_back();
        for (const auto& [key, value] : line.items()) {
            if (key != "schema" && key != "sweep" && key != "axes" && key != "run_info" &&
                std::find(first.begin(), first.end(), key) == first.end()) {
                flatten(value, join_pointer("", key), cells, columns);
            }
        }
        if (is_simulated(line)) {
            flatten(memory_of_fullest(line), "/memory/fullest_gpu_bytes", cells, columns);
        }
    }
    std::vector<std::string> head = first;
    for (const std::vector<std::string>* names : {&axes, &std::as_const(columns)}) {
        for (const std::string& name : *names) {
            head.push_back(cell(name));
        }
    }
    std::string text = row_text(head);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::vector<std::string> row;
        for (const std::string& key : first) {
            row.push_back(cell(lines[i].at(key)));
        }
        for (const std::string& axis : axes) {
            const Json& values = lines[i].at("axes");
            row.push_back(values.contains(axis) ? cell(values.at(axis)) : "");
        }
        for (const std::string& column : columns) {
            const auto found = rows[i].find(column);
            row.push_back(found == rows[i].end() ? "" : cell(found->second));
        }
        text += row_text(row);
    }
    return text;
}

}  // namespace r1
