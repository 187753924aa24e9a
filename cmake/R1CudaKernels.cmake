# kernels/cuda/: r1_cuda_kernels, compiled by nvcc where there is one, and r1_cuda_emulated, the
# same sources compiled by the C++ compiler against tests/emulation/ for tests without a GPU.
r1_sources(cuda_kernel_sources "kernels/cuda/*.cu")

# CMake 3.25 has no unity builds for CUDA, and half of the time of a small .cu file goes into
# headers: two files, one a core, include them all.
set(cuda_unity_parts 2)
foreach(part RANGE 1 ${cuda_unity_parts})
    set(unity_text_${part} "// Written by cmake/R1CudaKernels.cmake.\n")
endforeach()
set(part 1)
foreach(source IN LISTS cuda_kernel_sources)
    string(APPEND unity_text_${part} "#include \"${source}\"\n")
    math(EXPR part "${part} % ${cuda_unity_parts} + 1")
endforeach()
set(cuda_unity_sources "")
set(emulated_unity_sources "")
foreach(part RANGE 1 ${cuda_unity_parts})
    set(unity "${CMAKE_BINARY_DIR}/generated/cuda_kernels_${part}")
    file(CONFIGURE OUTPUT "${unity}.cu" CONTENT "${unity_text_${part}}" @ONLY)
    file(CONFIGURE OUTPUT "${unity}.cpp" CONTENT "${unity_text_${part}}" @ONLY)
    list(APPEND cuda_unity_sources "${unity}.cu")
    list(APPEND emulated_unity_sources "${unity}.cpp")
endforeach()

if(R1_HAVE_CUDA AND TARGET CUDA::cublasLt)
    add_library(r1_cuda_kernels STATIC ${cuda_unity_sources}
        "${CMAKE_SOURCE_DIR}/kernels/cuda/blas.cpp")
    # No fused multiply-add where the source has none, as in the C++ kernels; constexpr functions of
    # the headers that all versions share run on the device too.
    target_compile_options(r1_cuda_kernels PRIVATE
        $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --expt-relaxed-constexpr>)
    set_target_properties(r1_cuda_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_link_libraries(r1_cuda_kernels PUBLIC r1_model PRIVATE CUDA::cudart_static
        CUDA::cublasLt)
endif()

# Only where it is asked for: the release preset's tests.
add_library(r1_cuda_emulated STATIC EXCLUDE_FROM_ALL ${emulated_unity_sources}
    "${CMAKE_SOURCE_DIR}/tests/emulation/emulation.cpp"
    "${CMAKE_SOURCE_DIR}/tests/emulation/memory.cpp"
    "${CMAKE_SOURCE_DIR}/tests/emulation/streams.cpp"
    "${CMAKE_SOURCE_DIR}/tests/emulation/blas.cpp")
# Before the root, as some of its files stand in for those of kernels/cuda/; so targets link it
# before all else.
target_include_directories(r1_cuda_emulated BEFORE PUBLIC
    "${CMAKE_SOURCE_DIR}/tests/emulation/include")
# Pragmas are for nvcc.
target_compile_options(r1_cuda_emulated PUBLIC -Wno-unknown-pragmas PRIVATE -fno-math-errno)
target_link_libraries(r1_cuda_emulated PUBLIC r1_kernels)
