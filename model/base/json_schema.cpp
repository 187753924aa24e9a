#include "model/base/json_schema.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr std::size_t kFoundMax = 60;  // bytes of a value that a message shows

bool is_of_type(const Json& value, const std::string& type) {
    if (type == "integer") {
        return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
    }
    return type == (value.is_number() ? "number" : value.type_name());
}

std::string listed(const Json& values) {
    std::string text;
    for (const Json& value : values) {
        text += (text.empty() ? "" : " or ") +
                (value.is_string() ? value.get<std::string>() : value.dump());
    }
    return text;
}

class SchemaChecker {
public:
    explicit SchemaChecker(const Json& root) : root_(root) {}

    void check(const Json& schema, const Json& value, const std::string& pointer) {
        if (schema.is_boolean()) {
            if (!schema.get<bool>()) {
                add(pointer, "is no key of this object", true);
            }
            return;
        }
        for (const auto& [key, rule] : schema.items()) {
            keyword(key, rule, schema, value, pointer);
        }
    }

    std::vector<SchemaProblem> take() { return std::move(problems_); }

private:
    void add(const std::string& pointer, std::string message, bool is_of_keys = false) {
        problems_.push_back({pointer, std::move(message), is_of_keys});
    }

    // "expects number or null, found "abc"".
    void add_unexpected(const std::string& pointer, const std::string& expected,
                        const Json& found) {
        std::string text = found.is_structured()
                               ? std::string(found.is_array() ? "an array" : "an object")
                               : found.dump(-1, ' ', false, Json::error_handler_t::replace);
        text = text.size() > kFoundMax ? "a long string" : text;
        add(pointer, fmt::format("expects {}, found {}", expected, text));
    }

    void keyword(const std::string& key, const Json& rule, const Json& schema, const Json& value,
                 const std::string& pointer) {
        static const std::set<std::string> silent = {"$schema", "$defs", "title", "description"};
        if (key == "$ref") {
            const auto target = rule.get<std::string>();
            if (target.front() == '#') {
                check(root_.at(Json::json_pointer(target.substr(1))), value, pointer);
            }
        } else if (key == "type") {
            const Json types = rule.is_array() ? rule : Json::array({rule});
            if (std::none_of(types.begin(), types.end(),
                             [&](const Json& type) { return is_of_type(value, type); })) {
                add_unexpected(pointer, listed(types), value);
            }
        } else if (key == "const" || key == "enum") {
            const Json choices = key == "enum" ? rule : Json::array({rule});
            if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
                add_unexpected(pointer, listed(choices), value);
            }
        } else if (key == "required") {
            members_required(rule, value, pointer);
        } else if (key == "items" && value.is_array()) {
            for (std::size_t i = 0; i < value.size(); ++i) {
                check(rule, value[i], fmt::format("{}/{}", pointer, i));
            }
        } else if (key == "properties" ||
                   (key == "additionalProperties" && !schema.contains("properties"))) {
            members(schema, value, pointer);
        } else if (key != "items" && key != "additionalProperties" && silent.count(key) == 0) {
            limit(key, rule, value, pointer);
        }
    }

    void limit(const std::string& key, const Json& rule, const Json& value,
               const std::string& pointer) {
        const auto expect = [&](bool applies, bool holds, const char* what) {
            if (applies && !holds) {
                add_unexpected(pointer, fmt::format("{} {}", what, rule.dump()), value);
            }
        };
        if (key == "minimum") {
            expect(value.is_number(), value >= rule, "at least");
        } else if (key == "maximum") {
            expect(value.is_number(), value <= rule, "at most");
        } else if (key == "exclusiveMinimum") {
            expect(value.is_number(), value > rule, "more than");
        } else if (key == "pattern") {
            expect(value.is_string(),
                   value.is_string() && matches(value.get_ref<const std::string&>(),
                                                rule.get_ref<const std::string&>()),
                   "a match of");
        } else if (key == "minItems") {
            expect(value.is_array(), value.size() >= rule.get<std::size_t>(), "values, at least");
        } else if (key == "maxItems") {
            expect(value.is_array(), value.size() <= rule.get<std::size_t>(), "values, at most");
        } else {
            add(pointer, "the schema uses " + key);
        }
    }

    // Compiling an expression takes longer than all values that it is for.
    bool matches(const std::string& text, const std::string& pattern) {
        auto found = patterns_.find(pattern);
        if (found == patterns_.end()) {
            found = patterns_.emplace(pattern, std::regex(pattern)).first;
        }
        // Long texts take the stack of the library, and no pattern is of any.
        constexpr std::size_t kMatchedMax = 1000;
        return text.size() <= kMatchedMax && std::regex_search(text, found->second);
    }

    void members_required(const Json& names, const Json& value, const std::string& pointer) {
        for (const Json& name : names) {
            const auto& key = name.get_ref<const std::string&>();
            if (value.is_object() && !value.contains(key)) {
                add(pointer, "missing key " + quote(key), true);
            }
        }
    }

    void members(const Json& schema, const Json& value, const std::string& pointer) {
        if (!value.is_object()) {
            return;
        }
        const auto known = schema.find("properties");
        const auto others = schema.find("additionalProperties");
        for (const auto& [key, member] : value.items()) {
            if (known != schema.end() && known->contains(key)) {
                check(known->at(key), member, join_pointer(pointer, key));
            } else if (others != schema.end()) {
                check(*others, member, join_pointer(pointer, key));
            }
        }
    }

    const Json& root_;
    std::vector<SchemaProblem> problems_;
    std::map<std::string, std::regex> patterns_;
};

}  // namespace

std::vector<SchemaProblem> schema_problems(const Json& schema, const Json& value) {
    SchemaChecker checker(schema);
    checker.check(schema, value, "");
    return checker.take();
}

}  // namespace r1
