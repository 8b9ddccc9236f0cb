/*
 * Softmax and its logarithm over the last axis; a unit is a row.
 *
 *   softmax      y = e^(x - max) / sum              dx = y (dy - sum(y dy))
 *   log_softmax  y = x - max - ln sum e^(x - max)   dx = dy - e^y sum(dy)
 *
 * A row that is all -infinity becomes zeros in softmax.
 */
#include "ops/ops.h"

#include <math.h>
#include <string.h>

static bool rows_infer(wf_node *y)
{
    for (int i = 0; i < y->n_in; i++) {
        if (y->in[i]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
        if (!wf_shape_equal(&y->in[i]->shape, &y->in[0]->shape))
            return wf_fail(y, "inputs must have one shape");
    }
    if (y->in[0]->shape.rank < 1) return wf_fail(y, "needs at least one axis");
    return wf_infer_same(y);
}

static wf_cost rows_cost(const wf_node *y)
{
    return wf_cost_rows(y, 12);
}

typedef void row_fn(int64_t n, float *y, const float *a, const float *b);

static void each_row(const wf_call *c, int64_t lo, int64_t hi, row_fn *f)
{
    int64_t n = wf_last(&c->out->shape);
    const float *a = c->in[0].data, *b = c->n_in > 1 ? c->in[1].data : NULL;
    for (int64_t r = lo; r < hi; r++)
        f(n, (float *)c->out->data + r * n, a + r * n, b ? b + r * n : NULL);
}

static double top_of(int64_t n, const float *x)
{
    double top = -INFINITY;
    for (int64_t i = 0; i < n; i++) top = fmax(top, (double)x[i]);
    return top;
}

static double sum_of(int64_t n, const float *x, double top)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
    return sum;
}

/* ---- softmax ---- */

static void softmax_row(int64_t n, float *y, const float *x, const float *unused)
{
    const wf_vec *v = wf_vec_get();
    float top = v->max_of(n, x);
    (void)unused;
    if (top == -INFINITY) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
    v->scale(n, y, y, 1 / v->exp_sum(n, y, x, top));
}

static void softmax_row_reference(int64_t n, float *y, const float *x, const float *unused)
{
    double top = top_of(n, x), sum = sum_of(n, x, top);
    (void)unused;
    for (int64_t i = 0; i < n; i++)
        y[i] = top == -INFINITY ? 0 : (float)(exp((double)x[i] - top) / sum);
}

static void softmax_run(const wf_call *c, int64_t lo, int64_t hi)
{
    each_row(c, lo, hi, c->reference ? softmax_row_reference : softmax_row);
}

static void softmax_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_apply2(&wf_op_softmax_grad, NULL, y, dy);
}

wf_node *wf_softmax(wf_node *x)
{
    return wf_apply1(&wf_op_softmax, NULL, x);
}

const wf_op wf_op_softmax = {
    .name = "softmax",
    .doc = "y = e^(x - max) / sum, over the last axis",
    .arity = 1,
    .traits = WF_INPLACE | WF_ROWWISE,
    .infer = rows_infer,
    .grad = softmax_grad,
    .cost = rows_cost,
    .run = softmax_run,
};

/* ---- softmax_grad: y, dy ---- */

static void softmax_grad_row(int64_t n, float *dx, const float *y, const float *dy)
{
    const wf_vec *v = wf_vec_get();
    float along = (float)v->dot(n, y, dy);
    v->shift(n, dx, dy, -along);
    v->mul(n, dx, dx, y);
}

static void softmax_grad_reference(int64_t n, float *dx, const float *y, const float *dy)
{
    double along = 0;
    for (int64_t i = 0; i < n; i++) along += (double)y[i] * (double)dy[i];
    for (int64_t i = 0; i < n; i++) dx[i] = (float)((double)y[i] * ((double)dy[i] - along));
}

static void softmax_grad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    each_row(c, lo, hi, c->reference ? softmax_grad_reference : softmax_grad_row);
}

/* With s = sum(y dy): d/dy and d/d(dy) of y (dy - s), for a gradient g of the result. */
static void softmax_grad_grad(wf_node *z, wf_node *g, wf_node *dx[])
{
    wf_node *y = z->in[0], *dy = z->in[1];
    wf_node *s = wf_sum(wf_mul(y, dy), WF_AXES(-1), true);
    wf_node *gy = wf_sum(wf_mul(g, y), WF_AXES(-1), true);
    dx[0] = wf_sub(wf_mul(g, wf_sub(dy, s)), wf_mul(gy, dy));
    dx[1] = wf_mul(y, wf_sub(g, gy));
}

const wf_op wf_op_softmax_grad = {
    .name = "softmax_grad",
    .doc = "dx = y (dy - sum(y dy))",
    .arity = 2,
    .infer = rows_infer,
    .grad = softmax_grad_grad,
    .cost = rows_cost,
    .run = softmax_grad_run,
};

/* ---- log_softmax ---- */

static void log_softmax_row(int64_t n, float *y, const float *x, const float *unused)
{
    const wf_vec *v = wf_vec_get();
    float top = v->max_of(n, x), room[1024];
    double sum = 0;
    (void)unused;
    for (int64_t i = 0; i < n; i += 1024)
        sum += (double)v->exp_sum(n - i < 1024 ? n - i : 1024, room, x + i, top);
    v->shift(n, y, x, -top);
    v->shift(n, y, y, -(float)log(sum));
}

static void log_softmax_reference(int64_t n, float *y, const float *x, const float *unused)
{
    double top = top_of(n, x), sum = sum_of(n, x, top);
    (void)unused;
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)x[i] - top - log(sum));
}

static void log_softmax_run(const wf_call *c, int64_t lo, int64_t hi)
{
    each_row(c, lo, hi, c->reference ? log_softmax_reference : log_softmax_row);
}

static void log_softmax_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_apply2(&wf_op_log_softmax_grad, NULL, y, dy);
}

wf_node *wf_log_softmax(wf_node *x)
{
    return wf_apply1(&wf_op_log_softmax, NULL, x);
}

const wf_op wf_op_log_softmax = {
    .name = "log_softmax",
    .doc = "y = x - max - ln sum e^(x - max), over the last axis",
    .arity = 1,
    .traits = WF_INPLACE | WF_ROWWISE,
    .infer = rows_infer,
    .grad = log_softmax_grad,
    .cost = rows_cost,
    .run = log_softmax_run,
};

/* ---- log_softmax_grad: y, dy ---- */

static void log_softmax_grad_row(int64_t n, float *dx, const float *y, const float *dy)
{
    const wf_vec *v = wf_vec_get();
    float sum = (float)v->sum(n, dy);
    v->exp(n, dx, y);
    v->axpby(n, dx, -sum, dx, 1, dy);
}

static void log_softmax_grad_reference(int64_t n, float *dx, const float *y, const float *dy)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)dy[i];
    for (int64_t i = 0; i < n; i++) dx[i] = (float)((double)dy[i] - exp((double)y[i]) * sum);
}

static void log_softmax_grad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    each_row(c, lo, hi, c->reference ? log_softmax_grad_reference : log_softmax_grad_row);
}

static void log_softmax_grad_grad(wf_node *z, wf_node *g, wf_node *dx[])
{
    wf_node *p = wf_exp(z->in[0]), *gp = wf_mul(g, p);
    dx[0] = wf_neg(wf_mul(gp, wf_sum(z->in[1], WF_AXES(-1), true)));
    dx[1] = wf_sub(g, wf_sum(gp, WF_AXES(-1), true));
}

const wf_op wf_op_log_softmax_grad = {
    .name = "log_softmax_grad",
    .doc = "dx = dy - e^y sum(dy)",
    .arity = 2,
    .infer = rows_infer,
    .grad = log_softmax_grad_grad,
    .cost = rows_cost,
    .run = log_softmax_grad_run,
};
