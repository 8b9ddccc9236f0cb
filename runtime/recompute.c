/*
 * Values that lie unused over the step that needs the most memory are computed again after it
 * instead of being kept (Chen, Xu, Zhang, Guestrin 2016, "Training Deep Nets with Sublinear Memory
 * Cost"; greedy by time for bytes, as in Jain et al. 2020, "Checkmate", section 6).
 *
 *   y = f(x) ... peak ... g(y)   ->   y = f(x) ... peak ... y' = f(x), g(y')
 *
 * f may be a chain: what it reads must be there late, is kept for it, or is computed again as well.
 * What costs next to nothing and is large goes this way always, the rest under a limit only. Every
 * round plans the program as it is, picks at its peak, and repeats what it picked. What repeats a
 * value is never repeated itself; nor are effects, leaves and outputs.
 *
 * Where wf_compile_options.activations asks for that, what is large and not cheap is kept in 16
 * bits meanwhile, rounded to nearest as soon as it is made:
 *
 *   y = f(x) ... peak ... g(y)   ->   y = f(x), z = cast(y) ... peak ... g(cast(z))
 *
 * Only readers that no output of the model waits for turn to z, and what these wait for is no
 * longer computed again, for z may be what is left of its inputs: so forward results keep their
 * bits.
 */
#include "runtime/program.h"

#include "graph/notes.h"
#include "ops/narrow.h"
#include "passes/passes.h"

#include <stdlib.h>

enum { MAX_CHAIN = 32, ROUNDS = 64, NEAR = 8 };

/* Always: nanoseconds a byte as a norm or a gate takes, for values that no cache holds. */
static const double CHEAP = 0.35;
static const size_t LARGE = 1 << 20;

/* When a value, its views included, is read: around the peak and at last. */
typedef struct use {
    int made;       /* the step that makes it; -1: none */
    int idle;       /* the last step before the peak that reads or makes it */
    int next, last; /* first reader behind the peak, last reader of all; -1: none */
    bool is_busy;   /* made or read at the peak */
    bool is_picked; /* will be repeated */
    bool is_narrow; /* will be kept in 16 bits */
    size_t saved;   /* bytes less at the peak */
    wf_cost less;   /* what all kernels do less, or more, for its late readers */
} use;

typedef struct search {
    wf_graph *g;
    wf_program *q;   /* the program as the graph is now, to look at */
    use *uses;       /* by value of q */
    int *index;      /* by node: its value in q, -1 none */
    wf_node **again; /* by node: what repeats it */
    size_t room;     /* of again */
    bool is_tight;   /* more than what is cheap is needed */
    bool has_narrow; /* something is kept in 16 bits */
    int forward;     /* the last step that an output of the model waits for */
} search;

/* To repeat chain[0], the others must be repeated for it. */
typedef struct choice {
    int chain[MAX_CHAIN], n;
    size_t saved;
    double ns; /* for a byte saved */
} choice;

static int origin_of(const wf_program *q, int v)
{
    while (q->values[v].place == WF_IN_VIEW) v = q->values[v].origin;
    return v;
}

static size_t bytes_of(const wf_program *q, int v)
{
    const wf_node *n = q->values[v].node;
    return (size_t)wf_elements(&n->shape) * wf_dtype_bytes(n->dtype);
}

static void find_uses(search *s)
{
    wf_program *q = s->q;
    s->forward = -1;
    for (int v = 0; v < q->n_values; v++) {
        s->uses[v] = (use){.made = -1, .next = -1, .last = -1};
        s->index[q->values[v].node->id] = v;
    }
    for (int i = 0; i < q->n_steps; i++) {
        use *y = &s->uses[q->steps[i].value];
        y->made = y->idle = i;
        y->is_busy = i == q->peak;
        for (int j = 0; j < q->steps[i].node->n_in; j++) {
            use *x = &s->uses[origin_of(q, wf_step_inputs(q, &q->steps[i])[j])];
            if (i == q->peak) x->is_busy = true;
            if (i < q->peak) x->idle = i;
            if (i > q->peak && x->next < 0) x->next = i;
            x->last = i;
        }
    }
    for (int o = 0; o < s->g->n_outputs; o++) /* they stay to the end, and may not be repeated */
        for (int v = s->index[s->g->outputs[o].node->id], go = 1; go; v = q->values[v].origin) {
            bool is_declared = o < s->g->program->n_outputs;
            if (is_declared && s->uses[v].made > s->forward) s->forward = s->uses[v].made;
            s->uses[v].last = q->n_steps;
            s->uses[v].is_busy = true;
            go = q->values[v].place == WF_IN_VIEW;
        }
}

static bool may_repeat(const search *s, int v)
{
    const wf_node *n = s->q->values[v].node;
    const use *x = &s->uses[v];
    bool is_kept = wf_waits_narrow(n); /* what it is made of is gone */
    bool is_exact = s->has_narrow && x->next >= 0 && x->next <= s->forward;
    return s->q->values[v].place == WF_IN_SLAB && !(n->op->traits & WF_EFFECT) && !n->repeats &&
           !is_kept && !is_exact && !x->is_picked && x->made < s->q->peak;
}

/* Will x be there when y is repeated? What lives a little earlier or later, by its bytes and steps
 * against those that y saves, may be taken as if it were. */
static bool is_there(const search *s, int x, int y)
{
    if (s->q->values[x].place != WF_IN_SLAB) return true;
    const use *u = &s->uses[x], *v = &s->uses[y];
    int late = v->next, from = u->is_picked ? u->next : u->made, away = 0;
    if (u->last < late) away = late - u->last;
    if (from > late) away = from - late;
    if (away > 0 && from <= s->q->peak && u->last <= s->q->peak) return false;
    return (double)bytes_of(s->q, x) * away * NEAR <= (double)bytes_of(s->q, y) * (late - v->idle);
}

static bool is_in_chain(const choice *c, int v)
{
    for (int i = 0; i < c->n; i++)
        if (c->chain[i] == v) return true;
    return false;
}

/* Bytes of what the chain reads, is not there at its step, and would have to be kept; *next becomes
 * the largest of it that may be repeated as well, or -1. */
static size_t kept_for(const search *s, const choice *c, int *next)
{
    const wf_program *q = s->q;
    int missing[4 * MAX_CHAIN], n = 0;
    size_t sum = 0;
    *next = -1;
    for (int i = 0; i < c->n; i++) {
        int step = s->uses[c->chain[i]].made;
        for (int j = 0; j < q->steps[step].node->n_in; j++) {
            int v = origin_of(q, wf_step_inputs(q, &q->steps[step])[j]), k = 0;
            const wf_node *by = s->again[q->values[v].node->id];
            if (by && s->index[by->id] >= 0) v = s->index[by->id];
            if (is_in_chain(c, v) || is_there(s, v, c->chain[0])) continue;
            while (k < n && missing[k] != v) k++;
            if (k < n) continue;
            if (n == 4 * MAX_CHAIN) return SIZE_MAX;
            missing[n++] = v;
            sum += bytes_of(q, v);
            if (may_repeat(s, v) && (*next < 0 || bytes_of(q, v) > bytes_of(q, *next))) *next = v;
        }
    }
    return sum;
}

/* The best chain for value v: each time it grows by the largest value that it would have to keep.
 */
static choice best_chain(const search *s, int v)
{
    choice c = {.chain = {v}, .n = 1}, best = {0};
    size_t bytes = bytes_of(s->q, v);
    double ns = 0;
    for (int next = v; next >= 0 && c.n <= MAX_CHAIN;) {
        c.chain[c.n - 1] = next;
        ns += wf_step_ns(&s->q->steps[s->uses[next].made]);
        size_t kept = kept_for(s, &c, &next);
        c.saved = bytes > kept ? bytes - kept : 0;
        c.ns = c.saved ? ns / (double)c.saved : 0;
        if (c.saved && (!best.n || c.ns < best.ns)) best = c;
        c.n++;
    }
    return best;
}

static choice best_choice(const search *s, bool is_cheap)
{
    choice best = {0};
    for (int v = 0; v < s->q->n_values; v++) {
        const use *x = &s->uses[v];
        if (!may_repeat(s, v) || x->is_busy || x->next < 0) continue;
        if (is_cheap && bytes_of(s->q, v) < LARGE) continue;
        choice c = best_chain(s, v);
        if (!c.n || (is_cheap && c.ns > CHEAP)) continue;
        if (!best.n || c.ns < best.ns) best = c;
    }
    return best;
}

static void take(search *s, const choice *c)
{
    int late = s->uses[c->chain[0]].next;
    s->uses[c->chain[0]].saved = c->saved;
    for (int i = 0; i < c->n; i++) {
        use *x = &s->uses[c->chain[i]];
        x->is_picked = true;
        if (x->next < 0 || x->next > late) x->next = late;
        if (x->last < late) x->last = late;
    }
}

/* All that waits over the peak for readers behind the forward pass. */
static bool pick_narrow(search *s)
{
    bool found = false;
    for (int v = 0; v < s->q->n_values; v++) {
        use *x = &s->uses[v];
        const wf_node *n = s->q->values[v].node;
        if (n->dtype != WF_F32 || !may_repeat(s, v) || x->is_busy || s->again[n->id]) continue;
        if (x->made > s->forward || x->next <= s->forward) continue; /* or it is a gradient */
        x->is_narrow = bytes_of(s->q, v) >= LARGE;
        x->saved = bytes_of(s->q, v) / 2;
        found |= x->is_narrow;
    }
    s->has_narrow |= found;
    return found;
}

/* What is cheap at the peak; once nothing is, and the limit is not met, the best for a part of the
 * plan: the peak is elsewhere soon. A limit tells when to begin with that and when to stop, never
 * what to pick: so the least that was found under one can be had. */
static bool pick(search *s)
{
    wf_program *p = s->g->program;
    size_t now = s->q->stats.memory_bytes, part = s->q->stats.plan_bytes / ROUNDS, saved = 0;
    bool is_above = p->limit && now + p->besides > p->limit;
    choice c = {0};
    if (!s->is_tight) c = best_choice(s, true);
    if (!c.n && p->activations != WF_F32 && pick_narrow(s)) return true;
    if (!c.n && is_above) {
        if (!s->is_tight || now < p->least) p->least = now;
        s->is_tight = true;
        c = best_choice(s, false);
    }
    bool found = c.n;
    while (c.n) {
        take(s, &c);
        saved += c.saved;
        c = s->is_tight && saved >= part ? (choice){0} : best_choice(s, !s->is_tight);
    }
    return found;
}

static wf_node *repeat(search *s, const wf_node *n);

/* What stands for x late: what repeats it, or for a view a view of that; else x. */
static wf_node *late(search *s, wf_node *x)
{
    bool is_view = x->op->traits & WF_VIEW;
    if (!s->again[x->id] && is_view && s->again[wf_origin(x)->id]) repeat(s, x);
    return s->again[x->id] ? s->again[x->id] : x;
}

/* A node like n that runs late, on what is there then; random ones draw the same numbers. */
static wf_node *repeat(search *s, const wf_node *n)
{
    s->g->scope = n->scope;
    wf_node *y = n->n_in ? wf_apply(n->op, n->attr, n->n_in, n->in)
                         : wf_leaf_new(s->g, n->op, n->attr, n->name); /* random, counted */
    s->g->scope = "";
    if (wf_is_poison(y)) return y;
    y->name = n->name;
    y->salt = n->salt;
    y->repeats = n;
    int looks = n->op->traits & WF_VIEW ? 1 : n->n_in; /* a view looks into its first input only */
    for (int i = 0; i < looks; i++) y->in[i] = late(s, n->in[i]);
    return s->again[n->id] = y;
}

/* What stands for x late is made out of 16 bits, if its reader does not widen them itself. */
static void keep_narrow(search *s, wf_node *x)
{
    s->g->scope = x->scope;
    wf_node *wide = wf_widened(wf_narrowed(x, s->g->program->activations, 0));
    s->g->scope = "";
    if (wf_is_poison(wide)) return;
    wide->repeats = x;
    s->again[x->id] = wide;
}

static void turn(search *s, wf_node *n, int input)
{
    wf_node *x = n->in[input], *by = late(s, x);
    bool is_narrow = by == s->again[x->id] && by->op == &wf_op_cast && wf_widens(n, input) &&
                     wf_is_narrow(by->in[0]->dtype);
    wf_set_input(n, input, is_narrow ? by->in[0] : by);
    wf_notes_saved(s->g, &s->uses[s->index[wf_origin(x)->id]].less);
}

/* Repeat what was picked; readers behind the peak turn to that. */
static void apply(search *s)
{
    const wf_program *q = s->q;
    int first_new = s->g->n_nodes;
    for (int v = 0; v < q->n_values && s->g->status == WF_OK; v++)
        if (s->uses[v].is_picked)
            repeat(s, q->values[v].node);
        else if (s->uses[v].is_narrow)
            keep_narrow(s, q->values[v].node);
    for (int i = q->peak + 1; i < q->n_steps && s->g->status == WF_OK; i++) {
        wf_node *n = q->values[q->steps[i].value].node;
        for (int j = 0; j < n->n_in; j++) {
            const wf_node *by = s->again[wf_origin(n->in[j])->id];
            if (by && by->id >= first_new) turn(s, n, j);
        }
    }
}

static void tell_picked(const search *s)
{
    const char *dtype = wf_dtype_name(s->g->program->activations);
    for (int v = 0; v < s->q->n_values && s->g->status == WF_OK; v++) {
        const use *x = &s->uses[v];
        const char *how = x->is_narrow ? dtype : x->saved ? "again" : "again, for another";
        if (x->is_picked || x->is_narrow)
            wf_notes_late(s->q->values[v].node, how, x->less, x->saved);
    }
}

/* What is large, waits over the peak, and is kept all the same. */
static void tell_kept(const search *s)
{
    for (int v = 0; s->g->notes && v < s->q->n_values; v++) {
        const use *x = &s->uses[v];
        const wf_node *n = s->q->values[v].node;
        bool waits = x->made >= 0 && x->made < s->q->peak && x->next >= 0 && !x->is_busy;
        if (!waits || n->repeats || wf_waits_narrow(n) || bytes_of(s->q, v) < LARGE) continue;
        if (!may_repeat(s, v))
            wf_note(n, "an output waits for its reader, and keeps its bits");
        else if (!best_chain(s, v).n)
            wf_note(n, "what it is made of would be kept for it, and is as large");
        else if (!s->is_tight)
            wf_note(n, "it is not cheap, and no limit asks for it");
    }
}

/* A round adds a node for each that it repeats, views of it too, and two for what it narrows. */
static bool make_room(search *s)
{
    size_t room = 4 * (size_t)s->g->n_nodes + 1;
    wf_node **grown = room > s->room ? realloc(s->again, room * sizeof *grown) : s->again;
    if (!grown) {
        wf_graph_fail(s->g, WF_ENOMEM, "out of memory while compiling");
        return false;
    }
    for (; s->room < room; s->room++) grown[s->room] = NULL;
    s->again = grown;
    return true;
}

/* One round; false: nothing was found, or the graph has failed. */
static bool improve(search *s, wf_program *p)
{
    s->q = make_room(s) ? wf_program_look(p) : NULL;
    if (!s->q) return false;
    if (!p->plan_bytes_before) p->plan_bytes_before = s->q->stats.plan_bytes;
    s->uses = malloc(((size_t)s->q->n_values + 1) * sizeof *s->uses);
    s->index = malloc(((size_t)s->g->n_nodes + 1) * sizeof *s->index);
    bool found = false;
    if (s->uses && s->index) {
        for (int i = 0; i < s->g->n_nodes; i++) s->index[i] = -1;
        find_uses(s);
        found = pick(s);
        apply(s);
        if (found)
            tell_picked(s);
        else
            tell_kept(s);
    } else {
        wf_graph_fail(s->g, WF_ENOMEM, "out of memory while compiling");
    }
    free(s->uses);
    free(s->index);
    s->q->g = NULL;
    wf_program_free(s->q);
    return found && s->g->status == WF_OK;
}

static bool recompute(wf_graph *g)
{
    search s = {.g = g};
    while (improve(&s, g->program)) continue;
    free(s.again);
    return false;
}

const wf_pass wf_pass_recompute = {
    .name = "recompute",
    .doc = "f(x) ... g(f(x)) over the peak of memory -> f(x) ... g(f'(x))",
    .run = recompute,
};
