#include "model/checkpoint/checksum.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <xxhash.h>

#include "model/base/diagnostics.hpp"
#include "model/base/open_file.hpp"

namespace r1 {

namespace {

struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

std::string hex(const XXH128_hash_t& hash) {
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

[[noreturn]] void fail(const std::filesystem::path& file) {
    throw InputError(file.string(),
                     "cannot be read (" + std::generic_category().message(errno) + ")");
}

}  // namespace

std::string checksum(std::string_view bytes) {
    return hex(XXH3_128bits(bytes.data(), bytes.size()));
}

// Read, not mapped: a bad sector is then an error, and no signal.
std::string file_checksum(const std::filesystem::path& file) {
    const OpenFile in(std::fopen(file.c_str(), "rb"));
    if (in == nullptr) {
        fail(file);
    }
    const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
    XXH3_128bits_reset(state.get());
    std::vector<char> block(std::size_t{1} << 20);
    while (const std::size_t count = std::fread(block.data(), 1, block.size(), in.get())) {
        XXH3_128bits_update(state.get(), block.data(), count);
    }
    if (std::ferror(in.get()) != 0) {
        fail(file);
    }
    return hex(XXH3_128bits_digest(state.get()));
}

}  // namespace r1
