# Tests of the page that shows reports (label web): in a headless Chromium, and that its bundle is
# what its sources give. Each says that it is skipped where Chromium or npm is missing.
if(R1_BATS AND TARGET r1sim)
    add_test(NAME "web: page" COMMAND "${CMAKE_SOURCE_DIR}/tests/web/page")
    set_tests_properties("web: page" PROPERTIES LABELS web TIMEOUT 240 SKIP_RETURN_CODE 77
        PROCESSORS 2 ENVIRONMENT "R1SIM=$<TARGET_FILE:r1sim>")
endif()

# With R1_ENABLE_REPORT_WEB from the registry's packages, else from those that are there.
add_test(NAME "web: bundle" COMMAND "${CMAKE_SOURCE_DIR}/tests/web/bundle" ${R1_ENABLE_REPORT_WEB})
set_tests_properties("web: bundle" PROPERTIES LABELS web TIMEOUT 300 SKIP_RETURN_CODE 77)
