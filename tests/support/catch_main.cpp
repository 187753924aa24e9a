// The main() of every test program under Catch2 2; Catch2 3 brings its own.
#define CATCH_CONFIG_MAIN
#include "tests/support/catch.hpp"

// For the address sanitizer, where there is one: six frames of where memory came from instead of
// thirty, a sixth of the time of the tests.
extern "C" const char* __asan_default_options() { return "malloc_context_size=6"; }
