#include "tools/manual.hpp"

#include <vector>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "tools/command_text.hpp"

namespace r1 {

namespace {

// ---- roff --------------------------------------------------------------------------------------

// A hyphen is a minus that can be searched for and copied; no line begins with a control character.
std::string roff(const std::string& text) {
    std::string result = text.starts_with('.') || text.starts_with('\'') ? "\\&" : "";
    for (const char c : text) {
        result += c == '-' ? "\\-" : c == '\\' ? "\\e" : std::string(1, c);
    }
    return result;
}

std::string roff_option(const OptionText& option) {
    std::string text = ".TP\n";
    if (!option.letter.empty()) {
        text += fmt::format("\\fB\\-{}\\fR, ", option.letter);
    }
    text += fmt::format("\\fB\\-\\-{}\\fR", roff(option.name));
    if (!option.value.empty()) {
        text += fmt::format(" \\fI{}\\fR", roff(option.value));
    }
    text += "\n" + roff(option.description);
    if (!option.otherwise.empty()) {
        text += fmt::format(" (if not given: {})", roff(option.otherwise));
    }
    return text + "\n";
}

std::string roff_command(const Command& command) {
    std::string text =
        fmt::format(".SS {}{}{}\n{}\n", roff(command.name), command.arguments.empty() ? "" : " ",
                    roff(command.arguments), roff(command.summary));
    for (const OptionText& option : own_option_texts(command)) {
        text += roff_option(option);
    }
    text += ".PP\nExamples:\n.PP\n.nf\n.RS 4\n";
    for (const std::string& example : command.examples) {
        text += roff("r1sim " + example) + "\n";
    }
    return text + ".RE\n.fi\n";
}

// ---- Markdown ----------------------------------------------------------------------------------

std::string table_cell(const std::string& text) {
    std::string result;
    for (const char c : text) {
        result += c == '|' ? "\\|" : std::string(1, c);
    }
    return result;
}

std::string markdown_options(const std::vector<OptionText>& options) {
    if (options.empty()) {
        return "";
    }
    std::string text = "\n| option | |\n|---|---|\n";
    for (const OptionText& option : options) {
        const std::string letter =
            option.letter.empty() ? "" : fmt::format("`-{}`, ", option.letter);
        const std::string value = option.value.empty() ? "" : " " + option.value;
        text += fmt::format(
            "| {}`--{}{}` | {}{} |\n", letter, option.name, table_cell(value),
            table_cell(option.description),
            option.otherwise.empty() ? "" : fmt::format(" (if not given: `{}`)", option.otherwise));
    }
    return text;
}

std::string markdown_command(const Command& command) {
    std::string text =
        fmt::format("\n## {}\n\n{}\n\n    r1sim {}{}{} [options]\n", command.name, command.summary,
                    command.name, command.arguments.empty() ? "" : " ", command.arguments);
    if (!command.choices.empty()) {
        text += fmt::format("\n{}: {}.\n", command.arguments, fmt::join(command.choices, ", "));
    }
    text += markdown_options(own_option_texts(command)) + "\nExamples:\n\n";
    for (const std::string& example : command.examples) {
        text += "    r1sim " + example + "\n";
    }
    return text;
}

}  // namespace

std::string man_page() {
    std::string text = fmt::format(
        ".TH R1SIM 1 \"\" \"r1sim {}\" \"User Commands\"\n"
        ".SH NAME\nr1sim \\- executes and simulates the execution graph of DeepSeek\\-R1\n"
        ".SH SYNOPSIS\n\\fBr1sim\\fR \\fICOMMAND\\fR [\\fIFILE\\fR] [\\fIoptions\\fR]\n"
        ".SH DESCRIPTION\n{}\n.SH COMMANDS\n",
        R1_VERSION, roff(kProgramSummary));
    for (const Command& command : commands()) {
        text += roff_command(command);
    }
    text += ".SH OPTIONS OF EVERY COMMAND\n";
    for (const OptionText& option : shared_option_texts()) {
        text += roff_option(option);
    }
    text += ".SH EXIT STATUS\n";
    for (const auto& [code, meaning] : exit_codes()) {
        text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", static_cast<int>(code), roff(meaning));
    }
    return text +
           ".SH ENVIRONMENT\n.TP\n\\fBR1SIM_HOME\\fR\nthe folder that holds scenarios/ and "
           "topologies/\n";
}

std::string markdown_manual() {
    std::string text = fmt::format(
        "# Commands\n\nMade from the command table by `r1sim manual markdown`; `r1sim manual man` "
        "makes the man page. {}\n",
        kProgramSummary);
    for (const Command& command : commands()) {
        text += markdown_command(command);
    }
    text += "\n## Options of every command\n" + markdown_options(shared_option_texts()) +
            "\n## Exit codes\n\n| | |\n|---|---|\n";
    for (const auto& [code, meaning] : exit_codes()) {
        text += fmt::format("| {} | {} |\n", static_cast<int>(code), meaning);
    }
    return text;
}

}  // namespace r1
