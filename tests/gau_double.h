/* The gated attention unit in double precision, straight from its formulas. */
#ifndef GAU_DOUBLE_H
#define GAU_DOUBLE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DOUBLE_TOKENS = 64 };

typedef struct gau_double {
    int64_t d, e, s, tokens;
    const char *norm; /* "softmax", "softmax_plus", "relu2" */
    double min_len;
    int64_t from[DOUBLE_TOKENS], to[DOUBLE_TOKENS], at[DOUBLE_TOKENS]; /* keys seen, position */
} gau_double;

/* Who sees whom in a packed batch with offsets, or in a padded one with lengths. */
static inline void double_spans(gau_double *g, bool padded, bool causal, int64_t rows, int64_t time,
                                const int32_t *ends)
{
    for (int64_t i = 0; i < g->tokens; i++) g->from[i] = g->to[i] = g->at[i] = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t first = padded ? r * time : ends[r];
        int64_t to = padded ? first + ends[r] : ends[r + 1], last = padded ? first + time : to;
        for (int64_t i = first; i < last; i++) {
            g->from[i] = first;
            g->to[i] = causal && i + 1 < to ? i + 1 : to;
            g->at[i] = i - first;
        }
    }
}

/* y = a b of [m, k] and [k, n]; to be freed */
static inline double *double_product(int64_t m, int64_t k, int64_t n, const double *a,
                                     const double *b)
{
    double *y = calloc((size_t)(m * n), sizeof *y);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            for (int64_t c = 0; c < n; c++) y[i * n + c] += a[i * k + j] * b[j * n + c];
    return y;
}

static inline void double_rms(int64_t rows, int64_t d, double *x)
{
    for (int64_t i = 0; i < rows; i++) {
        double square = 0;
        for (int64_t j = 0; j < d; j++) square += x[i * d + j] * x[i * d + j];
        for (int64_t j = 0; j < d; j++) x[i * d + j] /= sqrt(square / (double)d + 1e-12);
    }
}

/* One row of queries or keys: z times gamma, turned. */
static inline void double_turn(const gau_double *g, int64_t row, const double *z,
                               const double *gamma, double *q)
{
    for (int64_t j = 0; j < g->s; j += 2) {
        double angle = (double)g->at[row] * pow(10000, -(double)j / (double)g->s);
        double a = z[j] * gamma[j], b = z[j + 1] * gamma[j + 1];
        q[j] = a * cos(angle) - b * sin(angle);
        q[j + 1] = b * cos(angle) + a * sin(angle);
    }
}

/* Scores of the keys from..to-1 become their weights. */
static inline void double_weigh(const gau_double *g, int64_t n, double *a)
{
    double len = fmax((double)n, g->min_len), c = 1, sum = 0;
    bool is_relu2 = !strcmp(g->norm, "relu2");
    if (!strcmp(g->norm, "softmax_plus")) c = log(len) / log(512);
    for (int64_t j = 0; j < n; j++) {
        a[j] = is_relu2 ? fmax(a[j], 0) * fmax(a[j], 0) : exp(c * a[j]);
        sum += a[j];
    }
    for (int64_t j = 0; j < n; j++) a[j] /= is_relu2 ? (double)n : sum;
}

/* Weights wi [d, 2e + s], wo [e, d], gq [s], gk [s]; x [tokens, d] becomes rms(x + o). */
static inline void double_layer(const gau_double *g, const double *const w[4], double *x)
{
    int64_t n = g->tokens, e = g->e, s = g->s, width = 2 * e + s;
    double *h = double_product(n, g->d, width, x, w[0]), a[DOUBLE_TOKENS];
    double *q = malloc((size_t)(n * s) * sizeof *q), *k = malloc((size_t)(n * s) * sizeof *k);
    double *gated = calloc((size_t)(n * e), sizeof *gated);
    for (int64_t i = 0; i < n * width; i++) h[i] /= 1 + exp(-h[i]);
    for (int64_t i = 0; i < n; i++) {
        double_turn(g, i, h + i * width + 2 * e, w[2], q + i * s);
        double_turn(g, i, h + i * width + 2 * e, w[3], k + i * s);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t from = g->from[i], seen = g->to[i] - from;
        for (int64_t j = 0; j < seen; j++) {
            a[j] = 0;
            for (int64_t c = 0; c < s; c++) a[j] += q[i * s + c] * k[(from + j) * s + c];
            a[j] /= sqrt((double)s);
        }
        double_weigh(g, seen, a);
        for (int64_t j = 0; j < seen; j++)
            for (int64_t c = 0; c < e; c++)
                gated[i * e + c] += h[i * width + c] * a[j] * h[(from + j) * width + e + c];
    }
    double *o = double_product(n, e, g->d, gated, w[1]);
    for (int64_t i = 0; i < n * g->d; i++) x[i] += o[i];
    double_rms(n, g->d, x);
    free(h);
    free(q);
    free(k);
    free(gated);
    free(o);
}

#endif
