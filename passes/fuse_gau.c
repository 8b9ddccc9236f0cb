/*
 * The gated attention unit, found in plain ops:
 *
 *   H = silu(P);  U, V, Z = slices of H's columns
 *   Q = rope(Z * gq, pos);  K = rope(Z * gk, pos);  S = scale(Q K^T)
 *   A = softmax(mask(S [* c ln(len)], span, -inf))   or   mask(relu2(S), span, 0) / len
 *   U * (dropout(A) V)   ->   gau_gated(gau(P, gq, gk, span, angles), P, ...)
 *
 * Saves the copies of U, V, Z, Q, K, every n x n tensor (scores, weights, their gradients, dropout
 * masks), and H itself: only P and A V are kept for the backward pass, which is one kernel too.
 */
#include "passes/passes.h"

#include "ops/gau.h"

#include <math.h>
#include <string.h>

typedef struct match {
    wf_gau_attr attr;
    wf_node *h, *gamma_q, *gamma_k, *span, *positions;
    float base;
    const char *why; /* what stopped a match that had come far */
} match;

static bool stop(match *m, const char *why)
{
    m->why = why;
    return false;
}

/* A slice of the last axis of m->h (set by the first one met). */
static bool is_part(match *m, const wf_node *n, int64_t *start, int64_t *size)
{
    const wf_slice_attr *a = n->attr;
    if (n->op != &wf_op_slice || a->axis != n->shape.rank - 1) return false;
    if (!m->h) m->h = n->in[0];
    *start = a->start;
    *size = n->shape.dim[a->axis];
    return n->in[0] == m->h && m->h->op == &wf_op_silu && *start >= 0;
}

/* rope(Z * gamma, positions) */
static bool is_turned(match *m, const wf_node *n, wf_node **gamma)
{
    const wf_rope_attr *a = n->attr;
    if (n->op != &wf_op_rope || a->inverse || n->in[0]->op != &wf_op_mul)
        return stop(m, "q or k is no rope of z times a vector");
    if (m->positions && (m->positions != n->in[1] || m->base != a->base))
        return stop(m, "q and k are rotated otherwise");
    m->positions = n->in[1];
    m->base = a->base;
    for (int i = 0; i < 2; i++) {
        const wf_node *z = n->in[0]->in[i];
        int64_t start, size;
        if (!is_part(m, z, &start, &size)) continue;
        if (m->attr.s && (m->attr.s != size || m->attr.z != start))
            return stop(m, "q and k are made of different columns");
        m->attr.s = size;
        m->attr.z = start;
        *gamma = n->in[0]->in[1 - i];
        bool fits = (*gamma)->shape.rank == 1 && (*gamma)->shape.dim[0] == size && size <= 2048;
        return fits || stop(m, "q or k is not z times a vector of at most 2048");
    }
    return stop(m, "q or k is made of something else than columns of the slab");
}

static bool is_score(match *m, const wf_node *n)
{
    m->attr.scale = 1;
    if (n->op == &wf_op_scale) {
        m->attr.scale = ((const wf_scalar_attr *)n->attr)->a;
        n = n->in[0];
    }
    const wf_matmul_attr *a = n->attr;
    if (n->op != &wf_op_matmul || a->ta || !a->tb)
        return stop(m, "the scores are not [scale] q k^T");
    return is_turned(m, n->in[0], &m->gamma_q) && is_turned(m, n->in[1], &m->gamma_k);
}

static bool is_span(match *m, wf_node *span)
{
    if (!m->span) m->span = span;
    return m->span == span;
}

static bool is_length(match *m, const wf_node *n)
{
    if (n->op != &wf_op_span_length || !is_span(m, n->in[0])) return false;
    m->attr.min_len = ((const wf_span_attr *)n->attr)->value;
    return true;
}

/* S * scale(log(len)) */
static bool is_stretched(match *m, const wf_node *n)
{
    for (int i = 0; n->op == &wf_op_mul && i < 2; i++) {
        const wf_node *c = n->in[i];
        m->attr.log_scale = 1;
        if (c->op == &wf_op_scale) {
            m->attr.log_scale = ((const wf_scalar_attr *)c->attr)->a;
            c = c->in[0];
        }
        if (c->op == &wf_op_log && is_length(m, c->in[0])) return is_score(m, n->in[1 - i]);
    }
    m->attr.log_scale = 0;
    return is_score(m, n);
}

/* mask_span(x, span, value): gives x */
static const wf_node *is_masked(match *m, const wf_node *n, float value)
{
    if (n->op == &wf_op_mask_span && ((const wf_span_attr *)n->attr)->value == value &&
        is_span(m, n->in[1]))
        return n->in[0];
    stop(m, "the scores are not masked by a span of visible keys");
    return NULL;
}

static bool is_softmax(match *m, const wf_node *n)
{
    const wf_node *x = is_masked(m, n->in[0], -INFINITY);
    m->attr.kind = WF_GAU_KIND_SOFTMAX;
    return x && is_stretched(m, x);
}

static bool is_relu2(match *m, const wf_node *n)
{
    const wf_node *x = is_masked(m, n->in[0], 0);
    m->attr.kind = WF_GAU_KIND_RELU2;
    if (!x) return false;
    if (!is_length(m, n->in[1]) || x->op != &wf_op_relu2)
        return stop(m, "the weights are not relu2 of scores by the span's length");
    return is_score(m, x->in[0]);
}

static bool is_read(match *m, const wf_node *n)
{
    const wf_matmul_attr *a = n->attr;
    int64_t e;
    if (n->op != &wf_op_matmul || a->ta || a->tb) return false;
    if (!is_part(m, n->in[1], &m->attr.v, &e)) return stop(m, "v is no slice of u's slab");
    if (e != m->attr.e) return stop(m, "u and v differ in width");
    if (n->n_users != 1) return stop(m, "A V has another reader");
    const wf_node *weights = n->in[0];
    if (weights->op == &wf_op_dropout) {
        m->attr.rate = ((const wf_random_attr *)weights->attr)->rate;
        m->attr.salt = wf_node_salt(weights);
        weights = weights->in[0];
    }
    if (weights->op == &wf_op_softmax) return is_softmax(m, weights);
    if (weights->op == &wf_op_div) return is_relu2(m, weights);
    return stop(m, "the weights are neither softmax nor relu2 by length");
}

static bool apart(int64_t a, int64_t n, int64_t b, int64_t m)
{
    return a + n <= b || b + m <= a;
}

/* Is every column of P in exactly one of u, v, z? gau_grad writes each of them once. */
static bool is_partition(const wf_gau_attr *a, int64_t width)
{
    return width == 2 * a->e + a->s && apart(a->u, a->e, a->v, a->e) &&
           apart(a->u, a->e, a->z, a->s) && apart(a->v, a->e, a->z, a->s);
}

static bool fits(match *m)
{
    const wf_shape *p = &m->h->shape, *s = &m->span->shape;
    bool is_each = p->rank >= 2 && s->rank == p->rank && s->dim[s->rank - 1] == 2;
    for (int i = 0; is_each && i < p->rank - 1; i++) is_each = s->dim[i] == p->dim[i];
    if (!is_each) return stop(m, "the span does not tell each row's keys");
    if (!is_partition(&m->attr, p->dim[p->rank - 1]))
        return stop(m, "u, v, z are not the whole slab");
    return m->positions->shape.dim[0] == p->dim[p->rank - 2] ||
           stop(m, "there are not as many positions as rows");
}

static wf_node *build(const match *m)
{
    wf_rope_attr rope = {.base = m->base, .size = m->attr.s};
    wf_node *angles = wf_apply1(&wf_op_rope_angles, &rope, m->positions);
    wf_node *in[6] = {NULL, m->h->in[0], m->gamma_q, m->gamma_k, m->span, angles};
    in[0] = wf_apply(&wf_op_gau, &m->attr, 5, in + 1);
    return wf_apply(&wf_op_gau_gated, &m->attr, 6, in);
}

static wf_node *fuse_gau(wf_node *n)
{
    if (n->op != &wf_op_mul) return NULL;
    for (int i = 0; i < 2; i++) {
        match m;
        memset(&m, 0, sizeof m); /* padding too: attributes are compared as bytes */
        if (!is_part(&m, n->in[i], &m.attr.u, &m.attr.e)) continue;
        if (is_read(&m, n->in[1 - i]) && fits(&m)) return build(&m);
        if (m.why) wf_note(n, "%s", m.why);
    }
    return NULL;
}

const wf_pass wf_pass_fuse_gau = {
    .name = "fuse_gau",
    .doc = "silu(u) * (attention(z) silu(v)) -> gau_gated(gau(P))",
    .rewrite = fuse_gau,
};
