// What the ranks of a job tell each other outside the graph: texts, and whether all of them got
// through a piece of work that can fail on one of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/base/diagnostics.hpp"
#include "runtime/communicator.hpp"

namespace r1 {

// All ranks of a job, on a channel that no op of the graph uses meanwhile.
struct Everyone {
    Communicator& communicator;
    std::uint64_t channel = 0;
};

// What all ranks throw at the same place: none of them waits for another, nothing has to be
// aborted.
class AgreedError : public InputError {
public:
    using InputError::InputError;
};

// Every rank's text, by rank.
std::vector<std::string> gather_texts(const Everyone& ranks, const std::string& mine);

// Runs `work` on every rank and returns all their texts. If it throws InputError on one of them,
// every rank throws AgreedError with the problems of the first such rank, which they name: no rank
// goes on alone.
std::vector<std::string> agree(const Everyone& ranks, const std::function<std::string()>& work);

}  // namespace r1
