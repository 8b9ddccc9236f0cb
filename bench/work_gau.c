/* A GAU with masked-language-model head and a bias of the vocabulary, trained by Lion. */
#include "bench/work.h"

#include <math.h>
#include <stdlib.h>

#include "models/gau.h"

static int64_t tokens(const wf_work *w)
{
    return w->batch * w->time;
}

static void sizes(const wf_work *w, int64_t *n_tokens, int64_t *rows)
{
    *n_tokens = tokens(w);
    *rows = w->batch;
}

static int64_t picks(const wf_work *w)
{
    return tokens(w) * 15 / 100;
}

wf_gau_config wf_work_gau_config(const wf_work *w)
{
    return (wf_gau_config){.layers = w->layers,
                           .width = w->width,
                           .expand = w->expand,
                           .key = w->key,
                           .vocab = w->vocab,
                           .min_len = 1,
                           .eps = 1e-12f};
}

static wf_graph *declare(const wf_work *w)
{
    wf_graph *g = wf_graph_new();
    wf_gau_config c = wf_work_gau_config(w);
    wf_gau_batch batch = wf_gau_packed(g, false);
    wf_node *pick = wf_input(g, "picks", WF_I32, WF_SHAPE(picks(w)));
    wf_node *label = wf_input(g, "labels", WF_I32, WF_SHAPE(picks(w)));
    wf_node *bias =
        wf_param(g, "bias", WF_SHAPE(w->vocab), (wf_role){.kind = WF_BIAS}, (wf_init){0});
    wf_node *logits = wf_add(wf_gau_logits(wf_gau(g, &c, &batch), pick, &c), bias);
    wf_node *loss = wf_output(wf_cross_entropy(logits, label, -1), "loss");
    wf_work_minimize(loss, w);
    return g;
}

static void bind(wf_program *p, const wf_work *w, wf_store *given)
{
    int32_t *offsets = malloc((size_t)(w->batch + 1) * sizeof *offsets);
    if (!offsets) wf_work_check(WF_ENOMEM);
    for (int64_t i = 0; i <= w->batch; i++) offsets[i] = (int32_t)(i * w->time);
    wf_work_check(wf_bind(p, "offsets", offsets, (size_t)(w->batch + 1) * 4));
    wf_work_bind_ints(p, given, "ids", tokens(w), (uint32_t)w->vocab);
    wf_work_bind_ints(p, given, "picks", picks(w), (uint32_t)tokens(w));
    wf_work_bind_ints(p, given, "labels", picks(w), (uint32_t)w->vocab);
}

static double items(const wf_work *w)
{
    return (double)tokens(w);
}

static double flops(const wf_work *w)
{
    double rows = (double)tokens(w), e = (double)w->expand, d = (double)w->width;
    double s = (double)w->key, n = (double)w->time;
    double layer = 2 * rows * (d * (2 * e + s) + e * d + n * (s + e));
    double head = 2 * (double)picks(w) * d * (double)w->vocab;
    return 3 * ((double)w->layers * layer + head);
}

const wf_work_model wf_work_gau = {
    .declare = declare, .sizes = sizes, .bind = bind, .items = items, .flops = flops};
