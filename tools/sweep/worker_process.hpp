// A process of this program that simulates points one after the other: what crashes there, or is
// killed, takes no other point along.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace r1 {

// Requests and replies are lines over a socket, which is the process's standard input.
class WorkerProcess {
public:
    // Starts this program with these arguments. Throws std::system_error.
    explicit WorkerProcess(const std::vector<std::string>& arguments);
    // Closes the socket, at which the process ends, and waits for it.
    ~WorkerProcess();
    WorkerProcess(const WorkerProcess&) = delete;
    WorkerProcess& operator=(const WorkerProcess&) = delete;

    // Of a process that ended, neither does anything: send() is lost, receive() gives nothing.
    void send(const std::string& line) const;
    std::optional<std::string> receive();
    // "was ended by signal 9 (Killed)": waits for the process, once receive() gave nothing.
    std::string how_it_ended();

private:
    int socket_ = -1;
    pid_t process_ = -1;
    std::string received_;  // beyond the last line
};

// The other end: answers each line from standard input until there are no more. `greeting` goes
// out first.
void serve_as_worker(const std::string& greeting,
                     const std::function<std::string(const std::string&)>& answer);

}  // namespace r1
