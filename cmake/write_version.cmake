# Script of R1Version.cmake: cmake -DVERSION= -DSOURCE_DIR= -DHEADER= -P write_version.cmake
set(version "${VERSION}")
execute_process(COMMAND git -C "${SOURCE_DIR}" rev-parse --short=10 HEAD
    OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(NOT failed AND hash)  # no git, no commit, a tarball: the plain version
    string(APPEND version "+${hash}")
    execute_process(COMMAND git -C "${SOURCE_DIR}" diff --quiet HEAD --
        ERROR_QUIET RESULT_VARIABLE changed)
    if(changed)
        string(APPEND version ".dirty")
    endif()
endif()
file(CONFIGURE OUTPUT "${HEADER}" CONTENT
"// Written by cmake/write_version.cmake.
#pragma once
#define R1_VERSION \"${version}\"
")
