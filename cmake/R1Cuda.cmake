# runtime/cuda_*: the GPU as a device. A library that the program opens when it is asked for
# --device cuda: cuBLAS costs 0.1 s at the start of a program.
file(GLOB cuda_device_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/runtime/cuda_*.cpp")
set(nccl_sources "${CMAKE_SOURCE_DIR}/runtime/nccl_communicator.cpp")
if(TARGET r1_cuda_kernels)
    find_library(R1_NCCL_LIBRARY nccl HINTS "${CUDAToolkit_LIBRARY_DIR}")
    find_path(R1_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    # Both empty without NCCL: the library, and with it the communicator of ranks.
    add_library(r1_nccl_library INTERFACE)
    add_library(r1_nccl INTERFACE)
    target_link_libraries(r1_nccl INTERFACE r1_nccl_library)
    if(R1_NCCL_LIBRARY AND R1_NCCL_INCLUDE)
        message(STATUS "NCCL: found (${R1_NCCL_LIBRARY})")
        target_sources(r1_nccl INTERFACE "${nccl_sources}")
        target_compile_definitions(r1_nccl_library INTERFACE R1_HAVE_NCCL=1)
        target_include_directories(r1_nccl_library INTERFACE "${R1_NCCL_INCLUDE}")
        target_link_libraries(r1_nccl_library INTERFACE "${R1_NCCL_LIBRARY}")
    else()
        message(STATUS "NCCL: not found, GPUs of several processes cannot be joined")
    endif()
    # What it uses of runtime/ and model/ is the program's.
    add_library(r1_cuda MODULE ${cuda_device_sources} $<TARGET_OBJECTS:r1_cuda_kernels>)
    target_link_libraries(r1_cuda PRIVATE r1_compile r1_nccl nlohmann_json::nlohmann_json fmt::fmt
        CUDA::cudart_static CUDA::cublasLt)
    set_target_properties(r1_cuda PROPERTIES CXX_VISIBILITY_PRESET hidden)
    if("80" IN_LIST CMAKE_CUDA_ARCHITECTURES)
        target_compile_definitions(r1_cuda PRIVATE R1_CUDA_SM80=1)
    endif()
endif()

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
    PRIVATE r1_cuda_kernels r1_nccl_library CUDA::cudart_static CUDA::cublasLt CUDA::cublas)
target_compile_definitions(r1_cuda_calibration PUBLIC R1_HAVE_CUDA=1)

add_executable(r1_calibrate_cuda "${CMAKE_SOURCE_DIR}/tools/cuda/calibrate_cuda.cpp")
target_link_libraries(r1_calibrate_cuda PRIVATE r1_cuda_calibration r1_version)
