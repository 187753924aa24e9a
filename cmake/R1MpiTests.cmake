# Tests with ranks as processes (label mpi). Without MPI one test says that they are skipped.
if(NOT R1_HAVE_MPI)
    add_test(NAME "mpi: ranks" COMMAND sh -c "echo 'r1 test skipped: built without MPI'; exit 77")
    set_tests_properties("mpi: ranks" PROPERTIES LABELS mpi SKIP_RETURN_CODE 77)
    return()
endif()

add_executable(r1_mpi_tests "${CMAKE_SOURCE_DIR}/tests/mpi/mpi_tests.cpp"
    "${CMAKE_SOURCE_DIR}/tests/runtime/communicator_conformance.cpp")
target_link_libraries(r1_mpi_tests PRIVATE r1_mpi)
if(TARGET r1_release_checks)
    add_dependencies(r1_release_checks r1_mpi_tests)
endif()

# As root too, and with more ranks than cores.
set(mpi_run "${MPIEXEC_EXECUTABLE}" --allow-run-as-root --oversubscribe
    ${MPIEXEC_NUMPROC_FLAG} 4)
add_test(NAME "mpi: conformance" COMMAND ${mpi_run} "$<TARGET_FILE:r1_mpi_tests>" conformance)
set_tests_properties("mpi: conformance" PROPERTIES LABELS mpi TIMEOUT 120 PROCESSORS 2)
if(R1_BATS)
    list(JOIN mpi_run " " mpi_run)
    add_test(NAME "mpi: failing ranks" COMMAND "${R1_BATS}" --print-output-on-failure
        "${CMAKE_SOURCE_DIR}/tests/mpi/failing_ranks.bats")
    set_tests_properties("mpi: failing ranks" PROPERTIES LABELS mpi TIMEOUT 120 PROCESSORS 2
        ENVIRONMENT "R1_MPI_RUN=${mpi_run};R1_MPI_TESTS=$<TARGET_FILE:r1_mpi_tests>")
    if(TARGET r1sim)
        foreach(name training sweep)
            add_test(NAME "mpi: ${name}" COMMAND "${R1_BATS}" --print-output-on-failure
                "${CMAKE_SOURCE_DIR}/tests/mpi/${name}.bats"
                WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
            set_tests_properties("mpi: ${name}" PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2
                ENVIRONMENT "R1_MPI_RUN=${mpi_run};R1SIM=$<TARGET_FILE:r1sim>")
        endforeach()
    endif()
endif()
