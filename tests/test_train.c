/* Whole training runs: against PyTorch's numbers, with any number of threads, resumed. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/gau.h"
#include <weft/op.h>

enum { STEPS = 20, TOKENS = 71, ROWS = 4, PICKS = 12 };

typedef struct run {
    wf_runtime *rt;
    wf_store *store;
    wf_program *p;
} run;

static const wf_gau_config config = {
    .layers = 2, .width = 24, .expand = 48, .key = 8, .vocab = 100, .min_len = 1, .eps = 1e-12f};

/* All tensors of the golden file: tests/golden/gau_train.py tells what they are. */
static wf_store *load_golden(void)
{
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, WF_SOURCE_DIR "/tests/golden/gau_train.safetensors"), WF_OK, "%s",
                 wf_error());
    return s;
}

static run start(const wf_gau_config *c, const wf_store *golden, const wf_optimizer *o,
                 const void *hyper, int threads)
{
    static const wf_size_value sizes[] = {
        {"tokens", TOKENS}, {"rows", ROWS}, {"picks", PICKS}, {NULL, 0}};
    run r = {.store = wf_store_new(3)};
    for (int i = 0; golden && i < wf_store_count(golden); i++) {
        const char *name = wf_store_name(golden, i);
        wf_dtype t;
        wf_shape s;
        if (strncmp(name, "start/", 6)) continue;
        const void *data = wf_store_data(golden, name, &t, &s);
        cr_assert_eq(wf_store_put(r.store, name + 6, t, s, data), WF_OK, "%s", wf_error());
    }
    r.rt = wf_runtime_new(&(wf_runtime_options){.threads = threads, .no_pinning = true});
    cr_assert(r.rt, "%s", wf_error());
    wf_graph *g = wf_graph_new();
    wf_minimize(wf_gau_mlm(g, c), o, hyper, NULL);
    cr_assert_eq(wf_compile(&r.p, g, r.store, r.rt, &(wf_compile_options){.sizes = sizes}), WF_OK,
                 "%s", wf_error());
    wf_graph_free(g);
    return r;
}

static void end(run *r)
{
    wf_program_free(r->p);
    wf_store_free(r->store);
    wf_runtime_free(r->rt);
}

static float step(run *r, const wf_store *golden, int t)
{
    const int32_t *ids = wf_store_data(golden, "ids", NULL, NULL);
    const int32_t *picks = wf_store_data(golden, "picks", NULL, NULL);
    const int32_t *labels = wf_store_data(golden, "labels", NULL, NULL);
    cr_assert_eq(wf_bind(r->p, "ids", ids + t * TOKENS, TOKENS * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(r->p, "picks", picks + t * PICKS, PICKS * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(r->p, "labels", labels + t * PICKS, PICKS * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(r->p, "offsets", wf_store_data(golden, "offsets", NULL, NULL), 20), WF_OK,
                 "%s", wf_error());
    cr_assert_eq(wf_set(r->p, "lr", 1e-3f), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(r->p), WF_OK, "%s", wf_error());
    return wf_scalar(r->p, "loss");
}

/* Lion takes signs: tests/golden/gau_train.py sees to it that no momentum is rounding error. */
static void compare_weights(const run *r, const wf_store *golden, const char *prefix)
{
    for (int i = 0; i < wf_store_count(golden); i++) {
        const char *name = wf_store_name(golden, i);
        wf_shape s;
        if (strncmp(name, "start/", 6)) continue;
        char key[200];
        snprintf(key, sizeof key, "%s/%s", prefix, name + 6);
        const float *want = wf_store_data(golden, key, NULL, &s);
        const float *got = wf_store_data(r->store, name + 6, NULL, NULL);
        int64_t n = 1;
        for (int a = 0; a < s.rank; a++) n *= s.dim[a];
        int64_t apart = 0;
        for (int64_t k = 0; k < n; k++) apart += !(fabs((double)got[k] - (double)want[k]) <= 1e-4);
        cr_expect_eq(apart, 0, "%s: %lld of %lld weights are apart", key, (long long)apart,
                     (long long)n);
    }
}

static void follow(const char *prefix, const wf_gau_config *c, const wf_optimizer *o,
                   const void *hyper)
{
    wf_store *golden = load_golden();
    run r = start(c, golden, o, hyper, 2);
    char key[200];
    snprintf(key, sizeof key, "%s/losses", prefix);
    const float *want = wf_store_data(golden, key, NULL, NULL);
    for (int t = 0; t < STEPS; t++) {
        float loss = step(&r, golden, t);
        cr_expect_float_eq(loss, want[t], 1e-4f * want[t], "%s step %d: %.7f, PyTorch %.7f", prefix,
                           t, (double)loss, (double)want[t]);
    }
    compare_weights(&r, golden, prefix);
    end(&r);
    wf_store_free(golden);
}

Test(train, twenty_steps_of_lion_give_pytorch_s_losses_and_weights)
{
    wf_lion_hyper h = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.01f};
    follow("lion/softmax_plus", &config, &wf_lion, &h);
    wf_gau_config relu2 = config;
    relu2.norm = WF_GAU_RELU2;
    follow("lion/relu2", &relu2, &wf_lion, &h);
}

Test(train, twenty_steps_of_adamw_give_pytorch_s_losses_and_weights)
{
    follow("adamw/softmax_plus", &config, &wf_adamw, NULL);
}

static void expect_equal_stores(const wf_store *a, const wf_store *b, const char *what)
{
    cr_expect_eq(wf_store_count(a), wf_store_count(b), "%s: number of tensors", what);
    for (int i = 0; i < wf_store_count(a); i++) {
        wf_shape s;
        const char *name = wf_store_name(a, i);
        const void *x = wf_store_data(a, name, NULL, &s), *y = wf_store_data(b, name, NULL, NULL);
        int64_t n = 4;
        for (int k = 0; k < s.rank; k++) n *= s.dim[k];
        cr_expect(y && !memcmp(x, y, (size_t)n), "%s: %s differs", what, name);
    }
}

Test(train, the_same_bits_with_1_2_3_and_7_threads, .timeout = 150)
{
    static const wf_optimizer *const optimizers[] = {&wf_tiger, &wf_lion, &wf_adamw, &wf_sgd};
    wf_store *golden = load_golden();
    wf_gau_config c = config;
    c.dropout.embedding = c.dropout.attention = c.dropout.output = c.dropout.logits = 0.1f;
    for (int o = 0; o < 4; o++) {
        run one = start(&c, golden, optimizers[o], NULL, 1);
        for (int t = 0; t < 5; t++) step(&one, golden, t);
        for (int threads = 2; threads <= 7; threads += threads == 3 ? 4 : 1) {
            run many = start(&c, golden, optimizers[o], NULL, threads);
            for (int t = 0; t < 5; t++) step(&many, golden, t);
            expect_equal_stores(one.store, many.store, optimizers[o]->name);
            end(&many);
        }
        end(&one);
    }
    wf_store_free(golden);
}

Test(train, a_resumed_run_has_the_bits_of_an_uninterrupted_one)
{
    wf_store *golden = load_golden();
    wf_gau_config c = config;
    c.dropout.attention = c.dropout.output = 0.1f;
    run whole = start(&c, golden, &wf_tiger, NULL, 2),
        first = start(&c, golden, &wf_tiger, NULL, 1);
    for (int t = 0; t < 8; t++) step(&whole, golden, t);
    for (int t = 0; t < 4; t++) step(&first, golden, t);
    char path[] = "/tmp/weft-resume-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(wf_store_save(first.store, path, NULL), WF_OK, "%s", wf_error());
    end(&first);
    run second = start(&c, NULL, &wf_tiger, NULL, 2);
    cr_assert_eq(wf_store_load(second.store, path), WF_OK, "%s", wf_error());
    for (int t = 4; t < 8; t++) step(&second, golden, t);
    expect_equal_stores(whole.store, second.store, "resumed");
    remove(path);
    end(&whole);
    end(&second);
    wf_store_free(golden);
}

/* Largest distance of two runs' tensors, relative to 1 + |w|. */
static double distance(const wf_store *a, const wf_store *b)
{
    double worst = 0;
    for (int i = 0; i < wf_store_count(a); i++) {
        wf_shape s;
        const char *name = wf_store_name(a, i);
        const float *x = wf_store_data(a, name, NULL, &s), *y = wf_store_data(b, name, NULL, NULL);
        for (int64_t k = 0; k < wf_elements(&s); k++)
            worst = fmax(worst, fabs((double)x[k] - (double)y[k]) / (1 + fabs((double)y[k])));
    }
    return worst;
}

/* With dropout everywhere: both draw the same masks. */
Test(train, the_naive_references_train_the_same_model, .timeout = 150)
{
    wf_store *golden = load_golden();
    for (wf_gau_norm norm = WF_GAU_SOFTMAX_PLUS; norm <= WF_GAU_RELU2; norm++) {
        wf_gau_config c = config;
        c.norm = norm;
        c.dropout.embedding = c.dropout.attention = c.dropout.output = c.dropout.logits = 0.1f;
        run fast = start(&c, golden, &wf_adamw, NULL, 2);
        setenv("WF_KERNELS", "ref", 1);
        run naive = start(&c, golden, &wf_adamw, NULL, 1);
        unsetenv("WF_KERNELS");
        for (int t = 0; t < 5; t++) {
            float a = step(&fast, golden, t), b = step(&naive, golden, t);
            cr_expect_float_eq(a, b, 1e-5f * b, "%s, step %d: %.7f, naive %.7f",
                               wf_gau_norm_name(norm), t, (double)a, (double)b);
        }
        double worst = distance(fast.store, naive.store);
        cr_expect_lt(worst, 1e-4, "%s: weights differ by %g", wf_gau_norm_name(norm), worst);
        end(&fast);
        end(&naive);
    }
    wf_store_free(golden);
}

Test(train, gau_alpha_has_98_tensors_and_96517632_parameters, .timeout = 150)
{
    static const wf_size_value sizes[] = {{"tokens", 8}, {"rows", 1}, {"picks", 2}, {NULL, 0}};
    wf_gau_config c = {.layers = 24,
                       .width = 768,
                       .expand = 1536,
                       .key = 128,
                       .vocab = 12000,
                       .min_len = 1,
                       .eps = 1e-12f};
    run r = {.store = wf_store_new(1), .rt = wf_runtime_new(NULL)};
    wf_graph *g = wf_graph_new();
    wf_gau_mlm(g, &c);
    cr_assert_eq(wf_compile(&r.p, g, r.store, r.rt, &(wf_compile_options){.sizes = sizes}), WF_OK,
                 "%s", wf_error());
    int64_t total = 0;
    for (int i = 0; i < wf_store_count(r.store); i++) {
        wf_shape s;
        const char *name = wf_store_name(r.store, i);
        const float *w = wf_store_data(r.store, name, NULL, &s);
        int64_t n = 1;
        for (int a = 0; a < s.rank; a++) n *= s.dim[a];
        total += n;
        if (strstr(name, "gamma")) {
            int64_t others = 0;
            for (int64_t k = 0; k < n; k++) others += w[k] != 1;
            cr_expect_eq(others, 0, "%s: %lld are not 1", name, (long long)others);
            continue;
        }
        double sum = 0, most = 0, want = strstr(name, "o_dense") ? 0.008846 : 0.012510;
        double error = s.dim[0] == 2 ? 0.06 : 0.02; /* so few draws stray by 0.016 */
        for (int64_t k = 0; k < n; k++) {
            sum += (double)w[k] * (double)w[k];
            most = fmax(most, fabs((double)w[k]));
        }
        cr_expect_float_eq(sqrt(sum / (double)n), want, error * want, "%s: deviation %g", name,
                           sqrt(sum / (double)n));
        cr_expect_leq(most, 2 * 1.13684723 * want * 1.0001, "%s: largest weight %g", name, most);
    }
    cr_expect_eq(wf_store_count(r.store), 98);
    cr_expect_eq(total, 96517632);
    cr_expect_eq(total, wf_gau_parameters(&c));
    wf_graph_free(g);
    end(&r);
}
