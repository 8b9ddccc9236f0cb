/* The model of ./dev demo, on its text: training gives the same bits with any number of threads. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <string.h>

#include "models/gau.h"
#include "models/mlm.h"
#include <weft/op.h>

enum { STEPS = 3, TOKENS = 1024 };

typedef struct text {
    wf_vocab *vocab;
    wf_corpus corpus;
    wf_mlm batches;
} text;

static void read_text(text *t)
{
    static const char *const poems[] = {WF_SOURCE_DIR "/samples/poems.jsonl"};
    wf_corpus_options how = {.max_len = 64, .held_out = 50};
    wf_mlm_options batches = {.batch = TOKENS, .seed = 1};
    cr_assert_eq(wf_vocab_load(&t->vocab, WF_SOURCE_DIR "/samples/vocab.txt"), WF_OK, "%s",
                 wf_error());
    cr_assert_eq(wf_corpus_read(&t->corpus, t->vocab, 1, poems, &how), WF_OK, "%s", wf_error());
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
static wf_store *train(text *t, int threads)
{
    wf_gau_config c = {.layers = 4,
                       .width = 256,
                       .expand = 512,
                       .key = 64,
                       .vocab = wf_vocab_size(t->vocab),
                       .min_len = 1,
                       .eps = 1e-12f};
    wf_mlm *m = &t->batches;
    wf_size_value sizes[] = {{"tokens", TOKENS}, {"rows", m->rows}, {"picks", m->picks}, {NULL, 0}};
    wf_store *store = wf_store_new(1);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = threads, .no_pinning = true});
    cr_assert(rt, "%s", wf_error());
    wf_graph *g = wf_graph_new();
    wf_program *p;
    wf_minimize(wf_gau_mlm(g, &c), &wf_tiger, &(wf_tiger_hyper){.beta = 0.965f, .decay = 0.01f},
                NULL);
    cr_assert_eq(wf_compile(&p, g, store, rt, &(wf_compile_options){.sizes = sizes}), WF_OK, "%s",
                 wf_error());
    bind(p, "ids", m->ids, TOKENS);
    bind(p, "offsets", m->offsets, m->rows + 1);
    bind(p, "picks", m->picks_at, m->picks);
    bind(p, "labels", m->labels, m->picks);
    cr_assert_eq(wf_set(p, "lr", 0.004f), WF_OK, "%s", wf_error());
    wf_mlm_seek(m, 0, 0);
    for (int step = 0; step < STEPS; step++) {
        wf_mlm_next(m);
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        cr_expect(m->n_labels > 50 && wf_scalar(p, "loss") > 1, "step %d has no batch", step);
    }
    wf_program_free(p);
    wf_graph_free(g);
    wf_runtime_free(rt);
    return store;
}

Test(gau_threads, the_demo_has_the_same_bits_with_1_2_3_and_7_threads, .timeout = 150)
{
    static const int threads[] = {2, 3, 7};
    text t = {0};
    read_text(&t);
    wf_store *one = train(&t, 1);
    cr_expect_eq(wf_store_count(one), 2 * (2 + 4 * 4), "weights and a state of each");
    for (int i = 0; i < 3; i++) {
        wf_store *many = train(&t, threads[i]);
        cr_expect_eq(wf_store_count(many), wf_store_count(one));
        for (int k = 0; k < wf_store_count(one); k++) {
            const char *name = wf_store_name(one, k);
            wf_shape s;
            const void *x = wf_store_data(one, name, NULL, &s);
            const void *y = wf_store_data(many, name, NULL, NULL);
            cr_expect(y && !memcmp(x, y, (size_t)wf_elements(&s) * sizeof(float)),
                      "%d threads: %s differs", threads[i], name);
        }
        wf_store_free(many);
    }
    wf_store_free(one);
    free_text(&t);
}
