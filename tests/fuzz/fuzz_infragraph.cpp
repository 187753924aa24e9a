// Any text as an InfraGraph file: InputError, or a topology once --set gives what is missing.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/imported.hpp"

#include "sim/hardware/import/infragraph.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    r1::test::complete_import([&] {
        return r1::import_infragraph(std::string_view(reinterpret_cast<const char*>(bytes), size),
                                     "cluster.json");
    });
    return 0;
}
