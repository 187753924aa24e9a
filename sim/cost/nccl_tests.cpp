#include "sim/cost/nccl_tests.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

namespace {

using Words = std::vector<std::string>;

// Beyond what any machine does.
constexpr double kRanksMax = 1e6;
constexpr double kBytesMax = 1e15;
constexpr double kTimeMax = 1e12;  // us

bool in_range(double value, double most) { return value > 0 && value <= most; }

template <class Number>
std::optional<Number> parsed(const std::string& word) {
    Number value{};
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data(), end, value);
    return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

bool is_type(const std::string& word) {
    static const std::set<std::string> types = {
        "int8",   "uint8", "int32",    "uint32", "int64",  "uint64",   "half",    "float",
        "double", "char",  "bfloat16", "f8e4m3", "f8e5m2", "fp8_e4m3", "fp8_e5m2"};
    return types.contains(word);
}

// Without what mpirun ("[1,0]<stdout>:"), srun ("0: ") and comments put before it.
std::string_view content(std::string_view line) {
    constexpr std::string_view kSpace = " \t\r";
    const auto skip = [&line](std::string_view characters) {
        line.remove_prefix(std::min(line.find_first_not_of(characters), line.size()));
    };
    skip(kSpace);
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
        const std::string_view before = line.substr(0, colon);
        const bool of_mpirun = before.starts_with('[') && before.find("]<std") != before.npos;
        const bool of_srun =
            !before.empty() && before.find_first_not_of("0123456789") == before.npos;
        line.remove_prefix(of_mpirun || of_srun ? colon + 1 : 0);
    }
    skip(" \t\r#");
    return line;
}

Words words_of(std::string_view text) {
    std::istringstream stream{std::string(text)};
    Words words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return words;
}

// "size count type redop root time algbw busbw #wrong time …": which columns rows have.
struct TableColumns {
    bool redop = true;
    bool root = true;
    bool counts_wrong = true;  // "error" of old logs is a distance, or nothing

    static std::optional<TableColumns> of(const Words& words) {
        const auto has = [&](const char* word) {
            return std::find(words.begin(), words.end(), word) != words.end();
        };
        if (!has("size") || !has("type") || !(has("time") || has("cputime"))) {
            return std::nullopt;
        }
        return TableColumns{has("redop"), has("root"), has("#wrong")};
    }
};

class LogReader {
public:
    explicit LogReader(const std::string& file) : file_(file) {}

    void read_line(const std::string& text) {
        ++line_;
        const std::string_view line = content(text);
        const Words words = words_of(line);
        if (const std::size_t at = line.find("Collective test starting: ");
            at != std::string_view::npos) {
            log_.test = words.back();
        } else if (words.size() > 3 && words[0] == "Rank" && parsed<int>(words[1])) {
            read_rank(words);
        } else if (const auto columns = TableColumns::of(words)) {
            columns_ = *columns;
        } else if (words.size() > 3 && parsed<std::int64_t>(words[0]) &&
                   parsed<std::int64_t>(words[1]) && is_type(words[2])) {
            read_row(words);
        }
    }

    NcclTestsLog finish() && {
        problems_.throw_if_errors();
        log_.hosts = static_cast<int>(hosts_.size());
        return std::move(log_);
    }

private:
    // "Rank 0 Group 0 Pid 6899 on HOST device 0 [0000:04:00] NVIDIA H100 80GB HBM3"
    void read_rank(const Words& words) {
        const auto on = std::find(words.begin(), words.end(), "on");
        const auto device = std::find(on, words.end(), "device");
        if (device == words.end() || device - on != 2) {
            return;
        }
        ++log_.ranks;
        hosts_.insert(*(on + 1));
        if (log_.device.empty()) {
            for (auto word = device + 1; word != words.end(); ++word) {
                const bool is_number = word == device + 1 || word->starts_with('[');
                log_.device += is_number ? "" : (log_.device.empty() ? "" : " ") + *word;
            }
        }
    }

    void read_row(const Words& words) {
        std::size_t at = 3;
        // The operation is left blank where nothing is reduced.
        if (columns_.redop && at < words.size() && !parsed<double>(words[at])) {
            ++at;
        }
        at += columns_.root ? 1 : 0;
        constexpr std::size_t kValues = 4;  // time, algbw, busbw, wrong
        if (at + kValues > words.size() || !parsed<double>(words[at])) {
            error("is no whole row of nccl-tests' table");
            return;
        }
        const auto wrong = parsed<std::int64_t>(words[at + kValues - 1]);
        if (columns_.counts_wrong && wrong.value_or(0) != 0) {
            error(fmt::format("{} values came out wrong", *wrong));
        }
        const NcclTestsRow row{*parsed<std::int64_t>(words[0]), *parsed<double>(words[at]), line_};
        if (in_range(static_cast<double>(row.bytes), kBytesMax) &&
            in_range(row.time_us, kTimeMax)) {
            log_.rows.push_back(row);
        }
    }

    void error(std::string message) {
        problems_.error({{file_, line_, 1}, "", std::move(message), ""});
    }

    const std::string& file_;
    NcclTestsLog log_;
    TableColumns columns_;
    std::set<std::string> hosts_;
    Diagnostics problems_;
    int line_ = 0;
};

NcclTestsLog read_text(const std::string& text, const std::string& file) {
    LogReader reader(file);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        reader.read_line(line);
    }
    return std::move(reader).finish();
}

// Numbers are numbers, texts and null in turn.
double number_of(const Json& value) {
    if (value.is_string()) {
        return parsed<double>(value.get<std::string>()).value_or(0);
    }
    return value.is_number() ? value.get<double>() : 0;
}

// -J, version 3. `devices` lists the first GPU of each process only.
NcclTestsLog read_json(const Document& document) {
    Diagnostics problems;
    const auto find = [&](const std::string& pointer) { return document.find(pointer); };
    const Json* results = find("/results");
    if (results == nullptr || !results->is_array()) {
        problems.error(document.diagnostic("", "has no results of nccl-tests"));
        problems.throw_if_errors();
    }
    NcclTestsLog log;
    if (const Json* arguments = find("/args"); arguments != nullptr && arguments->is_array() &&
                                               !arguments->empty() &&
                                               arguments->at(0).is_string()) {
        const auto program = arguments->at(0).get<std::string>();
        log.test = program.substr(program.find_last_of('/') + 1);
    }
    std::set<std::string> hosts;
    if (const Json* devices = find("/config/devices"); devices != nullptr && devices->is_array()) {
        for (const Json& device : *devices) {
            if (device.is_object()) {
                hosts.insert(device.value("hostname", Json()).dump());
                const Json name = device.value("device_info", Json());
                log.device =
                    log.device.empty() && name.is_string() ? name.get<std::string>() : log.device;
            }
        }
        const auto each = [&](const char* key) {
            const Json* value = find(std::string("/config/") + key);
            return value == nullptr ? 1 : number_of(*value);
        };
        const double ranks =
            static_cast<double>(devices->size()) * each("nthreads") * each("ngpus");
        log.ranks = static_cast<int>(in_range(ranks, kRanksMax) ? ranks : 0);
    }
    log.hosts = static_cast<int>(hosts.size());
    for (std::size_t i = 0; i < results->size(); ++i) {
        const std::string at = fmt::format("/results/{}", i);
        const Json* size = find(at + "/size");
        const Json* time = find(at + "/out_of_place/time");
        time = time != nullptr ? time : find(at + "/out_of_place/cpu_time");
        if (size == nullptr || !size->is_number() || time == nullptr) {
            problems.error(document.diagnostic(at, "has no size, or no time out of place"));
            continue;
        }
        if (const Json* wrong = find(at + "/out_of_place/nwrong");
            wrong != nullptr && number_of(*wrong) > 0) {
            problems.error(document.diagnostic(at, "values came out wrong"));
        }
        const double bytes = number_of(*size);
        if (in_range(bytes, kBytesMax) && in_range(number_of(*time), kTimeMax)) {
            log.rows.push_back({static_cast<std::int64_t>(bytes), number_of(*time), 0});
        }
    }
    problems.throw_if_errors();
    return log;
}

}  // namespace

NcclTestsLog read_nccl_tests(const std::string& text, const std::string& file) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    NcclTestsLog log = first != std::string::npos && text[first] == '{'
                           ? read_json(Document::from_text(text, file))
                           : read_text(text, file);
    if (log.rows.empty()) {
        throw InputError(file, "holds no row of nccl-tests' table with bytes and a time");
    }
    return log;
}

std::string collective_of(const std::string& test) {
    for (const auto& [name, collective] :
         {std::pair{"all_reduce_perf", "all_reduce"}, std::pair{"all_gather_perf", "all_gather"},
          std::pair{"reduce_scatter_perf", "reduce_scatter"},
          std::pair{"alltoall_perf", "all_to_all"}}) {
        if (test == name) {
            return collective;
        }
    }
    return "";
}

}  // namespace r1
