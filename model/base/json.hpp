// JSON that knows where each value stands. Strict reading for r1sim files: duplicate and unknown
// keys, wrong types and out-of-range numbers are errors with file, line, column and pointer, and
// all of them are reported at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "model/base/diagnostics.hpp"
#include "model/base/json_fwd.hpp"

// Compiled once, in json_document.cpp, not in every file that dumps (1.5 s each).
extern template class nlohmann::detail::serializer<r1::Json>;

namespace r1 {

// Where a value stands, and where its key does if it is the member of an object (0: unknown).
struct ValuePlace {
    Location value;
    int key_line = 0;
    int key_column = 0;
    bool is_override = false;  // set by set(), and not by a file
};

// A parsed document. Copyable; sub-documents can be grafted in and single values overridden, and
// every value remembers the file that it came from.
class Document {
public:
    // Throws InputError: unreadable, not JSON, duplicate key, nested deeper than kMaxDepth, or
    // larger than kMaxBytes.
    static Document from_file(const std::filesystem::path& file);
    static Document from_text(std::string_view text, std::string file_name);
    // A document built by the program; locations carry `origin` only.
    static Document from_json(Json value, std::string origin);

    static constexpr int kMaxDepth = 200;
    static constexpr std::size_t kMaxBytes = std::size_t{512} << 20;
    // Beyond either, locations name the file only: a graph of millions of values has no reader
    // who would look up a column, and the map would outweigh the document.
    static constexpr std::size_t kLocatedBytesMax = std::size_t{8} << 20;
    static constexpr std::size_t kLocatedValuesMax = 100'000;

    [[nodiscard]] const Json& root() const { return root_; }
    [[nodiscard]] const std::string& file() const { return file_; }
    // nullptr if nothing stands there.
    [[nodiscard]] const Json* find(const std::string& pointer) const;
    // Of the value, or of its closest ancestor that is known.
    [[nodiscard]] Location location(std::string pointer) const;
    // Of the key of a member; location(pointer) where that is unknown.
    [[nodiscard]] Location key_location(const std::string& pointer) const;
    // Whether set() gave the value, or what it is a part of.
    [[nodiscard]] bool is_override(std::string pointer) const;
    // The text line of a location, for the caret; empty if unknown or too long to show.
    [[nodiscard]] std::string source_line(const Location& location) const;
    [[nodiscard]] Diagnostic diagnostic(const std::string& pointer, std::string message) const;

    // The value at `pointer`, which must be there, as a document of its own, locations included.
    [[nodiscard]] Document part(const std::string& pointer) const;
    // Replaces the value at `pointer` by the root of `other`, locations included.
    void graft(const std::string& pointer, const Document& other);
    // Overrides one value (as --set does); objects on the way are created. An array index must
    // exist. False if the pointer runs through a scalar or a missing array index.
    bool set(const std::string& pointer, Json value, Location location);

private:
    Json root_;
    std::string file_;
    // Of the value, or of its closest ancestor that is known; nullptr: not even the root's is.
    [[nodiscard]] const ValuePlace* place(std::string pointer) const;
    void forget_places(const std::string& pointer);  // of the value and all below it

    std::map<std::string, ValuePlace> places_;                      // by pointer
    std::map<std::string, std::vector<std::string>> source_lines_;  // by file; kept for small files
};

// Unknown keys: an error, or a note. What an override names is an error in foreign files too: it
// was typed to change something, and changes nothing.
enum class Keys { strict, foreign };

// Reads one JSON object key by key. Values are left untouched when absent or wrong, so callers
// fill a struct that holds the defaults. Call finish() last: it reports the unknown keys.
// Numbers for integer fields may be written 1e12 or 4096.0, if they are whole.
class ObjectReader {
public:
    ObjectReader(const Document& document, std::string pointer, Diagnostics& diagnostics);

    // False (and an error at construction) if the value is not an object.
    [[nodiscard]] bool is_object() const { return object_ != nullptr; }
    [[nodiscard]] bool has(std::string_view key) const;   // present and not null
    [[nodiscard]] const Json* raw(std::string_view key);  // marks the key as known
    [[nodiscard]] std::string pointer(std::string_view key = {}) const;

    // required_*: an error if absent or null. optional_*: untouched if absent or null.
    void required(std::string_view key, bool& out);
    void required(std::string_view key, std::int64_t& out, Range range = {});
    void required(std::string_view key, int& out, Range range = {});
    void required(std::string_view key, double& out, Range range = {});
    void required(std::string_view key, std::string& out);
    void required(std::string_view key, std::vector<std::int64_t>& out, Range range = {});
    void required(std::string_view key, std::vector<double>& out, Range range = {});
    void required(std::string_view key, std::vector<std::string>& out);
    void optional(std::string_view key, bool& out);
    void optional(std::string_view key, std::int64_t& out, Range range = {});
    void optional(std::string_view key, int& out, Range range = {});
    void optional(std::string_view key, double& out, Range range = {});
    void optional(std::string_view key, std::string& out);
    void optional(std::string_view key, std::vector<std::int64_t>& out, Range range = {});
    void optional(std::string_view key, std::vector<double>& out, Range range = {});
    void optional(std::string_view key, std::vector<std::string>& out);

    // One of `names`; returns its index in `out`. Did-you-mean on a miss.
    void required_choice(std::string_view key, const std::vector<std::string>& names, int& out);
    void optional_choice(std::string_view key, const std::vector<std::string>& names, int& out);

    // A reader of the object under `key`; nullopt if absent (an error if `required`) or not an
    // object (always an error).
    std::optional<ObjectReader> object(std::string_view key, bool required);
    // Readers of the objects of the array under `key`; empty if absent (an error if `required`).
    std::vector<ObjectReader> objects(std::string_view key, bool required);

    // Accepts a key that something else reads, or that is free text.
    void accept(std::string_view key);
    // "$schema", "comment" and "schema" (checked to equal "r1sim.<kind>/1") of every r1sim file.
    void accept_header(std::string_view kind);
    // Adds an error at `key` (or at the object itself).
    void error(std::string_view key, std::string message);
    // Reports the keys that nobody asked for.
    void finish(Keys keys = Keys::strict);

private:
    // The value under `key`, marked as known; nullptr if absent or null (an error if required).
    const Json* value(std::string_view key, bool is_required);
    template <class T, class Read>
    void scalar(std::string_view key, bool is_required, T& out, Read read);
    template <class T, class Read>
    void list(std::string_view key, bool is_required, std::vector<T>& out, Read read);
    void choice(std::string_view key, bool is_required, const std::vector<std::string>& names,
                int& out);
    void unknown_key(const std::string& key, Keys keys);

    const Document* document_;
    std::string pointer_;
    Diagnostics* diagnostics_;
    const Json* object_ = nullptr;
    std::vector<std::string> known_;
};

// null for what JSON has no number for: a loss that diverged.
Json finite_or_null(double value);

std::string join_pointer(const std::string& pointer, std::string_view key);  // escapes ~ and /

// File of the locations of what --set gave.
inline constexpr const char* kSetOption = "--set";

// `--set` syntax: "/plan/expert_parallel=64" or "plan.expert_parallel=64"; the value is JSON, or a
// string if it does not parse as JSON. Throws InputError on a missing '=' or an empty pointer.
struct Override {
    std::string pointer;
    Json value;
    std::string text;
    Location location{kSetOption, 0, 0};  // of the value, for what is wrong with it
};
Override parse_override(const std::string& text);

// Writes to a temporary file beside `file`, then renames. Throws InputError (exit 3) on failure.
void write_file_atomically(const std::filesystem::path& file, std::string_view content);
// Devices, pipes and the process's own streams, which cannot be replaced by a rename.
bool is_stream(const std::filesystem::path& file);
// Throws InputError if unreadable or larger than `bytes_max`.
std::string read_file(const std::filesystem::path& file,
                      std::size_t bytes_max = Document::kMaxBytes);

}  // namespace r1
