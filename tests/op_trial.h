/* A row of the table of op cases, compiled, bound and run once. */
#ifndef OP_TRIAL_H
#define OP_TRIAL_H

#include "tests/op_cases.h"

/* All passes that a graph does not need to run. */
#define OP_NO_PASSES "-simplify,-cse,-fuse_gau,-pull_gather,-fuse_pointwise,-fuse_linear,-recompute"

enum {
    OP_DIFFERENTIATE = 1, /* outputs "d0", ... too: gradients of sum(y w) by x0, ... */
    OP_BY_PLAIN = 2,      /* build c->plain, if there is one */
    OP_BF16 = 4,          /* compile for products in bf16 */
    OP_ROUNDED = 8,       /* x0 and x1, the operands of a product, are rounded to bf16 */
};

typedef struct op_trial {
    const op_case *c;
    wf_graph *g;
    wf_store *store;
    wf_program *p;
    void *data[OP_ARGS];
} op_trial;

/* kernels: "" or "ref"; passes as in WF_PASSES. NULL: wf_error(). */
wf_runtime *op_runtime(int threads, const char *kernels, const char *passes);

bool op_trial_start(op_trial *t, const op_case *c, wf_runtime *rt,
                    unsigned how); /* false: wf_error() */
void op_trial_end(op_trial *t);

/* Value i: 0 is y (what an effect writes is what it is), 1.. are the gradients; NULL: no such. */
const void *op_trial_value(const op_trial *t, int i, wf_dtype *dtype, int64_t *n);

/* The weights w of the probe sum(y w): a constant of y's shape. */
wf_node *op_weights(wf_node *y);

/* Where a and b differ: by bits (tolerance 0) or by more than tolerance (1 + |b|); -1: nowhere.
 * Equal infinities are equal, so are any two NaN. */
int64_t op_differs(wf_dtype dtype, int64_t n, const void *a, const void *b, double tolerance);

#endif
