# r1_version: <r1_version.hpp> with R1_VERSION, "0.1.0+1a2b3c4". Written at build time and only
# when it changes, so a commit rebuilds the one or two files that include it and nothing else.
set(R1_VERSION_DIR "${CMAKE_BINARY_DIR}/generated/version")
set(R1_VERSION_COMMAND "${CMAKE_COMMAND}" "-DVERSION=${PROJECT_VERSION}"
    "-DSOURCE_DIR=${CMAKE_SOURCE_DIR}" "-DHEADER=${R1_VERSION_DIR}/r1_version.hpp"
    -P "${CMAKE_SOURCE_DIR}/cmake/write_version.cmake")
execute_process(COMMAND ${R1_VERSION_COMMAND})  # clang-tidy reads it before the first build
add_custom_target(r1_version_header COMMAND ${R1_VERSION_COMMAND}
    BYPRODUCTS "${R1_VERSION_DIR}/r1_version.hpp" COMMENT "" VERBATIM)
add_library(r1_version INTERFACE)
target_include_directories(r1_version INTERFACE "${R1_VERSION_DIR}")
add_dependencies(r1_version r1_version_header)
