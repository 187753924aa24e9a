// XML of foreign files: elements and attributes that know where they stand. Strict and bounded:
// what it cannot place (DOCTYPE, entities of its own, CDATA) is refused, not guessed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/diagnostics.hpp"

namespace r1 {

struct XmlAttribute {
    std::string name;
    std::string value;  // entities resolved
    std::size_t offset = 0;
};

struct XmlElement {
    std::string name;
    std::size_t offset = 0;
    int parent = -1;  // index into elements(); -1: the root
    std::vector<int> children;
    std::vector<XmlAttribute> attributes;
    std::size_t text_offset = 0;  // of the first text in it that is no white space; 0: none

    // nullptr if there is none.
    [[nodiscard]] const std::string* attribute(std::string_view attribute_name) const;
};

class XmlDocument {
public:
    // Throws InputError with the line of the problem: not well formed, not UTF-8, or beyond one of
    // the bounds below.
    static XmlDocument from_text(std::string text, std::string file_name);

    static constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
    static constexpr std::size_t kMaxElements = 100'000;
    static constexpr int kMaxDepth = 100;
    static constexpr std::size_t kMaxAttributes = 100;  // of one element
    static constexpr std::size_t kMaxName = 100;        // bytes

    [[nodiscard]] const std::string& file() const { return file_; }
    // In the order of the file; the root is the first.
    [[nodiscard]] const std::vector<XmlElement>& elements() const { return elements_; }
    [[nodiscard]] const XmlElement& element(int index) const;
    [[nodiscard]] bool has_declaration() const { return has_declaration_; }

    [[nodiscard]] Location location(std::size_t offset) const;
    // "/system/cpu[2]/pci", as XPath: the second cpu of the system, its only pci.
    [[nodiscard]] std::string path(int index) const;
    // At the element, or at its attribute of that name if it has one.
    [[nodiscard]] Diagnostic diagnostic(int index, std::string message,
                                        std::string_view attribute_name = {}) const;

private:
    friend class XmlParser;
    [[nodiscard]] Diagnostic diagnostic_at(std::size_t offset, std::string path,
                                           std::string message) const;

    std::string text_;
    std::string file_;
    std::vector<std::size_t> line_starts_;
    std::vector<XmlElement> elements_;
    bool has_declaration_ = false;
};

}  // namespace r1
