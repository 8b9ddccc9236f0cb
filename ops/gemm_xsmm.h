/*
 * libxsmm behind gemm.c. It is for x86-64; a build without it (WF_XSMM in CMakeLists.txt) has no
 * gemm_xsmm.c, and what is asked here says no.
 */
#ifndef WF_GEMM_XSMM_H
#define WF_GEMM_XSMM_H

#include "ops/gemm.h"

#if WF_HAS_XSMM
bool wf_xsmm_fits(const wf_gemm_shape *s); /* may it have a kernel for this shape? */
/* Sets jit and run of g, whose shape fits; leaves both if there is no kernel for it after all. */
void wf_xsmm_get(wf_gemm *g);
bool wf_xsmm_has_bf16(void);
void wf_xsmm_select(const char *isa);
#else
static inline bool wf_xsmm_fits(const wf_gemm_shape *s)
{
    (void)s;
    return false;
}

static inline void wf_xsmm_get(wf_gemm *g)
{
    (void)g;
}

static inline bool wf_xsmm_has_bf16(void)
{
    return false;
}

static inline void wf_xsmm_select(const char *isa)
{
    (void)isa;
}
#endif

#endif
