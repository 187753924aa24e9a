// Memory that is nobody's for now: AddressSanitizer reports whoever touches it. Nothing without it.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define R1_POISON(address, size) __asan_poison_memory_region(address, size)
#define R1_UNPOISON(address, size) __asan_unpoison_memory_region(address, size)
#else
#define R1_POISON(address, size) (static_cast<void>(address), static_cast<void>(size))
#define R1_UNPOISON(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif
