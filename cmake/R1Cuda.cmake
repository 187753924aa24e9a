# runtime/cuda_calibration/: what a GPU reaches, as a library and as a program of its own. cuBLAS
# costs 0.1 s at the start of a program, so nothing else links it.
if(NOT (R1_HAVE_CUDA AND TARGET CUDA::cublasLt AND TARGET CUDA::cublas))
    message(STATUS "r1_calibrate_cuda: skipped, it needs a CUDA compiler and cuBLAS")
    return()
endif()

r1_sources(cuda_calibration_sources
    "runtime/cuda_calibration/*.cu" "runtime/cuda_calibration/*.cpp")
add_library(r1_cuda_calibration STATIC ${cuda_calibration_sources})
target_link_libraries(r1_cuda_calibration PUBLIC r1_runtime
    PRIVATE CUDA::cudart_static CUDA::cublasLt CUDA::cublas)
target_compile_definitions(r1_cuda_calibration PUBLIC R1_HAVE_CUDA=1)

add_executable(r1_calibrate_cuda "${CMAKE_SOURCE_DIR}/tools/cuda/calibrate_cuda.cpp")
target_link_libraries(r1_calibrate_cuda PRIVATE r1_cuda_calibration r1_version)
