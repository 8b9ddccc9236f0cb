/*
 * The pass pull_gather at gated attention units: queries and gate of the rows that are gathered
 * alone, with the bits of all rows and, up to rounding, their gradients.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/op_trial.h"
#include "tests/outputs.h"

/* ---- a layer, its slab cut in any order ---- */

typedef enum fault {
    NONE,
    U_BETWEEN,     /* columns v | u | z */
    NO_PRODUCT,    /* tanh of it */
    READ_TWICE,    /* the slab is an output, too */
    PRODUCT_TWICE, /* the slab before the bias is an output, too */
    BIAS_OF_ROWS,  /* another bias for every row */
    BIAS_OF_ONE,   /* the same for all columns */
    SEQUENCES,     /* of a batch are gathered */
    NARROW         /* of 8 columns u, whose bits depend on how many rows there are */
} fault;

typedef struct layer {
    int64_t batch, time, d, e, s; /* batch 0: x is [time, d] */
    int order;                    /* of u, v, z in the slab: u v z, u z v, v z u, z v u */
    bool has_bias, is_turned, is_relu2, has_residual;
    float dropout;
    int64_t picks;
    uint32_t seed;
    fault fault;
} layer;

enum { U, V, Z };

static const int orders[][3] = {{U, V, Z}, {U, Z, V}, {V, Z, U}, {Z, V, U}, {V, U, Z}};

static uint32_t below(uint32_t *state, int64_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % (uint32_t)n;
}

static wf_node *param(wf_graph *g, const char *name, wf_shape s)
{
    wf_init normal = {.kind = WF_INIT_NORMAL, .a = 0.5f};
    return wf_param(g, name, s, (wf_role){.kind = WF_KERNEL}, normal);
}

static wf_node *attention(const layer *l, wf_node *scores, wf_node *span)
{
    wf_node *a = l->is_relu2
                     ? wf_div(wf_mask_span(wf_relu2(scores), span, 0), wf_span_length(span, 1))
                     : wf_softmax(wf_mask_span(scores, span, -INFINITY));
    return l->dropout > 0 ? wf_dropout(a, l->dropout) : a;
}

static wf_node *slab(const layer *l, wf_node *x)
{
    wf_graph *g = wf_graph_of(x);
    int64_t width = 2 * l->e + l->s;
    wf_node *w = param(g, "w", l->is_turned ? WF_SHAPE(width, l->d) : WF_SHAPE(l->d, width));
    wf_node *p = l->is_turned ? wf_matmul_t(x, w) : wf_matmul(x, w);
    wf_shape s = wf_shape_of(p);
    if (l->fault == NO_PRODUCT) p = wf_tanh(p);
    if (l->fault == PRODUCT_TWICE) wf_output(wf_sum(p, WF_ALL, false), "sum");
    if (l->fault == BIAS_OF_ROWS) p = wf_add(p, param(g, "bias", s));
    if (l->fault == BIAS_OF_ONE) p = wf_add(p, param(g, "bias", WF_SHAPE(1)));
    if (l->has_bias) p = wf_add(p, param(g, "bias", WF_SHAPE(width)));
    if (l->fault == READ_TWICE) wf_output(p, "slab");
    return p;
}

static wf_node *unit(const layer *l, wf_node *x, wf_node *span)
{
    wf_graph *g = wf_graph_of(x);
    const int *order = orders[l->fault == U_BETWEEN ? 4 : l->order];
    int64_t size[] = {l->e, l->e, l->s}, sizes[3];
    wf_node *cut[3], *part[3], *turned[2], *positions = wf_iota(g, l->time);
    for (int i = 0; i < 3; i++) sizes[i] = size[order[i]];
    wf_split(wf_silu(slab(l, x)), -1, 3, sizes, cut);
    for (int i = 0; i < 3; i++) part[order[i]] = cut[i];
    for (int i = 0; i < 2; i++) {
        wf_node *gamma = param(g, i ? "k" : "q", WF_SHAPE(l->s));
        turned[i] = wf_rope(wf_mul(part[Z], gamma), positions, 10000);
    }
    wf_node *a = attention(l, wf_matmul_t(turned[0], turned[1]), span);
    return wf_mul(part[U], wf_matmul(a, part[V]));
}

/* Sequences of up to half of the time one behind the other, the last rows in none. */
static wf_node *spans(const layer *l, wf_graph *g)
{
    int64_t items = wf_max_i64(1, l->batch);
    int32_t *span = calloc((size_t)(2 * items * l->time), sizeof *span);
    uint32_t state = l->seed;
    for (int64_t item = 0; item < items; item++)
        for (int64_t at = 0, n; at < l->time - 3; at += n) {
            n = wf_min_i64(1 + below(&state, l->time / 2), l->time - 3 - at);
            for (int64_t i = 2 * (item * l->time + at); n > 0 && i < 2 * (item * l->time + at + n);
                 i += 2)
                span[i] = (int32_t)at, span[i + 1] = (int32_t)(at + n);
        }
    wf_node *y =
        wf_constants_i32(g, l->batch ? WF_SHAPE(items, l->time, 2) : WF_SHAPE(l->time, 2), span);
    free(span);
    return y;
}

/* Some outside, some twice. */
static wf_node *ids(const layer *l, wf_graph *g, int64_t rows)
{
    int32_t *id = malloc((size_t)l->picks * sizeof *id);
    uint32_t state = l->seed + 1;
    for (int64_t i = 0; i < l->picks; i++) id[i] = (int32_t)below(&state, rows + 2) - 1;
    wf_node *y = wf_constants_i32(g, WF_SHAPE(l->picks), id);
    free(id);
    return y;
}

static wf_graph *declare(const layer *l)
{
    static const char *const names[] = {"x", "here/w", "here/wo", "here/q", "here/k", "here/bias"};
    wf_graph *g = wf_graph_new();
    wf_shape s = l->batch ? WF_SHAPE(l->batch, l->time, l->d) : WF_SHAPE(l->time, l->d);
    wf_node *x = param(g, "x", s);
    wf_push(g, "here");
    wf_node *o = unit(l, x, spans(l, g));
    if (l->fault != SEQUENCES) o = wf_matmul(o, param(g, "wo", WF_SHAPE(l->e, l->d)));
    wf_pop(g);
    if (l->has_residual) o = wf_add(x, o);
    o = wf_rms_norm(o, 1e-12f);
    if (l->fault != SEQUENCES) o = wf_reshape(o, WF_SHAPE(-1, l->d));
    wf_node *y = wf_output(wf_gather(o, ids(l, g, wf_dim(o, 0))), "y");
    wf_node *loss = wf_sum(wf_mul(y, op_weights(y)), WF_ALL, false);
    for (int i = 0; i < 6; i++) {
        char name[32];
        wf_node *leaf = wf_graph_find(g, names[i]);
        if (!leaf) continue;
        snprintf(name, sizeof name, "d %s", names[i]);
        wf_output(wf_gradient(loss, leaf), name);
    }
    return g;
}

/* ---- what becomes of it ---- */

/* By the texts of the compiled graph and what the compiler did. */
typedef struct told {
    char *graph, *words;
} told;

static told compile(const layer *l)
{
    wf_graph *g = declare(l);
    wf_runtime *rt = op_runtime(1, "", "");
    wf_store *s = wf_store_new(3);
    wf_program *p;
    wf_compile_options o = {.explain = true, .look_only = true};
    cr_assert_eq(wf_compile(&p, g, s, rt, &o), WF_OK, "%s", wf_error());
    told t = {wf_program_text(p), wf_program_explain(p, NULL)};
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return t;
}

/* A result of op with this shape in the text of a graph? */
static bool has_node(const char *text, const char *op, const char *shape)
{
    char name[32], size[32];
    snprintf(name, sizeof name, "= %s", op);
    snprintf(size, sizeof size, ": f32[%s]", shape);
    for (const char *at = text; (at = strstr(at, name)); at++) {
        const char *end = strchr(at, '\n'), *is = strstr(at, size);
        if (is && end && is < end) return true;
    }
    return false;
}

static const layer some = {.time = 80, .d = 64, .e = 96, .s = 32, .picks = 11, .seed = 1};

Test(pull_gau, makes_queries_and_gates_of_gathered_rows_alone)
{
    for (int order = 0; order < 4; order++)
        for (int has_bias = 0; has_bias < 2; has_bias++) {
            layer l = some;
            l.order = order;
            l.has_bias = has_bias;
            told t = compile(&l);
            bool is_pulled = has_node(t.graph, "gau ", "11,96") &&
                             has_node(t.graph, "gau_grad ", "80,192") && !strstr(t.graph, "80,224");
            cr_expect(is_pulled && !strstr(t.graph, "gau_gated"), "order %d: %s", order, t.graph);
            /* dW is written once, its two parts side by side */
            cr_expect(strstr(t.graph, "= concat") && !strstr(t.graph, "= pad"), "%s", t.graph);
            free(t.graph), free(t.words);
        }
}

Test(pull_gau, tells_what_stops_it)
{
    static const struct {
        fault fault;
        const char *why;
    } all[] = {
        {U_BETWEEN, "columns u lie between v and z"},
        {NO_PRODUCT, "the slab is no product of its own"},
        {BIAS_OF_ROWS, "the slab is no product of its own"},
        {BIAS_OF_ONE, "the slab is no product of its own"},
        {SEQUENCES, "not rows of it are gathered, but several together"},
        {PRODUCT_TWICE, "the slab is no product of its own"},
        {READ_TWICE, "A V or the slab has another reader"},
        {NARROW, "rows of the slab's product depend on how many"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        layer l = some;
        l.fault = all[i].fault;
        l.has_bias = l.fault == PRODUCT_TWICE;
        if (l.fault == NARROW) l.e = 8;
        if (l.fault == SEQUENCES) l.batch = 4, l.picks = 2;
        told t = compile(&l);
        cr_expect(strstr(t.graph, "gau_gated") && strstr(t.words, all[i].why), "%s: got\n%s",
                  all[i].why, t.words);
        free(t.graph), free(t.words);
    }
    told t = compile(&some);
    cr_expect_not(strstr(t.words, "the slab"), "%s", t.words);
    free(t.graph), free(t.words);
}

/* ---- numbers ---- */

static outputs run(const layer *l, int threads, const char *kernels, const char *passes)
{
    wf_graph *g = declare(l);
    wf_runtime *rt = op_runtime(threads, kernels, passes);
    outputs y = outputs_of(g, rt, l->seed, "a layer");
    wf_runtime_free(rt);
    wf_graph_free(g);
    return y;
}

static layer draw(uint32_t seed, char text[160])
{
    static const int64_t sizes[][2] = {{32, 24}, {24, 8}, {96, 32}, {320, 32}, {52, 12}, {24, 16}};
    uint32_t r = seed * 7919;
    layer l = {.batch = below(&r, 4), .time = 10 + below(&r, 150), .d = 32, .seed = seed + 1};
    const int64_t *size = sizes[below(&r, 6)]; /* the last stays: see NARROW */
    l.e = size[0];
    l.s = size[1];
    l.order = (int)below(&r, 4);
    l.has_bias = below(&r, 2);
    l.is_turned = below(&r, 2);
    l.is_relu2 = below(&r, 2);
    l.has_residual = below(&r, 2);
    l.dropout = below(&r, 3) ? 0 : 0.2f;
    l.picks = 1 + below(&r, wf_max_i64(1, l.batch) * l.time / 2);
    snprintf(text, 160,
             "seed %u: batch %lld time %lld e %lld s %lld order %d bias %d turned %d relu2 %d "
             "residual %d dropout %g picks %lld",
             seed, (long long)l.batch, (long long)l.time, (long long)l.e, (long long)l.s, l.order,
             l.has_bias, l.is_turned, l.is_relu2, l.has_residual, (double)l.dropout,
             (long long)l.picks);
    return l;
}

Test(pull_gau, keeps_the_bits_of_outputs_and_the_values_of_gradients, .timeout = 120)
{
    int pulled = 0;
    for (uint32_t seed = 0; seed < 60; seed++) {
        char what[160];
        layer l = draw(seed, what);
        told t = compile(&l);
        pulled += !strstr(t.graph, "gau_gated");
        outputs with = run(&l, 1, "", ""), without = run(&l, 1, "", "-pull_gather");
        outputs two = run(&l, 2, "", ""), three = run(&l, 3, "", "");
        expect_outputs(&with, &without, 1, 1e-5, what);
        expect_outputs(&two, &with, with.n, 1e-5, what);
        expect_outputs(&three, &with, with.n, 1e-5, what);
        outputs_end(&with), outputs_end(&without), outputs_end(&two), outputs_end(&three);
        free(t.graph), free(t.words);
    }
    cr_expect_geq(pulled, 40, "of 60 graphs only %d were pulled", pulled);
}

Test(pull_gau, gives_what_the_naive_reference_gives, .timeout = 120)
{
    for (uint32_t seed = 100; seed < 106; seed++) {
        char what[160];
        layer l = draw(seed, what);
        l.time = wf_min_i64(l.time, 40);
        l.picks = wf_min_i64(l.picks, l.time / 2);
        outputs fast = run(&l, 1, "", ""), slow = run(&l, 1, "ref", ""),
                plain = run(&l, 1, "ref", OP_NO_PASSES);
        expect_outputs(&fast, &slow, 0, 1e-5, what);
        expect_outputs(&slow, &plain, 0, 1e-5, what);
        outputs_end(&fast), outputs_end(&slow), outputs_end(&plain);
    }
}
