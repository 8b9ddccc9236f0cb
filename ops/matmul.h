/* What matmul.c and linear.c share: a product over tiles, and a program on each finished one. */
#ifndef WF_MATMUL_H
#define WF_MATMUL_H

#include "ops/pointwise.h"

/* A product and the elementwise program that its tiles go through before they are written: the
 * program's input 0 is the product, input i > 0 is the node's input i + 1. */
typedef struct wf_linear_attr {
    wf_matmul_attr product;
    wf_pw program;
} wf_linear_attr;

/* Shape of op(a) op(b); false after wf_fail. */
bool wf_matmul_infer(wf_node *y, const wf_matmul_attr *a);
/* A matrix by a matrix, and row i, of all its columns or so many neighbours of them, is a function
 * of row i of the left one, bit for bit, however many rows there are? */
bool wf_matmul_is_by_row(const wf_node *y, int64_t columns);
wf_cost wf_matmul_cost(const wf_node *y);
int wf_matmul_print(const void *attr, char *text, size_t size);

/* The units of a phase, the bytes of work and scratch, and the run; program may be NULL. */
int64_t wf_matmul_units(const wf_call *c, const wf_matmul_attr *a, int phase);
size_t wf_matmul_work(const wf_node *y, const wf_matmul_attr *a);
size_t wf_matmul_scratch(const wf_node *y, const wf_matmul_attr *a, const wf_pw *program);
void wf_matmul_run(const wf_call *c, const wf_matmul_attr *a, const wf_pw *program, int64_t lo,
                   int64_t hi);

#endif
