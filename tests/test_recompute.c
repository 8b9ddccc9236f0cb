/* Values computed again instead of being kept: less memory, the same bits. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/gau.h"
#include "runtime/schedule.h"
#include <weft/op.h>

TestSuite(recompute, .timeout = 60);

enum { STEPS = 3, ROWS = 64, WIDTH = 48, TOKENS = 96, PICKS = 24 };

static const wf_size_value sizes[] = {{"tokens", TOKENS}, {"rows", 2}, {"picks", PICKS}, {NULL, 0}};

static wf_graph *declare_mlp(void)
{
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.15f};
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(ROWS, WIDTH));
    for (int i = 0; i < 16; i++) {
        wf_push(g, "layer_%d", i);
        x = wf_tanh(wf_rms_norm(wf_dense(x, WIDTH, true, init, "in"), 1e-6f));
        wf_pop(g);
    }
    wf_minimize(wf_output(wf_mean(wf_square(x), WF_ALL, false), "loss"), &wf_adamw, NULL, NULL);
    return g;
}

static wf_graph *declare_gau(void)
{
    wf_gau_config c = {.layers = 8,
                       .width = 32,
                       .expand = 64,
                       .key = 16,
                       .vocab = 50,
                       .min_len = 1,
                       .eps = 1e-12f,
                       .dropout = {0.1f, 0.1f, 0.1f, 0.1f}};
    wf_graph *g = wf_graph_new();
    wf_minimize(wf_gau_mlm(g, &c), &wf_lion, NULL, &(wf_minimize_options){.clip_norm = 1});
    return g;
}

static const struct row {
    const char *name;
    wf_graph *(*declare)(void);
    const wf_size_value *sizes;
    double share; /* of the values' memory: what is left is less */
} rows[] = {{"mlp", declare_mlp, NULL, 0.75}, {"gau", declare_gau, sizes, 0.6}};

static void bind_all(wf_program *p, bool is_gau)
{
    static float x[ROWS * WIDTH];
    static int32_t ids[TOKENS], picks[PICKS];
    static const int32_t offsets[] = {0, 40, TOKENS};
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = (float)(i % 19 - 9) / 7;
    for (int i = 0; i < TOKENS; i++) ids[i] = i * 7 % 50;
    for (int i = 0; i < PICKS; i++) picks[i] = 3 * i;
    if (!is_gau) cr_assert_eq(wf_bind(p, "x", x, sizeof x), WF_OK, "%s", wf_error());
    if (is_gau) {
        wf_bind(p, "ids", ids, sizeof ids);
        wf_bind(p, "offsets", offsets, sizeof offsets);
        wf_bind(p, "picks", picks, sizeof picks);
        wf_bind(p, "labels", ids, sizeof picks);
    }
    wf_set(p, "lr", 1e-3f);
}

typedef struct outcome {
    wf_store *store;
    wf_program_stats stats;
    float loss[STEPS];
} outcome;

static outcome train(const struct row *r, wf_runtime *rt, size_t limit)
{
    outcome y = {.store = wf_store_new(4)};
    wf_program *p;
    wf_graph *g = r->declare();
    wf_compile_options how = {.sizes = r->sizes, .memory_limit = limit};
    cr_assert_eq(wf_compile(&p, g, y.store, rt, &how), WF_OK, "%s", wf_error());
    bind_all(p, r->sizes);
    for (int t = 0; t < STEPS; t++) {
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        y.loss[t] = wf_scalar(p, "loss");
    }
    y.stats = wf_program_get_stats(p);
    wf_program_free(p);
    wf_graph_free(g);
    return y;
}

/* What a limit of one byte is refused with. */
static size_t least_memory(const struct row *r, wf_runtime *rt)
{
    wf_store *s = wf_store_new(4);
    wf_graph *g = r->declare();
    wf_program *p;
    size_t limit = 0, least = 0;
    wf_compile_options how = {.sizes = r->sizes, .memory_limit = 1};
    cr_expect_eq(wf_compile(&p, g, s, rt, &how), WF_ELIMIT, "%s", r->name);
    int n = sscanf(wf_error(), "memory: the limit is %zu bytes, the least that was found is %zu (",
                   &limit, &least);
    cr_expect(n == 2 && limit == 1 && !p, "%s: %s", r->name, wf_error());
    cr_expect_eq(wf_store_count(s), 0, "%s: tensors were made for a program that is none", r->name);
    wf_graph_free(g);
    wf_store_free(s);
    return least;
}

static void expect_same_bits(const outcome *a, const outcome *b, const char *name)
{
    cr_expect(!memcmp(a->loss, b->loss, sizeof a->loss), "%s: losses", name);
    cr_expect_eq(wf_store_count(a->store), wf_store_count(b->store));
    for (int i = 0; i < wf_store_count(a->store); i++) {
        wf_shape s;
        const char *tensor = wf_store_name(a->store, i);
        const void *x = wf_store_data(a->store, tensor, NULL, &s);
        const void *y = wf_store_data(b->store, tensor, NULL, NULL);
        cr_expect(y && !memcmp(x, y, (size_t)wf_elements(&s) * 4), "%s: %s", name, tensor);
    }
}

Test(recompute, any_limit_down_to_the_least_is_met_with_the_same_bits)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 2, .no_pinning = true});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        outcome free_one = train(&rows[i], rt, 0);
        size_t most = free_one.stats.memory_bytes, least = least_memory(&rows[i], rt);
        cr_expect_eq(free_one.stats.recomputed, 0, "%s", rows[i].name);
        for (int part = 0; part <= 4; part++) {
            size_t limit = least + (most - least) * (size_t)part / 4;
            outcome y = train(&rows[i], rt, limit);
            const wf_program_stats *s = &y.stats;
            cr_expect_leq(s->memory_bytes, limit, "%s", rows[i].name);
            cr_expect_eq(s->plan_bytes + s->recompute_bytes, free_one.stats.plan_bytes);
            cr_expect(part == 4 ? s->recomputed == 0 : s->recomputed > 0 && s->recompute_flops > 0,
                      "%s: part %d, %d kernels", rows[i].name, part, s->recomputed);
            if (part == 0)
                cr_expect_lt((double)s->plan_bytes,
                             rows[i].share * (double)free_one.stats.plan_bytes, "%s: %zu of %zu",
                             rows[i].name, s->plan_bytes, free_one.stats.plan_bytes);
            expect_same_bits(&free_one, &y, rows[i].name);
            wf_store_free(y.store);
        }
        wf_store_free(free_one.store);
    }
    wf_runtime_free(rt);
}

/* What is refused is refused by the sum that wf_program_stats tells. */
Test(recompute, memory_is_weights_states_values_and_scratch)
{
    setenv("WF_PASSES", "-recompute", 1);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    outcome y = train(&rows[0], rt, 0);
    size_t total = y.stats.memory_bytes;
    cr_expect_geq(total, y.stats.plan_bytes + y.stats.store_bytes);
    cr_expect_eq(least_memory(&rows[0], rt), total); /* the pass that could help is left out */
    outcome z = train(&rows[0], rt, total);
    cr_expect_eq(z.stats.recomputed, 0);
    wf_store_free(y.store);
    wf_store_free(z.store);
    wf_runtime_free(rt);
}

/* y = rms_norm(x) is read by a product and, late, by the gradient of its weights. */
static char *compiled_norm(int64_t n, const char *passes, wf_program_stats *stats)
{
    setenv("WF_PASSES", passes, 1);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.15f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(n, 256));
    for (int i = 0; i < 3; i++) {
        wf_push(g, "layer_%d", i);
        x = wf_rms_norm(x, 1e-6f);
        if (i == 1) wf_output(x, "kept");
        x = wf_dense(x, 256, false, init, "w");
        wf_pop(g);
    }
    wf_minimize(wf_mean(wf_square(x), WF_ALL, false), &wf_sgd, NULL, NULL);
    wf_store *s = wf_store_new(1);
    wf_program *p = NULL;
    cr_assert_eq(wf_compile(&p, g, s, rt, &(wf_compile_options){.look_only = true}), WF_OK, "%s",
                 wf_error());
    *stats = wf_program_get_stats(p);
    char *text = wf_program_text(p);
    wf_program_free(p);
    wf_store_free(s);
    wf_graph_free(g);
    wf_runtime_free(rt);
    return text;
}

Test(recompute, what_is_large_and_cheap_is_never_kept)
{
    wf_program_stats with, without, small;
    char *text = compiled_norm(4096, "", &with);
    cr_expect(strstr(text, "= rms_norm") && strstr(text, "  # again\n"), "%s", text);
    cr_expect(with.recomputed == 1 && with.recompute_bytes == 4096 * 256 * 4, "%d kernels, %zu",
              with.recomputed, with.recompute_bytes);
    cr_expect(strstr(text, "# layer_0/  # again\n"), "%s", text); /* layer_1 is an output */
    free(text);
    text = compiled_norm(4096, "-recompute", &without);
    cr_expect(!strstr(text, "# again"), "%s", text);
    cr_expect_eq(without.plan_bytes, with.plan_bytes + with.recompute_bytes);
    cr_expect_eq(without.recomputed, 0);
    free(text);
    free(compiled_norm(64, "", &small));
    cr_expect_eq(small.recomputed, 0);
}

/* Copies must not pull each other to the beginning of the backward part. */
Test(recompute, a_deep_model_needs_little_more_than_a_value_a_layer)
{
    wf_size_value large[] = {{"tokens", 1024}, {"rows", 8}, {"picks", 24}, {NULL, 0}};
    wf_gau_config c = {.layers = 24,
                       .width = 96,
                       .expand = 192,
                       .key = 16,
                       .vocab = 50,
                       .min_len = 1,
                       .eps = 1e-12f};
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_graph *g = wf_graph_new();
    wf_minimize(wf_gau_mlm(g, &c), &wf_lion, NULL, NULL);
    wf_program *p = NULL;
    wf_compile_options how = {.sizes = large, .look_only = true, .memory_limit = (size_t)62 << 20};
    cr_expect_eq(wf_compile(&p, g, s, rt, &how), WF_OK, "%s", wf_error());
    if (p) cr_expect_gt(wf_program_get_stats(p).recompute_bytes, (size_t)40 << 20);
    wf_program_free(p);
    wf_graph_free(g);
    wf_store_free(s);
    wf_runtime_free(rt);
}

Test(recompute, a_copy_runs_right_before_its_reader)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4));
    wf_node *y = wf_exp(x), *again = wf_exp(x), *long_way = wf_neg(wf_sin(y));
    again->repeats = y;
    wf_output(wf_add(again, long_way), "y");
    int n = 0;
    wf_node **order = wf_graph_schedule(g, &n);
    cr_assert(order && n == 6, "%d nodes", n);
    cr_expect_eq(order[n - 2], again);
    free(order);
    wf_graph_free(g);
}
