// Any bytes as a Chakra trace, alone and as the two ranks of a job: InputError, or a trace that is
// written as it was read, and a job.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/base/diagnostics.hpp"
#include "model/chakra/job.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    try {
        const r1::ChakraTrace trace = r1::read_chakra(text, "0.et");
        const std::string written = r1::chakra_bytes(trace);
        if (r1::chakra_bytes(r1::read_chakra(written, "0.et")) != written) std::abort();
        for (const std::uint32_t ranks : {1U, 2U}) {
            try {
                r1::chakra_job(ranks, [&](std::uint32_t) { return r1::ChakraFile{"0.et", trace}; });
            } catch (const r1::InputError&) {
                continue;
            }
        }
    } catch (const r1::InputError&) {
        return 0;
    }
    return 0;
}
