/*
 * Picked queries of the gated attention unit: they have the bits of the same rows among all, and
 * the gradients of a gather of these, whatever segments, blocks and waves they fall into.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gau.h"
#include "tests/op_trial.h"
#include "tests/outputs.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { S = 6, MOST_PICKS = 1200 };

/* How ids are drawn. */
typedef enum picks {
    ANY,     /* also twice, unsorted, none in some segments */
    EACH,    /* all rows in order */
    FEW,     /* three, of one segment the last and the first row, this twice */
    LAST,    /* all of the last segment, backwards */
    BLIND,   /* three times one that sees nothing */
    THE_SAME /* a row more often than a block has queries */
} picks;

typedef struct layer {
    const char *what;
    int64_t items, n, e;
    int32_t lengths[12]; /* of the sequences of an item, ends with 0; rows behind are in none */
    bool is_causal;
    int64_t repeat; /* the lengths, so many times */
    int32_t unseen; /* first keys of each sequence that nobody sees */
} layer;

static const layer layers[] = {
    {"few brief sequences", 1, 90, 20, {9, 40, 1, 30}, false, 1, 0},
    {"many brief sequences", 1, 800, 300, {40, 1, 23, 64, 30}, false, 5, 0},
    {"brief and long sequences", 1, 1010, 70, {40, 64, 33, 64, 300, 1}, false, 2, 0},
    {"brief ones in all phases", 1, 300, 300, {40, 64, 33, 90}, true, 1, 0},
    {"waves of a long sequence", 1, 1300, 9, {1210, 70}, false, 1, 0},
    {"waves of sequences, causal", 1, 1900, 9, {700, 500, 650}, true, 1, 0},
    {"a batch", 3, 130, 72, {100, 17}, false, 1, 0},
    {"a batch of brief ones", 20, 9, 12, {5, 3}, true, 1, 0},
    {"keys that nobody sees", 1, 330, 12, {100, 200}, false, 1, 20},
};

static uint32_t below(uint32_t *state, int64_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % (uint32_t)n;
}

/* Returns the first row of the last segment that has keys. */
static int64_t make_spans(const layer *l, int32_t *span)
{
    int64_t last = 0;
    for (int64_t item = 0; item < l->items; item++) {
        int32_t at = 0;
        for (int64_t r = 0; r < l->repeat; r++)
            for (const int32_t *n = l->lengths; *n; at += *n++)
                for (int32_t i = 0; i < *n; i++) {
                    int32_t *s = span + 2 * (item * l->n + at + i);
                    s[0] = at + l->unseen;
                    s[1] = l->is_causal ? at + i + 1 : at + *n;
                    last = item * l->n + at;
                }
        cr_assert(at < l->n, "%s", l->what);
    }
    return last;
}

static int64_t make_ids(const layer *l, picks how, int64_t last, int32_t *ids)
{
    int64_t rows = l->items * l->n, n = how == EACH ? rows : how == LAST ? rows - last : 3;
    uint32_t state = 5;
    if (how == ANY) n = wf_min_i64(rows / 3 + 5, MOST_PICKS);
    if (how == THE_SAME) n = 150;
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)(how == ANY    ? below(&state, rows)
                           : how == EACH ? i
                           : how == LAST ? rows - 1 - i
                                         : last);
    for (int64_t i = 0; i < 3 && (how == BLIND || (how == FEW && i < 1)); i++)
        ids[i] = (int32_t)rows - 1;
    for (int64_t i = 0; how == ANY && i + 1 < n; i += 5) ids[i + 1] = ids[i];
    return n;
}

static wf_node *leaf(wf_graph *g, const char *name, wf_shape s)
{
    wf_init normal = {.kind = WF_INIT_NORMAL, .a = 0.7f};
    return wf_param(g, name, s, (wf_role){.kind = WF_KERNEL}, normal);
}

/* silu(u) Y of the rows at ids, of the whole unit or of picked queries. */
static wf_node *unit(const layer *l, wf_gau_attr a, const int32_t *span, wf_node *ids,
                     wf_node *const leaves[5], bool is_picked)
{
    wf_graph *g = ids->graph;
    wf_rope_attr rope = {.base = 100, .size = S};
    wf_shape each = l->items > 1 ? WF_SHAPE(l->items, l->n, 2) : WF_SHAPE(l->n, 2);
    wf_shape flat = WF_SHAPE(l->items * l->n, l->e);
    wf_node *spans = wf_constants_i32(g, each, span);
    wf_node *angles = wf_apply1(&wf_op_rope_angles, &rope, wf_iota(g, l->n));
    wf_node *u = leaves[0];
    wf_node *p = wf_concat(is_picked ? 2 : 3, is_picked ? leaves + 1 : leaves, -1);
    wf_node *in[] = {p, leaves[3], leaves[4], spans, angles, ids};
    if (is_picked) {
        a.v -= a.u < a.v ? l->e : 0;
        a.z -= l->e;
        a.u = -1;
        wf_node *y = wf_apply(&wf_op_gau, &a, 6, in);
        return wf_mul(wf_silu(wf_gather(wf_reshape(u, flat), ids)), y);
    }
    wf_node *y = wf_apply(&wf_op_gau, &a, 5, in);
    wf_node *all[] = {y, p, leaves[3], leaves[4], spans, angles};
    return wf_gather(wf_reshape(wf_apply(&wf_op_gau_gated, &a, 6, all), flat), ids);
}

static outputs run(const layer *l, wf_gau_attr a, picks how, bool is_picked, wf_runtime *rt)
{
    static int32_t span[2 * 4000], picked[4000];
    static const char *const names[] = {"u", "v", "z", "gq", "gk"};
    static const char *const gradients[] = {"du", "dv", "dz", "dgq", "dgk"};
    wf_graph *g = wf_graph_new();
    memset(span, 0, sizeof span);
    int64_t n = make_ids(l, how, make_spans(l, span), picked);
    wf_node *ids = wf_constants_i32(g, WF_SHAPE(n), picked), *leaves[5];
    int64_t wide[] = {l->e, l->e, S};
    for (int i = 0; i < 3; i++) {
        wf_shape s = l->items > 1 ? WF_SHAPE(l->items, l->n, wide[i]) : WF_SHAPE(l->n, wide[i]);
        leaves[i] = leaf(g, names[i], s);
    }
    for (int i = 3; i < 5; i++) leaves[i] = leaf(g, names[i], WF_SHAPE(S));
    wf_node *out = unit(l, a, span, ids, leaves, is_picked);
    wf_output(out, "y");
    wf_node *loss = wf_sum(wf_mul(out, op_weights(out)), WF_ALL, false);
    for (int i = 0; i < 5; i++) wf_output(wf_gradient(loss, leaves[i]), gradients[i]);
    outputs y = outputs_of(g, rt, 3, l->what);
    wf_graph_free(g);
    return y;
}

static const wf_gau_attr kinds[] = {
    {.kind = WF_GAU_KIND_SOFTMAX, .scale = 0.5f, .log_scale = 0.16f, .min_len = 2},
    {.kind = WF_GAU_KIND_RELU2, .scale = 0.5f, .min_len = 1},
    {.kind = WF_GAU_KIND_SOFTMAX, .scale = 0.5f, .min_len = 1, .rate = 0.3f, .salt = 77},
    {.kind = WF_GAU_KIND_RELU2, .scale = 0.5f, .min_len = 1, .rate = 0.1f, .salt = 3},
};

enum { KINDS = COUNT(kinds), WAYS = THE_SAME + 1 };

static wf_gau_attr attr_of(const layer *l, size_t kind)
{
    wf_gau_attr a = kinds[kind];
    a.e = l->e, a.s = S, a.u = 0, a.v = l->e, a.z = 2 * l->e;
    return a;
}

static void text_of(char text[100], const layer *l, int how, size_t kind)
{
    snprintf(text, 100, "%s, ids %d, kind %d", l->what, how, (int)kind);
}

Test(gau_picks, have_the_bits_of_the_same_rows_among_all_and_gradients_of_a_gather, .timeout = 120)
{
    wf_runtime *rt = op_runtime(2, "", "-pull_gather");
    for (size_t i = 0; i < COUNT(layers); i++)
        for (int how = 0; how < WAYS; how++)
            for (size_t kind = 0; kind < KINDS; kind++) {
                char what[100];
                text_of(what, &layers[i], how, kind);
                wf_gau_attr a = attr_of(&layers[i], kind);
                outputs all = run(&layers[i], a, (picks)how, false, rt);
                outputs some = run(&layers[i], a, (picks)how, true, rt);
                expect_outputs(&some, &all, 1, 2e-5, what);
                outputs_end(&all);
                outputs_end(&some);
            }
    wf_runtime_free(rt);
}

Test(gau_picks, have_the_same_bits_for_any_number_of_threads, .timeout = 120)
{
    wf_runtime *one = op_runtime(1, "", ""), *two = op_runtime(2, "", ""),
               *three = op_runtime(3, "", "");
    for (size_t i = 0; i < COUNT(layers); i++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            char what[100];
            text_of(what, &layers[i], ANY, kind);
            wf_gau_attr a = attr_of(&layers[i], kind);
            outputs x = run(&layers[i], a, ANY, true, one), y = run(&layers[i], a, ANY, true, two),
                    z = run(&layers[i], a, ANY, true, three);
            expect_outputs(&y, &x, x.n, 0, what);
            expect_outputs(&z, &x, x.n, 0, what);
            outputs_end(&x);
            outputs_end(&y);
            outputs_end(&z);
        }
    wf_runtime_free(one);
    wf_runtime_free(two);
    wf_runtime_free(three);
}

/* The reference takes quadratic time: small layers, and those with batch axes. */
Test(gau_picks, are_what_the_naive_reference_gives, .timeout = 120)
{
    static const size_t small[] = {0, 3, 6, 7, 8};
    wf_runtime *rt = op_runtime(2, "", "");
    wf_runtime *naive = op_runtime(1, "ref", OP_NO_PASSES);
    for (size_t i = 0; i < COUNT(small); i++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            char what[100];
            const layer *l = &layers[small[i]];
            text_of(what, l, ANY, kind);
            wf_gau_attr a = attr_of(l, kind);
            outputs fast = run(l, a, ANY, true, rt), slow = run(l, a, ANY, true, naive);
            expect_outputs(&fast, &slow, 0, 2e-5, what);
            outputs_end(&fast);
            outputs_end(&slow);
        }
    wf_runtime_free(rt);
    wf_runtime_free(naive);
}

/* Two of FEW see 30 keys, one nothing. */
Test(gau_picks, cost_what_their_spans_ask_for)
{
    wf_runtime *rt = op_runtime(1, "", "");
    wf_gau_attr a = attr_of(&layers[0], 0);
    outputs few = run(&layers[0], a, FEW, true, rt), none = run(&layers[0], a, BLIND, true, rt);
    double pairs = 60, per_pair = (double)(2 * (a.e + a.s) + 4 * a.e + 6 * a.s);
    cr_expect_eq(few.flops - none.flops, pairs * per_pair, "%g", few.flops - none.flops);
    outputs_end(&few);
    outputs_end(&none);
    wf_runtime_free(rt);
}

Test(gau_picks, need_ids_and_only_they_do)
{
    for (int ids = 0; ids < 2; ids++) {
        wf_graph *g = wf_graph_new();
        wf_gau_attr a = attr_of(&layers[0], 0);
        wf_rope_attr rope = {.base = 100, .size = S};
        int64_t n = 8, width = 2 * a.e + S;
        if (!ids) a.u = -1;
        wf_node *in[] = {leaf(g, "p", WF_SHAPE(n, width)),
                         leaf(g, "gq", WF_SHAPE(S)),
                         leaf(g, "gk", WF_SHAPE(S)),
                         wf_input(g, "span", WF_I32, WF_SHAPE(n, 2)),
                         wf_apply1(&wf_op_rope_angles, &rope, wf_iota(g, n)),
                         wf_input(g, "ids", WF_I32, WF_SHAPE(3))};
        wf_apply(&wf_op_gau, &a, 5 + ids, in);
        cr_expect_eq(wf_graph_check(g), WF_EMODEL);
        cr_expect(strstr(wf_error(), "gau: takes ids if and only if"), "%s", wf_error());
        wf_graph_free(g);
    }
}
