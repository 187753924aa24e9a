// What a Document can do once it is parsed, JSON pointers, and --set.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "model/base/check.hpp"
#include "model/base/json.hpp"

namespace r1 {

namespace {

// The keys of "/a/b~1c" are "a" and "b/c". nullopt if it is no JSON pointer.
std::optional<std::vector<std::string>> split_pointer(std::string_view pointer) {
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < pointer.size(); ++i) {
        if (pointer[i] == '/') {
            keys.emplace_back();
        } else if (keys.empty()) {
            return std::nullopt;  // does not start with '/'
        } else if (pointer[i] != '~') {
            keys.back() += pointer[i];
        } else if (++i < pointer.size() && (pointer[i] == '0' || pointer[i] == '1')) {
            keys.back() += pointer[i] == '0' ? '~' : '/';
        } else {
            return std::nullopt;
        }
    }
    return keys;
}

// The child of an array or an object; nullptr if there is none.
const Json* child(const Json& parent, const std::string& key) {
    if (parent.is_object()) {
        const auto found = parent.find(key);
        return found == parent.end() ? nullptr : &*found;
    }
    if (!parent.is_array() || key.empty() || (key.size() > 1 && key[0] == '0')) {
        return nullptr;
    }
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
    const bool is_index = error == std::errc() && end == key.data() + key.size();
    return is_index && index < parent.size() ? &parent[index] : nullptr;
}

Json* child(Json& parent, const std::string& key) {
    return const_cast<Json*>(child(std::as_const(parent), key));
}

}  // namespace

Document Document::from_json(Json value, std::string origin) {
    Document document;
    document.root_ = std::move(value);
    document.places_[""] = ValuePlace{{origin, 0, 0}, 0, 0};
    document.file_ = std::move(origin);
    return document;
}

const Json* Document::find(const std::string& pointer) const {
    const auto keys = split_pointer(pointer);
    if (!keys) {
        return nullptr;
    }
    const Json* value = &root_;
    for (const std::string& key : *keys) {
        value = child(*value, key);
        if (value == nullptr) {
            return nullptr;
        }
    }
    return value;
}

const ValuePlace* Document::place(std::string pointer) const {
    while (true) {
        if (const auto found = places_.find(pointer); found != places_.end()) {
            return &found->second;
        }
        const std::size_t slash = pointer.rfind('/');
        if (slash == std::string::npos) {
            return nullptr;
        }
        pointer.erase(slash);
    }
}

Location Document::location(std::string pointer) const {
    const ValuePlace* found = place(std::move(pointer));
    return found == nullptr ? Location{file_, 0, 0} : found->value;
}

bool Document::is_override(std::string pointer) const {
    const ValuePlace* found = place(std::move(pointer));
    return found != nullptr && found->is_override;
}

Location Document::key_location(const std::string& pointer) const {
    const auto found = places_.find(pointer);
    if (found == places_.end() || found->second.key_line == 0) {
        return location(pointer);
    }
    const ValuePlace& place = found->second;
    return Location{place.value.file, place.key_line, place.key_column};
}

std::string Document::source_line(const Location& location) const {
    const auto lines = source_lines_.find(location.file);
    const auto index = static_cast<std::size_t>(location.line) - 1;  // line 0 becomes too large
    return lines == source_lines_.end() || index >= lines->second.size() ? ""
                                                                         : lines->second[index];
}

Diagnostic Document::diagnostic(const std::string& pointer, std::string message) const {
    Location where = location(pointer);
    std::string line = source_line(where);
    return Diagnostic{std::move(where), pointer, std::move(message), std::move(line)};
}

void Document::forget_places(const std::string& pointer) {
    places_.erase(pointer);
    const std::string prefix = pointer + "/";
    auto place = places_.lower_bound(prefix);
    while (place != places_.end() && place->first.starts_with(prefix)) {
        place = places_.erase(place);
    }
}

Document Document::part(const std::string& pointer) const {
    const Json* value = find(pointer);
    R1_CHECK(value != nullptr);
    Document document = from_json(*value, file_);
    document.places_[""].value = location(pointer);
    const std::string prefix = pointer + "/";
    for (auto place = places_.lower_bound(prefix);
         place != places_.end() && place->first.starts_with(prefix); ++place) {
        document.places_[place->first.substr(pointer.size())] = place->second;
    }
    document.source_lines_ = source_lines_;
    return document;
}

void Document::graft(const std::string& pointer, const Document& other) {
    const bool is_set = set(pointer, other.root_, other.location(""));
    R1_CHECK(is_set);
    for (const auto& [below, place] : other.places_) {
        places_[pointer + below] = place;
    }
    for (const auto& [file, lines] : other.source_lines_) {
        source_lines_[file] = lines;
    }
}

bool Document::set(const std::string& pointer, Json value, Location location) {
    const auto keys = split_pointer(pointer);
    if (!keys || keys->size() > static_cast<std::size_t>(kMaxDepth)) {
        return false;
    }
    Json* place = &root_;
    std::string below;
    std::vector<std::string> created;
    for (const std::string& key : *keys) {
        Json* next = child(*place, key);
        // Once something is missing all below it is new, so a refusal leaves no traces.
        if (next == nullptr) {
            if (!place->is_object() && !place->is_null()) {
                return false;
            }
            next = &(*place)[key];  // turns null into an object
            created.push_back(join_pointer(below, key));
        }
        below = join_pointer(below, key);
        place = next;
    }
    *place = std::move(value);
    forget_places(below);
    for (const std::string& made : created) {
        places_[made] = ValuePlace{location, 0, 0, true};
    }
    places_[below] = ValuePlace{std::move(location), 0, 0, true};
    return true;
}

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

std::string join_pointer(const std::string& pointer, std::string_view key) {
    std::string out = pointer + "/";
    for (const char c : key) {
        if (c == '~') {
            out += "~0";
        } else if (c == '/') {
            out += "~1";
        } else {
            out += c;
        }
    }
    return out;
}

namespace {

// "/plan/depth" as it is, "plan.depth" as the same. Throws InputError on an empty part.
std::string override_pointer(const std::string& path, const std::string& text) {
    const auto refuse = [&text](const std::string& why) {
        throw InputError("--set", quote(text) + " " + why);
    };
    if (path.empty()) {
        refuse("names no key; write /plan/expert_parallel=64 or plan.expert_parallel=64");
    }
    std::string pointer = path;
    if (path[0] != '/') {
        if (path.find('/') != std::string::npos) {
            refuse(
                "mixes both notations; write /plan/expert_parallel=64 or "
                "plan.expert_parallel=64");
        }
        pointer = "/" + path;
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        for (std::size_t at = 0; (at = pointer.find('~', at)) != std::string::npos; at += 2) {
            pointer.replace(at, 1, "~0");
        }
    }
    const auto keys = split_pointer(pointer);
    if (!keys) {
        refuse("holds a '~' that is neither ~0 nor ~1");
    } else if (std::find(keys->begin(), keys->end(), "") != keys->end()) {
        refuse("names an empty key");
    }
    return pointer;
}

}  // namespace

Override parse_override(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
        throw InputError("--set", quote(text) + " has no '='; write plan.expert_parallel=64");
    }
    Override override_{override_pointer(text.substr(0, equals), text), {}, text};
    const std::string value = text.substr(equals + 1);
    if (Json::accept(value)) {
        // Our reader, so that a duplicate key in the value is refused here too.
        override_.value = Document::from_text(value, "--set").root();
    } else {
        override_.value = value;
    }
    return override_;
}

}  // namespace r1

template class nlohmann::detail::serializer<r1::Json>;  // see json.hpp
