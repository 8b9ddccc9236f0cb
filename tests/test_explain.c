/* What the compiler tells of itself: exactly, as a page, pattern by pattern, and times of a run. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weft/op.h>

#include "graph/notes.h"
#include "runtime/pool.h"
#include "runtime/program.h"

TestSuite(explain, .timeout = 60);

static const wf_init normal = {WF_INIT_NORMAL, 0.1f, 0};
static const wf_role kernel = {.kind = WF_KERNEL};

/* Compile y (or what has effects) and tell; g is freed. */
typedef struct told {
    wf_runtime *rt;
    wf_store *s;
    wf_program *p;
} told;

static told compile(wf_graph *g, wf_compile_options o, int threads)
{
    told t = {wf_runtime_new(&(wf_runtime_options){.threads = threads, .no_pinning = true}),
              wf_store_new(1), NULL};
    cr_assert_eq(wf_compile(&t.p, g, t.s, t.rt, &o), WF_OK, "%s", wf_error());
    wf_graph_free(g);
    return t;
}

static void end(told *t)
{
    wf_program_free(t->p);
    wf_store_free(t->s);
    wf_runtime_free(t->rt);
}

static char *explain(wf_graph *g)
{
    told t = compile(g, (wf_compile_options){.explain = true, .look_only = true}, 1);
    char *text = wf_program_explain(t.p, NULL);
    cr_assert(text, "%s", wf_error());
    end(&t);
    return text;
}

static wf_graph *two_layers(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(64, 128));
    wf_push(g, "net");
    wf_node *h = wf_relu(wf_dense(x, 256, true, normal, "one"));
    wf_node *y = wf_dense(h, 32, false, normal, "two");
    wf_pop(g);
    wf_output(y, "y");
    return g;
}

static const char two_layers_text[] =
    "What the compiler did\n"
    "  8 nodes declared, 8 with gradients and update, 6 after fusion: 2 kernels a run\n"
    "\n"
    "Passes: nodes before and after, what all kernels then do\n"
    "  pass                nodes    after       MFLOP        MiB\n"
    "  simplify                8        8        5.39       0.57\n"
    "  cse                     8        8        5.39       0.57\n"
    "  fuse_gau                8        8        5.39       0.57\n"
    "  pull_gather             8        8        5.39       0.57\n"
    "  update                  8        8        5.39       0.57\n"
    "  backward                8        8        5.39       0.57\n"
    "  store_narrow            8        8        5.39       0.57\n"
    "  simplify                8        8        5.39       0.57\n"
    "  cse                     8        8        5.39       0.57\n"
    "  lower                   8        8        5.39       0.57\n"
    "  widen_inside            8        8        5.39       0.57\n"
    "  fuse_pointwise          8        7        5.39       0.45\n"
    "  fuse_linear             7        6        5.28       0.32\n"
    "  layout                  6        6        5.28       0.32\n"
    "  cse                     6        6        5.28       0.32\n"
    "  recompute               6        6        5.28       0.32\n"
    "\n"
    "Patterns that fired, and what that saved\n"
    "  pass            pattern                                       times      MFLOP        MiB   "
    "memory  where\n"
    "  lower           add -> pointwise                                  1       0.00       0.00   "
    "        "
    "net/one\n"
    "  lower           relu -> pointwise                                 1       0.00       0.00   "
    "        "
    "net\n"
    "  fuse_pointwise  pointwise -> pointwise                            1       0.00       0.12   "
    "        "
    "net\n"
    "  fuse_linear     pointwise -> linear                               1       0.11       0.12   "
    "        "
    "net\n"
    "\n"
    "Patterns that nearly fired\n"
    "  none\n"
    "\n"
    "Memory: the largest values, the steps they live\n"
    "  0.070 MiB for all values of a run, 0.070 MiB if each had its own\n"
    "  at most 0.070 MiB live at once, at step 1 of 0..1: matmul net/two\n"
    "  besides: 0.157 MiB of stored tensors, 0.078 MiB of scratch for each thread\n"
    "        MiB   first    last  peak  op                    where\n"
    "      0.062       0       1  yes   linear                net\n"
    "      0.008       1       2  yes   matmul                net/two\n"
    "\n"
    "Kernels of a run, most bytes first\n"
    "       MFLOP        MiB  kernels  op\n"
    "       4.227      0.220        1  linear\n"
    "       1.049      0.102        1  matmul\n"
    "       5.276      0.321        2  all\n"
    "\n"
    "The same, kernel by kernel\n"
    "       MFLOP        MiB  kernels  op                where\n"
    "       4.227      0.220        1  linear            net\n"
    "       1.049      0.102        1  matmul            net/two\n"
    "       5.276      0.321        2  all               \n";

Test(explain, the_text_of_a_small_program)
{
    char *text = explain(two_layers());
    cr_expect_str_eq(text, two_layers_text, "got\n%s", text);
    free(text);
}

/* Silent in float32, above; here the three layers' weights, momenta, and what waits of them. */
static wf_graph *three_layers(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *h = wf_input(g, "x", WF_F32, WF_SHAPE(1024, 512));
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        wf_push(g, "%s", names[i]);
        h = wf_add(h, wf_silu(wf_dense(wf_rms_norm(h, 1e-6f), 512, true, normal, "in")));
        wf_pop(g);
    }
    wf_node *loss = wf_output(wf_mean(wf_square(h), WF_ALL, false), "loss");
    wf_minimize(loss, &wf_lion, NULL, NULL);
    return g;
}

/* What a layer gives waits for its gradient, and can be had from the input again. */
static wf_graph *wide_layers(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(2048, 256)), *sum = NULL;
    static const char *const names[] = {"one", "two", "three", "four", "five", "six"};
    for (int i = 0; i < 6; i++) {
        wf_push(g, "%s", names[i]);
        wf_node *h = wf_tanh(wf_dense(x, 256, true, normal, "in"));
        wf_node *s = wf_mean(wf_square(wf_dense(h, 256, true, normal, "out")), WF_ALL, false);
        sum = sum ? wf_add(sum, s) : s;
        wf_pop(g);
    }
    wf_minimize(wf_output(sum, "loss"), &wf_lion, NULL, NULL);
    return g;
}

/* As many values wait as there are layers. */
static wf_graph *deep_layers(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(64, 48));
    for (int i = 0; i < 16; i++) {
        wf_push(g, "layer_%d", i);
        x = wf_tanh(wf_rms_norm(wf_dense(x, 48, true, normal, "in"), 1e-6f));
        wf_pop(g);
    }
    wf_minimize(wf_output(wf_mean(wf_square(x), WF_ALL, false), "loss"), &wf_adamw, NULL, NULL);
    return g;
}

static const char narrow_text[] =
    "In 16 bits: stored tensors, and values that wait for late readers\n"
    "  6.000 MiB less than in float32, 3.000 of them values that wait\n"
    "   MiB less  as    op                    where\n"
    "      0.500  bf16  param                 one/in/w\n"
    "      1.000  bf16  linear                one/in\n"
    "      0.500  bf16  param                 two/in/w\n"
    "      1.000  bf16  linear                two/in\n"
    "      1.000  bf16  pointwise             two\n"
    "      0.500  bf16  param                 three/in/w\n"
    "      0.500  f16   state                 opt/lion/three/in/w/momentum\n"
    "      0.500  f16   state                 opt/lion/two/in/w/momentum\n"
    "      0.500  f16   state                 opt/lion/one/in/w/momentum\n";

Test(explain, what_has_16_bits_is_named_with_what_that_saves)
{
    wf_compile_options how = {.explain = true,
                              .look_only = true,
                              .weights = WF_BF16,
                              .states = WF_F16,
                              .activations = WF_BF16};
    told t = compile(three_layers(), how, 1);
    char *text = wf_program_explain(t.p, NULL);
    cr_assert(text, "%s", wf_error());
    const char *begin = strstr(text, "In 16 bits"), *after = strstr(text, "\nKernels of a run");
    cr_assert(begin && after && begin < after, "%s", text);
    cr_expect(!strncmp(begin, narrow_text, sizeof narrow_text - 1), "got\n%.*s",
              (int)(after - begin), begin);
    cr_expect_eq((size_t)(after - begin), sizeof narrow_text - 1);
    free(text);
    cr_expect_eq(wf_program_get_stats(t.p).narrowed, 3);
    end(&t);
    how.activations = WF_F32; /* and what is stored is rounded by kernels of their own */
    how.plain = true;
    t = compile(three_layers(), how, 1);
    cr_expect_eq(wf_program_get_stats(t.p).narrowed, 0, "%d", wf_program_get_stats(t.p).narrowed);
    end(&t);
}

/* ---- patterns that nearly fire ---- */

static wf_graph *product_twice(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 4));
    wf_push(g, "here");
    wf_node *p = wf_matmul(x, x);
    wf_output(wf_relu(p), "y");
    wf_output(wf_sum(p, WF_ALL, false), "s");
    return g;
}

static wf_graph *product_spread(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 4));
    wf_push(g, "here");
    wf_output(wf_add(wf_matmul(x, x), wf_input(g, "z", WF_F32, WF_SHAPE(2, 4, 4))), "y");
    return g;
}

static wf_graph *update_of_what_it_reads(void)
{
    wf_graph *g = wf_graph_new();
    wf_push(g, "here");
    wf_node *p = wf_param(g, "p", WF_SHAPE(4, 4), kernel, normal);
    wf_assign(p, wf_sub(p, wf_matmul(p, p)));
    return g;
}

static wf_graph *value_twice(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 4));
    wf_push(g, "here");
    wf_node *e = wf_exp(x);
    wf_output(wf_neg(e), "y");
    wf_output(e, "e");
    return g;
}

static wf_graph *value_spread(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 4));
    wf_push(g, "here");
    wf_output(wf_add(wf_exp(wf_input(g, "row", WF_F32, WF_SHAPE(4))), x), "y");
    return g;
}

static wf_graph *long_program(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 4));
    wf_push(g, "here");
    for (int i = 0; i < 50; i++) x = wf_tanh(x);
    wf_output(x, "y");
    return g;
}

static wf_graph *new_value_twice(void)
{
    wf_graph *g = wf_graph_new();
    wf_push(g, "here");
    wf_node *p = wf_param(g, "p", WF_SHAPE(4, 4), kernel, normal);
    wf_node *next = wf_scale(p, 2);
    wf_assign(p, next);
    wf_output(next, "next");
    return g;
}

static wf_graph *updates_that_need_each_other(void)
{
    wf_graph *g = wf_graph_new();
    wf_push(g, "here");
    wf_node *p = wf_param(g, "p", WF_SHAPE(4, 4), kernel, normal);
    wf_node *q = wf_param(g, "q", WF_SHAPE(4, 4), kernel, normal);
    wf_assign(p, wf_scale(q, 2));
    wf_assign(q, wf_scale(p, 2));
    return g;
}

static wf_graph *update_of_a_view(void)
{
    wf_graph *g = wf_graph_new();
    wf_push(g, "here");
    wf_node *p = wf_param(g, "p", WF_SHAPE(4, 4), kernel, normal);
    wf_assign(p, wf_add(p, wf_transpose(p, WF_AXES(1, 0))));
    return g;
}

/* Rows of a norm, some of 16. */
static wf_graph *gathered(int64_t n, bool is_read_twice)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(16, 8));
    wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(n));
    wf_push(g, "here");
    wf_node *y = wf_rms_norm(x, 1e-6f);
    wf_output(wf_gather(y, ids), "y");
    if (is_read_twice) wf_output(y, "all");
    return g;
}

static wf_graph *gathered_few(void)
{
    return gathered(8, false);
}

static wf_graph *gathered_many(void)
{
    return gathered(9, false);
}

static wf_graph *gathered_and_read(void)
{
    return gathered(2, true);
}

/* A gated attention unit on a slab of 64 columns, and one thing otherwise. */
enum gau_fault {
    WHOLE,
    WIDER_SLAB,
    READ_TWICE,
    NARROW_V,
    OTHER_SLAB,
    NO_SOFTMAX,
    NO_MASK,
    NO_PRODUCT,
    NO_ROPE,
    TWO_BASES,
    TWO_ZS,
    OTHER_Z,
    WIDE_GAMMA,
    NO_RELU2,
    ONE_SPAN
};

static wf_graph *gau(enum gau_fault fault)
{
    wf_graph *g = wf_graph_new();
    int64_t n = 8, e = 24, s = 16, all = 2 * e + s + (fault == WIDER_SLAB);
    if (fault == TWO_ZS) all += s;
    wf_node *offsets = wf_input(g, "offsets", WF_I32, WF_SHAPE(2));
    wf_node *span = wf_span_packed(offsets, n, false), *pos = wf_positions(offsets, n);
    wf_node *rows = fault == ONE_SPAN ? wf_slice(span, 0, 0, 1) : span;
    wf_node *slab = wf_input(g, "slab", WF_F32, WF_SHAPE(n, all));
    wf_push(g, "here");
    wf_node *h = wf_silu(slab), *h2 = wf_silu(wf_neg(slab)), *gamma[2];
    wf_node *u = wf_slice(h, -1, 0, e);
    wf_node *v = wf_slice(fault == OTHER_SLAB ? h2 : h, -1, e, fault == NARROW_V ? 1 : e);
    wf_node *z = wf_slice(h, -1, 2 * e, s), *q, *k = z;
    if (fault == OTHER_Z) k = wf_slice(h2, -1, 2 * e, s);
    if (fault == TWO_ZS) k = wf_slice(h, -1, 2 * e + s, s);
    gamma[0] = wf_param(g, "q", fault == WIDE_GAMMA ? WF_SHAPE(n, s) : WF_SHAPE(s), kernel, normal);
    gamma[1] = wf_param(g, "k", WF_SHAPE(s), kernel, normal);
    q = wf_mul(z, gamma[0]);
    k = wf_rope(wf_mul(k, gamma[1]), pos, 10000);
    if (fault != NO_ROPE) q = wf_rope(q, pos, fault == TWO_BASES ? 100 : 10000);
    wf_node *a = fault == NO_PRODUCT ? wf_neg(wf_matmul_t(q, k)) : wf_matmul_t(q, k);
    if (fault == NO_RELU2)
        a = wf_div(wf_mask_span(wf_relu(a), span, 0), wf_span_length(span, 1));
    else if (fault == NO_SOFTMAX)
        a = wf_sigmoid(wf_mask_span(a, span, -INFINITY));
    else
        a = wf_softmax(fault == NO_MASK ? a : wf_mask_span(a, rows, -INFINITY));
    wf_node *o = wf_matmul(a, v);
    wf_output(wf_mul(u, o), "y");
    if (fault == READ_TWICE) wf_output(wf_sum(o, WF_ALL, false), "sum");
    return g;
}

typedef struct missed {
    const char *pass, *why;
    wf_graph *(*build)(void);
    enum gau_fault gau; /* without build */
} missed;

static const missed all_missed[] = {
    {"fuse_linear", "the product has another reader", product_twice, 0},
    {"fuse_linear", "the product's reader has another shape", product_spread, 0},
    {"fuse_linear", "the update may overwrite what its product reads", update_of_what_it_reads, 0},
    {"fuse_pointwise", "its value has another reader", value_twice, 0},
    {"fuse_pointwise", "its reader has another shape", value_spread, 0},
    {"fuse_pointwise", "a program takes 40 instructions and 16 inputs at most", long_program, 0},
    {"fuse_pointwise", "the new value has another reader", new_value_twice, 0},
    {"fuse_pointwise", "another update reads the old value and is read by",
     updates_that_need_each_other, 0},
    {"fuse_pointwise", "the update reads the old value not only element by", update_of_a_view, 0},
    {"pull_gather", "more than half of the rows are gathered", gathered_many, 0},
    {"pull_gather", "its rows have another reader", gathered_and_read, 0},
    {"fuse_gau", "u, v, z are not the whole slab", NULL, WIDER_SLAB},
    {"fuse_gau", "A V has another reader", NULL, READ_TWICE},
    {"fuse_gau", "u and v differ in width", NULL, NARROW_V},
    {"fuse_gau", "v is no slice of u's slab", NULL, OTHER_SLAB},
    {"fuse_gau", "the weights are neither softmax nor relu2 by length", NULL, NO_SOFTMAX},
    {"fuse_gau", "the weights are not relu2 of scores by the span's", NULL, NO_RELU2},
    {"fuse_gau", "the scores are not masked by a span of visible keys", NULL, NO_MASK},
    {"fuse_gau", "the scores are not [scale] q k^T", NULL, NO_PRODUCT},
    {"fuse_gau", "q or k is no rope of z times a vector", NULL, NO_ROPE},
    {"fuse_gau", "q and k are rotated otherwise", NULL, TWO_BASES},
    {"fuse_gau", "q and k are made of different columns", NULL, TWO_ZS},
    {"fuse_gau", "q or k is made of something else than columns of", NULL, OTHER_Z},
    {"fuse_gau", "q or k is not z times a vector of at most 2048", NULL, WIDE_GAMMA},
};

/* The line of the section that begins with this heading, or NULL; and does it name the place? */
static bool has_line(const char *text, const char *heading, const char *pass, const char *says,
                     const char *where)
{
    const char *at = strstr(text, heading), *stop = at ? strstr(at, "\n\n") : NULL;
    for (at = at ? strchr(at, '\n') : NULL; at && at < stop; at = strchr(at + 1, '\n')) {
        char line[400];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
        if (strstr(line, pass) && strstr(line, says) && strstr(line, where)) return true;
    }
    return false;
}

static const char fired[] = "Patterns that fired", nearly[] = "Patterns that nearly fired";

Test(explain, what_stopped_a_pattern_is_told_with_its_place)
{
    for (size_t i = 0; i < sizeof all_missed / sizeof *all_missed; i++) {
        const missed *m = &all_missed[i];
        char *text = explain(m->build ? m->build() : gau(m->gau));
        cr_expect(has_line(text, nearly, m->pass, m->why, "here"), "%s: %s: got\n%s", m->pass,
                  m->why, text);
        free(text);
    }
}

Test(explain, a_pattern_that_fired_is_told_with_what_it_saved)
{
    char *text = explain(gau(WHOLE));
    cr_expect(has_line(text, fired, "fuse_gau", "mul -> gau_gated", "here"), "%s", text);
    cr_expect_not(has_line(text, nearly, "fuse_gau", "", ""), "%s", text);
    free(text);
    text = explain(gathered_few());
    cr_expect(has_line(text, fired, "pull_gather", "gather -> where", "here"), "%s", text);
    cr_expect_not(has_line(text, nearly, "pull_gather", "", ""), "%s", text);
    free(text);
}

Test(explain, only_the_last_word_of_a_pass_stays)
{
    wf_graph *g = wf_graph_new(); /* tanh has two readers until cse has made exp one */
    wf_node *t = wf_tanh(wf_input(g, "x", WF_F32, WF_SHAPE(4, 4)));
    wf_output(wf_add(wf_exp(t), wf_exp(t)), "y");
    char *text = explain(g);
    cr_expect_not(has_line(text, nearly, "fuse_pointwise", "", ""), "%s", text);
    free(text);
}

static wf_node *almost(wf_node *n)
{
    if (!strcmp(n->op->name, "tanh")) wf_note(n, "tanh of %d axes <&>", n->shape.rank);
    return NULL;
}

Test(explain, a_pass_of_the_user_is_heard_and_its_words_are_escaped)
{
    static const wf_pass mine = {.name = "mine", .doc = "", .rewrite = almost};
    const wf_pass *passes[] = {&mine, NULL};
    for (int html = 0; html < 2; html++) {
        wf_graph *g = wf_graph_new();
        wf_push(g, "a<b");
        wf_output(wf_tanh(wf_input(g, "x", WF_F32, WF_SHAPE(4))), "y");
        told t = compile(
            g, (wf_compile_options){.explain = true, .look_only = true, .passes = passes}, 1);
        char *text = wf_program_explain(t.p, &(wf_explain_options){.html = html});
        cr_expect(strstr(text, html ? "tanh of 1 axes &lt;&amp;&gt;" : "tanh of 1 axes <&>"));
        cr_expect(strstr(text, html ? "a&lt;b" : "a<b"), "%s", text);
        cr_expect_not(html && strstr(text, "a<b"), "%s", text);
        free(text);
        end(&t);
    }
}

/* ---- listening changes nothing ---- */

static wf_graph *training(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(64, 48));
    wf_node *h = wf_rms_norm(wf_silu(wf_dense(x, 96, true, normal, "one")), 1e-6f);
    wf_node *loss = wf_mean(wf_square(wf_dense(h, 24, true, normal, "two")), WF_ALL, false);
    wf_minimize(wf_output(loss, "loss"), &wf_tiger, NULL, &(wf_minimize_options){.clip_norm = 1});
    return g;
}

Test(explain, a_program_that_is_explained_is_the_same_program)
{
    char *text[2];
    for (int i = 0; i < 2; i++) {
        told t = compile(training(), (wf_compile_options){.explain = i}, 1);
        text[i] = wf_program_text(t.p);
        end(&t);
    }
    cr_expect_str_eq(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

/* What all patterns of a pass saved is what the pass saved. */
Test(explain, savings_of_patterns_sum_to_those_of_passes)
{
    char *text = explain(training()), pass[32], *at = strstr(text, "Passes");
    double mib, before = 0, saved = 0, sum = 0;
    for (at = strchr(strchr(at, '\n') + 1, '\n'); at[1] != '\n'; at = strchr(at + 1, '\n')) {
        cr_assert_eq(sscanf(at + 1, "%31s %*d %*d %*f %lf", pass, &mib), 2, "%s", at);
        if (!strncmp(pass, "fuse_", 5)) saved += before - mib;
        before = mib;
    }
    at = strstr(text, fired);
    for (at = strchr(strchr(at, '\n') + 1, '\n'); at[1] != '\n'; at = strchr(at + 1, '\n')) {
        if (strncmp(at + 3, "fuse_", 5) != 0) continue;
        cr_assert_eq(sscanf(at + 48, "%*[^0-9]%*d %*f %lf", &mib), 1, "%s", at);
        sum += mib;
    }
    /* and what is left is the sum over the kernels, which are counted another way */
    cr_assert_eq(sscanf(strstr(text, " all\n") - 20, "%lf", &mib), 1);
    cr_expect_float_eq(before, mib, 0.0051, "%g and %g:\n%s", before, mib, text);
    cr_expect_gt(saved, 0.2, "%s", text);
    cr_expect_float_eq(saved, sum, 0.05, "%g and %g:\n%s", saved, sum, text);
    free(text);
}

/* ---- the page ---- */

static void expect_balanced(const char *page)
{
    char open[64][16];
    int depth = 0;
    for (const char *at = page; (at = strchr(at, '<')); at++) {
        char tag[16];
        bool is_end = at[1] == '/';
        cr_assert_eq(sscanf(at + 1 + is_end, "%15[a-zA-Z0-9!]", tag), 1, "%.60s", at);
        const char *close = strchr(at, '>');
        cr_assert(close && close[-1] != '<', "%.60s", at);
        bool is_void = close[-1] == '/' || !strcmp(tag, "!DOCTYPE") || !strcmp(tag, "meta");
        if (is_end) {
            cr_assert(depth > 0 && !strcmp(open[--depth], tag), "</%s> ends <%s>", tag,
                      open[depth]);
        } else if (!is_void) {
            cr_assert_lt(depth, 63);
            strcpy(open[depth++], tag);
        }
    }
    cr_expect_eq(depth, 0);
}

static void run(told *t, int times)
{
    static float x[64 * 48];
    for (int i = 0; i < 64 * 48; i++) x[i] = (float)sin(i);
    wf_bind(t->p, "x", x, sizeof x);
    wf_set(t->p, "lr", 1e-3f);
    for (int i = 0; i < times; i++) cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
}

Test(explain, the_page_is_whole_before_and_after_a_run)
{
    told t = compile(training(), (wf_compile_options){.explain = true}, 2);
    for (int i = 0; i < 2; i++) {
        if (i) run(&t, 3);
        wf_explain_options o = {.html = true, .gflops = 100, .gbs = 10};
        char *page = wf_program_explain(t.p, &o);
        cr_assert(page, "%s", wf_error());
        expect_balanced(page);
        static const char *const says[] = {"fuse_linear", "pointwise -&gt; linear",
                                           "<svg",        "peak, step",
                                           "as declared", "compiled",
                                           ">MiB</text>", ">work</text>",
                                           "</html>"};
        for (size_t k = 0; k < sizeof says / sizeof *says; k++)
            if (i || strcmp(says[k], ">work</text>") != 0)
                cr_expect(strstr(page, says[k]), "%s is missing", says[k]);
        cr_expect_eq(strstr(page, "Where time goes") != NULL, i);
        cr_expect_eq(strstr(page, "The fastest run, a box a kernel") != NULL, i);
        cr_expect_not(strstr(page, "http") || strstr(page, "src="), "needs something else");
        free(page);
    }
    end(&t);
}

/* ---- times ---- */

Test(explain, after_runs_every_kernel_has_its_time_and_its_part_of_the_roof)
{
    told t = compile(training(), (wf_compile_options){.explain = true}, 2);
    run(&t, 5);
    char *text = wf_program_explain(t.p, &(wf_explain_options){.gflops = 1000, .gbs = 1000});
    cr_expect(strstr(text,
                     "the fastest of 5 runs on 2 threads; the roof is 1000.0 GFLOP/s and 1000.0 "
                     "GB/s, as given"),
              "%s", text);
    double ms, share, gflops, gbs, roof, waiting, mflop, mib, sum = 0, all = 0;
    const char *at = strstr(text, "Where time goes");
    for (at = strstr(at, "op") + 2; at[1] != '\n'; at = strchr(at + 1, '\n')) {
        char op[32];
        cr_assert_eq(sscanf(at, " %lf %lf %lf %lf %lf %lf %lf %lf %*d %31s", &ms, &share, &gflops,
                            &gbs, &roof, &waiting, &mflop, &mib, op),
                     9, "%.100s", at);
        cr_expect(ms > 0 || share < 1, "%.100s", at);
        cr_expect(waiting > -5 && waiting <= 100, "%.100s", at);
        if (ms > 0.02)
            cr_expect_float_eq(gflops * ms, mflop, 0.06 * mflop + 0.06 * ms, "%.100s", at);
        cr_expect_leq(roof, 100, "%.100s", at);
        if (!strcmp(op, "all"))
            all = ms;
        else
            sum += ms;
        if (!strchr(at + 1, '\n')) break;
    }
    cr_expect_float_eq(sum, all, 0.02 * all + 0.02, "%s", text);
    free(text);
    text = wf_program_explain(t.p, NULL);
    at = strstr(text, "the roof is ");
    cr_assert(at && strstr(at, "measured"));
    cr_assert_eq(sscanf(at, "the roof is %lf GFLOP/s and %lf", &gflops, &gbs), 2);
    cr_expect(gflops > 0.1 && gbs > 0.05, "%g GFLOP/s, %g GB/s", gflops, gbs);
    free(text);
    end(&t);
}

/* A run as the clock might have seen it: a millisecond for each kernel, and more for the first. */
static void seem_to_run(wf_program *p, int64_t more, double flops)
{
    const int64_t ms = 1000000;
    int64_t now = 0;
    for (int i = 0; i < p->n_steps; i++) {
        int64_t end = now + ms + (i == 0 ? more * ms : 0);
        p->steps[i].last = (wf_timing){.start = now, .end = end, .busy = end - now};
        now = end;
    }
    p->stats.flops = flops;
    wf_program_keep_fastest(p);
}

Test(explain, a_run_that_something_disturbed_does_not_show)
{
    told t = compile(training(), (wf_compile_options){.explain = true}, 1);
    seem_to_run(t.p, 7777, 1e6);
    seem_to_run(t.p, 0, 1e6);
    seem_to_run(t.p, 7777, 1e6);
    seem_to_run(t.p, -1, 1); /* it had next to nothing to do */
    for (int html = 0; html < 2; html++) {
        char *text = wf_program_explain(t.p, &(wf_explain_options){html, 1000, 1000}), want[32];
        cr_expect(strstr(text, "the fastest of 4 runs on 1 thread;"), "%s", text);
        snprintf(want, sizeof want, html ? ">%d.000 ms<" : " %d.000   100.0 ", t.p->n_steps);
        cr_expect(strstr(text, want), "%s is missing: %s", want, text);
        cr_expect_not(strstr(text, "7778.000"), "%s", text);
        free(text);
    }
    end(&t);
}

/* All kernels at 100,000 GFLOP/s, but small ones, which a clock cannot time, at any rate. */
Test(explain, what_a_kernel_reached_raises_the_roof)
{
    told t = compile(wide_layers(), (wf_compile_options){.explain = true}, 1);
    int64_t now = 0;
    for (int i = 0; i < t.p->n_steps; i++) {
        double flops = t.p->steps[i].cost.flops;
        int64_t ns = flops < 1e7 ? 1 : (int64_t)(flops / 1e5);
        t.p->steps[i].last = (wf_timing){now, now + ns, ns, flops};
        now += ns;
    }
    wf_program_keep_fastest(t.p);
    double gflops = 0;
    char *text = wf_program_explain(t.p, NULL), *at = strstr(text, "the roof is ");
    cr_assert(at && sscanf(at, "the roof is %lf", &gflops) == 1, "%s", text);
    cr_expect(gflops > 99e3 && gflops < 101e3, "%.200s", at);
    free(text);
    text = wf_program_explain(t.p, &(wf_explain_options){.gflops = 50, .gbs = 10});
    cr_expect(strstr(text, "the roof is 50.0 GFLOP/s and 10.0 GB/s, as given"), "%s", text);
    free(text);
    end(&t);
}

static void spin(void *ctx, int thread, int64_t lo, int64_t hi)
{
    volatile double x = 1;
    (void)ctx, (void)thread;
    for (int64_t i = lo * 20000; i < hi * 20000; i++) x = x * 1.0000001;
}

Test(explain, a_pool_tells_how_long_its_threads_worked_once_asked_to)
{
    wf_pool *p = wf_pool_new(3, NULL);
    wf_pool_for(p, 30, 1, spin, NULL);
    cr_expect_eq(wf_pool_busy(p), 0);
    wf_pool_measure(p);
    for (int n = 1; n <= 30; n += 29) { /* one unit runs on the caller alone */
        struct timespec a, b;
        int64_t before = wf_pool_busy(p);
        clock_gettime(CLOCK_MONOTONIC, &a);
        wf_pool_for(p, n, 1, spin, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        int64_t took = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
        int64_t busy = wf_pool_busy(p) - before;
        cr_expect(busy > 0 && busy <= (n == 1 ? 1 : 3) * took, "%d units: %lld of %lld ns", n,
                  (long long)busy, (long long)took);
    }
    wf_pool_free(p);
}

/* n small tensors, each with a gradient of its own, under AdamW. */
static wf_graph *many_tensors(int n)
{
    wf_graph *g = wf_graph_new();
    wf_node *loss = wf_constant(g, 0);
    for (int i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        wf_node *p = wf_param(g, name, WF_SHAPE(8, 8), kernel, normal);
        snprintf(name, sizeof name, "x%d", i);
        wf_node *x = wf_input(g, name, WF_F32, WF_SHAPE(8, 8));
        loss = wf_add(loss, wf_sum(wf_mul(p, x), WF_ALL, false));
    }
    wf_minimize(loss, &wf_adamw, NULL, NULL);
    return g;
}

static double seconds_to_compile(int n, bool explain)
{
    told t = compile(many_tensors(n), (wf_compile_options){.explain = explain}, 1);
    double seconds = wf_program_get_stats(t.p).compile_seconds;
    free(explain ? wf_program_explain(t.p, NULL) : NULL);
    end(&t);
    return seconds;
}

Test(explain, listening_to_the_passes_takes_no_longer_than_they_do)
{
    double alone = seconds_to_compile(500, false), heard = seconds_to_compile(500, true);
    cr_expect_lt(heard, 10 * alone, "500 tensors: %.3f s, heard %.3f s", alone, heard);
}

/* What the patterns of a pass saved, and what the costs of all that is needed say, counted anew. */
static void check_savings(const wf_program *p, const char *pass, int least)
{
    const wf_notes *notes = p->g->notes;
    wf_cost before = {0}, less = {0}, saved = {0};
    for (const wf_passed *x = notes->passes; x; before = x->cost, x = x->next) {
        if (strcmp(x->pass, pass) != 0 || x == notes->passes) continue;
        less.flops += before.flops - x->cost.flops;
        less.bytes += before.bytes - x->cost.bytes;
    }
    int n = 0;
    for (const wf_noted *x = notes->noted; x; x = x->next) {
        if (!x->fired || strcmp(x->pass, pass) != 0) continue;
        saved.flops += x->saved.flops;
        saved.bytes += x->saved.bytes;
        n++;
    }
    cr_expect_geq(n, least, "%s: %d", pass, n);
    cr_expect_float_eq(saved.flops, less.flops, 0.5, "%s: FLOPs %f, counted anew %f", pass,
                       saved.flops, less.flops);
    cr_expect_float_eq(saved.bytes, less.bytes, 0.5, "%s: bytes %f, counted anew %f", pass,
                       saved.bytes, less.bytes);
}

Test(explain, what_patterns_save_adds_up_to_what_is_saved)
{
    static const char *const passes[] = {"store_narrow", "lower", "widen_inside", "fuse_pointwise",
                                         "fuse_linear"};
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(16, 64));
    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer_%d", i);
        x = wf_tanh(wf_dense(x, 64, true, normal, name));
    }
    wf_minimize(wf_mean(x, WF_ALL, false), &wf_adamw, NULL, &(wf_minimize_options){.ema = 0.9f});
    wf_compile_options o = {.explain = true, .weights = WF_BF16, .states = WF_F16};
    told t = compile(g, o, 1);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) check_savings(t.p, passes[i], 11);
    end(&t);
}

/* ---- what is computed again, or waits in 16 bits ---- */

Test(explain, what_is_computed_again_is_told_with_what_it_saves_and_costs)
{
    enum { LIMIT = 740 << 10 };
    const struct {
        wf_graph *(*build)(void);
        wf_compile_options o;
        const char *says, *numbers, *where, *stopped;
    } cases[] = {
        {three_layers, {0}, "rms_norm -> again", "4.00  one, two", "one", "as large"},
        {three_layers, {.activations = WF_F16}, "linear -> f16", "2.00  one/in", "two/in", "large"},
        {wide_layers, {0}, NULL, "", "", "it is not cheap, and no limit asks for it"},
        {deep_layers, {.memory_limit = LIMIT}, "pointwise -> again", "0.0", "layer_", NULL},
    };
    for (int i = 0; i < 4; i++) {
        wf_compile_options o = cases[i].o;
        o.explain = o.look_only = true;
        told t = compile(cases[i].build(), o, 1);
        if (cases[i].says) check_savings(t.p, "recompute", 1);
        char *text = wf_program_explain(t.p, NULL);
        const char *says = cases[i].says, *stopped = cases[i].stopped;
        cr_expect(!says || (has_line(text, fired, "recompute", says, cases[i].numbers) &&
                            has_line(text, fired, "recompute", says, cases[i].where)),
                  "case %d: %s", i, text);
        cr_expect(!stopped || has_line(text, nearly, "recompute", stopped, ""), "case %d: %s", i,
                  text);
        free(text);
        end(&t);
    }
}

/* The column of a table's cell, counted from the line's start. */
static int column_of(const char *line, const char *cell)
{
    const char *at = strstr(line, cell);
    return at && at < line + strcspn(line, "\n") ? (int)(at - line) : -1;
}

Test(explain, a_place_is_named_once_and_long_names_keep_their_columns)
{
    char *text = explain(three_layers());
    const char *head = strstr(strstr(text, fired), "  pass");
    const char *line = strstr(text, "pointwise_store + pointwise_store -> pointwise_store");
    cr_assert(head && line, "%s", text);
    while (line[-1] != '\n') line--;
    cr_expect_eq(column_of(head, "where"), column_of(line, "update/"), "%s", text);
    cr_expect(has_line(text, fired, "lower", "add -> pointwise",
                       "  one/in, one (2), two/in, two (3), three/in, three (3)"),
              "%s", text);
    free(text);
}

/* How often a text stands between from and to. */
static int times_between(const char *text, const char *from, const char *to, const char *what)
{
    const char *at = strstr(text, from), *stop = at ? strstr(at, to) : NULL;
    int n = 0;
    for (; at && stop && (at = strstr(at, what)) && at < stop; at++) n++;
    return n;
}

Test(explain, a_scope_of_the_page_s_graphs_comes_once_and_is_not_empty)
{
    told t = compile(three_layers(), (wf_compile_options){.explain = true, .look_only = true}, 1);
    char *page = wf_program_explain(t.p, &(wf_explain_options){.html = true});
    static const char *const scopes[] = {"one", "two", "three", "outside"};
    for (int i = 0; i < 4; i++) {
        char want[40];
        snprintf(want, sizeof want, "<summary>%s", scopes[i]);
        cr_expect_eq(times_between(page, "as declared", "<summary>compiled", want), 1, "%s", want);
        cr_expect_eq(times_between(page, "<summary>compiled", "</html>", want), 1, "%s", want);
    }
    cr_expect_not(strstr(page, "<pre></pre>"));
    const char *copy = strstr(page, "  # one/  # again\n"); /* in its layer, as what it repeats */
    cr_assert(copy, "%s", page);
    while (strncmp(copy, "<summary>", 9) != 0) copy--;
    cr_expect(!strncmp(copy, "<summary>one", 12), "%.40s", copy);
    free(page);
    end(&t);
}
