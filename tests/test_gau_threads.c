/* The model of ./dev demo, on its text: training gives the same bits with any number of threads,
 * and products in bf16 change little. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "models/gau.h"
#include "models/mlm.h"
#include <weft/op.h>

enum { MOST_STEPS = 20, TOKENS = 1024 };

typedef struct how {
    int threads, steps;
    int64_t width;
    wf_products products;
} how;

typedef struct text {
    wf_vocab *vocab;
    wf_corpus corpus;
    wf_mlm batches;
} text;

static void read_text(text *t)
{
    static const char *const poems[] = {WF_SOURCE_DIR "/samples/poems.jsonl"};
    wf_corpus_options corpus = {.max_len = 64, .held_out = 50};
    wf_mlm_options batches = {.batch = TOKENS, .seed = 1};
    cr_assert_eq(wf_vocab_load(&t->vocab, WF_SOURCE_DIR "/samples/vocab.txt"), WF_OK, "%s",
                 wf_error());
    cr_assert_eq(wf_corpus_read(&t->corpus, t->vocab, 1, poems, &corpus), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_mlm_open(&t->batches, &t->corpus, &t->corpus.train, t->vocab, &batches), WF_OK,
                 "%s", wf_error());
}

static void free_text(text *t)
{
    wf_mlm_close(&t->batches);
    wf_corpus_free(&t->corpus);
    wf_vocab_free(t->vocab);
}

static void bind(wf_program *p, const char *name, const int32_t *data, int64_t n)
{
    cr_assert_eq(wf_bind(p, name, data, (size_t)n * sizeof *data), WF_OK, "%s", wf_error());
}

/* The store after the first steps: weights, and the state of the optimizer. */
static wf_store *train(text *t, how h, float loss[MOST_STEPS])
{
    wf_gau_config c = {.layers = 4,
                       .width = h.width,
                       .expand = 2 * h.width,
                       .key = 64,
                       .vocab = wf_vocab_size(t->vocab),
                       .min_len = 1,
                       .eps = 1e-12f};
    wf_mlm *m = &t->batches;
    wf_size_value sizes[] = {{"tokens", TOKENS}, {"rows", m->rows}, {"picks", m->picks}, {NULL, 0}};
    wf_store *store = wf_store_new(1);
    wf_runtime *rt =
        wf_runtime_new(&(wf_runtime_options){.threads = h.threads, .no_pinning = true});
    cr_assert(rt, "%s", wf_error());
    wf_graph *g = wf_graph_new();
    wf_program *p;
    wf_minimize(wf_gau_mlm(g, &c), &wf_tiger, &(wf_tiger_hyper){.beta = 0.965f, .decay = 0.01f},
                NULL);
    wf_compile_options o = {.sizes = sizes, .products = h.products};
    cr_assert_eq(wf_compile(&p, g, store, rt, &o), WF_OK, "%s", wf_error());
    bind(p, "ids", m->ids, TOKENS);
    bind(p, "offsets", m->offsets, m->rows + 1);
    bind(p, "picks", m->picks_at, m->picks);
    bind(p, "labels", m->labels, m->picks);
    cr_assert_eq(wf_set(p, "lr", 0.004f), WF_OK, "%s", wf_error());
    wf_mlm_seek(m, 0, 0);
    for (int step = 0; step < h.steps; step++) {
        wf_mlm_next(m);
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        loss[step] = wf_scalar(p, "loss");
        cr_expect(m->n_labels > 50 && loss[step] > 1, "step %d has no batch", step);
    }
    wf_program_free(p);
    wf_graph_free(g);
    wf_runtime_free(rt);
    return store;
}

static void expect_same_bits(const wf_store *a, const wf_store *b, const how *h)
{
    cr_expect_eq(wf_store_count(a), wf_store_count(b));
    for (int k = 0; k < wf_store_count(a); k++) {
        const char *name = wf_store_name(a, k);
        wf_shape s;
        const void *x = wf_store_data(a, name, NULL, &s);
        const void *y = wf_store_data(b, name, NULL, NULL);
        cr_expect(y && !memcmp(x, y, (size_t)wf_elements(&s) * sizeof(float)),
                  "%d threads%s: %s differs", h->threads, h->products ? ", bf16" : "", name);
    }
}

Test(gau_threads, the_demo_has_the_same_bits_with_1_2_3_and_7_threads, .timeout = 150)
{
    static const wf_products products[] = {WF_PRODUCTS_F32, WF_PRODUCTS_BF16};
    static const int threads[] = {2, 3, 7};
    float loss[MOST_STEPS];
    text t = {0};
    read_text(&t);
    for (int p = 0; p < 2; p++) {
        wf_store *one = train(&t, (how){1, 3, 256, products[p]}, loss);
        cr_expect_eq(wf_store_count(one), 2 * (2 + 4 * 4), "weights and a state of each");
        for (int i = 0; i < 3; i++) {
            how h = {threads[i], 3, 256, products[p]};
            wf_store *many = train(&t, h, loss);
            expect_same_bits(one, many, &h);
            wf_store_free(many);
        }
        wf_store_free(one);
    }
    free_text(&t);
}

Test(gau_threads, products_in_bf16_train_nearly_the_same, .timeout = 150)
{
    enum { LAST = MOST_STEPS - 1 };
    float exact[MOST_STEPS], rounded[MOST_STEPS];
    text t = {0};
    read_text(&t);
    wf_store_free(train(&t, (how){2, MOST_STEPS, 64, WF_PRODUCTS_F32}, exact));
    wf_store_free(train(&t, (how){2, MOST_STEPS, 64, WF_PRODUCTS_BF16}, rounded));
    for (int i = 0; i < MOST_STEPS; i++)
        cr_expect(fabsf(rounded[i] / exact[i] - 1) < 0.01f, "step %d: %g, in bf16 %g", i,
                  (double)exact[i], (double)rounded[i]);
    cr_expect(rounded[0] != exact[0], "nothing was rounded");
    cr_expect(rounded[LAST] < rounded[0] - 0.1f, "%g, then %g", (double)rounded[0],
              (double)rounded[LAST]);
    free_text(&t);
}
