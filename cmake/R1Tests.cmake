# Tests and the ctest labels that tools/test picks them by:
#   unit    Catch2 test cases without one of the tags below
#   golden  test cases tagged [golden]: what $R1_DATA_DIR/golden/index.json lists
#   slow    test cases tagged [slow], too long under sanitizers, and the others of their files: run
#           in release
#   cli     tests/cli/*.bats, transcripts of the program
#   emulated  tests/cuda/: the CUDA kernels on the emulation of tests/emulation/, in release
#   gpu     tests/gpu/, where there is a CUDA compiler; skipped where there is no GPU
#   mpi     tests/mpi/, ranks as processes; skipped without MPI
#   web     tests/web/, the page that shows reports; skipped without Chromium or npm
#   tidy    tools/dev/tidy on the tree
find_package(Catch2 REQUIRED)  # no version: 2.13 (Debian 12) and 3.x both do
include(Catch)

if(Catch2_VERSION VERSION_GREATER_EQUAL 3)
    add_library(r1_catch INTERFACE)
    target_link_libraries(r1_catch INTERFACE Catch2::Catch2WithMain)
else()
    # Catch2 2.x compiles its main in our build: 8 s, so once.
    add_library(r1_catch OBJECT "${CMAKE_SOURCE_DIR}/tests/support/catch_main.cpp")
    target_link_libraries(r1_catch PUBLIC r1_compile Catch2::Catch2)
endif()

# Tests take longer to compile than to run: they are not optimised, and half of the time under
# sanitizers would go into finding undefined behaviour of the test itself.
add_library(r1_test_options INTERFACE)
target_compile_options(r1_test_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-O0>)
if(R1_SANITIZE MATCHES "undefined")
    target_compile_options(r1_test_options INTERFACE -fno-sanitize=undefined)
endif()
if(NOT Catch2_VERSION VERSION_GREATER_EQUAL 3)
    target_compile_options(r1_catch PRIVATE -O0)
    if(R1_SANITIZE)
        target_compile_options(r1_catch PRIVATE -fno-sanitize=all)
    endif()
endif()

r1_sources(support_sources "tests/support/*.cpp")
list(FILTER support_sources EXCLUDE REGEX "/catch_main\\.cpp$")
add_library(r1_test_support STATIC ${support_sources})
target_link_libraries(r1_test_support PUBLIC r1_cli PRIVATE r1_test_options Catch2::Catch2)
r1_precompile(r1_test_support "${CMAKE_SOURCE_DIR}/tests/support/catch.hpp")
if(TARGET r1_runtime)
    target_link_libraries(r1_test_support PUBLIC r1_runtime)
endif()

r1_sources(unit_sources "tests/model/*.cpp" "tests/sim/*.cpp" "tests/tools/*.cpp")
if(NOT R1_ENABLE_SIM)
    list(FILTER unit_sources EXCLUDE REGEX "/simgrid_[^/]*$")
endif()
if(TARGET r1_runtime)
    r1_sources(runtime_test_sources "tests/kernels/*.cpp" "tests/runtime/*.cpp")
    list(APPEND unit_sources ${runtime_test_sources})
    list(REMOVE_DUPLICATES unit_sources)
endif()
# The files that hold a golden or slow test case are a program of their own: these are all that
# release runs, so it need not compile the other files. A tag that comes or goes moves its file.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${unit_sources})
set(golden_sources "")
foreach(source IN LISTS unit_sources)
    file(STRINGS "${source}" tagged REGEX "\\[(golden|slow)\\]" LIMIT_COUNT 1)
    if(tagged)
        list(APPEND golden_sources "${source}")
    endif()
endforeach()
list(REMOVE_ITEM unit_sources ${golden_sources})
add_executable(r1_unit_tests ${unit_sources})
target_link_libraries(r1_unit_tests PRIVATE r1_catch r1_test_support r1_test_options)
target_precompile_headers(r1_unit_tests REUSE_FROM r1_test_support)
add_executable(r1_golden_tests ${golden_sources})
target_link_libraries(r1_golden_tests PRIVATE r1_catch r1_test_support r1_test_options
    r1_allocator)
target_precompile_headers(r1_golden_tests REUSE_FROM r1_test_support)

# SimGrid frees some of its singletons never; that is not our leak.
set(R1_TEST_ENVIRONMENT "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp")
# Tests run side by side: OpenMP threads that spin while they wait would take the cores from the
# tests beside them.
set(R1_TEST_THREADS "OMP_WAIT_POLICY=set:passive")
# A test case that finds nothing to do prints "r1 test skipped: why". It counts as skipped only if
# Catch2's closing line says that nothing failed.
set(R1_TEST_SKIPPED "r1 test skipped: .*(All tests passed|test cases: 1 . 1 passed)")

function(r1_discover target spec label timeout_s)
    catch_discover_tests(${target} TEST_SPEC "${spec}" PROPERTIES
        LABELS ${label} TIMEOUT ${timeout_s} ENVIRONMENT "${R1_TEST_ENVIRONMENT}"
        ENVIRONMENT_MODIFICATION "${R1_TEST_THREADS}"
        SKIP_REGULAR_EXPRESSION "${R1_TEST_SKIPPED}")
endfunction()
r1_discover(r1_unit_tests "~[slow]~[golden]" unit 300)
r1_discover(r1_golden_tests "[golden]" golden 600)
r1_discover(r1_golden_tests "~[golden]" slow 600)

# The CUDA kernels without a GPU: in release, where their emulation takes seconds.
file(GLOB cuda_test_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/cuda/*.cpp")
# Of the calibration, what starts our own kernels.
file(GLOB own_kernel_sources CONFIGURE_DEPENDS
    "${CMAKE_SOURCE_DIR}/runtime/cuda_calibration/own_*.cpp")
add_library(r1_emulated_calibration STATIC EXCLUDE_FROM_ALL ${own_kernel_sources})
target_link_libraries(r1_emulated_calibration PUBLIC r1_cuda_emulated r1_runtime)
add_executable(r1_emulated_tests EXCLUDE_FROM_ALL ${cuda_test_sources}
    "${CMAKE_SOURCE_DIR}/tests/cuda_calibration/own_kernels_test.cpp"
    "${CMAKE_SOURCE_DIR}/tests/emulation/device.cpp"
    "${CMAKE_SOURCE_DIR}/tests/emulation/emulation_test.cu")
# A test of kernels: CUDA in its form, C++ to the compiler.
set_source_files_properties("${CMAKE_SOURCE_DIR}/tests/emulation/emulation_test.cu" PROPERTIES
    LANGUAGE CXX)
target_link_libraries(r1_emulated_tests PRIVATE r1_emulated_calibration r1_catch
    r1_test_options)
if(NOT R1_SANITIZE)
    r1_discover(r1_emulated_tests "" emulated 300)
endif()

# The GPU as a device, on the emulation.
file(GLOB cuda_runtime_test_sources CONFIGURE_DEPENDS
    "${CMAKE_SOURCE_DIR}/tests/cuda_runtime/*.cpp")
list(APPEND cuda_runtime_test_sources
    "${CMAKE_SOURCE_DIR}/tests/runtime/communicator_conformance.cpp")
set(emulated_device_sources ${cuda_device_sources} ${nccl_sources})
list(FILTER emulated_device_sources EXCLUDE REGEX "/cuda_entry")
add_executable(r1_emulated_runtime_tests EXCLUDE_FROM_ALL ${cuda_runtime_test_sources}
    ${emulated_device_sources} "${CMAKE_SOURCE_DIR}/tests/emulation/nccl.cpp")
target_link_libraries(r1_emulated_runtime_tests PRIVATE r1_cuda_emulated r1_catch r1_test_support
    r1_test_options)
if(NOT R1_SANITIZE)
    r1_discover(r1_emulated_runtime_tests "" emulated 300)
endif()

# GPU tests are programs that exit with 77 where there is no GPU.
if(TARGET r1_cuda_calibration)
    add_executable(r1_gpu_calibration_test
        "${CMAKE_SOURCE_DIR}/tests/gpu/cuda_calibration_test.cpp")
    target_link_libraries(r1_gpu_calibration_test PRIVATE r1_cuda_calibration CUDA::cudart_static
        CUDA::cublasLt CUDA::cublas)
    add_test(NAME "gpu: calibration" COMMAND r1_gpu_calibration_test)
    set_tests_properties("gpu: calibration" PROPERTIES LABELS gpu TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()

# Where a GPU is: the same tests of the device as on the emulation, but those that need several
# ranks of NCCL on one GPU, or choose the order of streams.
if(TARGET r1_cuda)
    set(gpu_runtime_test_sources ${cuda_runtime_test_sources} ${cuda_device_sources})
    list(FILTER gpu_runtime_test_sources EXCLUDE
        REGEX "/cuda_entry|/cuda_runtime/(nccl|streams)_test")
    add_executable(r1_gpu_runtime_test ${gpu_runtime_test_sources}
        "${CMAKE_SOURCE_DIR}/tests/gpu/require_gpu.cpp")
    target_link_libraries(r1_gpu_runtime_test PRIVATE r1_catch r1_test_support r1_test_options
        r1_cuda_kernels r1_nccl CUDA::cudart_static CUDA::cublasLt)
    add_test(NAME "gpu: runtime" COMMAND r1_gpu_runtime_test)
    set_tests_properties("gpu: runtime" PROPERTIES LABELS gpu TIMEOUT 600 SKIP_RETURN_CODE 77)
endif()

if(TARGET r1_cuda_kernels)
    add_executable(r1_gpu_kernels_test ${cuda_test_sources}
        "${CMAKE_SOURCE_DIR}/tests/gpu/kernels_device.cpp")
    target_link_libraries(r1_gpu_kernels_test PRIVATE r1_catch r1_test_options r1_kernels
        r1_cuda_kernels CUDA::cudart_static)
    add_test(NAME "gpu: kernels" COMMAND r1_gpu_kernels_test)
    set_tests_properties("gpu: kernels" PROPERTIES LABELS gpu TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()

add_test(NAME tidy COMMAND "${CMAKE_SOURCE_DIR}/tools/dev/tidy")
set_tests_properties(tidy PROPERTIES LABELS tidy TIMEOUT 60)

find_program(R1_BATS bats)
file(GLOB cli_tests CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/cli/*.bats")
if(R1_BATS AND TARGET r1sim)
    foreach(file IN LISTS cli_tests)
        get_filename_component(stem "${file}" NAME_WE)
        add_test(NAME "cli: ${stem}" COMMAND "${R1_BATS}" --print-output-on-failure "${file}"
            WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
        set_tests_properties("cli: ${stem}" PROPERTIES LABELS cli TIMEOUT 600
            ENVIRONMENT "R1SIM=$<TARGET_FILE:r1sim>;${R1_TEST_ENVIRONMENT}"
            ENVIRONMENT_MODIFICATION "${R1_TEST_THREADS}")
    endforeach()
    # The long ones first, or one of them runs alone in the end.
    set_tests_properties("cli: simulate" "cli: run" "cli: plan" "cli: validate" "cli: errors"
        PROPERTIES COST 100)
elseif(cli_tests)
    message(STATUS "bats: not found, tests/cli skipped")
endif()

# The program with the scalar kernels, to compare weights with: the objects of the CPU device come
# before the library that has them with the fast kernels.
if(R1_BATS AND TARGET r1sim)
    file(GLOB scalar_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/runtime/cpu_*.cpp")
    # Objects of their own in the library too, or it would bring others along.
    set_source_files_properties(${scalar_sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    add_executable(r1sim_scalar EXCLUDE_FROM_ALL "${main_source}" ${scalar_sources})
    target_compile_options(r1sim_scalar PRIVATE
        "SHELL:-include ${CMAKE_SOURCE_DIR}/tests/scalar/scalar_kernels.hpp")
    target_link_libraries(r1sim_scalar PRIVATE r1_cli)
    add_executable(compare_checkpoints EXCLUDE_FROM_ALL
        "${CMAKE_SOURCE_DIR}/tests/scalar/compare_checkpoints.cpp")
    target_link_libraries(compare_checkpoints PRIVATE r1_model)
    add_test(NAME "slow: weights" COMMAND "${R1_BATS}" --print-output-on-failure
        "${CMAKE_SOURCE_DIR}/tests/scalar/weights.bats" WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set(scalar_environment "R1SIM=$<TARGET_FILE:r1sim>"
        "R1SIM_SCALAR=$<TARGET_FILE:r1sim_scalar>"
        "COMPARE=$<TARGET_FILE:compare_checkpoints>" "${R1_TEST_ENVIRONMENT}")
    set_tests_properties("slow: weights" PROPERTIES LABELS slow TIMEOUT 600 COST 100
        ENVIRONMENT "${scalar_environment}")
endif()

# What tools/test builds in release: what it runs there, and the programs that nothing runs.
add_custom_target(r1_release_checks DEPENDS r1_golden_tests)
foreach(program r1sim r1sim_scalar compare_checkpoints r1_emulated_tests
        r1_emulated_runtime_tests r1_cuda r1_gpu_runtime_test r1_gpu_kernels_test
        r1_calibrate_cuda r1_gpu_calibration_test)
    if(TARGET "${program}")
        add_dependencies(r1_release_checks "${program}")
    endif()
endforeach()

# Benchmarks are programs, not tests: built with the tests so that they cannot rot.
find_package(benchmark QUIET)
pkg_check_modules(OpenBlas IMPORTED_TARGET openblas)  # the yardstick of the kernels' benchmark
file(GLOB bench_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/bench/*.cpp")
foreach(source IN LISTS bench_sources)
    get_filename_component(stem "${source}" NAME_WE)
    if(stem MATCHES "^kernels_" AND NOT (TARGET r1_kernels AND OpenBlas_FOUND))
        message(STATUS "OpenBLAS: not found, bench_${stem} skipped")
        continue()
    endif()
    add_executable("bench_${stem}" "${source}")
    add_dependencies(r1_release_checks "bench_${stem}")
    target_link_libraries("bench_${stem}" PRIVATE r1_report r1_allocator)
    if(TARGET r1_runtime)
        target_link_libraries("bench_${stem}" PRIVATE r1_runtime)
    endif()
    if(stem MATCHES "^kernels_")
        target_link_libraries("bench_${stem}" PRIVATE r1_kernels PkgConfig::OpenBlas
            OpenMP::OpenMP_CXX)
    endif()
    if(benchmark_FOUND)
        target_link_libraries("bench_${stem}" PRIVATE benchmark::benchmark)
    endif()
endforeach()

if(TARGET r1_cuda_kernels AND TARGET r1_cuda_calibration)
    add_executable(bench_cuda_kernels
        "${CMAKE_SOURCE_DIR}/tests/bench/cuda/cuda_kernels_bench.cpp")
    target_link_libraries(bench_cuda_kernels PRIVATE r1_cuda_kernels r1_cuda_calibration
        CUDA::cudart_static CUDA::cublasLt CUDA::cublas)
    add_dependencies(r1_release_checks bench_cuda_kernels)
endif()

include(R1MpiTests)
include(R1WebTests)
