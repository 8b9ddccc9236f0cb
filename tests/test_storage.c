/*
 * Weights and states stored in 16 bits: what a run reads and writes, in one kernel, the same bits
 * with any cut of the work, and that small steps are not lost.
 */
#define _XOPEN_SOURCE 700
#include "tests/storage_net.h"

TestSuite(storage, .timeout = 150);

enum { ROWS = 64, IN = 40, WIDTH = 72, OUT = 24 };

static const wf_compile_options plain32 = {0};
static const wf_compile_options all16 = {.weights = WF_BF16, .states = WF_BF16};

/* Two layers that learn a fixed map of random numbers. */
static wf_graph *declare(const wf_optimizer *o, const wf_minimize_options *m)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.2f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(ROWS, IN));
    wf_node *y = wf_input(g, "y", WF_F32, WF_SHAPE(ROWS, OUT));
    wf_node *h = wf_silu(wf_dense(x, WIDTH, true, init, "first"));
    wf_node *out = wf_dense(h, OUT, false, init, "second");
    wf_output(out, "out");
    wf_node *loss = wf_output(wf_mse(out, y), "loss");
    wf_minimize(loss, o, NULL, m);
    return g;
}

static void take(net *n, const wf_compile_options *how)
{
    cr_assert_eq(wf_compile(&n->p, n->g, n->store, n->rt, how), WF_OK, "%s", wf_error());
    wf_bind(n->p, "x", n->x, sizeof n->x);
    wf_bind(n->p, "y", n->y, sizeof n->y);
    wf_set(n->p, "lr", 1e-3f);
}

static net *begin(const wf_optimizer *o, const wf_minimize_options *m, int threads,
                  const wf_compile_options *how)
{
    net *n = calloc(1, sizeof *n);
    cr_assert(n);
    for (int i = 0; i < ROWS * IN; i++) n->x[i] = sinf(1.7f * (float)i);
    for (int i = 0; i < ROWS * OUT; i++) n->y[i] = cosf(0.37f * (float)i);
    n->g = declare(o, m);
    n->store = wf_store_new(11);
    n->rt = runtime_of(threads);
    take(n, how);
    return n;
}

static void expect_equal(const wf_store *a, const wf_store *b, const char *what)
{
    cr_assert_eq(wf_store_count(a), wf_store_count(b));
    for (int i = 0; i < wf_store_count(a); i++) {
        wf_dtype s, t;
        wf_shape shape;
        const char *name = wf_store_name(a, i);
        const void *x = wf_store_data(a, name, &s, &shape), *y = wf_store_data(b, name, &t, NULL);
        cr_assert(y && s == t, "%s: %s", what, name);
        cr_expect(!memcmp(x, y, (size_t)wf_elements(&shape) * wf_dtype_bytes(s)), "%s: %s", what,
                  name);
    }
}

static wf_dtype type_of(const wf_store *s, const char *name)
{
    wf_dtype t = WF_U8;
    cr_assert(wf_store_data(s, name, &t, NULL), "%s", name);
    return t;
}

static const wf_optimizer *const optimizers[] = {&wf_lion, &wf_adamw, &wf_tiger, &wf_sgd, &wf_lamb};

/* One step by a program in float32 on the widened numbers, rounded with the same draws. */
Test(storage, a_step_is_that_of_float32_rounded)
{
    static const wf_dtype types[][2] = {
        {WF_BF16, WF_BF16}, {WF_BF16, WF_F32}, {WF_F16, WF_BF16}, {WF_F32, WF_F16}};
    for (size_t k = 0; k < COUNT(optimizers); k++)
        for (size_t t = 0; t < COUNT(types); t++) {
            wf_compile_options how = {.weights = types[t][0], .states = types[t][1]};
            net *n = begin(optimizers[k], NULL, 1, &how),
                *wide = begin(optimizers[k], NULL, 1, NULL);
            run(n, 3);
            for (int i = 0; i < wf_store_count(n->store); i++) {
                wf_dtype type;
                wf_shape shape;
                const char *name = wf_store_name(n->store, i);
                const void *x = wf_store_data(n->store, name, &type, &shape);
                cr_assert_eq(wf_store_put(wide->store, name, type, shape, x), WF_OK);
            }
            run(n, 1);
            run(wide, 1);
            for (int i = 0; i < wf_store_count(n->store); i++) {
                wf_dtype type;
                wf_shape shape;
                const char *name = wf_store_name(n->store, i);
                const void *x = wf_store_data(n->store, name, &type, &shape);
                const float *want = wf_store_data(wide->store, name, NULL, NULL);
                int64_t all = wf_elements(&shape);
                uint16_t *rounded = malloc((size_t)all * sizeof *rounded);
                wf_draws d = wf_draws_of(11, (uint32_t)wf_hash(name) | 1, 3);
                if (type != WF_F32) wf_narrow(type, all, rounded, want, &d, 0, true);
                cr_expect(!memcmp(x, type == WF_F32 ? (const void *)want : rounded,
                                  (size_t)all * wf_dtype_bytes(type)),
                          "%s %zu: %s", optimizers[k]->name, t, name);
                free(rounded);
            }
            end(n), end(wide);
        }
}

Test(storage, the_same_bits_fused_or_not_and_with_any_threads)
{
    static const wf_compile_options loose = {.weights = WF_BF16, .states = WF_BF16, .plain = true};
    for (size_t k = 0; k < COUNT(optimizers); k++) {
        net *a = begin(optimizers[k], NULL, 1, &all16), *b = begin(optimizers[k], NULL, 1, &loose);
        net *c = begin(optimizers[k], NULL, 2, &all16);
        run(a, 3), run(b, 3), run(c, 3);
        expect_equal(a->store, b->store, optimizers[k]->name);
        expect_equal(a->store, c->store, optimizers[k]->name);
        end(a), end(b), end(c);
    }
}

Test(storage, an_update_of_16_bits_is_one_kernel_that_moves_less)
{
    net *n = begin(&wf_lion, NULL, 1, &all16), *wide = begin(&wf_lion, NULL, 1, NULL);
    char *text = wf_program_text(n->p), *wide_text = wf_program_text(wide->p);
    wf_program_stats s = wf_program_get_stats(n->p), t = wf_program_get_stats(wide->p);
    size_t kernels = (IN * WIDTH + WIDTH * OUT);
    cr_expect_eq(t.store_bytes - s.store_bytes, 2 * kernels * 2, "weights and momenta are half");
    cr_expect_eq(type_of(n->store, "first/w"), WF_BF16);
    cr_expect_eq(type_of(n->store, "opt/lion/first/w/momentum"), WF_BF16);
    cr_expect_eq(type_of(n->store, "first/b"), WF_F32, "a bias stays");
    cr_expect_eq(type_of(n->store, "opt/lion/first/b/momentum"), WF_F32);
    for (const char *at = text; (at = strstr(at, "assign")); at++)
        cr_expect(false, "an update is not fused:\n%s", text);
    cr_expect(strstr(wide_text, "linear_store") && strstr(text, "linear_store"), "%s", text);
    cr_expect(!strstr(text, "by chance"), "rounding is no kernel of its own:\n%s", text);
    free(text), free(wide_text);
    end(n), end(wide);
}

Test(storage, a_run_continued_from_a_file_has_the_same_bits)
{
    make_folder();
    const wf_optimizer *o = &wf_adamw;
    net *whole = begin(o, NULL, 1, &all16), *first = begin(o, NULL, 1, &all16);
    run(whole, 5), run(first, 2);
    cr_assert_eq(wf_store_save(first->store, in_folder("a.st"), NULL), WF_OK, "%s", wf_error());
    net *second = begin(o, NULL, 1, &all16);
    wf_program_free(second->p);
    wf_store_free(second->store);
    second->store = wf_store_new(0);
    cr_assert_eq(wf_store_load(second->store, in_folder("a.st")), WF_OK, "%s", wf_error());
    take(second, &plain32); /* takes what is there */
    run(second, 3);
    expect_equal(whole->store, second->store, "continued");
    end(whole), end(first), end(second);
    remove_folder();
}

Test(storage, what_evaluates_reads_what_training_stores)
{
    net *n = begin(&wf_lion, NULL, 1, &all16);
    run(n, 2);
    wf_program *evaluate, *wide;
    wf_compile_options how = {.forward_only = true};
    wf_store *copy = wf_store_new(11);
    for (int i = 0; i < wf_store_count(n->store); i++) {
        wf_dtype type;
        wf_shape shape;
        const char *name = wf_store_name(n->store, i);
        const void *x = wf_store_data(n->store, name, &type, &shape);
        float *zeros = calloc((size_t)wf_elements(&shape), sizeof *zeros);
        wf_store_put(copy, name, WF_F32, shape, zeros);
        wf_store_put(copy, name, type, shape, x);
        free(zeros);
    }
    cr_assert_eq(wf_compile(&evaluate, n->g, n->store, n->rt, &how), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_compile(&wide, n->g, copy, n->rt, &how), WF_OK, "%s", wf_error());
    wf_program *both[] = {evaluate, wide};
    for (int i = 0; i < 2; i++) {
        wf_bind(both[i], "x", n->x, sizeof n->x);
        wf_bind(both[i], "y", n->y, sizeof n->y);
        cr_assert_eq(wf_run(both[i]), WF_OK, "%s", wf_error());
    }
    cr_expect(!memcmp(wf_read(evaluate, "out", NULL), wf_read(wide, "out", NULL),
                      ROWS * OUT * sizeof(float)));
    wf_program_free(evaluate), wf_program_free(wide);
    wf_store_free(copy);
    end(n);
}

Test(storage, what_does_not_fit_is_told)
{
    net *n = begin(&wf_lion, NULL, 1, NULL);
    wf_program *p = NULL;
    cr_expect_eq(wf_compile(&p, n->g, n->store, n->rt, &all16), WF_EMODEL);
    cr_expect(strstr(wf_error(), "the store holds f32") && strstr(wf_error(), "expected bf16"),
              "%s", wf_error());
    cr_expect_null(p);
    wf_compile_options bad = {.states = WF_I32};
    cr_expect_eq(wf_compile(&p, n->g, n->store, n->rt, &bad), WF_EMODEL);
    cr_expect(strstr(wf_error(), "not i32"), "%s", wf_error());
    bad = (wf_compile_options){.activations = (wf_dtype)9};
    cr_expect_eq(wf_compile(&p, n->g, n->store, n->rt, &bad), WF_EMODEL);
    end(n);
}

/* Products and gathers of weights of 16 bits, and their gradients, in tall and in wide shapes. */
static wf_graph *declare_readers(int64_t rows, int64_t in, int64_t out)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.2f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(rows, in));
    wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(5));
    wf_node *w = wf_param(g, "w", WF_SHAPE(in, out), (wf_role){0}, init);
    wf_node *v = wf_param(g, "v", WF_SHAPE(out, in), (wf_role){0}, init);
    wf_node *u = wf_param(g, "u", WF_SHAPE(out, rows), (wf_role){0}, init);
    wf_node *t = wf_param(g, "t", WF_SHAPE(rows, out), (wf_role){0}, init);
    wf_node *a = wf_output(wf_matmul(x, w), "xw"), *b = wf_output(wf_matmul_t(x, v), "xv");
    wf_node *c = wf_output(wf_t_matmul(t, a), "ta"), *d = wf_output(wf_gather(v, ids), "rows");
    wf_node *e = wf_output(wf_matmul(u, x), "ux");
    wf_node *parts[] = {a, b, c, d, e}, *loss = wf_constant(g, 0);
    for (int i = 0; i < 5; i++) loss = wf_add(loss, wf_mean(wf_square(parts[i]), WF_ALL, false));
    wf_output(loss, "loss");
    wf_output(wf_gradient(loss, x), "dx");
    wf_output(wf_gradient(loss, w), "dw");
    wf_output(wf_gradient(loss, v), "dv");
    wf_output(wf_gradient(loss, u), "du");
    return g;
}

Test(storage, what_is_widened_inside_of_a_kernel_has_the_same_bits)
{
    static const char *const outputs[] = {"xw", "xv", "ta", "rows", "ux", "dx", "dw", "dv", "du"};
    static const int64_t shapes[][3] = {{3, 5, 2}, {130, 70, 200}, {40, 300, 33}, {250, 24, 1}};
    static const int32_t ids[5] = {0, 1, -1, 7, 0};
    static const wf_products products[] = {WF_PRODUCTS_F32, WF_PRODUCTS_BF16};
    for (size_t k = 0; k < COUNT(shapes) * 4; k++) {
        const int64_t *n = shapes[k / 4];
        wf_graph *g = declare_readers(n[0], n[1], n[2]);
        wf_compile_options how = {.weights = k % 2 ? WF_F16 : WF_BF16,
                                  .products = products[k / 2 % 2]};
        float *x = malloc((size_t)(n[0] * n[1]) * sizeof *x);
        for (int64_t i = 0; i < n[0] * n[1]; i++) x[i] = sinf((float)i);
        wf_program *p[2];
        wf_runtime *rt[2];
        wf_store *s = wf_store_new(3);
        for (int i = 0; i < 2; i++) {
            setenv("WF_PASSES", i ? "-widen_inside" : "", 1);
            rt[i] = runtime_of(1);
            cr_assert_eq(wf_compile(&p[i], g, s, rt[i], &how), WF_OK, "%s", wf_error());
            wf_bind(p[i], "x", x, (size_t)(n[0] * n[1]) * sizeof *x);
            wf_bind(p[i], "ids", ids, sizeof ids);
            cr_assert_eq(wf_run(p[i]), WF_OK, "%s", wf_error());
            char *text = wf_program_text(p[i]);
            int casts = 0;
            for (const char *at = text; (at = strstr(at, "= cast")); at++) casts++;
            cr_expect(i ? casts == 4 : casts == 2, "%d casts:\n%s", casts, text);
            free(text);
        }
        unsetenv("WF_PASSES");
        for (size_t o = 0; o < COUNT(outputs); o++) {
            wf_shape shape;
            const void *a = wf_read(p[0], outputs[o], &shape), *b = wf_read(p[1], outputs[o], NULL);
            cr_expect(!memcmp(a, b, (size_t)wf_elements(&shape) * sizeof(float)), "%zu: %s", k,
                      outputs[o]);
        }
        for (int i = 0; i < 2; i++) wf_program_free(p[i]), wf_runtime_free(rt[i]);
        wf_store_free(s);
        wf_graph_free(g);
        free(x);
    }
}

/* Plain SGD moves the rows of a table that a batch names, and no other. */
Test(storage, rows_of_a_table_are_updated_alone)
{
    enum { V = 200, D = 30 };
    static const int32_t ids[6] = {3, 150, 3, -1, 70, 3};
    static float dy[6 * D];
    for (int i = 0; i < 6 * D; i++) dy[i] = cosf((float)i);
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 1};
    wf_node *table = wf_param(g, "table", WF_SHAPE(V, D), (wf_role){.kind = WF_EMBEDDING}, init);
    wf_node *rows = wf_gather(table, wf_input(g, "ids", WF_I32, WF_SHAPE(6)));
    wf_node *d = wf_input(g, "dy", WF_F32, WF_SHAPE(6, D));
    wf_minimize(wf_sum(wf_mul(rows, d), WF_ALL, false), &wf_sgd, NULL, NULL);
    wf_runtime *rt = runtime_of(1);
    wf_store *s = wf_store_new(3);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, s, rt, &all16), WF_OK, "%s", wf_error());
    char *text = wf_program_text(p);
    cr_expect(strstr(text, "scatter_store") && !strstr(text, "cast"), "%s", text);
    free(text);
    wf_bind(p, "ids", ids, sizeof ids);
    wf_bind(p, "dy", dy, sizeof dy);
    wf_set(p, "lr", 0.01f);
    uint16_t *now = wf_store_data(s, "table", NULL, NULL), want[V * D];
    memcpy(want, now, sizeof want);
    wf_draws draws = wf_draws_of(3, (uint32_t)wf_hash("table") | 1, 0);
    for (int r = 0; r < V; r++) {
        float row[D];
        wf_widen(WF_BF16, D, row, want + (ptrdiff_t)r * D, false);
        bool is_named = false;
        for (int k = 0; k < 6; k++)
            for (int i = 0; ids[k] == r && i < D; i++, is_named = true)
                row[i] += -0.01f * dy[k * D + i];
        if (is_named)
            wf_narrow(WF_BF16, D, want + (ptrdiff_t)r * D, row, &draws, (int64_t)r * D, false);
    }
    cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
    cr_expect(!memcmp(now, want, sizeof want));
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
}

/* What f16 cannot hold becomes infinite, and is found. */
Test(storage, what_is_too_large_is_found)
{
    static const wf_compile_options how = {.weights = WF_F16};
    net *n = begin(&wf_sgd, NULL, 1, &how);
    wf_set(n->p, "lr", 1e9f);
    run(n, 1);
    cr_expect_eq(wf_program_check(n->p), WF_ENONFINITE, "%s", wf_error());
    cr_expect(strstr(wf_error(), "param ") && strstr(wf_error(), "/w: "), "%s", wf_error());
    end(n);
}

/* Sums, averages and weights to go back to stay float32, and training goes on around them. */
Test(storage, what_wraps_an_optimizer_stays_float32)
{
    wf_minimize_options m = {.accumulate = 2, .lookahead = 2, .ema = 0.9f, .skip_nonfinite = true};
    net *n = begin(&wf_adamw, &m, 1, &all16);
    uint16_t before[IN * WIDTH];
    memcpy(before, wf_store_data(n->store, "first/w", NULL, NULL), sizeof before);
    run(n, 1);
    cr_expect(!memcmp(before, wf_store_data(n->store, "first/w", NULL, NULL), sizeof before),
              "no update was due");
    run(n, 7);
    cr_expect(memcmp(before, wf_store_data(n->store, "first/w", NULL, NULL), sizeof before) != 0);
    cr_expect_eq(type_of(n->store, "first/w"), WF_BF16);
    cr_expect_eq(type_of(n->store, "opt/adamw/first/w/m"), WF_BF16);
    cr_expect_eq(type_of(n->store, "opt/accumulate/first/w/sum"), WF_F32);
    cr_expect_eq(type_of(n->store, "opt/lookahead/first/w/slow"), WF_F32);
    cr_expect_eq(type_of(n->store, "opt/ema/first/w/average"), WF_F32);
    end(n);
}

/* Weights of float32 that are rounded to bf16 after every run. */
static void round_weights(wf_store *s)
{
    static const char *const names[] = {"first/w", "second/w"};
    for (int i = 0; i < 2; i++) {
        wf_shape shape;
        float *w = wf_store_data(s, names[i], NULL, &shape);
        uint16_t h[IN * WIDTH];
        wf_narrow(WF_BF16, wf_elements(&shape), h, w, NULL, 0, false);
        wf_widen(WF_BF16, wf_elements(&shape), w, h, false);
    }
}

/* Steps of a 10,000th against weights of about a fifth: to nearest they would all be lost. */
Test(storage, small_steps_are_not_lost)
{
    net *wide = begin(&wf_lion, NULL, 1, NULL), *nearest = begin(&wf_lion, NULL, 1, NULL);
    net *chance = begin(&wf_lion, NULL, 1, &all16), *all[] = {wide, nearest, chance};
    float loss[3], first = 0;
    for (int k = 0; k < 3; k++) {
        wf_set(all[k]->p, "lr", 1e-4f);
        for (int i = 0; i < 1000; i++) {
            run(all[k], 1);
            if (k == 0 && i == 0) first = wf_scalar(all[k]->p, "loss");
            if (all[k] == nearest) round_weights(nearest->store);
        }
        loss[k] = wf_scalar(all[k]->p, "loss");
    }
    cr_expect(loss[0] < 0.8f * first, "float32 learns: %g to %g", (double)first, (double)loss[0]);
    cr_expect(loss[1] - loss[0] > 0.3f * (first - loss[0]), "to nearest lags: %g", (double)loss[1]);
    cr_expect(loss[2] - loss[0] < 0.05f * (first - loss[0]), "by chance keeps up: %g of %g to %g",
              (double)loss[2], (double)first, (double)loss[0]);
    for (int k = 0; k < 3; k++) end(all[k]);
}

/* An average with beta 0.999 in bf16 reaches what it is of; to nearest it would stop half-way. */
Test(storage, slow_averages_do_not_stall)
{
    wf_graph *g = wf_graph_new();
    wf_node *w = wf_param(g, "w", WF_SHAPE(32, 32), (wf_role){0}, (wf_init){0});
    wf_minimize(wf_sum(wf_mul(w, wf_full(g, WF_SHAPE(32, 32), 1)), WF_ALL, false), &wf_adamw, NULL,
                NULL);
    wf_store *s = wf_store_new(5);
    wf_runtime *rt = runtime_of(1);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, s, rt, &(wf_compile_options){.states = WF_BF16}), WF_OK, "%s",
                 wf_error());
    wf_set(p, "lr", 0);
    for (int i = 0; i < 3000; i++) cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
    const uint16_t *v = wf_store_data(s, "opt/adamw/w/v", NULL, NULL);
    float wide[1024], mean = 0;
    cr_assert(v);
    wf_widen(WF_BF16, 1024, wide, v, false);
    for (int i = 0; i < 1024; i++) mean += wide[i] / 1024;
    double want = 1 - pow(0.999, 3000);
    cr_expect_float_eq((double)mean, want, 0.01, "%g, not %g", (double)mean, want);
    wf_program_free(p);
    wf_runtime_free(rt);
    wf_store_free(s);
    wf_graph_free(g);
}

/* ---- activations ---- */

enum { TALL = 560, WIDE = 1000, DEEP = 5 }; /* large in 16 bits, too */

typedef struct tower {
    wf_store *store;
    wf_program_stats stats;
    float out[TALL * WIDE], loss[4];
} tower;

/* Layers whose activations are large; SiLU and the norm keep what goes into them, and the gradient
 * of the norm wants float32. */
static wf_graph *declare_tower(int64_t rows, const wf_minimize_options *m)
{
    wf_graph *g = wf_graph_new();
    wf_node *h = wf_input(g, "x", WF_F32, WF_SHAPE(rows, WIDE)), *target = wf_sin(wf_scale(h, 3));
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.04f};
    for (int i = 0; i < DEEP; i++) {
        wf_push(g, "layer_%d", i);
        h = wf_add(h, wf_silu(wf_dense(wf_rms_norm(h, 1e-6f), WIDE, true, init, "in")));
        wf_pop(g);
    }
    wf_node *loss = wf_output(wf_mse(wf_output(h, "out"), target), "loss");
    wf_minimize(loss, &wf_lion, NULL, m);
    return g;
}

static tower *train_tower(int threads, int64_t rows, const wf_compile_options *how,
                          const wf_minimize_options *m)
{
    tower *t = calloc(1, sizeof *t);
    static float x[TALL * WIDE];
    for (int i = 0; i < TALL * WIDE; i++) x[i] = sinf((float)i);
    wf_graph *g = declare_tower(rows, m);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = threads});
    wf_program *p;
    t->store = wf_store_new(2);
    cr_assert_eq(wf_compile(&p, g, t->store, rt, how), WF_OK, "%s", wf_error());
    wf_bind(p, "x", x, (size_t)(rows * WIDE) * sizeof *x);
    wf_set(p, "lr", 1e-4f);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        t->loss[i] = wf_scalar(p, "loss");
        if (i == 0) memcpy(t->out, wf_read(p, "out", NULL), (size_t)(rows * WIDE) * sizeof *t->out);
    }
    t->stats = wf_program_get_stats(p);
    wf_program_free(p);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return t;
}

static void end_tower(tower *t)
{
    wf_store_free(t->store);
    free(t);
}

Test(storage, activations_wait_in_16_bits)
{
    static const wf_compile_options how = {.activations = WF_BF16}, f16 = {.activations = WF_F16};
    tower *wide = train_tower(1, TALL, NULL, NULL), *narrow = train_tower(1, TALL, &how, NULL);
    tower *two = train_tower(2, TALL, &how, NULL), *other = train_tower(1, TALL, &f16, NULL);
    const wf_program_stats *s = &narrow->stats;
    cr_expect_eq(wide->stats.narrowed, 0);
    cr_expect_geq(s->narrowed, DEEP - 1, "%d", s->narrowed);
    cr_expect_geq(s->narrowed_bytes, (DEEP - 1) * TALL * WIDE * sizeof(uint16_t));
    size_t saved = wide->stats.plan_bytes - s->plan_bytes;
    cr_expect(saved > s->narrowed_bytes / 2 && saved < 3 * s->narrowed_bytes, "%zu of %zu", saved,
              wide->stats.plan_bytes);
    cr_expect(!memcmp(wide->out, narrow->out, sizeof wide->out), "what comes forward is the same");
    cr_expect(wide->loss[0] == narrow->loss[0]);
    cr_expect(wide->loss[3] != narrow->loss[3], "gradients are not");
    double learnt = (double)wide->loss[0] - (double)wide->loss[3];
    cr_expect(learnt > 0);
    cr_expect_float_eq((double)narrow->loss[3], (double)wide->loss[3], 0.02 * learnt);
    cr_expect_float_eq((double)other->loss[3], (double)wide->loss[3], 0.02 * learnt);
    expect_equal(narrow->store, two->store, "threads");
    end_tower(wide), end_tower(narrow), end_tower(two), end_tower(other);
}

/* Clipped, all gradients wait for their norm: they are what lies over the peak; what else is large
 * enough is none. */
Test(storage, gradients_are_no_activations)
{
    enum { LOW = 250 };
    static const wf_compile_options how = {.activations = WF_BF16};
    static const wf_minimize_options m = {.clip_norm = 1};
    tower *wide = train_tower(1, LOW, NULL, &m), *narrow = train_tower(1, LOW, &how, &m);
    cr_expect_eq(narrow->stats.narrowed, 0, "%d", narrow->stats.narrowed);
    cr_expect(!memcmp(wide->loss, narrow->loss, sizeof wide->loss));
    end_tower(wide), end_tower(narrow);
}

/* Where the peak lies between a value and a late reader of the forward pass, it stays exact. */
Test(storage, what_outputs_need_is_never_narrow)
{
    enum { HIGH = 2000 };
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.04f};
    wf_node *h =
        wf_tanh(wf_dense(wf_input(g, "x", WF_F32, WF_SHAPE(TALL, 40)), WIDE, false, init, "in"));
    wf_node *high = wf_tanh(wf_dense(h, HIGH, false, init, "up"));
    wf_node *back = wf_rms_norm(wf_dense(high, WIDE, false, init, "down"), 1e-6f);
    wf_output(wf_sum(wf_mul(h, back), WF_AXES(1), false), "out");
    wf_runtime *rt = runtime_of(1);
    wf_store *s = wf_store_new(2);
    wf_program *p;
    wf_compile_options how = {.forward_only = true, .activations = WF_BF16};
    cr_assert_eq(wf_compile(&p, g, s, rt, &how), WF_OK, "%s", wf_error());
    cr_expect_eq(wf_program_get_stats(p).narrowed, 0);
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
}

/* What a limit that cannot be met is refused with. */
static size_t least_memory(wf_compile_options how, const wf_minimize_options *m)
{
    wf_graph *g = declare_tower(TALL, m);
    wf_runtime *rt = runtime_of(1);
    wf_store *s = wf_store_new(2);
    wf_program *p;
    how.memory_limit = 1;
    cr_assert_eq(wf_compile(&p, g, s, rt, &how), WF_ELIMIT);
    const char *found = strstr(wf_error(), "found is ");
    cr_assert(found, "%s", wf_error());
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return (size_t)strtoull(found + 9, NULL, 10);
}

/* All at once, and under the least limit that can be met. */
Test(storage, all_in_16_bits_and_under_a_limit_of_memory)
{
    wf_compile_options how = {.weights = WF_BF16,
                              .states = WF_BF16,
                              .activations = WF_BF16,
                              .products = WF_PRODUCTS_BF16};
    static const wf_minimize_options m = {.ema = 0.9f};
    tower *t = train_tower(1, TALL, &how, &m);
    how.memory_limit = least_memory(how, &m);
    cr_expect_leq(how.memory_limit, t->stats.memory_bytes);
    tower *less = train_tower(1, TALL, &how, &m);
    cr_expect_leq(less->stats.memory_bytes, how.memory_limit);
    cr_expect_gt(less->stats.narrowed, 0);
    cr_expect(t->loss[3] < t->loss[0] && less->loss[3] < less->loss[0]);
    end_tower(t), end_tower(less);
}
