/*
 * A fused elementwise program: a short list of lanes over tiles that stay in the first-level cache.
 *
 * Values are numbered: 0..n_in-1 are the node's inputs, n_in + i is the result of instruction i.
 * The result of the node is the last instruction's. Stores write a value into an input that is a
 * stored tensor (parameter or state) of the node's shape, after all reads of that tile.
 *
 * Inputs of 16 bits are widened while they are loaded, and what is stored into such is rounded.
 */
#ifndef WF_POINTWISE_H
#define WF_POINTWISE_H

#include "ops/jit.h"
#include "ops/ops.h"

enum { WF_PW_INSTR = 40, WF_PW_IN = 16, WF_PW_STORES = 4, WF_PW_TILE = 512 };

typedef struct wf_pw_instr {
    const wf_op *op; /* has a lane */
    const void *attr;
    int n_in;
    int in[4]; /* numbers of values */
    int slot;  /* of the scratch, where its result is kept (wf_pw_settle) */
    int store; /* 1 + the store that its result may go to at once (wf_pw_settle), or 0 */
} wf_pw_instr;

typedef struct wf_pw {
    int n_in, n_instr, n_stores, n_slots;
    wf_pw_instr instr[WF_PW_INSTR];
    struct {
        int value, input;
        uint32_t salt; /* of a cast by chance; 0: to nearest */
    } store[WF_PW_STORES];
    const wf_jit *code; /* all of it as machine code (wf_pw_prepare), or NULL */
} wf_pw;

/* A block of the output that a program is run on, its place in the output seen as [all rows, last
 * axis]. */
typedef struct wf_pw_block {
    int64_t row, col, rows, cols; /* cols: at most WF_PW_TILE */
    float *out;                   /* its first element: holds the kernel's result, */
    int64_t ld;                   /* rows ld elements apart */
} wf_pw_block;

/* Floats of scratch that wf_pw_run_block needs. */
int64_t wf_pw_scratch(const wf_pw *p);
/* Epilogue of another kernel, of call c: run p on one block of its result. in[] are the program's
 * inputs (tensors that broadcast to its shape); one whose data is NULL is the block's own content,
 * block->out. */
void wf_pw_run_block(const wf_pw *p, const wf_tensor in[], const wf_call *c, const wf_pw_block *b,
                     float *scratch);

/* Find where results are kept, and which may be written into stored tensors by their instruction:
 * those whose tensor's old value nobody wants any more. Ops call it when a node is made. */
void wf_pw_settle(wf_pw *p);

/* Make machine code of the program of y, where there can be any. */
void wf_pw_prepare(const wf_node *y);
/* The code for this run, or NULL. */
static inline const wf_jit *wf_pw_code(const wf_pw *p, bool reference)
{
    return reference || wf_vec_get()->width < 8 ? NULL : p->code; /* base has its own bits */
}

/* The program as text, as snprintf does. */
int wf_pw_print(const wf_pw *p, char *text, size_t size);

/* A program of one instruction: what an elementwise node is when nothing is fused into it; in[]
 * receives its inputs, each once. */
wf_pw wf_pw_single(const wf_node *n, wf_node *in[4]);

/* Stores of any node that carries a program: the program or NULL, and the node's input that store
 * i writes. */
const wf_pw *wf_stores_of(const wf_node *n);
int wf_store_input(const wf_node *n, int i);
double wf_store_bytes(const wf_node *n); /* that its stores write */

#endif
