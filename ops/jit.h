/*
 * A fused elementwise program as machine code: one loop over all of it, with every value in a
 * register, where the processor has AVX2 and every op is an exact operation of IEEE 754 (or a
 * choice or a change of bits). The bits are those of the vector layer, except that the payload of a
 * NaN is not defined: there it depends on the order in which a compiler puts the operands.
 */
#ifndef WF_JIT_H
#define WF_JIT_H

#include <stdint.h>

struct wf_pw;

typedef struct wf_jit {
    unsigned numbers; /* bit i: input i is one number for a whole run */
    int n_in, n_out;
    int size; /* bytes of constants and instructions, which stand behind this */
    void (*run)(int64_t bytes, float *const at[], const float *numbers);
    const struct wf_jit *next;
} wf_jit;

/* The code of p; NULL where there cannot be any: not an x86-64 with AVX2 or not the level chosen,
 * an op without an exact operation, too many values at a time, no leave to make code. Equal
 * programs share it, and it stays until the process ends. Not for the middle of a run: it locks and
 * maps memory. */
const wf_jit *wf_jit_get(const struct wf_pw *p, unsigned numbers);

/* n elements of every input side by side, or one of those that are a number. out[j] receives store
 * j, or out[0] the result of a program without stores; each may be the memory of any input (not
 * shifted against it). The bits of an element depend on neither n nor its place. */
void wf_jit_run(const wf_jit *k, int64_t n, float *const out[], const float *const in[]);

#endif
