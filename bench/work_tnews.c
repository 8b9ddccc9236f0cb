/*
 * A classifier of short texts of different lengths: a GAU whose first token of each sequence goes
 * to a head of 15 classes, trained by Lion. Batches are packed, so nothing is computed for padding
 * but behind the last sequence: one program serves all batches, for the tokens of the largest one.
 */
#include "bench/work.h"

#include <stdlib.h>
#include <string.h>

#include "models/gau.h"

enum { CLASSES = 15, DRAWN = 20 }; /* batches, where no data are given */

/* The data, and the batch that is bound. Sequence i is ids[starts[i]] to ids[starts[i + 1]]. */
static struct {
    int32_t *ids, *starts, *labels;
    int64_t batches, longest; /* longest: tokens of the largest batch */
    int32_t *batch_ids, *batch_offsets, *batch_labels;
} data;

static int32_t *room(int64_t n)
{
    int32_t *y = calloc((size_t)n, sizeof *y);
    if (!y) wf_work_check(WF_ENOMEM);
    return y;
}

static void load(const wf_work *w, wf_store *given)
{
    wf_shape shape = WF_SHAPE(w->batch * DRAWN + 1);
    data.starts = given ? wf_store_data(given, "starts", NULL, &shape) : NULL;
    int64_t n = shape.dim[0] - 1;
    if (!data.starts) {
        data.starts = room(n + 1);
        for (int64_t i = 0; i < n; i++)
            data.starts[i + 1] = data.starts[i] + 6 + (int32_t)(wf_work_draw() % 34);
    }
    data.batches = n / w->batch;
    for (int64_t i = 0; i < data.batches; i++) {
        int64_t size = data.starts[(i + 1) * w->batch] - data.starts[i * w->batch];
        if (size > data.longest) data.longest = size;
    }
    data.ids = wf_work_ints(given, "ids", data.starts[n], (uint32_t)w->vocab);
    data.labels = wf_work_ints(given, "labels", n, CLASSES);
    data.batch_ids = room(data.longest);
    data.batch_offsets = room(w->batch + 1);
    data.batch_labels = room(w->batch);
}

static int64_t tokens(const wf_work *w)
{
    (void)w;
    return data.longest;
}

static wf_graph *declare(const wf_work *w)
{
    wf_graph *g = wf_graph_new();
    wf_gau_config c = wf_work_gau_config(w);
    wf_gau_batch batch = wf_gau_packed(g, false);
    wf_node *first = wf_input(g, "first", WF_I32, WF_SHAPE(w->batch));
    wf_node *label = wf_input(g, "labels", WF_I32, WF_SHAPE(w->batch));
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.02f};
    wf_node *x = wf_gather(wf_gau(g, &c, &batch), first);
    wf_node *loss = wf_cross_entropy(wf_dense(x, CLASSES, true, init, "head"), label, -1);
    wf_work_minimize(wf_output(loss, "loss"), w);
    return g;
}

static void next(const wf_work *w, int64_t i)
{
    int64_t row = i % data.batches * w->batch;
    int32_t from = data.starts[row];
    for (int64_t k = 0; k <= w->batch; k++) data.batch_offsets[k] = data.starts[row + k] - from;
    size_t n = (size_t)data.batch_offsets[w->batch];
    memcpy(data.batch_ids, data.ids + from, n * 4);
    memset(data.batch_ids + n, 0, ((size_t)data.longest - n) * 4);
    memcpy(data.batch_labels, data.labels + row, (size_t)w->batch * 4);
}

static void bind(wf_program *p, const wf_work *w, wf_store *given)
{
    (void)given;
    wf_work_check(wf_bind(p, "ids", data.batch_ids, (size_t)data.longest * 4));
    wf_work_check(wf_bind(p, "offsets", data.batch_offsets, (size_t)(w->batch + 1) * 4));
    wf_work_check(wf_bind(p, "first", data.batch_offsets, (size_t)w->batch * 4));
    wf_work_check(wf_bind(p, "labels", data.batch_labels, (size_t)w->batch * 4));
}

static double items(const wf_work *w)
{
    return (double)data.starts[data.batches * w->batch] / (double)data.batches;
}

static double flops(const wf_work *w)
{
    double d = (double)w->width, e = (double)w->expand, s = (double)w->key, squares = 0;
    for (int64_t i = 0; i < data.batches * w->batch; i++) {
        double n = data.starts[i + 1] - data.starts[i];
        squares += n * n;
    }
    double layer = items(w) * (d * (2 * e + s) + e * d) + squares / (double)data.batches * (s + e);
    return 6 * ((double)w->layers * layer + (double)w->batch * d * CLASSES);
}

const wf_work_model wf_work_tnews = {.load = load,
                                     .declare = declare,
                                     .tokens = tokens,
                                     .bind = bind,
                                     .next = next,
                                     .items = items,
                                     .flops = flops};
