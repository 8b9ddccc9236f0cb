/* Multiply-adds in registers, one probe for each vector level: fma.c. */
#ifndef WF_BENCH_FMA_H
#define WF_BENCH_FMA_H

#include <stdint.h>

typedef struct wf_fma {
    const char *isa;
    double flops; /* of one round */
    /* Rounds of independent chains x = x a + b; their sum, so that no compiler drops them. */
    float (*run)(int64_t rounds, float a, float b);
} wf_fma;

/* The probe of that level, which this processor must have; the plain one for unknown levels. */
const wf_fma *wf_fma_find(const char *isa);

#endif
