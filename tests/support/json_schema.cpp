#include "tests/support/json_schema.hpp"

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

#include <fmt/format.h>

namespace r1::test {

namespace {

bool is(const Json& value, const std::string& type) {
    if (type == "integer") {
        return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
    }
    return type == (value.is_number() ? "number" : value.type_name());
}

class Checker {
public:
    explicit Checker(const Json& root) : root_(root) {}

    void check(const Json& schema, const Json& value, const std::string& path) {
        if (schema.is_boolean()) {
            require(schema.get<bool>(), path, "not allowed");
            return;
        }
        for (const auto& [key, rule] : schema.items()) {
            keyword(key, rule, schema, value, path);
        }
    }

    std::vector<std::string> problems;

private:
    void require(bool holds, const std::string& path, const std::string& problem) {
        if (!holds) {
            problems.push_back(path + ": " + problem);
        }
    }

    void keyword(const std::string& key, const Json& rule, const Json& schema, const Json& value,
                 const std::string& path) {
        static const std::set<std::string> others = {"$schema", "$defs", "title", "description",
                                                     "additionalProperties"};
        const std::string broken = key + " " + rule.dump();
        if (key == "$ref") {
            const std::string target = rule.get<std::string>();
            if (target.front() == '#') {  // other files' schemas have tests of their own
                check(root_.at(Json::json_pointer(target.substr(1))), value, path);
            }
        } else if (key == "type") {
            const Json types = rule.is_array() ? rule : Json::array({rule});
            require(std::any_of(types.begin(), types.end(),
                                [&](const Json& type) { return is(value, type); }),
                    path, broken);
        } else if (key == "const") {
            require(value == rule, path, broken);
        } else if (key == "enum") {
            require(std::find(rule.begin(), rule.end(), value) != rule.end(), path, broken);
        } else if (key == "minimum" || key == "maximum" || key == "exclusiveMinimum") {
            require(!value.is_number() || (key == "minimum"   ? value >= rule
                                           : key == "maximum" ? value <= rule
                                                              : value > rule),
                    path, broken);
        } else if (key == "pattern") {
            require(!value.is_string() || std::regex_search(value.get<std::string>(),
                                                            std::regex(rule.get<std::string>())),
                    path, broken);
        } else if (key == "minItems" || key == "maxItems") {
            const auto size = rule.get<std::size_t>();
            require(!value.is_array() ||
                        (key == "minItems" ? value.size() >= size : value.size() <= size),
                    path, broken);
        } else if (key == "required" && value.is_object()) {
            for (const Json& name : rule) {
                require(value.contains(name.get<std::string>()), path, "no " + name.dump());
            }
        } else if (key == "items" && value.is_array()) {
            for (std::size_t i = 0; i < value.size(); ++i) {
                check(rule, value[i], fmt::format("{}/{}", path, i));
            }
        } else if (key == "properties") {
            members(schema, value, path);
        } else if (key != "required" && key != "items") {
            require(others.count(key) > 0, path, "the schema uses " + key);
        }
        if (key == "additionalProperties" && !schema.contains("properties")) {
            members(schema, value, path);
        }
    }

    void members(const Json& schema, const Json& value, const std::string& path) {
        const Json none = Json::object();
        const Json& known = schema.contains("properties") ? schema.at("properties") : none;
        if (!value.is_object()) {
            return;
        }
        for (const auto& [key, member] : value.items()) {
            const std::string below = fmt::format("{}/{}", path, key);
            if (known.contains(key)) {
                check(known.at(key), member, below);
            } else if (schema.contains("additionalProperties")) {
                check(schema.at("additionalProperties"), member, below);
            }
        }
    }

    const Json& root_;
};

}  // namespace

std::vector<std::string> schema_problems(const Json& schema, const Json& value) {
    Checker checker(schema);
    checker.check(schema, value, "");
    return std::move(checker.problems);
}

}  // namespace r1::test
