# kernels/ and runtime/: the graph executed on CPUs. R1CudaKernels and R1Cuda have what GPUs run.
r1_sources(kernel_sources "kernels/*.cpp")
list(FILTER kernel_sources EXCLUDE REGEX "/kernels/cuda/")
add_library(r1_kernels STATIC ${kernel_sources})
target_link_libraries(r1_kernels PUBLIC r1_model)
# The kernels of MLA (forward, backward, prefill, decode) have helpers of the same names.
set(mla_sources "${kernel_sources}")
list(FILTER mla_sources INCLUDE REGEX "/mla_[^/]*$")
set_source_files_properties(${mla_sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# Nobody reads errno, and square roots in loops become vectors without it.
target_compile_options(r1_kernels PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno>)
if(R1_SANITIZE)  # training tests take a third less time
    target_compile_options(r1_kernels PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O2>)
endif()
find_package(OpenMP REQUIRED COMPONENTS CXX)  # of the compiler itself
if(R1_SANITIZE MATCHES "thread")
    # GCC's OpenMP runtime is not instrumented, so its barriers look like races: one thread only.
    target_compile_options(r1_kernels PRIVATE -fopenmp-simd)
else()
    target_link_libraries(r1_kernels PRIVATE OpenMP::OpenMP_CXX)
endif()

r1_sources(runtime_sources "runtime/*.cpp")
list(FILTER runtime_sources EXCLUDE REGEX "/runtime/cuda_|/runtime/mpi_|/nccl_[^/]*$")
add_library(r1_runtime STATIC ${runtime_sources})
target_link_libraries(r1_runtime PUBLIC r1_model r1_kernels Threads::Threads
    PRIVATE PkgConfig::Zlib)
target_precompile_headers(r1_runtime REUSE_FROM r1_precompiled)

# Apart, so that all else builds without MPI.
if(R1_HAVE_MPI)
    r1_sources(mpi_sources "runtime/mpi_*.cpp")
    add_library(r1_mpi STATIC ${mpi_sources})
    target_link_libraries(r1_mpi PUBLIC r1_runtime PRIVATE MPI::MPI_CXX)
    target_compile_definitions(r1_mpi PUBLIC R1_HAVE_MPI=1)
endif()
