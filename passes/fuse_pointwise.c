/*
 * Pointwise programs grow together, over forward, backward and optimizer alike.
 *
 *   P(Q(x), y), Q used by P alone            ->  P+Q(x, y)
 *   assign(leaf, P(x)), P used there alone   ->  pointwise_store(x, leaf)
 *   a store's input Q that is also assigned  ->  one program with two stores
 *   two stores of one shape sharing an input ->  one program with both stores
 *
 * Every merge saves writing and reading a tensor, or reading one twice. A store needs that nobody
 * else must read the old value later: the schedule puts readers first, and a cycle of two programs
 * that each overwrite what the other reads is refused here.
 */
#include "passes/effects.h"
#include "passes/passes.h"

#include "ops/pointwise.h"

#include <stdlib.h>
#include <string.h>

typedef struct builder {
    wf_pw p;
    wf_node *in[WF_PW_IN];
} builder;

/* The number of an input in the new program; -1 when it is full. */
static int input_of(builder *b, wf_node *x)
{
    for (int i = 0; i < b->p.n_in; i++)
        if (b->in[i] == x) return i;
    if (b->p.n_in == WF_PW_IN) return -1;
    b->in[b->p.n_in] = x;
    return b->p.n_in++;
}

/* Collect the inputs of n, leaving out those in skip[]. */
static bool take_inputs(builder *b, const wf_node *n, const wf_node *skip)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] != skip && input_of(b, n->in[i]) < 0) return false;
    return true;
}

/* The number of a value that an instruction before has made already; -1 if none has. */
static int made_before(const builder *b, const wf_pw_instr *k)
{
    for (int i = 0; i < b->p.n_instr; i++) {
        const wf_pw_instr *x = &b->p.instr[i];
        if (x->op == k->op && !memcmp(x->in, k->in, sizeof k->in) &&
            (x->attr == k->attr || !memcmp(x->attr, k->attr, k->op->attr_size)))
            return b->p.n_in + i;
    }
    return -1;
}

/* Append n's instructions, the last one in any case; reads of inner become value inner_value. All
 * inputs are known. */
static bool take_program(builder *b, const wf_node *n, const wf_node *inner, int inner_value)
{
    const wf_pw *p = n->attr;
    if (b->p.n_instr + p->n_instr > WF_PW_INSTR) return false;
    if (b->p.n_stores + p->n_stores > WF_PW_STORES) return false;
    int value[WF_PW_IN + WF_PW_INSTR];
    for (int i = 0; i < p->n_in; i++)
        value[i] = n->in[i] == inner ? inner_value : input_of(b, n->in[i]);
    for (int i = 0; i < p->n_instr; i++) {
        wf_pw_instr k = p->instr[i];
        for (int j = 0; j < k.n_in; j++) k.in[j] = value[k.in[j]];
        int known = i < p->n_instr - 1 ? made_before(b, &k) : -1;
        value[p->n_in + i] = known >= 0 ? known : b->p.n_in + b->p.n_instr;
        if (known < 0) b->p.instr[b->p.n_instr++] = k;
    }
    for (int i = 0; i < p->n_stores; i++) {
        b->p.store[b->p.n_stores] = p->store[i];
        b->p.store[b->p.n_stores].value = value[p->store[i].value];
        b->p.store[b->p.n_stores++].input = value[p->store[i].input];
    }
    return true;
}

/* The program stores value into input to, as assign a does. */
static bool take_store(builder *b, const wf_node *a, int value, int to)
{
    if (b->p.n_stores == WF_PW_STORES) return false;
    bool rounds = wf_is_rounding(a->in[1]);
    b->p.store[b->p.n_stores].value = value;
    b->p.store[b->p.n_stores].input = to;
    b->p.store[b->p.n_stores++].salt = rounds ? ((const wf_cast_attr *)a->in[1]->attr)->salt : 0;
    return true;
}

static int last_value(const builder *b)
{
    return b->p.n_in + b->p.n_instr - 1;
}

static wf_node *finish(builder *b, const wf_op *op)
{
    return wf_apply(op, &b->p, b->p.n_in, b->in);
}

/* P(Q(x), y) -> one program of P's kind. */
static wf_node *merge_into(wf_node *p, wf_node *q)
{
    builder b = {0};
    if (!take_inputs(&b, q, NULL) || !take_inputs(&b, p, q)) return NULL;
    if (!take_program(&b, q, NULL, 0)) return NULL;
    return take_program(&b, p, q, last_value(&b)) ? finish(&b, p->op) : NULL;
}

static bool is_inner(const wf_node *p, const wf_node *q)
{
    if (q->op != &wf_op_pointwise) return false;
    if (q->n_users != 1)
        wf_note(q, "its value has another reader");
    else if (!wf_shape_equal(&p->shape, &q->shape))
        wf_note(q, "its reader has another shape");
    else
        return true;
    return false;
}

static wf_node *fuse_chain(wf_node *n)
{
    if (n->op != &wf_op_pointwise) return NULL; /* stores grow below, they are replaced otherwise */
    for (int i = 0; i < n->n_in; i++) {
        if (!is_inner(n, n->in[i])) continue;
        wf_node *by = merge_into(n, n->in[i]);
        if (by) return by;
        wf_note(n, "a program takes %d instructions and %d inputs at most", WF_PW_INSTR, WF_PW_IN);
    }
    return NULL;
}

/* Does n read what it stores otherwise than element by element? */
static bool reads_elsewhere(const wf_node *n)
{
    const wf_pw *p = n->attr;
    for (int s = 0; s < p->n_stores; s++) {
        const wf_node *leaf = n->in[p->store[s].input];
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] != leaf && wf_origin(n->in[i]) == leaf) return true;
    }
    return false;
}

/* May the program store in place, instead of the effects x and y? */
static bool is_sound(wf_effects *all, builder *b, const wf_node *x, const wf_node *y)
{
    wf_node n = {.op = &wf_op_pointwise_store, .attr = &b->p, .in = b->in, .n_in = b->p.n_in};
    if (reads_elsewhere(&n))
        wf_note(x, "the update reads the old value not only element by element");
    else if (wf_effects_wait_for_itself(all, &n, x, y))
        wf_note(x, "another update reads the old value and is read by this one");
    else
        return true;
    return false;
}

/* assign(leaf, P) -> a program that stores its last value. */
static bool fuse_assign(wf_effects *all, wf_node *a)
{
    if (a->op != &wf_op_assign) return false;
    wf_node *leaf = a->in[0], *p = wf_assigned(a);
    if (p->op != &wf_op_pointwise) return false;
    if (p->n_users != 1) wf_note(a, "the new value has another reader");
    if (p->n_users != 1 || !wf_shape_equal(&leaf->shape, &p->shape)) return false;
    builder b = {0};
    if (!take_inputs(&b, p, NULL)) return false;
    int to = input_of(&b, leaf);
    if (to < 0 || !take_program(&b, p, NULL, 0)) return false;
    if (!take_store(&b, a, last_value(&b), to) || !is_sound(all, &b, a, NULL)) return false;
    wf_effects_replace(all, a, NULL, finish(&b, &wf_op_pointwise_store));
    return true;
}

static wf_node *assign_of(const wf_effects *all, const wf_node *value)
{
    for (int at = -1;;) {
        wf_node *e = wf_effects_reader(all, value, &at);
        if (!e || e->op == &wf_op_assign) return e;
    }
}

/* A store program e swallows its input q; if q is assigned to a leaf too (its only other user),
 * that becomes one more store. */
static bool fuse_input(wf_effects *all, wf_node *e, wf_node *q)
{
    if (q->op != &wf_op_pointwise || !wf_shape_equal(&e->shape, &q->shape)) return false;
    wf_node *a = q->n_users == 2 ? assign_of(all, q) : NULL;
    if (q->n_users != 1 && !a) return false;
    builder b = {0};
    if (!take_inputs(&b, q, NULL) || !take_inputs(&b, e, q)) return false;
    int to = a ? input_of(&b, a->in[0]) : 0;
    if (to < 0 || !take_program(&b, q, NULL, 0)) return false;
    int value = last_value(&b);
    if (!take_program(&b, e, q, value)) return false;
    if (a && !take_store(&b, a, value, to)) return false;
    if (!is_sound(all, &b, e, a)) return false;
    wf_effects_replace(all, e, a, finish(&b, &wf_op_pointwise_store));
    return true;
}

/* Two stores of one shape that read the same large tensor read it once together. */
static bool fuse_pair(wf_effects *all, wf_node *e, wf_node *f)
{
    builder b = {0};
    if (!take_inputs(&b, e, NULL) || !take_inputs(&b, f, NULL)) return false;
    if (!take_program(&b, e, NULL, 0) || !take_program(&b, f, NULL, 0)) return false;
    if (!is_sound(all, &b, e, f)) return false;
    wf_effects_replace(all, e, f, finish(&b, &wf_op_pointwise_store));
    return true;
}

static bool fuse_with_earlier(wf_effects *all, wf_node *f)
{
    for (int i = 0; i < f->n_in; i++)
        for (int at = -1;;) {
            wf_node *e = wf_effects_reader(all, f->in[i], &at);
            if (!e || e->id >= f->id) break;
            if (e->op == &wf_op_pointwise_store && wf_shape_equal(&e->shape, &f->shape) &&
                fuse_pair(all, e, f))
                return true;
        }
    return false;
}

static bool fuse_effect(wf_effects *all, wf_node *e)
{
    if (fuse_assign(all, e)) return true;
    if (e->op != &wf_op_pointwise_store) return false;
    for (int i = 0; i < e->n_in; i++)
        if (fuse_input(all, e, e->in[i])) return true;
    return fuse_with_earlier(all, e);
}

/* A merged effect leaves its place in the list to the next one; counts of users only become too
 * large meanwhile, which hides a merge until the next round and never allows a wrong one. */
static bool fuse_effects(wf_graph *g)
{
    bool changed = false;
    wf_effects all;
    wf_effects_open(&all, g);
    for (int i = 0; i < g->n_effects && g->status == WF_OK; i++) {
        g->scope = g->effects[i]->scope;
        if (!fuse_effect(&all, g->effects[i])) continue;
        changed = true;
        i--;
    }
    wf_effects_close(&all);
    g->scope = "";
    return changed;
}

const wf_pass wf_pass_fuse_pointwise = {
    .name = "fuse_pointwise",
    .doc = "P(Q(x)), assign(leaf, P(x)) -> one elementwise program with stores",
    .rewrite = fuse_chain,
    .run = fuse_effects,
};
