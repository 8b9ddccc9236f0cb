/*
 * A classifier of short texts of different lengths: a GAU whose first token of each sequence goes
 * to a head of 15 classes, trained by Lion. A batch is so many tokens, and holds as many texts as
 * fit: one program serves all batches, with rows for the most texts of any.
 */
#include "bench/work.h"

#include <stdlib.h>
#include <string.h>

#include "models/common.h"
#include "models/gau.h"

enum { CLASSES = 15, DRAWN = 1280 }; /* texts, where no data are given */

/* The data, and the batch that is bound. Text i is ids[starts[i]] to ids[starts[i + 1]], batch b is
 * texts first[b] to first[b + 1]. */
static struct {
    int32_t *ids, *starts, *labels, *first;
    int64_t batches, rows;
    int32_t *batch_ids, *batch_offsets, *batch_labels;
} data;

static int32_t *room(int64_t n)
{
    int32_t *y = calloc((size_t)n, sizeof *y);
    if (!y) wf_work_check(WF_ENOMEM);
    return y;
}

/* In the order of the data, each batch until the next text does not fit. */
static void pack(const wf_work *w, int64_t n)
{
    data.first = room(n + 1);
    for (int32_t i = 0; i < n; i++) {
        int32_t size = data.starts[i + 1] - data.starts[i];
        if (size > w->batch) {
            wf_complain("bench_step", "tnews: a text of %d tokens fits into no batch", size);
            exit(WF_FAILED);
        }
        if (data.starts[i + 1] - data.starts[data.first[data.batches]] > w->batch)
            data.first[++data.batches] = i;
        int64_t rows = i + 1 - data.first[data.batches];
        if (rows > data.rows) data.rows = rows;
    }
    data.first[++data.batches] = (int32_t)n;
}

static void load(const wf_work *w, wf_store *given)
{
    wf_shape shape = WF_SHAPE(DRAWN + 1);
    data.starts = given ? wf_store_data(given, "starts", NULL, &shape) : NULL;
    int64_t n = shape.dim[0] - 1;
    if (!data.starts) {
        data.starts = room(n + 1);
        for (int64_t i = 0; i < n; i++)
            data.starts[i + 1] = data.starts[i] + 6 + (int32_t)(wf_work_draw() % 34);
    }
    pack(w, n);
    data.ids = wf_work_ints(given, "ids", data.starts[n], (uint32_t)w->vocab);
    data.labels = wf_work_ints(given, "labels", n, CLASSES);
    data.batch_ids = room(w->batch);
    data.batch_offsets = room(data.rows + 1);
    data.batch_labels = room(data.rows);
}

static void sizes(const wf_work *w, int64_t *tokens, int64_t *rows)
{
    *tokens = w->batch;
    *rows = data.rows;
}

static wf_graph *declare(const wf_work *w)
{
    wf_graph *g = wf_graph_new();
    wf_gau_config c = wf_work_gau_config(w);
    wf_gau_batch batch = wf_gau_packed(g, false);
    wf_node *first = wf_input(g, "first", WF_I32, WF_SHAPE(data.rows));
    wf_node *label = wf_input(g, "labels", WF_I32, WF_SHAPE(data.rows));
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.02f};
    wf_node *x = wf_gather(wf_gau(g, &c, &batch), first);
    wf_node *loss = wf_cross_entropy(wf_dense(x, CLASSES, true, init, "head"), label, -1);
    wf_work_minimize(wf_output(loss, "loss"), w);
    return g;
}

static void next(const wf_work *w, int64_t i)
{
    const int32_t *first = data.first + i % data.batches;
    const int32_t *starts = data.starts + first[0];
    int64_t rows = first[1] - first[0], n = starts[rows] - starts[0];
    memcpy(data.batch_ids, data.ids + starts[0], (size_t)n * 4);
    memset(data.batch_ids + n, 0, (size_t)(w->batch - n) * 4);
    for (int64_t k = 0; k <= data.rows; k++)
        data.batch_offsets[k] = k < rows ? starts[k] - starts[0] : (int32_t)n;
    for (int64_t k = 0; k < data.rows; k++)
        data.batch_labels[k] = k < rows ? data.labels[first[0] + k] : -1; /* does not count */
}

static void bind(wf_program *p, const wf_work *w, wf_store *given)
{
    (void)given;
    wf_work_check(wf_bind(p, "ids", data.batch_ids, (size_t)w->batch * 4));
    wf_work_check(wf_bind(p, "offsets", data.batch_offsets, (size_t)(data.rows + 1) * 4));
    wf_work_check(wf_bind(p, "first", data.batch_offsets, (size_t)data.rows * 4));
    wf_work_check(wf_bind(p, "labels", data.batch_labels, (size_t)data.rows * 4));
}

static double items(const wf_work *w)
{
    (void)w;
    return (double)data.starts[data.first[data.batches]] / (double)data.batches;
}

static double flops(const wf_work *w)
{
    double d = (double)w->width, e = (double)w->expand, s = (double)w->key, squares = 0;
    int64_t texts = data.first[data.batches];
    for (int64_t i = 0; i < texts; i++) {
        double n = data.starts[i + 1] - data.starts[i];
        squares += n * n;
    }
    double batches = (double)data.batches;
    double layer = items(w) * (d * (2 * e + s) + e * d) + squares / batches * (s + e);
    return 6 * ((double)w->layers * layer + (double)texts / batches * d * CLASSES);
}

const wf_work_model wf_work_tnews = {.load = load,
                                     .declare = declare,
                                     .sizes = sizes,
                                     .bind = bind,
                                     .next = next,
                                     .items = items,
                                     .flops = flops};
