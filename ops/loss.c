/*
 * Softmax cross-entropy of logits [..., c] with int32 labels [...]; a unit is a row.
 *
 *   rows   l = max + ln sum e^(x - max) - x_label          (0 where the label does not count)
 *   grad   dx = (e^(x - max) / sum - [i = label]) dl
 *
 * A label counts if it is not "ignore" and lies in 0..c-1. Rows are streamed once for (max, sum)
 * and once for the gradient; the probabilities are never kept. Rows that would not fill a few
 * vectors are transposed, so that each has a lane.
 */
#include "ops/ops.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool loss_infer(wf_node *y)
{
    const wf_shape *x = &y->in[0]->shape, *label = &y->in[1]->shape;
    char a[80], b[80];
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "logits must be float32");
    if (y->in[1]->dtype != WF_I32) return wf_fail(y, "labels must be int32");
    bool fits = x->rank == label->rank + 1;
    for (int i = 0; fits && i < label->rank; i++) fits = x->dim[i] == label->dim[i];
    if (!fits)
        return wf_fail(y, "labels %s do not fit logits %s", wf_shape_text(label, a, sizeof a),
                       wf_shape_text(x, b, sizeof b));
    y->dtype = WF_F32;
    y->shape = *label;
    return true;
}

static wf_cost loss_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->in[0]->shape);
    return (wf_cost){.flops = 10 * n, .bytes = 4 * n, .units = wf_elements(&y->in[1]->shape)};
}

static bool counts(const wf_call *c, int64_t row, int64_t classes)
{
    int32_t label = ((const int32_t *)c->in[1].data)[row];
    return label != ((const wf_loss_attr *)c->attr)->ignore && label >= 0 && label < classes;
}

static float top_of(const wf_call *c, int64_t n, const float *x)
{
    if (!c->reference) return wf_vec_get()->max_of(n, x);
    float top = x[0];
    for (int64_t i = 1; i < n; i++) top = x[i] > top || isnan(x[i]) ? x[i] : top;
    return top;
}

static double reference_rows(int64_t n, const float *x, float top)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)top);
    return sum;
}

static double sum_exp(int64_t n, const float *x, float top)
{
    float room[1024];
    double sum = 0;
    for (int64_t i = 0; i < n; i += 1024)
        sum += (double)wf_vec_get()->exp_sum(wf_min_i64(1024, n - i), room, x + i, top);
    return sum;
}

/* ---- rows of few classes: many at once, each in a lane ---- */

enum { SHORT = 32, GROUP = 32 };

typedef struct group {
    float x[SHORT * GROUP]; /* [classes][rows]: e^(x - top) */
    float top[GROUP], sum[GROUP];
} group;

static void find_group(group *k, int64_t rows, int64_t n, const float *x)
{
    const wf_vec *v = wf_vec_get();
    v->transpose(rows, n, k->x, rows, x, n);
    v->fill(rows, k->top, -INFINITY);
    v->fill(rows, k->sum, 0);
    for (int64_t i = 0; i < n; i++) v->max(rows, k->top, k->top, k->x + i * rows);
    for (int64_t i = 0; i < n; i++) v->sub(rows, k->x + i * rows, k->x + i * rows, k->top);
    v->exp(n * rows, k->x, k->x);
    for (int64_t i = 0; i < n; i++) v->add(rows, k->sum, k->sum, k->x + i * rows);
}

static void group_rows(const wf_call *c, int64_t first, int64_t rows, int64_t n)
{
    group k;
    const float *x = (const float *)c->in[0].data + first * n;
    const int32_t *label = (const int32_t *)c->in[1].data + first;
    float *y = (float *)c->out->data + first;
    find_group(&k, rows, n, x);
    wf_vec_get()->log(rows, k.sum, k.sum);
    for (int64_t r = 0; r < rows; r++)
        y[r] = counts(c, first + r, n) ? k.top[r] - x[r * n + label[r]] + k.sum[r] : 0;
}

static void group_grad(const wf_call *c, int64_t first, int64_t rows, int64_t n)
{
    const wf_vec *v = wf_vec_get();
    group k;
    const float *dy = (const float *)c->in[2].data + first;
    const int32_t *label = (const int32_t *)c->in[1].data + first;
    float *dx = (float *)c->out->data + first * n;
    find_group(&k, rows, n, (const float *)c->in[0].data + first * n);
    v->div(rows, k.sum, dy, k.sum);
    for (int64_t i = 0; i < n; i++) v->mul(rows, k.x + i * rows, k.x + i * rows, k.sum);
    v->transpose(n, rows, dx, n, k.x, rows);
    for (int64_t r = 0; r < rows; r++)
        if (counts(c, first + r, n))
            dx[r * n + label[r]] -= dy[r];
        else
            memset(dx + r * n, 0, (size_t)n * sizeof *dx);
}

/* True if the classes are few and all rows are done. */
static bool by_groups(const wf_call *c, int64_t lo, int64_t hi,
                      void (*run)(const wf_call *, int64_t, int64_t, int64_t))
{
    int64_t n = wf_last(&c->in[0].shape);
    if (c->reference || n > SHORT) return false;
    for (int64_t r = lo; r < hi; r += GROUP) run(c, r, wf_min_i64(GROUP, hi - r), n);
    return true;
}

/* ---- cross_entropy_rows ---- */

static void rows_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t n = wf_last(&c->in[0].shape);
    float *y = c->out->data;
    if (by_groups(c, lo, hi, group_rows)) return;
    for (int64_t r = lo; r < hi; r++) {
        const float *x = (const float *)c->in[0].data + r * n;
        y[r] = 0;
        if (!counts(c, r, n)) continue;
        float top = top_of(c, n, x);
        double sum = (c->reference ? reference_rows : sum_exp)(n, x, top);
        y[r] = (float)((double)top + log(sum) - (double)x[((const int32_t *)c->in[1].data)[r]]);
    }
}

static void rows_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_apply3(&wf_op_cross_entropy_grad, y->attr, y->in[0], y->in[1], dy);
}

static int loss_print(const void *attr, char *text, size_t size)
{
    return snprintf(text, size, "ignore=%d", (int)((const wf_loss_attr *)attr)->ignore);
}

wf_node *wf_cross_entropy_rows(wf_node *logits, wf_node *labels, int32_t ignore)
{
    return wf_apply2(&wf_op_cross_entropy_rows, &(wf_loss_attr){ignore}, logits, labels);
}

const wf_op wf_op_cross_entropy_rows = {
    .name = "cross_entropy_rows",
    .doc = "ln sum e^x - x[label], one a row",
    .arity = 2,
    .attr_size = sizeof(wf_loss_attr),
    .infer = loss_infer,
    .grad = rows_grad,
    .cost = loss_cost,
    .run = rows_run,
    .print = loss_print,
};

/* ---- cross_entropy_grad: logits, labels, gradient of the rows ---- */

static bool grad_infer(wf_node *y)
{
    if (!loss_infer(y)) return false;
    if (!wf_shape_equal(&y->in[2]->shape, &y->in[1]->shape))
        return wf_fail(y, "one gradient a row is expected");
    return wf_infer_same(y);
}

static void grad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t n = wf_last(&c->in[0].shape);
    if (by_groups(c, lo, hi, group_grad)) return;
    for (int64_t r = lo; r < hi; r++) {
        const float *x = (const float *)c->in[0].data + r * n;
        float *dx = (float *)c->out->data + r * n, dy = ((const float *)c->in[2].data)[r];
        if (!counts(c, r, n)) {
            memset(dx, 0, (size_t)n * sizeof *dx);
            continue;
        }
        float top = top_of(c, n, x);
        if (c->reference) {
            double sum = reference_rows(n, x, top);
            for (int64_t i = 0; i < n; i++)
                dx[i] = (float)(exp((double)x[i] - (double)top) / sum * (double)dy);
        } else {
            double sum = (double)wf_vec_get()->exp_sum(n, dx, x, top);
            wf_vec_get()->scale(n, dx, dx, (float)((double)dy / sum));
        }
        dx[((const int32_t *)c->in[1].data)[r]] -= dy;
    }
}

static wf_cost grad_cost(const wf_node *y)
{
    wf_cost c = loss_cost(y);
    c.bytes *= 2;
    return c;
}

/* z = (p - t) dl with p = softmax(x): by x, p (g - sum(p g)) dl; by dl, sum((p - t) g). */
static void grad_grad(wf_node *z, wf_node *g, wf_node *dx[])
{
    wf_node *x = z->in[0], *labels = z->in[1];
    wf_shape s = wf_shape_of(z->in[2]), column = s;
    column.dim[column.rank++] = 1;
    wf_node *dl = wf_reshape(z->in[2], column);
    wf_node *mask = wf_reshape(wf_apply2(&wf_op_label_mask, z->attr, x, labels), column);
    wf_node *scale = wf_mul(mask, dl);
    dx[0] = wf_mul(wf_apply2(&wf_op_softmax_grad, NULL, wf_softmax(x), g), scale);
    wf_node *one = wf_full(wf_graph_of(z), s, 1);
    wf_node *slope = wf_apply3(&wf_op_cross_entropy_grad, z->attr, x, labels, one);
    dx[2] = wf_sum(wf_mul(slope, g), WF_AXES(-1), false);
}

const wf_op wf_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .doc = "(softmax(x) - [label]) dl",
    .arity = 3,
    .traits = WF_INPLACE,
    .attr_size = sizeof(wf_loss_attr),
    .infer = grad_infer,
    .grad = grad_grad,
    .cost = grad_cost,
    .run = grad_run,
    .print = loss_print,
};

/* ---- hits ---- */

static void hits_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t n = wf_last(&c->in[0].shape);
    const int32_t *label = c->in[1].data;
    float *y = c->out->data;
    for (int64_t r = lo; r < hi; r++) {
        const float *x = (const float *)c->in[0].data + r * n;
        y[r] = 0;
        if (!counts(c, r, n)) continue;
        float top = top_of(c, n, x);
        int64_t first = 0;
        while (first < n && !(x[first] == top)) first++;
        y[r] = first == label[r];
    }
}

wf_node *wf_hits(wf_node *logits, wf_node *labels, int32_t ignore)
{
    return wf_apply2(&wf_op_hits, &(wf_loss_attr){ignore}, logits, labels);
}

const wf_op wf_op_hits = {
    .name = "hits",
    .doc = "1 where the largest logit is the label",
    .arity = 2,
    .traits = WF_FLAT,
    .attr_size = sizeof(wf_loss_attr),
    .infer = loss_infer,
    .cost = loss_cost,
    .run = hits_run,
    .print = loss_print,
};

/* ---- label_mask: logits (for the number of classes), labels ---- */

static bool mask_infer(wf_node *y)
{
    if (y->in[1]->dtype != WF_I32) return wf_fail(y, "labels must be int32");
    y->dtype = WF_F32;
    y->shape = y->in[1]->shape;
    return true;
}

static void mask_run(const wf_call *c, int64_t lo, int64_t hi)
{
    for (int64_t r = lo; r < hi; r++)
        ((float *)c->out->data)[r] = counts(c, r, wf_last(&c->in[0].shape));
}

static wf_cost mask_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->shape);
    return (wf_cost){.bytes = 8 * n, .units = (int64_t)n};
}

const wf_op wf_op_label_mask = {
    .name = "label_mask",
    .doc = "1 where the label counts",
    .arity = 2,
    .traits = WF_STRIDED | WF_FLAT,
    .attr_size = sizeof(wf_loss_attr),
    .infer = mask_infer,
    .cost = mask_cost,
    .run = mask_run,
    .print = loss_print,
};

wf_node *wf_cross_entropy(wf_node *logits, wf_node *labels, int32_t ignore)
{
    wf_node *rows = wf_cross_entropy_rows(logits, labels, ignore);
    wf_node *mask = wf_apply2(&wf_op_label_mask, &(wf_loss_attr){ignore}, logits, labels);
    wf_node *count = wf_sum(mask, WF_ALL, false);
    wf_node *one = wf_constant(wf_graph_of(logits), 1);
    return wf_div(wf_sum(rows, WF_ALL, false), wf_max(wf_stop_gradient(count), one));
}

wf_node *wf_mse(wf_node *a, wf_node *b)
{
    static const wf_op mse = {.name = "mse"}; /* for what it says */
    wf_shape x = wf_shape_of(a), y = wf_shape_of(b);
    char s[80], t[80];
    /* [n] and [n,1] would be broadcast to [n,n]: no loss that anybody means */
    if (x.rank > 0 && y.rank > 0 && !wf_shape_equal(&x, &y))
        return wf_refuse(wf_graph_of(a), &mse, "shapes must be equal, or one a scalar: %s and %s",
                         wf_shape_text(&x, s, sizeof s), wf_shape_text(&y, t, sizeof t));
    return wf_mean(wf_square(wf_sub(a, b)), WF_ALL, false);
}
