#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "sim/hardware/presets.hpp"
#include "tools/cli.hpp"

int main(int argc, char** argv) {
    // Nothing to save: outputs are renamed into place when they are whole.
    std::signal(SIGINT, [](int) { _exit(r1::kInterrupted); });
    if (const char* home = std::getenv("R1SIM_HOME")) {
        r1::set_data_root(home);
    }
    return r1::run_command_line(argc, argv);
}
