/*
 * Common subexpressions: two nodes with equal op, attributes and inputs become one. Random nodes
 * and effects are never merged; stored tensors and inputs are one by their names already.
 */
#include "passes/passes.h"

#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>

static bool is_mergeable(const wf_node *n)
{
    if (n->op->traits & (WF_RANDOM | WF_EFFECT | WF_REQUEST)) return false;
    if (n->op == &wf_op_constant) return !((const wf_leaf_attr *)n->attr)->values;
    return !(n->op->traits & WF_LEAF);
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

/* The bytes that tell attributes apart. Of a constant that is its fill: what lies between the
 * members of its large struct is the C compiler's business. Of an op whose attribute is its shape,
 * none: shapes are compared, and sizes behind the last axis mean nothing. */
static const unsigned char *attr_of(const wf_node *n, size_t *size)
{
    bool is_constant = n->op == &wf_op_constant;
    bool is_shape = n->op == &wf_op_reshape || n->op == &wf_op_broadcast;
    *size = is_constant ? sizeof(float) : is_shape ? 0 : n->op->attr_size;
    return is_constant ? (const void *)&((const wf_leaf_attr *)n->attr)->fill : n->attr;
}

static uint64_t hash_node(const wf_node *n)
{
    uint64_t h = mix(0, (uint64_t)(uintptr_t)n->op);
    size_t size;
    const unsigned char *a = attr_of(n, &size);
    for (size_t i = 0; i < size; i++) h = mix(h, a[i]);
    for (int i = 0; i < n->n_in; i++) h = mix(h, (uint64_t)n->in[i]->id + 1);
    return h;
}

static bool is_same(const wf_node *a, const wf_node *b)
{
    if (a->op != b->op || a->n_in != b->n_in || a->dtype != b->dtype) return false;
    if (!wf_shape_equal(&a->shape, &b->shape)) return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] != b->in[i]) return false;
    size_t size;
    const unsigned char *p = attr_of(a, &size), *q = attr_of(b, &size);
    return size == 0 || !memcmp(p, q, size);
}

static bool merge_equal(wf_graph *g)
{
    int n;
    bool changed = false;
    wf_node **order = wf_walk(g, &n);
    size_t room = 64;
    while (room < 2 * (size_t)n) room *= 2;
    wf_node **table = calloc(room, sizeof *table);
    if (!table) wf_graph_fail(g, WF_ENOMEM, "out of memory in cse");
    for (int i = 0; order && table && i < n; i++) {
        wf_node *x = order[i];
        for (int j = 0; j < x->n_in; j++) x->in[j] = wf_resolve(x->in[j]);
        if (!is_mergeable(x)) continue;
        size_t at = hash_node(x) & (room - 1);
        while (table[at] && !is_same(table[at], x)) at = (at + 1) & (room - 1);
        if (table[at]) {
            wf_replace(x, table[at]);
            changed = true;
        } else {
            table[at] = x;
        }
    }
    free(order);
    free(table);
    return changed;
}

const wf_pass wf_pass_cse = {
    .name = "cse",
    .doc = "equal op, attributes and inputs -> one node",
    .run = merge_equal,
};
