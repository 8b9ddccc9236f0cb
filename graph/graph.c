/* Life of a graph: birth of nodes, names, scopes, outputs, the sticky first mistake, copies. */
#include "graph/graph.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wf_op poison_op = {.name = "poison", .doc = "what builders return after a mistake"};

static void make_poison(wf_graph *g)
{
    g->poison = (wf_node){.op = &poison_op, .graph = g, .scope = "", .id = -1};
    g->scope = "";
}

/* What wf_graph_new returns when there is no memory at all: a graph already in error. */
static wf_graph *no_memory_graph(void)
{
    static wf_graph g = {.status = WF_ENOMEM, .message = "out of memory"};
    make_poison(&g);
    return &g;
}

wf_graph *wf_graph_new(void)
{
    wf_graph *g = calloc(1, sizeof *g);
    if (!g) return no_memory_graph();
    g->refs = 1;
    make_poison(g);
    return g;
}

void wf_graph_free(wf_graph *g)
{
    if (!g || g->refs == 0 || --g->refs > 0) return;
    wf_graph_free(g->parent);
    wf_arena_free(&g->arena);
    free(g->nodes);
    free(g->by_name);
    free(g->outputs);
    free(g->effects);
    free(g);
}

wf_status wf_graph_check(const wf_graph *g)
{
    if (g->status != WF_OK) wf_error_set(g->status, "%s", g->message);
    return g->status;
}

void wf_graph_fail(wf_graph *g, wf_status s, const char *format, ...)
{
    if (g->status != WF_OK) return;
    va_list ap;
    va_start(ap, format);
    vsnprintf(g->message, sizeof g->message, format, ap);
    va_end(ap);
    g->status = s;
}

/* A text that tells no shape gets those of the inputs. */
static void add_shapes(const wf_node *y, char *text, size_t size)
{
    char shape[80];
    for (const char *c = text; (c = strchr(c, '[')); c++)
        if (strchr("0123456789?]", c[1])) return;
    for (int i = 0; i < y->n_in && i < 3; i++) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s %s", i ? ", " : "; inputs ",
                 wf_dtype_name(y->in[i]->dtype),
                 wf_shape_text(&y->in[i]->shape, shape, sizeof shape));
    }
}

bool wf_fail(wf_node *y, const char *format, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    add_shapes(y, text, sizeof text);
    const char *path = y->name ? y->name : y->scope;
    size_t n = path ? strlen(path) : 0;
    if (n > 100) path += n - 100; /* its end tells more than its beginning */
    wf_graph_fail(y->graph, WF_EMODEL, "%s%s%s%s: %s", n > 100 ? "..." : "", n ? path : "",
                  n ? ": " : "", y->op->name, text);
    return false;
}

wf_node *wf_refuse(wf_graph *g, const wf_op *op, const char *format, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    wf_fail(&(wf_node){.op = op, .graph = g, .scope = g->scope}, "%s", text);
    return &g->poison;
}

wf_node *wf_poison(wf_graph *g)
{
    return &g->poison;
}

bool wf_is_poison(const wf_node *n)
{
    return n->op == &poison_op;
}

void *wf_graph_alloc(wf_graph *g, size_t bytes)
{
    void *p = wf_arena_alloc(&g->arena, bytes);
    if (!p) wf_graph_fail(g, WF_ENOMEM, "out of memory while building a graph");
    return p;
}

/* Append to a malloc'ed array of pointers that doubles. */
static bool push(wf_graph *g, wf_node ***list, int *n, int *room, wf_node *x)
{
    if (*n == *room) {
        int bigger = *room ? *room * 2 : 64;
        wf_node **grown = realloc(*list, (size_t)bigger * sizeof *grown);
        if (!grown) {
            wf_graph_fail(g, WF_ENOMEM, "out of memory while building a graph");
            return false;
        }
        *list = grown;
        *room = bigger;
    }
    (*list)[(*n)++] = x;
    return true;
}

/* The one place where nodes are born. */
static wf_node *birth(wf_graph *g, const wf_op *op, const void *attr, int n_in, wf_node *const in[])
{
    if (g->status != WF_OK) return &g->poison;
    wf_node *y = wf_graph_alloc(g, sizeof *y);
    wf_node **inputs = wf_graph_alloc(g, (size_t)(n_in ? n_in : 1) * sizeof *inputs);
    void *copy = op->attr_size ? wf_graph_alloc(g, op->attr_size) : NULL;
    if (g->status != WF_OK) return &g->poison;
    if (copy && attr) memcpy(copy, attr, op->attr_size);
    for (int i = 0; i < n_in; i++) inputs[i] = in[i];
    *y = (wf_node){.op = op,
                   .graph = g,
                   .scope = g->scope,
                   .attr = copy,
                   .in = inputs,
                   .n_in = n_in,
                   .id = g->n_nodes};
    if (op->traits & WF_RANDOM) {
        const char *text = wf_arena_text(&g->arena, "%s#%d", g->scope, g->n_random++);
        if (text) y->salt = wf_hash(text);
    }
    return y;
}

/* No tensor is empty: kernels and the planner need not think of it. */
static bool has_sizes(wf_node *y)
{
    const int64_t most = (int64_t)1 << 48; /* values: bytes and sums of bytes stay in 64 bits */
    char text[80];
    int64_t n = 1;
    for (int i = 0; i < y->shape.rank; i++) {
        if (wf_is_symbol(y->shape.dim[i])) continue;
        if (y->shape.dim[i] < 1)
            return wf_fail(y, "sizes must be positive, got %s",
                           wf_shape_text(&y->shape, text, sizeof text));
        if (y->shape.dim[i] > most / n)
            return wf_fail(y, "more than 2^48 values, %s",
                           wf_shape_text(&y->shape, text, sizeof text));
        n *= y->shape.dim[i];
    }
    return true;
}

/* Arithmetic is float32: 16 bits are for those ops that know how to widen them. */
static bool has_wide_inputs(wf_node *y)
{
    for (int i = 0; i < y->n_in && !(y->op->traits & WF_NARROW); i++)
        if (y->in[i]->dtype == WF_F16 || y->in[i]->dtype == WF_BF16)
            return wf_fail(y, "input %d is %s, expected float32", i,
                           wf_dtype_name(y->in[i]->dtype));
    return true;
}

static wf_node *settle(wf_node *y)
{
    wf_graph *g = y->graph;
    if (!has_wide_inputs(y)) return &g->poison;
    if (!y->op->infer(y)) {
        wf_fail(y, "impossible inputs");
        return &g->poison;
    }
    if (!has_sizes(y)) return &g->poison;
    if (!push(g, &g->nodes, &g->n_nodes, &g->room_nodes, y)) return &g->poison;
    if (y->op->traits & WF_EFFECT)
        if (!push(g, &g->effects, &g->n_effects, &g->room_effects, y)) return &g->poison;
    for (int i = 0; i < y->n_in; i++) y->in[i]->n_users++;
    return y;
}

wf_node *wf_apply(const wf_op *op, const void *attr, int n_in, wf_node *const in[])
{
    assert(op && n_in > 0 && in[0]);
    wf_graph *g = in[0]->graph;
    for (int i = 0; i < n_in; i++) {
        assert(in[i]);
        if (wf_is_poison(in[i])) return &g->poison;
        if (in[i]->graph != g) return wf_refuse(g, op, "input %d belongs to another graph", i);
    }
    wf_node *y = birth(g, op, attr, n_in, in);
    if (wf_is_poison(y)) return y;
    if (op->arity >= 0 && op->arity != n_in) {
        wf_fail(y, "takes %d inputs, got %d", op->arity, n_in);
        return &g->poison;
    }
    return settle(y);
}

wf_node *wf_leaf_new(wf_graph *g, const wf_op *op, const void *attr, const char *path)
{
    wf_node *y = birth(g, op, attr, 0, NULL);
    if (wf_is_poison(y)) return y;
    y->name = path;
    return settle(y);
}

uint64_t wf_node_salt(const wf_node *n)
{
    return n->salt;
}

const char *wf_graph_optimizer(const wf_graph *g)
{
    return g->optimizer ? g->optimizer : "none";
}

/* ---- names ---- */

const char *wf_graph_path(wf_graph *g, const char *name)
{
    assert(name);
    char *p = wf_arena_text(&g->arena, "%s%s%s", g->scope, *g->scope ? "/" : "", name);
    if (!p) wf_graph_fail(g, WF_ENOMEM, "out of memory while building a graph");
    return p ? p : "";
}

void wf_push(wf_graph *g, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const char *name = wf_arena_vtext(&g->arena, format, ap);
    va_end(ap);
    if (g->depth == (int)(sizeof g->scopes / sizeof *g->scopes)) {
        wf_graph_fail(g, WF_EMODEL, "%s: more than 32 scopes inside each other", g->scope);
        return;
    }
    g->scopes[g->depth++] = g->scope;
    if (g->status == WF_OK) g->scope = wf_graph_path(g, name ? name : "");
}

void wf_pop(wf_graph *g)
{
    if (g->depth == 0) {
        wf_graph_fail(g, WF_EMODEL, "wf_pop without wf_push");
        return;
    }
    g->scope = g->scopes[--g->depth];
}

wf_node *wf_name(wf_node *x, const char *name)
{
    if (wf_is_poison(x)) return x;
    if (x->op->traits & WF_LEAF) {
        wf_fail(x, "an input or parameter already has its name");
        return &x->graph->poison;
    }
    x->name = wf_graph_path(x->graph, name);
    return x;
}

wf_node *wf_output(wf_node *x, const char *name)
{
    wf_graph *g = x->graph;
    assert(name);
    if (wf_is_poison(x)) return x;
    for (int i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) {
            wf_fail(x, "there are two outputs named \"%s\"", name);
            return &g->poison;
        }
    wf_named *grown = realloc(g->outputs, (size_t)(g->n_outputs + 1) * sizeof *grown);
    char *copy = wf_arena_text(&g->arena, "%s", name);
    if (grown) g->outputs = grown;
    if (!grown || !copy) {
        wf_graph_fail(g, WF_ENOMEM, "out of memory while building a graph");
        return &g->poison;
    }
    g->outputs[g->n_outputs++] = (wf_named){copy, x};
    x->n_users++;
    return x;
}

wf_graph *wf_graph_of(const wf_node *x)
{
    return x->graph;
}

int64_t wf_dim(const wf_node *x, int axis)
{
    int a = wf_axis(&x->shape, axis);
    char text[80];
    if (a < 0)
        wf_fail((wf_node *)x, "there is no axis %d in %s", axis,
                wf_shape_text(&x->shape, text, sizeof text));
    return a < 0 ? 1 : x->shape.dim[a];
}

int wf_rank(const wf_node *x)
{
    return x->shape.rank;
}

wf_shape wf_shape_of(const wf_node *x)
{
    return x->shape;
}

/* ---- copies ---- */

static wf_node *copy_node(wf_graph *to, const wf_node *n, wf_node *const map[])
{
    wf_node *in[64], **inputs = in;
    if (n->n_in > 64) inputs = wf_graph_alloc(to, (size_t)n->n_in * sizeof *inputs);
    if (!inputs) return &to->poison;
    for (int i = 0; i < n->n_in; i++) inputs[i] = map[n->in[i]->id];
    to->scope = n->scope;
    wf_node *y = birth(to, n->op, n->attr, n->n_in, inputs);
    if (wf_is_poison(y)) return y;
    y->name = n->name;
    y->salt = n->salt;
    y->is_assigned = n->is_assigned;
    return settle(y);
}

static void fill_copy(wf_graph *to, const wf_graph *g)
{
    wf_node **map = calloc((size_t)g->n_nodes + 1, sizeof(wf_node *));
    if (!map) wf_graph_fail(to, WF_ENOMEM, "out of memory while copying a graph");
    for (int i = 0, effects = 0; i < g->n_nodes && to->status == WF_OK; i++) {
        bool is_effect = g->nodes[i]->op->traits & WF_EFFECT; /* removed ones are nodes still */
        if (is_effect && (effects == g->n_effects || g->effects[effects] != g->nodes[i])) continue;
        effects += is_effect;
        map[i] = copy_node(to, g->nodes[i], map);
    }
    to->scope = "";
    for (int i = 0; i < g->n_outputs && to->status == WF_OK; i++)
        wf_output(map[g->outputs[i].node->id], g->outputs[i].name);
    free(map);
}

wf_graph *wf_graph_copy(const wf_graph *g, const wf_size_value *sizes)
{
    if (wf_graph_check(g) != WF_OK) return NULL;
    wf_graph *to = wf_graph_new();
    if (to->refs == 0) {
        wf_graph_check(to);
        return NULL;
    }
    to->parent = (wf_graph *)g; /* only its count of references changes */
    to->parent->refs++;
    to->sizes = wf_sizes_copy(to, g->sizes);
    for (; sizes && sizes->name; sizes++)
        if (!wf_size_set(to, sizes->name, sizes->value))
            wf_graph_fail(to, WF_EMODEL, "there is no size named \"%s\" or %lld is not positive",
                          sizes->name, (long long)sizes->value);
    const char *unknown = wf_size_unknown(to);
    if (unknown) wf_graph_fail(to, WF_EMODEL, "size \"%s\" was not given a value", unknown);
    fill_copy(to, g);
    if (wf_graph_check(to) == WF_OK) return to;
    wf_graph_free(to);
    return NULL;
}
