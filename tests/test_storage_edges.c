/*
 * Where storage in 16 bits meets the rest: activations under a limit of memory, updates that are
 * left out, groups that are frozen, the naive kernels.
 */
#define _XOPEN_SOURCE 700
#include "tests/storage_net.h"

#include <weft/op.h>

TestSuite(storage_edges, .timeout = 60);

/* ---- activations ---- */

enum { TALL = 560, DEEP = 1600, LOW = 500, WIDE = 1000, HIGH = 4000 };

/* The peak lies in the forward pass: y waits over it for an output, h for the backward pass alone.
 */
static wf_graph *declare_peak(void)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.05f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(TALL, DEEP));
    wf_node *up = wf_input(g, "up", WF_F32, WF_SHAPE(WIDE, HIGH));
    wf_node *h = wf_tanh(wf_dense(x, LOW, false, init, "h"));
    wf_node *y = wf_dense(h, WIDE, false, init, "y");
    wf_node *high = wf_sin(wf_matmul(wf_stop_gradient(y), up));
    wf_node *back = wf_matmul_t(high, up);
    wf_node *out = wf_output(wf_sum(wf_mul(y, back), WF_AXES(1), false), "out");
    wf_minimize(wf_output(wf_mean(wf_square(out), WF_ALL, false), "loss"), &wf_lion, NULL, NULL);
    return g;
}

/* The outputs of a run, malloc'ed; the limit that a refusal names. */
static float *run_peak(wf_compile_options how, wf_program_stats *stats, size_t *least)
{
    static float x[TALL * DEEP], up[WIDE * HIGH];
    for (int i = 0; i < TALL * DEEP; i++) x[i] = sinf((float)i);
    for (int i = 0; i < WIDE * HIGH; i++) up[i] = 0.1f * cosf((float)i);
    wf_graph *g = declare_peak();
    wf_runtime *rt = runtime_of(1);
    wf_store *s = wf_store_new(2);
    wf_program *p;
    float *out = NULL;
    if (wf_compile(&p, g, s, rt, &how) == WF_OK) {
        wf_bind(p, "x", x, sizeof x);
        wf_bind(p, "up", up, sizeof up);
        wf_set(p, "lr", 1e-3f);
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        out = malloc(TALL * sizeof *out);
        memcpy(out, wf_read(p, "out", NULL), TALL * sizeof *out);
        *stats = wf_program_get_stats(p);
        wf_program_free(p);
    } else {
        const char *found = strstr(wf_error(), "found is ");
        cr_assert(found, "%s", wf_error());
        *least = (size_t)strtoull(found + 9, NULL, 10);
    }
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return out;
}

/* Nor when a limit has it computed again. */
Test(storage_edges, what_outputs_need_is_never_made_of_16_bits)
{
    wf_program_stats exact, s;
    wf_compile_options how = {.activations = WF_BF16, .memory_limit = 1};
    size_t least = 0;
    float *want = run_peak((wf_compile_options){0}, &exact, &least);
    cr_assert_null(run_peak(how, &s, &least));
    how.memory_limit = least;
    float *got = run_peak(how, &s, &least);
    cr_assert(want && got);
    cr_expect(s.narrowed > 0);
    cr_expect_lt(s.plan_bytes, exact.plan_bytes);
    cr_expect(!memcmp(want, got, TALL * sizeof *want), "%.9g, not %.9g", (double)got[0],
              (double)want[0]);
    free(want), free(got);
}

/* ---- updates that are left out ---- */

enum { ROWS = 24, IN = 20, OUT = 12, IDS = 50 };

/* Rows of a table and a product of the same table: read as rows, and as a right operand. */
static net *begin(const wf_optimizer *o, const void *hyper, const wf_minimize_options *m,
                  wf_dtype type)
{
    net *n = calloc(1, sizeof *n);
    cr_assert(n);
    for (int i = 0; i < ROWS * IN; i++) n->x[i] = sinf(1.7f * (float)i);
    for (int i = 0; i < ROWS; i++) n->ids[i] = i * i % IDS;
    n->g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.3f};
    wf_node *x = wf_input(n->g, "x", WF_F32, WF_SHAPE(ROWS, IN));
    wf_node *ids = wf_input(n->g, "ids", WF_I32, WF_SHAPE(ROWS));
    wf_role role = {.kind = WF_EMBEDDING};
    wf_node *table = wf_param(n->g, "table", WF_SHAPE(IDS, OUT), role, init);
    wf_node *h = wf_dense(x, OUT, true, init, "in");
    wf_node *logits = wf_matmul_t(wf_add(wf_tanh(h), wf_gather(table, ids)), table);
    wf_minimize(wf_output(wf_cross_entropy(logits, ids, -1), "loss"), o, hyper, m);
    n->rt = runtime_of(1);
    n->store = wf_store_new(7);
    wf_compile_options how = {.weights = type, .states = type};
    cr_assert_eq(wf_compile(&n->p, n->g, n->store, n->rt, &how), WF_OK, "%s", wf_error());
    wf_bind(n->p, "x", n->x, ROWS * IN * sizeof *n->x);
    wf_bind(n->p, "ids", n->ids, sizeof n->ids);
    wf_set(n->p, "lr", 0.01f);
    return n;
}

static wf_store *copy_of(const wf_store *s)
{
    wf_store *copy = wf_store_new(0);
    for (int i = 0; i < wf_store_count(s); i++) {
        wf_dtype type;
        wf_shape shape;
        const char *name = wf_store_name(s, i);
        const void *x = wf_store_data(s, name, &type, &shape);
        cr_assert_eq(wf_store_put(copy, name, type, shape, x), WF_OK);
    }
    return copy;
}

/* How many tensors of 16 bits, whose names hold this, differ. */
static int count_changed(const wf_store *a, const wf_store *b, const char *part, int *all)
{
    int changed = 0;
    *all = 0;
    for (int i = 0; i < wf_store_count(a); i++) {
        wf_dtype type;
        wf_shape shape;
        const char *name = wf_store_name(a, i);
        const void *x = wf_store_data(a, name, &type, &shape);
        if (type == WF_F32 || !strstr(name, part)) continue;
        const void *y = wf_store_data(b, name, NULL, NULL);
        changed += memcmp(x, y, (size_t)wf_elements(&shape) * sizeof(uint16_t)) != 0;
        ++*all;
    }
    return changed;
}

static const wf_optimizer *const optimizers[] = {&wf_sgd,       &wf_adam,   &wf_adamw, &wf_lion,
                                                 &wf_tiger,     &wf_lamb,   &wf_nadam, &wf_radam,
                                                 &wf_adafactor, &wf_rmsprop};

static void expect_changed(const net *n, const wf_store *before, int most, const char *what)
{
    int all, changed = count_changed(before, n->store, "", &all);
    cr_expect(all >= 2 && (most ? changed == all : changed == 0), "%s: %d of %d", what, changed,
              all);
}

/* Rounding by chance gives a number that stays itself: not one bit moves. */
Test(storage_edges, what_an_update_leaves_out_keeps_its_bits)
{
    static const wf_dtype types[] = {WF_BF16, WF_F16};
    static const wf_minimize_options skips = {.skip_nonfinite = true}, waits = {.accumulate = 3};
    for (size_t k = 0; k < 2 * COUNT(optimizers); k++) {
        const wf_optimizer *o = optimizers[k / 2];
        net *n = begin(o, NULL, &skips, types[k % 2]);
        run(n, 2);
        wf_store *before = copy_of(n->store);
        n->x[3] = NAN;
        run(n, 2);
        expect_changed(n, before, false, o->name);
        n->x[3] = 0;
        run(n, 1);
        expect_changed(n, before, true, o->name);
        end(n), wf_store_free(before);
        n = begin(o, NULL, &waits, types[k % 2]);
        run(n, 3);
        before = copy_of(n->store);
        run(n, 2);
        expect_changed(n, before, false, o->name);
        run(n, 1);
        expect_changed(n, before, true, o->name);
        end(n), wf_store_free(before);
    }
}

/* Tensor by tensor: momenta stay, weights shrink as asked; here not at all. */
Test(storage_edges, a_tensor_that_tiger_skips_keeps_its_bits)
{
    static const wf_nonfinite modes[] = {WF_SKIP_NAN, WF_SKIP_NAN_OR_INF};
    for (int k = 0; k < 4; k++) {
        wf_tiger_hyper h = *(const wf_tiger_hyper *)wf_tiger.defaults;
        h.nonfinite = modes[k % 2];
        h.shrink = 1;
        net *n = begin(&wf_tiger, &h, NULL, k / 2 ? WF_F16 : WF_BF16);
        run(n, 2);
        wf_store *before = copy_of(n->store);
        n->x[3] = NAN;
        run(n, 2);
        expect_changed(n, before, false, "tiger");
        end(n), wf_store_free(before);
    }
}

Test(storage_edges, a_frozen_group_keeps_its_bits)
{
    static const wf_param_group groups[] = {{.pattern = "table", .frozen = true}};
    wf_minimize_options m = {.groups = groups, .n_groups = 1};
    net *n = begin(&wf_adamw, NULL, &m, WF_BF16);
    wf_store *before = copy_of(n->store);
    int all;
    run(n, 3);
    cr_expect_eq(count_changed(before, n->store, "table", &all), 0);
    cr_expect_eq(all, 1, "it has no states: %d", all);
    cr_expect_eq(count_changed(before, n->store, "in/w", &all), all);
    end(n), wf_store_free(before);
}

/* Their gradient is 0: they stay, though decay would move them. */
Test(storage_edges, rows_of_a_lazy_group_keep_their_bits)
{
    static const wf_param_group groups[] = {{.pattern = "table", .lazy = true}};
    static const wf_minimize_options m = {.groups = groups, .n_groups = 1};
    static const int32_t ids[3] = {4, 17, 4};
    for (size_t k = 0; k < COUNT(optimizers); k++) {
        wf_graph *g = wf_graph_new();
        wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.3f};
        wf_role role = {.kind = WF_EMBEDDING};
        wf_node *table = wf_param(g, "table", WF_SHAPE(IDS, OUT), role, init);
        wf_node *rows = wf_gather(table, wf_input(g, "ids", WF_I32, WF_SHAPE(3)));
        wf_minimize(wf_sum(wf_square(rows), WF_ALL, false), optimizers[k], NULL, &m);
        wf_runtime *rt = runtime_of(1);
        wf_store *s = wf_store_new(3);
        wf_program *p;
        wf_compile_options how = {.weights = WF_BF16, .states = WF_BF16};
        cr_assert_eq(wf_compile(&p, g, s, rt, &how), WF_OK, "%s", wf_error());
        wf_bind(p, "ids", ids, sizeof ids);
        wf_set(p, "lr", 0.1f);
        const uint16_t *now = wf_store_data(s, "table", NULL, NULL);
        uint16_t before[IDS * OUT];
        memcpy(before, now, sizeof before);
        for (int i = 0; i < 3; i++) cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        for (int r = 0; r < IDS; r++)
            cr_expect_eq(memcmp(now + r * OUT, before + r * OUT, OUT * sizeof *now) != 0,
                         r == 4 || r == 17, "%s: row %d", optimizers[k]->name, r);
        wf_program_free(p);
        wf_store_free(s);
        wf_runtime_free(rt);
        wf_graph_free(g);
    }
}

/* ---- squares of gradients ---- */

/* The mean of w after steps along a gradient that is one number everywhere. */
static double train_along(const wf_optimizer *o, const void *hyper, float gradient, wf_dtype states)
{
    enum { N = 16, STEPS = 200 };
    wf_graph *g = wf_graph_new();
    wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1};
    wf_node *w = wf_param(g, "w", WF_SHAPE(N, N), (wf_role){0}, one);
    wf_minimize(wf_sum(wf_scale(w, gradient), WF_ALL, false), o, hyper, NULL);
    wf_runtime *rt = runtime_of(1);
    wf_store *s = wf_store_new(3);
    wf_program *p;
    wf_compile_options how = {.states = states};
    cr_assert_eq(wf_compile(&p, g, s, rt, &how), WF_OK, "%s", wf_error());
    wf_set(p, "lr", 1e-3f);
    for (int i = 0; i < STEPS; i++) cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
    const float *x = wf_store_data(s, "w", NULL, NULL);
    double mean = 0;
    for (int i = 0; i < N * N; i++) mean += (double)x[i] / (N * N);
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return mean;
}

/* f16 ends at 65504, where a step would become 0, and begins at 6e-8, below which it would explode.
 */
Test(storage_edges, squares_of_gradients_have_their_range_where_f16_is_asked_for)
{
    static const float gradients[] = {1e-5f, 1, 3000};
    wf_adamw_hyper top = *(const wf_adamw_hyper *)wf_adamw.defaults;
    top.amsgrad = true;
    const struct {
        const wf_optimizer *o;
        const void *hyper;
    } rows[] = {{&wf_adam, NULL},  {&wf_adamw, NULL}, {&wf_adamw, &top},  {&wf_nadam, NULL},
                {&wf_radam, NULL}, {&wf_lamb, NULL},  {&wf_rmsprop, NULL}};
    for (size_t k = 0; k < COUNT(rows); k++)
        for (size_t i = 0; i < COUNT(gradients); i++) {
            double want = train_along(rows[k].o, rows[k].hyper, gradients[i], WF_F32);
            double got = train_along(rows[k].o, rows[k].hyper, gradients[i], WF_F16);
            cr_expect(fabs(got - want) <= 0.02 * fabs(want - 1), "%zu %s along %g: %g, not %g", k,
                      rows[k].o->name, (double)gradients[i], got, want);
        }
}

/* ---- the naive kernels ---- */

/* The largest |x - y| / |x| of all numbers of 16 bits, and the part that differs. */
static double largest_step(const wf_store *a, const wf_store *b, double *changed)
{
    double most = 0, n = 0;
    *changed = 0;
    for (int i = 0; i < wf_store_count(a); i++) {
        wf_dtype type;
        wf_shape shape;
        const char *name = wf_store_name(a, i);
        const uint16_t *x = wf_store_data(a, name, &type, &shape);
        const uint16_t *y = wf_store_data(b, name, NULL, NULL);
        if (type == WF_F32) continue;
        for (int64_t k = 0; k < wf_elements(&shape); k++, n++) {
            double v = (double)wf_read_number(type, x, k), w = (double)wf_read_number(type, y, k);
            most = fmax(most, fabs(v - w) / fmax(fabs(v), 1e-6));
            *changed += x[k] != y[k];
        }
    }
    *changed /= n;
    return most;
}

/* The same draws round what is almost the same: few numbers are neighbours, none is farther away.
 */
Test(storage_edges, naive_kernels_store_the_same)
{
    static const wf_optimizer *const smooth[] = {&wf_sgd, &wf_adamw, &wf_lion, &wf_tiger};
    for (size_t k = 0; k < 2 * COUNT(smooth); k++) {
        wf_dtype type = k % 2 ? WF_F16 : WF_BF16;
        net *fast = begin(smooth[k / 2], NULL, NULL, type);
        setenv("WF_KERNELS", "ref", 1);
        net *naive = begin(smooth[k / 2], NULL, NULL, type);
        unsetenv("WF_KERNELS");
        double changed, most;
        run(fast, 3), run(naive, 3);
        most = largest_step(fast->store, naive->store, &changed);
        cr_expect_leq(most, k % 2 ? 0x1p-10 : 0x1p-7, "%s: %g", smooth[k / 2]->name, most);
        cr_expect_lt(changed, 0.005, "%s: %g", smooth[k / 2]->name, changed);
        end(fast), end(naive);
    }
}
