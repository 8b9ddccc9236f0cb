/* The order of passes, and the loop that runs them. */
#include "passes/passes.h"

#include "autograd/autograd.h"
#include "graph/notes.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A program that only evaluates drops what training needs. */
static const wf_pass *const inference[] = {&wf_pass_inference, NULL};

/* Before that, it may put the averages of parameters in their place. */
static const wf_pass *const averages[] = {&wf_pass_averages, NULL};

/* Forms that know their own gradient are fused first; then rows that nobody asks for are left out,
 * in the gradient too, but not inside of such a form, which would no more be found; ... */
static const wf_pass *const before_gradient[] = {
    &wf_pass_simplify, &wf_pass_cse, &wf_pass_fuse_gau, &wf_pass_pull_gather, NULL,
};

/* ... then requests become graph, ... */
static const wf_pass *const gradient[] = {&wf_pass_update, &wf_pass_backward, NULL};

/* ... and are products of the precision that was asked for, ... */
static const wf_pass *const rounding[] = {&wf_pass_round_products, NULL};

/* ... then everything is tidied and fused once more; nothing is differentiated any more. */
static const wf_pass *const after_gradient[] = {
    &wf_pass_simplify,
    &wf_pass_cse,
    &wf_pass_lower,
    &wf_pass_widen_inside,
    &wf_pass_fuse_pointwise,
    &wf_pass_fuse_linear,
    &wf_pass_layout,
    &wf_pass_cse,
    NULL,
};

const wf_pass *const *const wf_pipeline[] = {
    averages, inference, before_gradient, gradient, rounding, after_gradient, NULL};

enum { MAX_ROUNDS = 100 };

/* Nobody who reads x looks at its type again, and an output has no reader at all. */
static void replace(wf_node *x, wf_node *by)
{
    if (by->graph != x->graph)
        wf_graph_broken(x, "its replacement belongs to another graph");
    else if (by->dtype != x->dtype || !wf_shape_equal(&by->shape, &x->shape))
        wf_graph_broken(x, "its replacement has another type");
    else
        wf_replace(x, by);
}

static bool rewrite_round(wf_graph *g, const wf_pass *p, bool *changed)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    for (int i = 0; order && i < n && g->status == WF_OK; i++) {
        wf_node *x = order[i];
        if (x->forward) continue;
        for (int j = 0; j < x->n_in; j++) x->in[j] = wf_resolve(x->in[j]);
        g->scope = x->scope;
        wf_node *by = p->rewrite(x);
        if (!by || wf_resolve(by) == x) continue;
        if (wf_is_poison(by)) break;
        replace(x, by);
        *changed = true;
    }
    g->scope = "";
    free(order);
    return g->status == WF_OK;
}

bool wf_pass_apply(wf_graph *g, const wf_pass *p)
{
    bool changed = true;
    g->pass = p->name;
    for (int round = 0; changed && round < MAX_ROUNDS; round++) {
        changed = false;
        wf_notes_look(g);
        if (p->rewrite && !rewrite_round(g, p, &changed)) return false;
        if (p->run && p->run(g)) changed = true;
        if (g->status != WF_OK) return false;
    }
    if (!wf_verify(g)) return false;
    wf_notes_passed(g);
    return g->status == WF_OK;
}

static bool is_without(const char *without, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = without; at && (at = strstr(at, name)); at += n)
        if (at > without && at[-1] == '-' && (at[n] == ',' || at[n] == '\0')) return true;
    return false;
}

/* These make a graph runnable and cannot be left out. */
static bool is_needed(const wf_pass *p)
{
    return p == &wf_pass_lower || p == &wf_pass_layout || p == &wf_pass_backward ||
           p == &wf_pass_update || p == &wf_pass_averages || p == &wf_pass_inference;
}

static const wf_pass *find_in(const wf_pass *const *passes, const char *name, size_t n)
{
    for (; passes && *passes; passes++)
        if (!strncmp((*passes)->name, name, n) && !(*passes)->name[n]) return *passes;
    return NULL;
}

/* A pass of the pipeline or of this compilation, by a name of n bytes. */
static const wf_pass *find_pass(const char *name, size_t n, const wf_pass_options *o)
{
    const wf_pass *found = find_in(o->extra, name, n);
    if (!found) found = find_in(o->stored, name, n);
    if (!found) found = find_in(o->last, name, n);
    for (const wf_pass *const *const *part = wf_pipeline; *part && !found; part++)
        found = find_in(*part, name, n);
    return found;
}

/* A misspelt name would change nothing and say nothing. */
static bool check_names(wf_graph *g, const wf_pass_options *o)
{
    const char *name = o->dump;
    if (name && *name && strcmp(name, "before") != 0 && strcmp(name, "after") != 0 &&
        !find_pass(name, strlen(name), o)) {
        wf_graph_fail(g, WF_EMODEL,
                      "WF_DUMP=%.60s: expected before, after or a pass of docs/ops.md", name);
        return false;
    }
    for (const char *at = o->without, *next; at; at = next) {
        size_t n = strcspn(at, ",");
        next = at[n] ? at + n + 1 : NULL;
        const wf_pass *p = *at == '-' ? find_pass(at + 1, n - 1, o) : NULL;
        if (!p || is_needed(p)) {
            wf_graph_fail(g, WF_EMODEL, "WF_PASSES: '%.*s': %s", n < 60 ? (int)n : 60, at,
                          p ? "this pass cannot be left out"
                            : "expected -NAME of a pass of docs/ops.md, several with commas");
            return false;
        }
    }
    return true;
}

static void dump(const wf_graph *g, const wf_pass_options *o, const char *name)
{
    if (!o->dump || strcmp(o->dump, name)) return;
    char *text = wf_graph_text(g);
    fprintf(stderr, "# %s\n%s", name, text ? text : "");
    free(text);
}

static bool run_all(wf_graph *g, const wf_pass *const *passes, const wf_pass_options *o)
{
    for (; passes && *passes; passes++) {
        if (!is_needed(*passes) && is_without(o->without, (*passes)->name)) continue;
        if (!wf_pass_apply(g, *passes)) return false;
        dump(g, o, (*passes)->name);
    }
    return true;
}

/* Fusions may drop values in the middle that a gradient is asked for, and leave ops behind that can
 * be differentiated only once. Such requests are met on the plain graph: those by anything but a
 * leaf, and those of a loss that holds a gradient itself. */
static bool needs_plain_graph(wf_graph *g)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    char *holds = calloc((size_t)g->n_nodes + 1, 1);
    bool found = false;
    if (!holds) wf_graph_fail(g, WF_ENOMEM, "out of memory while compiling");
    for (int i = 0; order && holds && i < n; i++) {
        const wf_node *y = order[i];
        bool is_request = y->op == &wf_op_gradient;
        for (int j = 0; j < y->n_in; j++) holds[y->id] |= holds[y->in[j]->id];
        const wf_op *x = is_request ? y->in[1]->op : NULL;
        bool is_leaf = x == &wf_op_param || x == &wf_op_input || x == &wf_op_state;
        if (is_request && (!is_leaf || holds[y->in[0]->id])) found = true;
        if (y->op == &wf_op_minimize && holds[y->id]) found = true;
        if (is_request) holds[y->id] = 1;
    }
    free(order);
    free(holds);
    return found;
}

bool wf_optimize(wf_graph *g, wf_pass_options *o)
{
    static const wf_pass *const plain[] = {&wf_pass_backward, NULL};
    if (!check_names(g, o)) return false;
    dump(g, o, "before");
    if (o->averages && !run_all(g, averages, o)) return false;
    if (o->forward_only && !run_all(g, inference, o)) return false;
    if (needs_plain_graph(g) && !run_all(g, plain, o)) return false;
    if (!run_all(g, before_gradient, o) || !run_all(g, o->extra, o)) return false;
    if (!run_all(g, gradient, o)) return false;
    o->nodes_differentiated = wf_graph_size(g);
    if (o->rounds_products && !run_all(g, rounding, o)) return false;
    if (!run_all(g, o->stored, o) || !run_all(g, after_gradient, o)) return false;
    if (!run_all(g, o->last, o)) return false;
    dump(g, o, "after");
    return true;
}
