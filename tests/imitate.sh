#!/usr/bin/env bash
# Tests at level avx512 where the processor has AVX2 only: imitate.sh [ARGUMENT of ctest...]
# SIMDe (Debian: libsimde-dev) puts other instructions in the place of AVX-512's, and weft is told
# that the processor has them. Results are those of AVX-512, speed is not. Kernels of libxsmm are
# machine code, which nothing imitates: they are those for AVX2.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$source/build/imitate

compile() { # the command of a compiler: CMake sends all of them here
    local words=("$@") word
    if [[ " $* " == *" -DWF_LEVEL_AVX512 "* ]]; then
        words=()
        for word in "$@"; do
            [[ $word == -mavx512* || $word == -mprefer-vector-width=* ]] || words+=("$word")
        done
        words+=(-isystem "$build/include" -mavx2 -O2 -w -Wno-psabi)
    fi
    case " $* " in
    *"/ops/vec_select.c "*) words+=('-D__builtin_cpu_supports(feature)=1') ;;
    *"/ops/gemm_xsmm.c "*) words+=(-include "$build/include/xsmm.h") ;;
    esac
    exec "${words[@]}"
}

if [[ ${1-} == compile ]]; then compile "${@:2}"; fi

mkdir -p "$build/include"
cat >"$build/include/xsmm.h" <<'END'
#include <libxsmm.h>
#undef LIBXSMM_X86_AVX512_CORE
#define LIBXSMM_X86_AVX512_CORE LIBXSMM_X86_AVX2
END
cat >"$build/include/immintrin.h" <<'END'
#pragma once
#include_next <immintrin.h>
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

/* what SIMDe lacks */
#define _mm512_cvtps_pd(x) __builtin_convertvector((__v8sf)(x), __v8df)
#define _mm512_cvtpd_ps(x) __builtin_convertvector((__v8df)(x), __v8sf)
#define _mm512_extractf32x8_ps(x, half) (__m256)_mm512_extractf64x4_pd((__m512d)(x), half)
#define _mm512_permute_ps(x, order) _mm512_shuffle_ps(x, x, order)
#define _mm512_maskz_loadu_ps imitated_load
#define _mm512_mask_storeu_ps imitated_store
static inline __m512 imitated_load(unsigned mask, const float *p) {
    __m512 x = {0};
    for (int i = 0; i < 16; i++) x[i] = mask >> i & 1 ? p[i] : 0;
    return x;
}
static inline void imitated_store(float *p, unsigned mask, __m512 x) {
    for (int i = 0; i < 16; i++) if (mask >> i & 1) p[i] = x[i];
}
END
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g" \
    -DCMAKE_C_COMPILER_LAUNCHER="$source/tests/imitate.sh;compile" -DWF_BUILD_TESTS=ON \
    -DWF_XSMM=ON -DWF_BUILD_EXAMPLES=OFF >/dev/null
cmake --build "$build"
WF_ISA=avx512 ctest --test-dir "$build" --output-on-failure "$@"
