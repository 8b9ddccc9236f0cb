/*
 * The pass pull_gather: which ops it computes for the gathered rows alone and which it leaves
 * whole, by the shapes of their results; and that outputs keep their bits, gradients their values,
 * also for ids that are outside.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "passes/passes.h"
#include "tests/op_trial.h"

enum { ROWS = 12, WIDTH = 32, IDS = 5 };

typedef struct leaves {
    wf_graph *g;
    wf_node *x, *z;     /* parameters [ROWS, WIDTH] */
    wf_node *w, *b, *r; /* [WIDTH, WIDTH], [WIDTH], [ROWS, 1] */
    wf_node *ids;       /* constants 7, -1, 12, 7, 0 */
} leaves;

static wf_node *param(wf_graph *g, const char *name, wf_shape s)
{
    wf_init normal = {.kind = WF_INIT_NORMAL, .a = 0.5f};
    return wf_param(g, name, s, (wf_role){.kind = WF_KERNEL}, normal);
}

static const int32_t some_ids[] = {7, -1, ROWS, 7, 0, 1, 2};

static leaves declare(void)
{
    leaves l = {.g = wf_graph_new()};
    l.x = param(l.g, "x", WF_SHAPE(ROWS, WIDTH));
    l.z = param(l.g, "z", WF_SHAPE(ROWS, WIDTH));
    l.w = param(l.g, "w", WF_SHAPE(WIDTH, WIDTH));
    l.b = param(l.g, "b", WF_SHAPE(WIDTH));
    l.r = param(l.g, "r", WF_SHAPE(ROWS, 1));
    l.ids = wf_constants_i32(l.g, WF_SHAPE(IDS), some_ids);
    return l;
}

/* ---- ops of a user ---- */

static void halve(const void *attr, int64_t n, float *y, const float *const x[])
{
    (void)attr;
    for (int64_t i = 0; i < n; i++) y[i] = x[0][i] / 2;
}

static void halve_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    (void)y;
    dx[0] = wf_scale(dy, 0.5f);
}

static bool infer_twelve(wf_node *y)
{
    return wf_infer_same(y) && (y->shape.dim[0] == ROWS || wf_fail(y, "twelve or nothing"));
}

static const wf_op halve_op = {.name = "halve",
                               .doc = "x / 2",
                               .arity = 1,
                               .infer = wf_infer_same,
                               .lane = halve,
                               .grad = halve_grad};
static const wf_op halve_twelve_op = {.name = "halve_twelve",
                                      .doc = "x / 2 of twelve rows",
                                      .arity = 1,
                                      .infer = infer_twelve,
                                      .lane = halve,
                                      .grad = halve_grad};

/* y_j = x_(n - 1 - j) in each row */
static void mirror(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t n = wf_last(&c->out->shape);
    for (int64_t i = lo; i < hi; i++)
        for (int64_t j = 0; j < n; j++)
            ((float *)c->out->data)[i * n + j] = ((const float *)c->in[0].data)[i * n + n - 1 - j];
}

static wf_cost mirror_cost(const wf_node *y)
{
    return wf_cost_rows(y, 1);
}

static void mirror_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_apply1(y->op, NULL, dy);
}

static const wf_op mirror_op = {.name = "mirror",
                                .doc = "rows backwards",
                                .arity = 1,
                                .traits = WF_ROWWISE,
                                .infer = wf_infer_same,
                                .cost = mirror_cost,
                                .grad = mirror_grad,
                                .run = mirror};

static void choose(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t n = wf_last(&c->out->shape);
    for (int64_t i = lo * n; i < hi * n; i++)
        ((float *)c->out->data)[i] =
            ((const int32_t *)c->in[1].data)[i] ? ((const float *)c->in[0].data)[i] : 0;
}

static const wf_op chosen_op = {.name = "chosen",
                                .doc = "x where an integer is not 0",
                                .arity = 2,
                                .traits = WF_ROWWISE | WF_FLAT,
                                .infer = wf_infer_same,
                                .cost = mirror_cost,
                                .run = choose};

/* ---- graphs: one row a rule, and one for each case that stays ---- */

typedef struct row {
    const char *what;
    wf_node *(*build)(const leaves *l); /* y */
    const char *whole, *picked;         /* ops with ROWS rows; with IDS rows of two axes at least */
} row;

#define ROW(NAME, EXPRESSION)                                                                      \
    static wf_node *NAME(const leaves *l)                                                          \
    {                                                                                              \
        return wf_gather(EXPRESSION, l->ids);                                                      \
    }

ROW(product, wf_linear(l->x, l->w, l->b))
ROW(product_t, wf_matmul_t(l->x, l->w))
ROW(residual, wf_rms_norm(wf_add(l->x, wf_matmul(wf_tanh(l->z), l->w)), 1e-12f))
ROW(gain, wf_add(wf_mul(wf_layer_norm(l->x, 0), l->b), l->b))
ROW(softmax, wf_mul(wf_softmax(l->x), wf_log_softmax(l->z)))
ROW(infinite_slope, wf_mul(wf_log(wf_square(l->x)), l->b))
ROW(by_rows, wf_add(wf_mul(wf_div(l->x, l->r), l->b), wf_reshape(l->b, WF_SHAPE(1, WIDTH))))
ROW(outer, wf_mul(l->r, l->b))
ROW(of_a_user, wf_apply1(&halve_op, NULL, wf_apply1(&mirror_op, NULL, l->x)))
ROW(not_of_a_user, wf_apply1(&halve_twelve_op, NULL, l->x))
ROW(numbers, wf_tanh(wf_reshape(l->r, WF_SHAPE(ROWS))))
ROW(row_of_numbers, wf_softmax(wf_reshape(l->r, WF_SHAPE(ROWS))))
ROW(leaf, l->x)
ROW(along_rows, wf_cumsum(l->x, 0))
ROW(part_of_rows, wf_neg(wf_slice(wf_concat(2, (wf_node *[]){l->x, l->z}, 0), 0, 4, ROWS)))
ROW(cut_otherwise,
    wf_neg(wf_reshape(wf_tanh(wf_reshape(l->x, WF_SHAPE(24, 16))), WF_SHAPE(ROWS, WIDTH))))
ROW(by_integers, wf_apply2(&chosen_op, NULL, l->x, wf_cast(l->z, WF_I32)))
ROW(turned, wf_transpose(wf_matmul_t(l->w, l->x), WF_AXES(1, 0)))
ROW(product_of_turned, wf_t_matmul(wf_transpose(l->x, WF_AXES(1, 0)), l->w))
ROW(narrow_product, wf_matmul(l->x, wf_slice(l->w, 1, 0, 16)))
ROW(flat_product, wf_reshape(wf_matmul(l->x, l->w), WF_SHAPE((int64_t)ROWS *WIDTH)))
ROW(narrow_part, wf_tanh(wf_slice(l->x, 1, 0, 2)))
ROW(dropped, wf_dropout(l->x, 0.5f))
ROW(dropped_inside, wf_add(l->x, wf_dropout(wf_matmul(l->z, l->w), 0.5f)))
ROW(in_three, wf_reshape(wf_linear(wf_reshape(l->x, WF_SHAPE(3, 4, WIDTH)), l->w, l->b),
                         WF_SHAPE(ROWS, WIDTH)))
ROW(over_some_rows,
    wf_reshape(wf_add(wf_reshape(l->x, WF_SHAPE(3, 4, WIDTH)), wf_slice(l->z, 0, 0, 4)),
               WF_SHAPE(ROWS, WIDTH)))
ROW(matrices, wf_scale(wf_matmul(wf_reshape(l->x, WF_SHAPE(ROWS, 1, WIDTH)),
                                 wf_reshape(l->w, WF_SHAPE(1, WIDTH, WIDTH))),
                       2))

static wf_node *shared_inside(const leaves *l)
{
    wf_node *h = wf_add(l->x, l->z);
    return wf_gather(wf_add(h, wf_matmul(wf_mul(h, wf_sigmoid(h)), l->w)), l->ids);
}

static wf_node *gated(const leaves *l)
{
    wf_node *h = wf_reshape(wf_matmul(l->x, wf_concat(2, (wf_node *[]){l->w, l->w}, 1)),
                            WF_SHAPE(3, 4, 2 * WIDTH));
    wf_node *y = wf_mul(wf_slice(h, 2, 0, WIDTH), wf_silu(wf_slice(h, 2, WIDTH, WIDTH)));
    return wf_gather(wf_reshape(y, WF_SHAPE(ROWS, WIDTH)), l->ids);
}

static wf_node *ids_of_two_axes(const leaves *l)
{
    return wf_gather(wf_scale(l->x, 3), wf_reshape(l->ids, WF_SHAPE(IDS, 1)));
}

static wf_node *read_elsewhere(const leaves *l)
{
    wf_node *y = wf_tanh(l->x);
    wf_output(y, "whole");
    return wf_gather(y, l->ids);
}

static wf_node *read_inside_and_elsewhere(const leaves *l)
{
    wf_node *h = wf_tanh(l->x);
    wf_output(h, "whole");
    return wf_gather(wf_exp(h), l->ids);
}

static wf_node *of_gathered(const leaves *l)
{
    wf_node *few = wf_constants_i32(l->g, WF_SHAPE(2), some_ids + 4);
    return wf_gather(wf_exp(wf_gather(wf_tanh(l->x), l->ids)), few);
}

static wf_node *most_rows(const leaves *l)
{
    return wf_gather(wf_tanh(l->x), wf_constants_i32(l->g, WF_SHAPE(7), some_ids));
}

static wf_node *long_chain(const leaves *l)
{
    wf_node *y = l->x;
    for (int i = 0; i < 40; i++) y = wf_add(wf_sin(y), i % 2 ? l->x : l->z);
    return wf_gather(y, l->ids);
}

static const row cases[] = {
    {"a product with bias", product, "", "reshape gather matmul add where"},
    {"with a transposed matrix", product_t, "", "reshape gather matmul where"},
    {"residual and norm", residual, "", "reshape gather gather tanh matmul add rms_norm where"},
    {"norm, gain and bias", gain, "", "reshape gather layer_norm mul add where"},
    {"softmax", softmax, "", "reshape gather softmax gather log_softmax mul where"},
    {"what has infinite slope at 0", infinite_slope, "", "reshape gather square log mul where"},
    {"what rows are divided by", by_rows, "", "reshape gather gather div mul add where"},
    {"one number a row", outer, "", "reshape gather mul where"},
    {"ops of a user", of_a_user, "", "reshape gather mirror halve where"},
    {"an op that may ask for other shapes stays", not_of_a_user, "halve_twelve", "gather"},
    {"a table of numbers", numbers, "", "gather"},
    {"softmax over rows stays", row_of_numbers, "reshape softmax", ""},
    {"a leaf stays", leaf, "", "gather"},
    {"a sum along rows stays", along_rows, "cumsum", "gather"},
    {"some of the rows stay", part_of_rows, "slice", "reshape gather neg where"},
    {"what is cut into other rows stays", cut_otherwise, "reshape", "reshape gather neg where"},
    {"an op that needs rows of integers stays", by_integers, "chosen", "gather"},
    {"a transposed value stays", turned, "transpose", "gather"},
    {"a product whose rows are columns stays", product_of_turned, "matmul", "gather"},
    {"a product whose sums depend on how many rows there are stays", narrow_product, "matmul",
     "gather"},
    {"a product each of whose numbers is a row stays", flat_product, "matmul", ""},
    {"what is much less than its gathers stays", narrow_part, "slice tanh", "gather"},
    {"dropout, with its draws", dropped, "", "reshape gather dropout where"},
    {"what is behind it", dropped_inside, "", "reshape gather gather matmul dropout add where"},
    {"rows of two axes", in_three, "", "reshape gather matmul add where"},
    {"what broadcasts over some rows stays", over_some_rows, "reshape", "gather"},
    {"a product of a matrix for each row stays", matrices, "reshape matmul",
     "reshape gather scale where"},
    {"a value whose readers are all picked", shared_inside, "",
     "reshape gather gather add sigmoid mul matmul add where"},
    {"slices of columns", gated, "", "reshape gather matmul slice slice silu mul where"},
    {"ids of two axes", ids_of_two_axes, "", "reshape gather scale where reshape"},
    {"rows that are read elsewhere stay", read_elsewhere, "tanh", "gather"},
    {"rows behind that are read elsewhere stay", read_inside_and_elsewhere, "tanh",
     "reshape gather exp where"},
    {"rows of gathered rows", of_gathered, "", "reshape gather tanh where"},
    {"more than half of the rows stay", most_rows, "tanh", ""},
    {"all but so much of a long chain", long_chain, NULL, NULL},
};

enum { N = sizeof cases / sizeof *cases };

/* The ops whose results have so many rows. */
static char *ops_of(const char *text, int64_t rows, bool is_picked)
{
    char *y = NULL, op[32], *copy = strdup(text);
    size_t size;
    int k;
    FILE *f = open_memstream(&y, &size);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
        long long n;
        char next = 0;
        const char *shape = strstr(line, " : f32[");
        bool is_node = shape && sscanf(line, "%%%d = %31s", &k, op) == 2 && strcmp(op, "param");
        if (is_node && sscanf(shape, " : f32[%lld%c", &n, &next) == 2 && n == rows)
            if (!is_picked || next == ',') fprintf(f, "%s%s", ftell(f) ? " " : "", op);
    }
    fclose(f);
    free(copy);
    return y;
}

Test(pull_gather, computes_rows_that_are_gathered_alone_where_it_may)
{
    for (int i = 0; i < N && cases[i].whole; i++) {
        leaves l = declare();
        wf_output(cases[i].build(&l), "y");
        cr_assert_eq(wf_graph_check(l.g), WF_OK, "%s: %s", cases[i].what, wf_error());
        cr_assert(wf_pass_apply(l.g, &wf_pass_pull_gather), "%s: %s", cases[i].what, l.g->message);
        char *text = wf_graph_text(l.g);
        char *whole = ops_of(text, ROWS, false), *picked = ops_of(text, IDS, true);
        cr_expect_str_eq(whole, cases[i].whole, "%s: got %s\n%s", cases[i].what, whole, text);
        cr_expect_str_eq(picked, cases[i].picked, "%s: got %s\n%s", cases[i].what, picked, text);
        free(whole), free(picked), free(text);
        wf_graph_free(l.g);
    }
}

Test(pull_gather, waits_for_numbers_behind_sizes)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(wf_size(g, "rows"), WIDTH));
    wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(wf_size(g, "ids")));
    wf_output(wf_gather(wf_tanh(x), ids), "y");
    cr_assert(wf_pass_apply(g, &wf_pass_pull_gather), "%s", g->message);
    cr_expect_eq(wf_graph_size(g), 4);
    wf_graph_free(g);
}

Test(pull_gather, leaves_more_rows_than_floats_can_tell)
{
    for (int more = 0; more < 2; more++) {
        wf_graph *g = wf_graph_new();
        wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE((1 << 24) + more));
        wf_output(wf_gather(wf_tanh(x), wf_input(g, "ids", WF_I32, WF_SHAPE(2))), "y");
        cr_assert(wf_pass_apply(g, &wf_pass_pull_gather), "%s", g->message);
        char *text = wf_graph_text(g);
        cr_expect_eq(!strstr(text, "clamp"), more, "%s", text);
        free(text);
        wf_graph_free(g);
    }
}

/* ---- numbers ---- */

typedef struct result {
    int n;
    float *data[8]; /* y and the gradients */
    int64_t size[8];
    double flops;
} result;

static void keep(result *r, const wf_program *p, const char *name)
{
    wf_shape s;
    const float *x = wf_read(p, name, &s);
    cr_assert(x, "no output %s", name);
    int64_t n = r->size[r->n] = wf_elements(&s);
    r->data[r->n] = malloc((size_t)n * sizeof *x);
    memcpy(r->data[r->n++], x, (size_t)n * sizeof *x);
}

static void result_free(result *r)
{
    for (int i = 0; i < r->n; i++) free(r->data[i]);
}

/* y, and the gradients of a sum over it that depends on all leaves. */
static result run(const row *r, int threads, const char *passes)
{
    static const char *const names[] = {"dx", "dz", "dw", "db", "dr"};
    result y = {0};
    leaves l = declare();
    wf_node *leaf[] = {l.x, l.z, l.w, l.b, l.r}, *out = wf_output(r->build(&l), "y");
    wf_node *loss = wf_sum(wf_mul(out, op_weights(out)), WF_ALL, false);
    for (int i = 0; i < 5; i++) loss = wf_add(loss, wf_sum(wf_square(leaf[i]), WF_ALL, false));
    for (int i = 0; i < 5; i++) wf_output(wf_gradient(loss, leaf[i]), names[i]);
    wf_runtime *rt = op_runtime(threads, "", passes);
    wf_store *s = wf_store_new(3);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, l.g, s, rt, NULL), WF_OK, "%s: %s", r->what, wf_error());
    cr_assert_eq(wf_run(p), WF_OK, "%s: %s", r->what, wf_error());
    keep(&y, p, "y");
    for (int i = 0; i < 5; i++) keep(&y, p, names[i]);
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(l.g);
    return y;
}

static void expect_equal(const result *a, const result *b, int exact, const char *what)
{
    for (int i = 0; i < a->n; i++) {
        double tolerance = i < exact ? 0 : 2e-6;
        int64_t at = op_differs(WF_F32, a->size[i], a->data[i], b->data[i], tolerance);
        if (at < 0) continue;
        cr_expect(false, "%s: %d[%lld]: %.9g, not %.9g", what, i, (long long)at,
                  (double)a->data[i][at], (double)b->data[i][at]);
    }
}

Test(pull_gather, keeps_the_bits_of_outputs_and_the_values_of_gradients)
{
    for (int i = 0; i < N; i++) {
        result with = run(&cases[i], 1, ""), without = run(&cases[i], 1, "-pull_gather");
        result two = run(&cases[i], 2, "");
        for (int k = 0; k < with.n; k++)
            for (int64_t j = 0; j < with.size[k]; j++)
                cr_assert(isfinite(with.data[k][j]), "%s: %d[%lld]", cases[i].what, k,
                          (long long)j);
        expect_equal(&with, &without, 1, cases[i].what);
        expect_equal(&two, &with, with.n, cases[i].what);
        result_free(&with), result_free(&without), result_free(&two);
    }
}

/* ---- a classifier by the first token of each sequence ---- */

enum { TOKENS = 150, TEXTS = 11, D = 64, E = 96, S = 32, LAYERS = 2 };

static wf_node *gau(wf_node *x, wf_node *span, wf_node *positions)
{
    wf_graph *g = wf_graph_of(x);
    int64_t sizes[] = {E, E, S};
    wf_node *part[3], *turned[2];
    wf_split(wf_silu(wf_matmul(x, param(g, "wi", WF_SHAPE(D, 2 * E + S)))), -1, 3, sizes, part);
    for (int i = 0; i < 2; i++) {
        wf_node *gamma = param(g, i ? "k" : "q", WF_SHAPE(S));
        turned[i] = wf_rope(wf_mul(part[2], gamma), positions, 10000);
    }
    wf_node *a = wf_softmax(wf_mask_span(wf_matmul_t(turned[0], turned[1]), span, -INFINITY));
    wf_node *o = wf_matmul(wf_mul(part[0], wf_matmul(a, part[1])), param(g, "wo", WF_SHAPE(E, D)));
    return wf_rms_norm(wf_add(x, o), 1e-12f);
}

static wf_graph *classifier(void)
{
    wf_graph *g = wf_graph_new();
    int32_t offsets[TEXTS + 1], first[TEXTS], label[TEXTS];
    for (int i = 0; i <= TEXTS; i++) offsets[i] = i * (TOKENS / TEXTS); /* 7 tokens are no text's */
    for (int i = 0; i < TEXTS; i++) label[i] = i * 7 % 5;
    memcpy(first, offsets, sizeof first);
    first[3] = TOKENS + 1; /* missing: but its zeros have a label */
    first[4] = -5;
    label[4] = -1;
    wf_node *ends = wf_constants_i32(g, WF_SHAPE(TEXTS + 1), offsets);
    wf_node *span = wf_span_packed(ends, TOKENS, false), *positions = wf_positions(ends, TOKENS);
    wf_node *x = param(g, "x", WF_SHAPE(TOKENS, D));
    for (int i = 0; i < LAYERS; i++) {
        wf_push(g, "layer_%d", i);
        x = gau(x, span, positions);
        wf_pop(g);
    }
    x = wf_gather(x, wf_constants_i32(g, WF_SHAPE(TEXTS), first));
    x = wf_linear(x, param(g, "head", WF_SHAPE(D, 5)), param(g, "bias", WF_SHAPE(5)));
    wf_node *loss = wf_cross_entropy(x, wf_constants_i32(g, WF_SHAPE(TEXTS), label), -1);
    wf_output(x, "logits");
    wf_minimize(wf_output(loss, "loss"), &wf_sgd, NULL, NULL);
    return g;
}

/* Logits and loss of the first step; parameters after three. */
static result train(int threads, const char *passes)
{
    result y = {0};
    wf_graph *g = classifier();
    wf_runtime *rt = op_runtime(threads, "", passes);
    wf_store *s = wf_store_new(3);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    wf_set(p, "lr", 0.01f);
    for (int step = 0; step < 3; step++) {
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        if (step == 0) keep(&y, p, "logits"), keep(&y, p, "loss");
    }
    static const char *const names[] = {"x", "layer_0/wi", "layer_1/wi", "layer_1/wo", "bias"};
    for (int i = 0; i < 5; i++) {
        wf_shape shape;
        const float *x = wf_store_data(s, names[i], NULL, &shape);
        int64_t n = y.size[y.n] = wf_elements(&shape);
        y.data[y.n] = malloc((size_t)n * sizeof *x);
        memcpy(y.data[y.n++], x, (size_t)n * sizeof *x);
    }
    y.flops = wf_program_get_stats(p).flops;
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return y;
}

Test(pull_gather, trains_a_classifier_to_the_same_values_with_less_work)
{
    result with = train(1, ""), without = train(1, "-pull_gather"), two = train(2, "");
    expect_equal(&with, &without, 2, "without the pass");
    expect_equal(&two, &with, with.n, "two threads");
    double saved = 3 * 2.0 * (TOKENS - TEXTS) * E * D; /* of one output product and its gradients */
    cr_expect_geq(without.flops - with.flops, 0.9 * saved, "%g", without.flops - with.flops);
    result_free(&with), result_free(&without), result_free(&two);
}
