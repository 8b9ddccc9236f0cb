/*
 * pointwise(a b, ...)        ->  linear(a, b, ...)        bias, activation, residual
 * pointwise_store(a b, ...)  ->  linear_store(a, b, ...)  the update runs on the gradient's tiles
 *
 * where the product has no other user and the program's shape. Saves writing and reading the
 * product; a weight gradient that only feeds its update never exists.
 */
#include "passes/passes.h"

#include "ops/matmul.h"

#include <string.h>

/* Updates must not wait for each other: one that reads stored tensors through its product would. */
static bool reads_stored(const wf_node *product)
{
    for (int i = 0; i < 2; i++) {
        const wf_op *op = wf_origin(product->in[i])->op;
        if (op == &wf_op_param || op == &wf_op_state) return true;
    }
    return false;
}

static int find_product(const wf_node *n)
{
    const wf_pw *p = n->attr;
    for (int i = 0; i < n->n_in; i++) {
        const wf_node *x = n->in[i];
        if (x->op != &wf_op_matmul) continue;
        if (x->n_users != 1)
            wf_note(x, "the product has another reader");
        else if (!wf_shape_equal(&x->shape, &n->shape))
            wf_note(x, "the product's reader has another shape");
        else if (p->n_stores && reads_stored(x))
            wf_note(n, "the update may overwrite what its product reads");
        else
            return i;
    }
    return -1;
}

/* The product becomes value 0 of the program; the inputs before it move up by one. */
static int renumber(int value, int product)
{
    return value == product ? 0 : value < product ? value + 1 : value;
}

static wf_node *absorb(wf_node *n, int at, const wf_op *op)
{
    wf_linear_attr a;
    memset(&a, 0, sizeof a); /* padding too: attributes are compared as bytes */
    memcpy(&a.product, n->in[at]->attr, sizeof a.product);
    memcpy(&a.program, n->attr, sizeof a.program);
    for (int i = 0; i < a.program.n_instr; i++) {
        wf_pw_instr *k = &a.program.instr[i];
        for (int j = 0; j < k->n_in; j++) k->in[j] = renumber(k->in[j], at);
    }
    for (int s = 0; s < a.program.n_stores; s++) {
        a.program.store[s].value = renumber(a.program.store[s].value, at);
        a.program.store[s].input = renumber(a.program.store[s].input, at);
    }
    wf_node *in[WF_PW_IN + 1] = {n->in[at]->in[0], n->in[at]->in[1]};
    int count = 2;
    for (int i = 0; i < n->n_in; i++)
        if (i != at) in[count++] = n->in[i];
    return wf_apply(op, &a, count, in);
}

static wf_node *fuse_linear(wf_node *n)
{
    if (n->op != &wf_op_pointwise) return NULL;
    int at = find_product(n);
    return at < 0 ? NULL : absorb(n, at, &wf_op_linear);
}

/* An update is faster apart from its product where gradient, parameter and state stay in the cache
 * together: long rows instead of those of a tile. Elements, and at most 1 MiB of memory for it. */
enum { APART_FROM = 1 << 16, APART_TO = 1 << 18 };

static bool is_faster_apart(const wf_node *e)
{
    int64_t n = wf_elements(&e->shape);
    return n >= APART_FROM && n <= APART_TO;
}

static bool fuse_updates(wf_graph *g)
{
    bool changed = false;
    for (int i = 0; i < g->n_effects && g->status == WF_OK; i++) {
        wf_node *e = g->effects[i];
        int at = e->op == &wf_op_pointwise_store ? find_product(e) : -1;
        if (at < 0 || is_faster_apart(e)) continue;
        g->scope = e->scope;
        wf_replace_effects(e, NULL, absorb(e, at, &wf_op_linear_store));
        changed = true;
        i--;
    }
    g->scope = "";
    return changed;
}

const wf_pass wf_pass_fuse_linear = {
    .name = "fuse_linear",
    .doc = "pointwise(a b, ...) -> linear(a, b, ...); an update runs on its gradient's tiles",
    .rewrite = fuse_linear,
    .run = fuse_updates,
};
