/*
 * The naive reference of the gated attention unit, row by row in double precision: what gau.c and
 * gau_grad.c are tested against, and what WF_KERNELS=ref runs.
 */
#include "ops/gau_grad.h"

#include <math.h>
#include <string.h>

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double silu_slope(double x)
{
    double s = 1 / (1 + exp(-x));
    return s * (1 + x * (1 - s));
}

/* One item, and what is visible from one of its rows. */
typedef struct row_view {
    const wf_call *c;
    const wf_gau_attr *a;
    const wf_gau_shape *g;
    int64_t query, row; /* row: of all rows */
    wf_gau_row k;
    double factor, inverse; /* f_i, 1 / len_i */
} row_view;

static row_view view_row(const wf_call *c, const wf_gau_shape *g, int64_t query, int64_t row)
{
    row_view v = {.c = c, .a = c->attr, .g = g, .query = query, .row = row};
    v.k = wf_gau_row_of(g, v.a, c->in[3].data, row);
    v.factor = (double)wf_gau_factor(v.a, v.k.length);
    v.inverse = 1 / (double)v.k.length;
    return v;
}

/* P of the i-th row of this row's item. */
static const float *p_of(const row_view *v, int64_t i)
{
    return (const float *)v->c->in[0].data + (v->row / v->g->n * v->g->n + i) * v->g->width;
}

/* Element j of rope(silu(Z) gamma) at row i of the item. */
static double turned(const row_view *v, int64_t i, const float *gamma, int64_t j)
{
    const float *z = p_of(v, i) + v->a->z, *angle = (const float *)v->c->in[4].data + i * v->g->s;
    int64_t even = j / 2 * 2;
    double x = silu((double)z[even]) * (double)gamma[even];
    double y = silu((double)z[even + 1]) * (double)gamma[even + 1];
    double cosine = (double)angle[j / 2], sine = (double)angle[v->g->s / 2 + j / 2];
    return j == even ? x * cosine - y * sine : y * cosine + x * sine;
}

/* The factor of dropout at key j of this row. */
static double kept(const row_view *v, int64_t j)
{
    uint64_t stream = wf_random_stream(v->a->salt, v->c->step);
    float rate = v->a->rate, u = wf_random_number(v->c->seed, stream, v->row * v->g->n + j);
    return u >= rate ? (double)(1 / (1 - rate)) : 0;
}

/* Scores f q k of the row's keys into x[from..to-1]. */
static void scores(const row_view *v, double *x)
{
    const float *gamma_q = v->c->in[1].data, *gamma_k = v->c->in[2].data;
    for (int64_t j = v->k.from; j < v->k.to; j++) {
        double sum = 0;
        for (int64_t t = 0; t < v->g->s; t++)
            sum += turned(v, v->row % v->g->n, gamma_q, t) * turned(v, j, gamma_k, t);
        x[j] = sum * v->factor;
    }
}

/* Weights before dropout into a, from the scores x (which may be a). */
static void weigh(const row_view *v, const double *x, double *a)
{
    double top = -INFINITY, sum = 0;
    for (int64_t j = v->k.from; j < v->k.to; j++) top = fmax(top, x[j]);
    for (int64_t j = v->k.from; j < v->k.to; j++) {
        double r = fmax(x[j], 0);
        a[j] = v->a->kind == WF_GAU_KIND_RELU2 ? r * r * v->inverse : exp(x[j] - top);
        sum += a[j];
    }
    for (int64_t j = v->k.from; j < v->k.to && v->a->kind == WF_GAU_KIND_SOFTMAX; j++) a[j] /= sum;
}

void wf_gau_reference_attend(const wf_call *c, const wf_gau_shape *g, int64_t query, double *x)
{
    row_view v = view_row(c, g, query, wf_gau_query_row(c, query));
    float *y = (float *)c->out->data + query * g->e;
    scores(&v, x);
    weigh(&v, x, x);
    for (int64_t j = v.k.from; j < v.k.to; j++) x[j] *= kept(&v, j);
    for (int64_t t = 0; t < g->e; t++) {
        double sum = 0;
        for (int64_t j = v.k.from; j < v.k.to; j++)
            sum += x[j] * silu((double)p_of(&v, j)[v.a->v + t]);
        y[t] = (float)sum;
    }
}

/* ---- backward ---- */

static float *d_of(const row_view *v, int64_t i)
{
    return (float *)v->c->out->data + (v->row / v->g->n * v->g->n + i) * wf_gau_d_width(v->g);
}

/* dY, and dU where the gate is here. */
static void gate_gradients(const row_view *v, double *dy)
{
    int64_t e = v->g->e, u = v->a->u;
    const float *p = p_of(v, v->row % v->g->n);
    const float *y = (const float *)v->c->in[5].data + v->query * e; /* dY, if picked */
    const float *dg = (const float *)v->c->in[6].data + v->query * e;
    float *d = d_of(v, v->row % v->g->n);
    for (int64_t t = 0; t < e; t++) {
        dy[t] = (double)y[t];
        if (wf_gau_is_picked(v->a)) continue;
        d[u + t] = (float)((double)dg[t] * (double)y[t] * silu_slope((double)p[u + t]));
        dy[t] = (double)dg[t] * silu((double)p[u + t]);
    }
}

/* dV of the row's keys, and dS' into ds; a: weights before dropout. */
static void weight_gradients(const row_view *v, const double *x, const double *a, double *ds,
                             const double *dy)
{
    const wf_gau_attr *k = v->a;
    double along = 0;
    for (int64_t j = v->k.from; j < v->k.to; j++) {
        double mask = kept(v, j), da = 0;
        for (int64_t t = 0; t < v->g->e; t++) {
            da += dy[t] * silu((double)p_of(v, j)[k->v + t]);
            d_of(v, j)[k->v + t] += (float)(a[j] * mask * dy[t]);
        }
        ds[j] = da * mask;
        along += ds[j] * a[j];
    }
    for (int64_t j = v->k.from; j < v->k.to; j++)
        ds[j] = k->kind == WF_GAU_KIND_RELU2 ? ds[j] * 2 * fmax(x[j], 0) * v->inverse
                                             : a[j] * (ds[j] - along);
}

/* d(rotated q) of the row at once, d(rotated k) of its keys added to dk [n][s]. */
static void score_gradients(const row_view *v, const double *ds, float *dq, float *dk)
{
    double f = v->factor;
    const float *gamma_q = v->c->in[1].data, *gamma_k = v->c->in[2].data;
    for (int64_t t = 0; t < v->g->s; t++) {
        double sum = 0, q = turned(v, v->row % v->g->n, gamma_q, t);
        for (int64_t j = v->k.from; j < v->k.to; j++) {
            sum += ds[j] * turned(v, j, gamma_k, t);
            dk[j * v->g->s + t] += (float)(ds[j] * f * q);
        }
        dq[t] = (float)(sum * f);
    }
}

/* From the gradient of a rotated query or key, of which dq becomes the unrotated one, to its parts
 * of dZ, and of dq z or dk z. */
static void turn_back(const row_view *v, const float *gamma, float *dq, float *dz, float *product)
{
    int64_t i = v->row % v->g->n, s = v->g->s;
    const float *angle = (const float *)v->c->in[4].data + i * s, *z = p_of(v, i) + v->a->z;
    for (int64_t j = 0; j < s / 2; j++) {
        double cosine = (double)angle[j], sine = (double)angle[s / 2 + j];
        double even = (double)dq[2 * j], odd = (double)dq[2 * j + 1];
        dq[2 * j] = (float)(even * cosine + odd * sine);
        dq[2 * j + 1] = (float)(odd * cosine - even * sine);
    }
    for (int64_t t = 0; t < s; t++) {
        product[t] += (float)(silu((double)z[t]) * (double)dq[t]);
        dz[t] += dq[t] * gamma[t];
    }
}

void wf_gau_reference_grad(const wf_call *c, const wf_gau_shape *g, int64_t item, double *room,
                           float *dk)
{
    const wf_gau_attr *a = c->attr;
    double *x = room, *weights = x + g->n, *ds = weights + g->n;
    float dq[2048]; /* s <= 2048 is checked where the pattern is found */
    memset((float *)c->out->data + item * g->n * wf_gau_d_width(g), 0,
           (size_t)(g->n * wf_gau_d_width(g)) * sizeof(float));
    memset(dk, 0, (size_t)(g->n * g->s) * sizeof *dk);
    for (int64_t query = 0; query < g->queries; query++) {
        int64_t row = wf_gau_query_row(c, query);
        if (row / g->n != item) continue;
        row_view v = view_row(c, g, query, row);
        scores(&v, x);
        weigh(&v, x, weights);
        gate_gradients(&v, ds + g->n);
        weight_gradients(&v, x, weights, ds, ds + g->n);
        score_gradients(&v, ds, dq, dk);
        float *d = d_of(&v, row % g->n);
        turn_back(&v, c->in[1].data, dq, d + a->z, d + g->width);
    }
    for (int64_t i = 0; i < g->n; i++) {
        row_view v = view_row(c, g, 0, item * g->n + i);
        float *d = d_of(&v, i);
        const float *p = p_of(&v, i);
        turn_back(&v, c->in[2].data, dk + i * g->s, d + a->z, d + g->width + g->s);
        for (int64_t t = 0; t < g->s; t++) d[a->z + t] *= (float)silu_slope((double)p[a->z + t]);
        for (int64_t t = 0; t < g->e; t++) d[a->v + t] *= (float)silu_slope((double)p[a->v + t]);
    }
}
