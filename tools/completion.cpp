#include "tools/completion.hpp"

#include <vector>

#include <fmt/format.h>

#include "tools/command_text.hpp"

namespace r1 {

namespace {

std::vector<OptionText> all_option_texts(const Command& command) {
    std::vector<OptionText> texts = own_option_texts(command);
    for (OptionText& shared : shared_option_texts()) {
        texts.push_back(std::move(shared));
    }
    return texts;
}

std::vector<std::string> command_names() {
    std::vector<std::string> names;
    for (const Command& command : commands()) {
        names.push_back(command.name);
    }
    return names;
}

std::string joined(const std::vector<std::string>& words) {
    return fmt::format("{}", fmt::join(words, " "));
}

std::string escaped(const std::string& text, const std::string& special, const std::string& by) {
    std::string result;
    for (const char c : text) {
        if (special.find(c) != std::string::npos) {
            result += by;
        }
        result += c;
    }
    return result;
}

// Inside '…' of bash and zsh.
std::string shell_quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) {
        result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return result + "'";
}

// '--engine[replay engine]:simgrid|fluid:(simgrid fluid)' of _arguments.
std::string zsh_option(const OptionText& option) {
    std::string spec =
        fmt::format("*--{}[{}]", option.name, escaped(option.description, "[]:\\", "\\"));
    if (!option.value.empty()) {
        spec += ":" + escaped(option.value, ":[]\\", "\\") + ":" +
                (option.choices.empty() ? "_files" : "(" + joined(option.choices) + ")");
    }
    return shell_quoted(spec);
}

std::string fish_quoted(const std::string& text) { return "'" + escaped(text, "'\\", "\\") + "'"; }

}  // namespace

// Where the function finds no words, readline completes files (-o default).
std::string bash_completion() {
    std::string options;
    std::string values;
    for (const Command& command : commands()) {
        std::vector<std::string> names;
        for (const OptionText& option : all_option_texts(command)) {
            names.push_back("--" + option.name);
            if (!option.value.empty()) {
                values += fmt::format("        {}:--{}) words='{}' ;;\n", command.name, option.name,
                                      joined(option.choices));
            }
        }
        options += fmt::format(
            "        {})\n            options='{}'\n            words='{}'\n"
            "            ;;\n",
            command.name, joined(names), joined(command.choices));
    }
    return fmt::format(R"(# bash completion of r1sim: source <(r1sim completion bash)
_r1sim() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    local command=${{COMP_WORDS[1]}} options='' words=''
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '{} --help --version' -- "$current")
        return
    fi
    case "$command" in
{}    esac
    case "$command:$before" in
{}        *) [[ "$current" == -* ]] && words=$options ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -F _r1sim r1sim
)",
                       joined(command_names()), options, values);
}

std::string zsh_completion() {
    std::string names;
    std::string cases;
    for (const Command& command : commands()) {
        names += fmt::format(
            "        {}\n", shell_quoted(command.name + ":" + escaped(command.summary, ":", "\\")));
        cases += fmt::format("        {})\n            _arguments", command.name);
        for (const OptionText& option : all_option_texts(command)) {
            cases += " \\\n                " + zsh_option(option);
        }
        if (!command.positional.empty()) {
            cases += " \\\n                " +
                     shell_quoted("*:" + command.positional + ":" +
                                  (command.choices.empty() ? "_files"
                                                           : "(" + joined(command.choices) + ")"));
        }
        cases += "\n            ;;\n";
    }
    return fmt::format(R"(#compdef r1sim
# zsh completion of r1sim: r1sim completion zsh >"${{fpath[1]}}/_r1sim"
_r1sim() {{
    local -a commands
    commands=(
{}    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    shift words
    ((CURRENT--))
    case $words[1] in
{}    esac
}}
# Loaded by completion for the first time, this file is the body of _r1sim.
if [[ $funcstack[1] == _r1sim ]]; then
    _r1sim "$@"
else
    compdef _r1sim r1sim
fi
)",
                       names, cases);
}

std::string fish_completion() {
    std::string text =
        "# fish completion of r1sim: r1sim completion fish | source\n"
        "complete -c r1sim -n __fish_use_subcommand -f\n";
    for (const Command& command : commands()) {
        text += fmt::format("complete -c r1sim -n __fish_use_subcommand -a {} -d {}\n",
                            command.name, fish_quoted(command.summary));
        const std::string begin =
            fmt::format("complete -c r1sim -n '__fish_seen_subcommand_from {}'", command.name);
        for (const OptionText& option : all_option_texts(command)) {
            text += fmt::format("{} -l {}{}", begin, option.name,
                                option.letter.empty() ? "" : " -s " + option.letter);
            if (!option.choices.empty()) {
                text += fmt::format(" -x -a {}", fish_quoted(joined(option.choices)));
            } else if (!option.value.empty()) {
                text += " -r";
            }
            text += fmt::format(" -d {}\n", fish_quoted(option.description));
        }
        if (!command.choices.empty()) {
            text += fmt::format("{} -f -a {}\n", begin, fish_quoted(joined(command.choices)));
        }
    }
    return text;
}

}  // namespace r1
