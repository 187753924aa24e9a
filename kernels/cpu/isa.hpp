// The vector instructions of this machine, chosen at run time: the program is built for plain
// x86-64 (or another machine) and still uses the wide registers where they exist.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#define R1_X86 1
#endif

namespace r1::cpu {

enum class Isa { baseline, avx2, avx512 };

inline Isa isa() {
#ifdef R1_X86
    static const Isa best = [] {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
            return Isa::avx512;
        }
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            return Isa::avx2;
        }
        return Isa::baseline;
    }();
    return best;
#else
    return Isa::baseline;
#endif
}

#ifdef R1_X86
#define R1_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define R1_AVX2 __attribute__((target("avx2,fma")))

template <class Body>
R1_AVX512 void run_avx512(const Body& body) {
    body();
}
template <class Body>
R1_AVX2 void run_avx2(const Body& body) {
    body();
}
#endif

// Runs a lambda declared R1_INLINE, compiled once for each instruction set: the compiler inlines
// it and vectorises its `omp simd` loops. Rounding does not differ: contraction to fused
// multiply-adds is switched off, and lanes only add up where the loop says so.
#define R1_INLINE __attribute__((always_inline))
template <class Body>
void vectorized(const Body& body) {
#ifdef R1_X86
    switch (isa()) {
        case Isa::avx512: run_avx512(body); return;
        case Isa::avx2: run_avx2(body); return;
        case Isa::baseline: break;
    }
#endif
    body();
}

}  // namespace r1::cpu
