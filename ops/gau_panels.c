/*
 * Backward pass of the gated attention unit, phase PANELS: from columns of P, Y and dG to those of
 * dU and dV, and to sums of dA. See gau_grad.c.
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <string.h>

enum { B = WF_GAU_BLOCK, RANGE = WF_GAU_RANGE };

void wf_gau_gate(const wf_call *c, const wf_gau_shape *g, int64_t row, int64_t at, int64_t cols,
                 float *dy)
{
    int64_t u = ((const wf_gau_attr *)c->attr)->u + at;
    const float *p = (const float *)c->in[0].data + row * g->width + u;
    const float *y = (const float *)c->in[5].data + row * g->e + at;
    const float *dg = (const float *)c->in[6].data + row * g->e + at;
    float *du = (float *)c->out->data + row * wf_gau_d_width(g) + u;
    wf_gau_ask(p, g->width, cols);
    wf_gau_ask(y, g->e, cols);
    wf_gau_ask(dg, g->e, cols);
    wf_vec_get()->gate_grad(cols, dy, du, p, dg, y);
}

typedef struct panel {
    const wf_call *c;
    const wf_gau_shape *g;
    const wf_gau_work *w;
    const wf_gau_segment *s;
    wf_gau_keys k;         /* of the range */
    int64_t at, cols;      /* columns of e */
    float *part;           /* the sum of dA of this group: tiles */
    bool is_first;         /* panel of the group */
    float *v, *slope, *dv; /* [keys of the range][cols]: V, SiLU', dV */
    float *dy, *turned;    /* rows of dY [queries of a block][cols], and its transpose */
} panel;

int64_t wf_gau_panels_floats(void)
{
    int64_t brief = 5 * B * WF_GAU_WIDE, other = 2 * B * B + 3 * RANGE * B;
    return wf_max_i64(brief, other);
}

/* dY of a block, and of the gate if there is one and that was not done beforehand. */
static void make_dy(const panel *p, const wf_gau_block *b)
{
    int64_t n = p->cols;
    const float *made = wf_gau_is_picked(p->c->attr) ? p->c->in[5].data
                        : wf_gau_ranges_of(p->s) > 1 ? p->w->dy
                                                     : NULL;
    for (int64_t i = 0; i < b->n; i++)
        if (made)
            memcpy(p->dy + i * n, made + b->place[i] * p->g->e + p->at, (size_t)n * sizeof *made);
        else
            wf_gau_gate(p->c, p->g, b->row[i], p->at, n, p->dy + i * n);
    memset(p->dy + b->n * n, 0, (size_t)((b->height - b->n) * n) * sizeof *p->dy);
}

/* dA (+)= V dY^T and dV (+)= A^T dY for the keys of the range that the block sees. */
static void add_block(const panel *p, const wf_gau_block *b, bool has_dv)
{
    int64_t from = wf_max_i64(b->from, p->k.from), keys = wf_min_i64(b->to, p->k.to) - from;
    int64_t n = b->height, cols = p->cols;
    int64_t at = b->tile + (from - b->from) * n, key = (from - p->k.from) * cols;
    make_dy(p, b);
    if (keys <= 0) return;
    wf_vec_get()->transpose(n, cols, p->turned, n, p->dy, cols);
    wf_gemm da = wf_gemm_get(&(wf_gemm_shape){
        .m = keys, .n = n, .k = cols, .lda = cols, .ldb = n, .ldc = n, .accumulate = !p->is_first});
    wf_gemm_run(&da, p->v + key, p->turned, p->part + at, 1);
    wf_gemm dv = wf_gemm_get(&(wf_gemm_shape){
        .m = keys, .n = cols, .k = n, .lda = n, .ldb = cols, .ldc = cols, .accumulate = has_dv});
    wf_gemm_run(&dv, p->w->seen + at, p->dy, p->dv + key, 1);
}

static void make_v(const panel *p)
{
    const wf_gau_attr *a = p->c->attr;
    const wf_gau_segment *s = p->s;
    int64_t n = p->cols, end = wf_min_i64(p->k.to, s->at + s->n), rows = end - p->k.from;
    const float *x =
        (const float *)p->c->in[0].data + (s->row + p->k.from - s->at) * p->g->width + a->v + p->at;
    for (int64_t i = 0; i < rows; i++, x += p->g->width) {
        wf_gau_ask(x, p->g->width, n);
        wf_vec_get()->silu_both(n, p->v + i * n, p->slope + i * n, x);
    }
    memset(p->v + rows * n, 0, (size_t)((p->k.to - end) * n) * sizeof *p->v);
}

/* The rows of dV in the result: raw sums from wave to wave, times SiLU' after the last. */
static void move_dv(const panel *p, bool is_load, bool is_last)
{
    int64_t v = ((const wf_gau_attr *)p->c->attr)->v + p->at, n = p->cols;
    int64_t rows = wf_min_i64(p->k.to, p->s->at + p->s->n) - p->k.from;
    float *x = p->dv, *d = p->c->out->data;
    d += (p->s->row + p->k.from - p->s->at) * wf_gau_d_width(p->g) + v;
    for (int64_t i = 0; i < rows; i++, x += n, d += wf_gau_d_width(p->g))
        if (is_load)
            memcpy(x, d, (size_t)n * sizeof *x);
        else if (is_last)
            wf_vec_get()->mul(n, d, x, p->slope + i * n);
        else
            memcpy(d, x, (size_t)n * sizeof *x);
}

static void run_panel(panel *p)
{
    const wf_gau_block *first = &p->w->plan.blocks[p->k.first];
    bool is_begin = p->k.first == p->s->block;
    bool has_dv = !is_begin || first->from > p->k.from || first->to < p->k.to;
    make_v(p);
    if (!is_begin)
        move_dv(p, true, false);
    else if (has_dv)
        memset(p->dv, 0, (size_t)((p->k.to - p->k.from) * p->cols) * sizeof *p->dv);
    for (int64_t b = p->k.first; b < p->k.last; b++, has_dv = true)
        add_block(p, &p->w->plan.blocks[b], has_dv);
    move_dv(p, false, p->k.last == p->s->block + p->s->blocks);
    p->is_first = false;
}

void wf_gau_panels_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                       const wf_gau_panels *what)
{
    const wf_gau_segment *s = what->segment;
    panel p = {.c = c, .g = g, .w = w, .s = s, .k = wf_gau_keys_of(&w->plan, s), .is_first = true};
    p.k.from = s->at + what->range * RANGE; /* all keys: those that nobody sees get zeros */
    p.k.to = wf_min_i64(p.k.from + RANGE, s->at + s->height);
    if (p.k.from >= p.k.to) return;
    p.part = w->parts + what->group * w->plan.now->used;
    int64_t keys = (p.k.to - p.k.from) * what->wide;
    int64_t queries = w->plan.blocks[s->block].height * what->wide; /* no block has more */
    p.dy = c->scratch;
    p.turned = p.dy + queries;
    p.v = p.turned + queries;
    p.slope = p.v + keys;
    p.dv = p.slope + keys;
    for (p.at = what->from; p.at < what->to; p.at += what->wide) {
        p.cols = wf_min_i64(what->wide, what->to - p.at);
        run_panel(&p);
    }
}
