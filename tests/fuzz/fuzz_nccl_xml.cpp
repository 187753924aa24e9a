// Any text as an NCCL topology file: InputError, or a topology once --set gives what is missing.
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/imported.hpp"

#include "sim/hardware/import/nccl_xml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    r1::test::complete_import([&] {
        return r1::import_nccl_xml(std::string(reinterpret_cast<const char*>(bytes), size),
                                   "node.xml");
    });
    return 0;
}
