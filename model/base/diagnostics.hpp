// Every problem of an input, collected; then one InputError reaches main(), which exits with 3.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace r1 {

// Where a value stands: a file (or "--set"), 1-based line and column (0: unknown).
struct Location {
    std::string file;
    int line = 0;
    int column = 0;
};

struct Diagnostic {
    Location location;
    std::string pointer;      // JSON pointer, "" for the whole document
    std::string message;      // one sentence, lower case, did-you-mean included
    std::string source_line;  // the line of the file, for the caret; may be empty
};

class Diagnostics {
public:
    void error(Diagnostic diagnostic) { errors_.push_back(std::move(diagnostic)); }
    void error(Location location, std::string pointer, std::string message) {
        error(Diagnostic{std::move(location), std::move(pointer), std::move(message), {}});
    }
    void note(std::string text) { notes_.push_back(std::move(text)); }  // shown with --verbose

    [[nodiscard]] bool ok() const { return errors_.empty(); }
    [[nodiscard]] const std::vector<Diagnostic>& errors() const { return errors_; }
    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

    // Throws InputError if any error was collected.
    void throw_if_errors() const;

private:
    std::vector<Diagnostic> errors_;
    std::vector<std::string> notes_;
};

class InputError : public std::runtime_error {
public:
    explicit InputError(std::vector<Diagnostic> diagnostics);
    // One problem that has no JSON document (a missing file, a bad flag value).
    InputError(std::string file, std::string message);

    [[nodiscard]] const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

private:
    std::vector<Diagnostic> diagnostics_;
};

// The build or the machine lacks what was asked for; main() exits with 5.
class FeatureError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// "file:line:col: /pointer: message", then the source line and a caret where known.
std::string render(const Diagnostic& diagnostic);
std::string render(const std::vector<Diagnostic>& diagnostics);

// The same number of bytes, with '?' for what could upset a terminal: control characters, but those
// of `keep`, and what is not UTF-8. For all text that may come from input.
std::string printable(std::string_view text, std::string_view keep = {});

// 'word' for a message, cut if very long.
std::string quote(std::string_view word);

// ", did you mean 'x'?" for the closest candidate within a third of the word's length, else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace r1
