// ObjectReader: typed reading of one object, with every problem collected.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;

std::string kind_of(const Json& value) {
    switch (value.type()) {
        case Json::value_t::null: return "null";
        case Json::value_t::boolean: return value.get<bool>() ? "true" : "false";
        case Json::value_t::string: return "a string";
        case Json::value_t::array: return "an array";
        case Json::value_t::object: return "an object";
        default: return "a number";
    }
}

std::string expects(const std::string& what, const Json& found) {
    return "expects " + what + ", found " + kind_of(found);
}

// The rule that the number breaks, or "".
std::string broken_rule(double value, Range range) {
    const bool has_min = range.min > -1e300;
    const bool has_max = range.max < 1e300;
    const bool is_low = range.above ? !(value > range.min) : !(value >= range.min);
    if (!is_low && value <= range.max) {
        return "";
    }
    if (has_min && has_max) {
        return range.above ? fmt::format("must be above {} and at most {}", range.min, range.max)
                           : fmt::format("must be from {} to {}", range.min, range.max);
    }
    if (has_min || has_max) {
        return has_max ? fmt::format("must be at most {}", range.max)
               : is_low
                   ? fmt::format("must be {} {}", range.above ? "above" : "at least", range.min)
                   : "is too large";
    }
    return is_low ? "is too small" : "is too large";
}

// The reading functions return what is wrong, or "" after filling `out`.
std::string read_double(const Json& value, double& out, Range range) {
    if (!value.is_number()) {
        return expects("a number", value);
    }
    const auto number = value.get<double>();
    if (!std::isfinite(number)) {
        return "must be finite";  // only documents built by the program can hold such a number
    }
    if (const std::string rule = broken_rule(number, range); !rule.empty()) {
        return rule + ", found " + value.dump();
    }
    out = number;
    return "";
}

std::string read_integer(const Json& value, std::int64_t& out, Range range) {
    if (!value.is_number()) {
        return expects("a whole number", value);
    }
    const auto number = value.get<double>();
    if (!std::isfinite(number) || std::floor(number) != number) {
        return "expects a whole number, found " + value.dump();
    }
    if (const std::string rule = broken_rule(number, range); !rule.empty()) {
        return rule + ", found " + value.dump();
    }
    const bool is_signed = value.is_number_integer() && !value.is_number_unsigned();
    // INT64_MAX itself becomes 2^63 as a double: integers are compared as integers.
    const bool fits =
        is_signed ||
        (value.is_number_unsigned()
             ? value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()}
             : number >= -kTwoTo63 && number < kTwoTo63);
    if (!fits) {
        return "does not fit in 64 bits, found " + value.dump();
    }
    out = value.is_number_float() ? static_cast<std::int64_t>(number) : value.get<std::int64_t>();
    return "";
}

std::string read_int(const Json& value, int& out, Range range) {
    std::int64_t number = 0;
    std::string problem = read_integer(value, number, range);
    if (problem.empty()) {
        if (!std::in_range<int>(number)) {
            return "does not fit in 32 bits, found " + value.dump();
        }
        out = static_cast<int>(number);
    }
    return problem;
}

std::string read_bool(const Json& value, bool& out) {
    if (!value.is_boolean()) {
        return expects("true or false", value);
    }
    out = value.get<bool>();
    return "";
}

std::string read_string(const Json& value, std::string& out) {
    if (!value.is_string()) {
        return expects("a string", value);
    }
    out = value.get<std::string>();
    return "";
}

}  // namespace

ObjectReader::ObjectReader(const Document& document, std::string pointer, Diagnostics& diagnostics)
    : document_(&document), pointer_(std::move(pointer)), diagnostics_(&diagnostics) {
    const Json* value = document_->find(pointer_);
    if (value != nullptr && value->is_object()) {
        object_ = value;
    } else {
        error({}, value == nullptr ? "is missing" : expects("an object", *value));
    }
}

bool ObjectReader::has(std::string_view key) const {
    if (object_ == nullptr) {
        return false;
    }
    const auto found = object_->find(std::string(key));
    return found != object_->end() && !found->is_null();
}

const Json* ObjectReader::raw(std::string_view key) {
    accept(key);
    if (object_ == nullptr) {
        return nullptr;
    }
    const auto found = object_->find(std::string(key));
    return found == object_->end() ? nullptr : &*found;
}

std::string ObjectReader::pointer(std::string_view key) const {
    return key.empty() ? pointer_ : join_pointer(pointer_, key);
}

const Json* ObjectReader::value(std::string_view key, bool is_required) {
    const Json* found = raw(key);
    if (object_ == nullptr || (found != nullptr && !found->is_null())) {
        return found;  // what is no object was reported when the reader was made
    }
    if (is_required && found == nullptr) {
        error({}, "missing key " + quote(key));
    } else if (is_required) {
        error(key, "must not be null");
    }
    return nullptr;
}

template <class T, class Read>
void ObjectReader::scalar(std::string_view key, bool is_required, T& out, Read read) {
    const Json* found = value(key, is_required);
    if (found == nullptr) {
        return;
    }
    if (std::string problem = read(*found, out); !problem.empty()) {
        error(key, std::move(problem));
    }
}

template <class T, class Read>
void ObjectReader::list(std::string_view key, bool is_required, std::vector<T>& out, Read read) {
    const Json* found = value(key, is_required);
    if (found == nullptr) {
        return;
    }
    if (!found->is_array()) {
        error(key, expects("an array", *found));
        return;
    }
    std::vector<T> elements(found->size());
    bool is_good = true;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        if (std::string problem = read((*found)[i], elements[i]); !problem.empty()) {
            diagnostics_->error(document_->diagnostic(join_pointer(pointer(key), std::to_string(i)),
                                                      std::move(problem)));
            is_good = false;
        }
    }
    if (is_good) {
        out = std::move(elements);
    }
}

void ObjectReader::required(std::string_view key, bool& out) { scalar(key, true, out, read_bool); }
void ObjectReader::optional(std::string_view key, bool& out) { scalar(key, false, out, read_bool); }

void ObjectReader::required(std::string_view key, std::string& out) {
    scalar(key, true, out, read_string);
}
void ObjectReader::optional(std::string_view key, std::string& out) {
    scalar(key, false, out, read_string);
}

void ObjectReader::required(std::string_view key, std::int64_t& out, Range range) {
    scalar(key, true, out,
           [range](const Json& v, std::int64_t& to) { return read_integer(v, to, range); });
}
void ObjectReader::optional(std::string_view key, std::int64_t& out, Range range) {
    scalar(key, false, out,
           [range](const Json& v, std::int64_t& to) { return read_integer(v, to, range); });
}

void ObjectReader::required(std::string_view key, int& out, Range range) {
    scalar(key, true, out, [range](const Json& v, int& to) { return read_int(v, to, range); });
}
void ObjectReader::optional(std::string_view key, int& out, Range range) {
    scalar(key, false, out, [range](const Json& v, int& to) { return read_int(v, to, range); });
}

void ObjectReader::required(std::string_view key, double& out, Range range) {
    scalar(key, true, out,
           [range](const Json& v, double& to) { return read_double(v, to, range); });
}
void ObjectReader::optional(std::string_view key, double& out, Range range) {
    scalar(key, false, out,
           [range](const Json& v, double& to) { return read_double(v, to, range); });
}

void ObjectReader::required(std::string_view key, std::vector<std::int64_t>& out, Range range) {
    list(key, true, out,
         [range](const Json& v, std::int64_t& to) { return read_integer(v, to, range); });
}
void ObjectReader::optional(std::string_view key, std::vector<std::int64_t>& out, Range range) {
    list(key, false, out,
         [range](const Json& v, std::int64_t& to) { return read_integer(v, to, range); });
}

void ObjectReader::required(std::string_view key, std::vector<double>& out, Range range) {
    list(key, true, out, [range](const Json& v, double& to) { return read_double(v, to, range); });
}
void ObjectReader::optional(std::string_view key, std::vector<double>& out, Range range) {
    list(key, false, out, [range](const Json& v, double& to) { return read_double(v, to, range); });
}

void ObjectReader::required(std::string_view key, std::vector<std::string>& out) {
    list(key, true, out, read_string);
}
void ObjectReader::optional(std::string_view key, std::vector<std::string>& out) {
    list(key, false, out, read_string);
}

void ObjectReader::required_choice(std::string_view key, const std::vector<std::string>& names,
                                   int& out) {
    choice(key, true, names, out);
}
void ObjectReader::optional_choice(std::string_view key, const std::vector<std::string>& names,
                                   int& out) {
    choice(key, false, names, out);
}

void ObjectReader::choice(std::string_view key, bool is_required,
                          const std::vector<std::string>& names, int& out) {
    scalar(key, is_required, out, [&names](const Json& v, int& to) -> std::string {
        std::string word;
        if (std::string problem = read_string(v, word); !problem.empty()) {
            return problem;
        }
        const auto found = std::find(names.begin(), names.end(), word);
        if (found != names.end()) {
            to = static_cast<int>(found - names.begin());
            return "";
        }
        std::string all;
        for (const std::string& known : names) {
            all += (all.empty() ? "" : ", ") + quote(known);
        }
        return "must be one of " + all + ", found " + quote(word) + did_you_mean(word, names);
    });
}

std::optional<ObjectReader> ObjectReader::object(std::string_view key, bool required) {
    if (value(key, required) == nullptr) {
        return std::nullopt;
    }
    ObjectReader reader(*document_, pointer(key), *diagnostics_);
    return reader.is_object() ? std::optional<ObjectReader>(std::move(reader)) : std::nullopt;
}

std::vector<ObjectReader> ObjectReader::objects(std::string_view key, bool required) {
    std::vector<ObjectReader> readers;
    const Json* found = value(key, required);
    if (found != nullptr && !found->is_array()) {
        error(key, expects("an array", *found));
    } else if (found != nullptr) {
        for (std::size_t i = 0; i < found->size(); ++i) {
            readers.emplace_back(*document_, join_pointer(pointer(key), std::to_string(i)),
                                 *diagnostics_);
        }
    }
    return readers;
}

void ObjectReader::accept(std::string_view key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        known_.emplace_back(key);
    }
}

void ObjectReader::accept_header(std::string_view kind) {
    accept("$schema");
    accept("comment");
    const std::string wanted = fmt::format("r1sim.{}/1", kind);
    const Json* found = raw("schema");
    if (object_ == nullptr) {
        return;
    }
    if (found == nullptr) {
        error({}, "missing key 'schema', which must be " + quote(wanted));
    } else if (!found->is_string()) {
        error("schema", expects(quote(wanted), *found));
    } else if (found->get_ref<const std::string&>() != wanted) {
        error("schema", "must be " + quote(wanted) + ", found " +
                            quote(found->get_ref<const std::string&>()));
    }
}

void ObjectReader::error(std::string_view key, std::string message) {
    diagnostics_->error(document_->diagnostic(pointer(key), std::move(message)));
}

void ObjectReader::unknown_key(const std::string& key, Keys keys) {
    const std::string where = join_pointer(pointer_, key);
    Location location = document_->key_location(where);
    std::string line = document_->source_line(location);
    Diagnostic diagnostic{std::move(location), where, "unknown key " + quote(key), std::move(line)};
    if (keys == Keys::strict || document_->is_override(where)) {
        diagnostic.message += did_you_mean(key, known_);
        diagnostics_->error(std::move(diagnostic));
    } else {
        diagnostic.message += " ignored";
        diagnostic.source_line.clear();  // a note is one line
        diagnostics_->note(render(diagnostic));
    }
}

void ObjectReader::finish(Keys keys) {
    if (object_ == nullptr) {
        return;
    }
    for (const auto& item : object_->items()) {
        if (std::find(known_.begin(), known_.end(), item.key()) == known_.end()) {
            unknown_key(item.key(), keys);
        }
    }
}

}  // namespace r1
