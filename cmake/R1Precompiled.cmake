# r1_precompiled: the headers that most sources include and that nobody here edits, 3 s to compile,
# once for all targets that reuse it. Sources still include what they use: tools/dev/check compiles
# them without.
function(r1_precompile target)
    target_precompile_headers(${target} PRIVATE <algorithm> <array> <cstdint> <filesystem>
        <functional> <map> <memory> <optional> <set> <span> <string> <string_view> <unordered_map>
        <vector> <fmt/format.h> <nlohmann/json.hpp> ${ARGN})
endfunction()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(r1_compile INTERFACE  # for ccache
        $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()

# A target of its own, as precompiled headers take no macro that their users lack.
add_library(r1_precompiled OBJECT "${CMAKE_BINARY_DIR}/generated/empty.cpp")
target_link_libraries(r1_precompiled PRIVATE r1_compile nlohmann_json::nlohmann_json fmt::fmt)
r1_precompile(r1_precompiled)
