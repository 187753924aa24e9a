# r1_compile: what every target of ours is compiled with. Third-party headers are SYSTEM (imported
# targets are, by default), so warnings are about our own code.
add_library(r1_compile INTERFACE)
target_include_directories(r1_compile INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(r1_compile INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow>
    # No fused multiply-add behind our back: same inputs, same bytes on every machine.
    $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
target_compile_options(r1_compile INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
if(R1_WERROR)
    target_compile_options(r1_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
        "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings>")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # False positives of GCC 12 after inlining, SYSTEM or not: std::string (bug 105651) and
    # nlohmann's iterators. The sanitizers and clang's analyzer look for the real ones.
    target_compile_options(r1_compile INTERFACE
        $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict -Wno-maybe-uninitialized>)
endif()

if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # A tenth of the time to compile so much at once goes into collecting the compiler's garbage,
    # unless that starts later: 1 GB a source at most.
    set(late_collection "--param ggc-min-expand=200 --param ggc-min-heapsize=524288")
    target_compile_options(r1_compile INTERFACE
        "$<$<COMPILE_LANGUAGE:CXX>:SHELL:${late_collection}>")
    # A member whose type is in an anonymous namespace is fine in a source file, which is what the
    # files of a unity are.
    target_compile_options(r1_compile INTERFACE
        $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()

if(R1_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # SimGrid's reference counts end with a fence, which the thread sanitizer does not see. Each is
    # touched by one thread only.
    target_compile_options(r1_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-tsan>)
endif()

if(R1_SANITIZE)
    # For all targets: objects with and without instrumentation must not mix.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${R1_SANITIZE}>
        $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
        $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
    add_link_options("-fsanitize=${R1_SANITIZE}")
endif()
if(R1_SANITIZE MATCHES "undefined")
    # A quarter of the time to compile; the address sanitizer finds null pointers too, and only
    # kernels read memory as other types than it was written.
    set(other_targets "$<NOT:$<STREQUAL:$<TARGET_PROPERTY:NAME>,r1_kernels>>")
    target_compile_options(r1_compile INTERFACE
        "$<$<AND:$<COMPILE_LANGUAGE:CXX>,${other_targets}>:-fno-sanitize=null,alignment>")
endif()
