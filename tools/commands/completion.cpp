#include "tools/completion.hpp"
#include "model/base/json.hpp"
#include "tools/cli.hpp"

namespace r1 {

namespace {

const std::vector<std::string> kShells = {"bash", "zsh", "fish"};

int run_completion(const Invocation& invocation) {
    const std::string shell = invocation.text("shell");
    std::string script;
    if (shell == "bash") {
        script = bash_completion();
    } else if (shell == "zsh") {
        script = zsh_completion();
    } else if (shell == "fish") {
        script = fish_completion();
    } else {
        throw UsageError("there is no completion for '" + shell + "'" +
                         did_you_mean(shell, kShells));
    }
    invocation.answer({{"shell", shell}, {"script", script}}, script);
    return kOk;
}

}  // namespace

Command completion_command() {
    Command command;
    command.name = "completion";
    command.summary = "Prints a script that completes commands and options in a shell.";
    command.arguments = "SHELL";
    command.positional = "shell";
    command.choices = kShells;
    command.examples = {"completion bash", "completion zsh", "completion fish"};
    command.add_options = [](po::options_description& options) {
        options.add_options()("shell", po::value<std::string>()->value_name("SHELL"),
                              "bash, zsh or fish");
    };
    command.run = run_completion;
    return command;
}

}  // namespace r1
