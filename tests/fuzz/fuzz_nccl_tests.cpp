// Any text as a log of nccl-tests: InputError, or rows that curves can hold.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/base/json.hpp"
#include "sim/cost/nccl_tests.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    try {
        const r1::NcclTestsLog log = r1::read_nccl_tests(text, "log.txt");
        for (const r1::NcclTestsRow& row : log.rows) {
            if (row.bytes <= 0 || !(row.time_us > 0 && row.time_us < 1e13)) {
                std::abort();
            }
        }
        if (log.ranks < 0 || log.hosts < 0) {
            std::abort();
        }
    } catch (const r1::InputError&) {
        return 0;
    }
    return 0;
}
