/*
 * Backward pass of the gated attention unit, phase PANELS: from columns of P, Y and dG to those of
 * dU and dV, and to sums of dA. See gau_grad.c.
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <string.h>

enum { B = WF_GAU_BLOCK, RANGE = WF_GAU_RANGE };

/* dU (as dP) and dY of columns at..at+cols-1 of one row. */
static void gate(const wf_call *c, const wf_gau_shape *g, int64_t row, int64_t at, int64_t cols,
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

/* Columns of dY of a block, and turned. */
static void make_dy(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b,
                    const wf_gau_values *v, float *dy, float *turned)
{
    int64_t at = v->at, cols = v->cols;
    const float *given = wf_gau_is_picked(c->attr) ? c->in[5].data : NULL;
    for (int64_t i = 0; i < b->n; i++)
        if (given)
            memcpy(dy + i * cols, given + b->place[i] * g->e + at, (size_t)cols * sizeof *dy);
        else
            gate(c, g, b->row[i], at, cols, dy + i * cols);
    memset(dy + b->n * cols, 0, (size_t)((b->height - b->n) * cols) * sizeof *dy);
    wf_vec_get()->transpose(b->height, cols, turned, b->height, dy, cols);
}

void wf_gau_make_dy(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                    const wf_gau_block *b)
{
    for (int64_t at = 0; at < g->e; at += B) {
        wf_gau_values v = {.at = at, .cols = wf_min_i64(B, g->e - at)};
        int64_t to = wf_gau_dy_at(g, b, at);
        make_dy(c, g, b, &v, w->dy + to, w->turned_dy + to);
    }
}

typedef struct panel {
    const wf_call *c;
    const wf_gau_shape *g;
    const wf_gau_work *w;
    wf_gau_keys k;         /* of the range */
    wf_gau_values what;    /* the range's keys, and columns of e */
    float *part;           /* the sum of dA of this group: tiles */
    bool is_first;         /* panel of the group */
    float *v, *slope, *dv; /* [keys of the range][cols]: V, SiLU', dV */
    float *dy, *turned;    /* dY [queries of a block][cols], and its transpose */
} panel;

int64_t wf_gau_panels_floats(void)
{
    int64_t brief = 5 * B * WF_GAU_WIDE, other = 2 * B * B + 3 * RANGE * B;
    return wf_max_i64(brief, other);
}

/* dA (+)= V dY^T and dV (+)= A^T dY for the keys of the range that the block sees. */
static void add_block(const panel *p, const float *v, const wf_gau_block *b, bool has_dv)
{
    int64_t from = wf_max_i64(b->from, p->what.from), keys = wf_min_i64(b->to, p->what.to) - from;
    int64_t n = b->height, cols = p->what.cols;
    int64_t at = b->tile + (from - b->from) * n, key = (from - p->what.from) * cols;
    const float *dy = p->dy, *turned = p->turned;
    if (wf_gau_ranges_of(b->segment) > 1) {
        dy = p->w->dy + wf_gau_dy_at(p->g, b, p->what.at);
        turned = p->w->turned_dy + wf_gau_dy_at(p->g, b, p->what.at);
    } else {
        make_dy(p->c, p->g, b, &p->what, p->dy, p->turned);
    }
    if (keys <= 0) return;
    wf_gemm da = wf_gemm_get(&(wf_gemm_shape){
        .m = keys, .n = n, .k = cols, .lda = cols, .ldb = n, .ldc = n, .accumulate = !p->is_first});
    wf_gemm_run(&da, v + key, turned, p->part + at, 1);
    wf_gemm dv = wf_gemm_get(&(wf_gemm_shape){
        .m = keys, .n = cols, .k = n, .lda = n, .ldb = cols, .ldc = cols, .accumulate = has_dv});
    wf_gemm_run(&dv, p->w->seen + at, dy, p->dv + key, 1);
}

/* The rows of dV in the result: raw sums from wave to wave, times SiLU' after the last. */
static void move_dv(const panel *p, bool is_load, bool is_last)
{
    const wf_gau_segment *s = p->what.segment;
    int64_t v = ((const wf_gau_attr *)p->c->attr)->v + p->what.at, n = p->what.cols;
    int64_t rows = wf_min_i64(p->what.to, s->at + s->n) - p->what.from;
    float *x = p->dv, *d = p->c->out->data;
    d += (s->row + p->what.from - s->at) * wf_gau_d_width(p->g) + v;
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
    const wf_gau_segment *s = p->what.segment;
    const wf_gau_block *first = &p->w->plan.blocks[p->k.first];
    bool is_begin = p->k.first == s->block, is_last = p->k.last == s->block + s->blocks;
    bool has_dv = !is_begin || first->from > p->what.from || first->to < p->what.to;
    bool is_kept = wf_gau_is_long(s);
    const float *v = is_kept ? wf_gau_kept_v(p->g, &p->what, p->w->v) : p->v;
    if (!is_kept || is_last) wf_gau_make_v(p->c, p->g, &p->what, p->v, p->slope);
    if (!is_begin)
        move_dv(p, true, false);
    else if (has_dv)
        memset(p->dv, 0, (size_t)((p->what.to - p->what.from) * p->what.cols) * sizeof *p->dv);
    for (int64_t b = p->k.first; b < p->k.last; b++, has_dv = true)
        add_block(p, v, &p->w->plan.blocks[b], has_dv);
    move_dv(p, false, is_last);
    p->is_first = false;
}

void wf_gau_panels_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                       const wf_gau_panels *what)
{
    const wf_gau_segment *s = what->segment;
    panel p = {.c = c, .g = g, .w = w, .k = wf_gau_keys_of(&w->plan, s), .is_first = true};
    p.what.segment = s; /* all keys: those that nobody sees get zeros */
    p.what.from = s->at + what->range * RANGE;
    p.what.to = wf_min_i64(p.what.from + RANGE, s->at + s->height);
    if (p.what.from >= p.what.to) return;
    p.part = w->parts + what->group * w->plan.now->used;
    int64_t keys = (p.what.to - p.what.from) * what->wide;
    int64_t queries = w->plan.blocks[s->block].height * what->wide; /* no block has more */
    p.dy = c->scratch;
    p.turned = p.dy + queries;
    p.v = p.turned + queries;
    p.slope = p.v + keys;
    p.dv = p.slope + keys;
    for (p.what.at = what->from; p.what.at < what->to; p.what.at += what->wide) {
        p.what.cols = wf_min_i64(what->wide, what->to - p.what.at);
        run_panel(&p);
    }
}
