#include "tools/sweep/worker_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

namespace r1 {

namespace {

[[noreturn]] void throw_errno(int error, const char* what) {
    throw std::system_error(error, std::generic_category(), what);
}

// A peer that is gone is no signal.
void send_line(int socket, const std::string& line) {
    const std::string text = line + "\n";
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t count = ::send(socket, text.data() + done, text.size() - done, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR) {
            return;
        }
        done += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
}

// `received`: what came beyond the line.
std::optional<std::string> receive_line(int socket, std::string& received) {
    std::size_t searched = 0;
    for (;;) {
        const std::size_t end = received.find('\n', searched);
        if (end != std::string::npos) {
            std::string line = received.substr(0, end);
            received.erase(0, end + 1);
            return line;
        }
        searched = received.size();
        char block[1 << 16];
        const ssize_t count = ::recv(socket, block, sizeof block, 0);
        if (count > 0) {
            received.append(block, static_cast<std::size_t>(count));
        } else if (count == 0 || errno != EINTR) {
            return std::nullopt;
        }
    }
}

pid_t start_process(const std::vector<std::string>& arguments, int standard_input) {
    std::vector<char*> argv;
    std::string program = "r1sim";
    argv.push_back(program.data());
    std::vector<std::string> copies = arguments;
    for (std::string& argument : copies) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, standard_input, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t process = -1;
    const int error =
        ::posix_spawn(&process, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        throw_errno(error, "a worker process cannot be started");
    }
    return process;
}

}  // namespace

WorkerProcess::WorkerProcess(const std::vector<std::string>& arguments) {
    int ends[2];
    // Closed in other workers, or they would keep this one from seeing the end.
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        throw_errno(errno, "a worker process cannot be reached");
    }
    socket_ = ends[0];
    try {
        process_ = start_process(arguments, ends[1]);
    } catch (...) {
        ::close(ends[0]);
        ::close(ends[1]);
        throw;
    }
    ::close(ends[1]);
}

WorkerProcess::~WorkerProcess() {
    ::close(socket_);
    how_it_ended();
}

void WorkerProcess::send(const std::string& line) const { send_line(socket_, line); }

std::optional<std::string> WorkerProcess::receive() { return receive_line(socket_, received_); }

std::string WorkerProcess::how_it_ended() {
    int status = 0;
    while (process_ >= 0 && ::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
    return WIFSIGNALED(status) ? fmt::format("was ended by signal {} ({})", WTERMSIG(status),
                                             ::strsignal(WTERMSIG(status)))
                               : fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

void serve_as_worker(const std::string& greeting,
                     const std::function<std::string(const std::string&)>& answer) {
    ::prctl(PR_SET_NAME, "r1sim-worker");  // not "exe"
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);    // not to go on with a long point for nobody
    std::string received;
    send_line(STDIN_FILENO, greeting);
    while (const std::optional<std::string> request = receive_line(STDIN_FILENO, received)) {
        send_line(STDIN_FILENO, answer(*request));
    }
}

}  // namespace r1
