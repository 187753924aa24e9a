// Always-on assertions. R1_CHECK is for bugs of ours only: bad input goes through Diagnostics.
#pragma once

#include <stdexcept>
#include <string>

namespace r1 {

// Thrown by R1_CHECK; main() turns it into exit code 1.
class InternalError : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition) {
    throw InternalError(std::string(file) + ":" + std::to_string(line) +
                        ": check failed: " + condition);
}

}  // namespace r1

#define R1_CHECK(condition) \
    ((condition) ? static_cast<void>(0) : ::r1::check_failed(__FILE__, __LINE__, #condition))
