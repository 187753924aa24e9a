// What the program's exit code says, the same whichever process of a job ends it.
#pragma once

#include <exception>
#include <stdexcept>

namespace r1 {

enum ExitCode {
    kOk = 0,
    kInternalError = 1,
    kUsage = 2,
    kInvalidInput = 3,
    kInfeasible = 4,
    kFeatureMissing = 5,
    kThresholdExceeded = 6,
    kInterrupted = 130,
};

// What was asked for does not fit what it was asked for on.
class InfeasibleError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Of a program that ends because of this exception (diagnostics.cpp).
ExitCode exit_code_of(const std::exception& error);

}  // namespace r1
