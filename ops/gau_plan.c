/* The gated attention unit's plan: segments, blocks and waves, from the spans of a batch. */
#include "ops/gau_plan.h"

#include <math.h>

enum {
    B = WF_GAU_BLOCK,
    PAD = WF_GAU_PAD,
    SMALL = 32,            /* sequences are put together while they have no more rows */
    MANY = 16,             /* brief segments are taken at once if there are so many to share, ... */
    LITTLE = 1 << 16,      /* ... or if rows times e are no more: phases would mostly wait */
    TILE_FLOATS = 1 << 20, /* of a wave, unless one block needs more */
};

static int64_t pad(int64_t n)
{
    return wf_ceil_div(n, PAD) * PAD;
}

/* Of an item, at most: two neighbours together have more than SMALL rows. */
static int64_t most_segments(int64_t n)
{
    return 2 * wf_ceil_div(n, SMALL) + 1;
}

wf_gau_shape wf_gau_shape_of(const wf_shape *slab, const wf_gau_attr *a)
{
    wf_gau_shape g = {.e = a->e, .s = a->s, .items = 1};
    g.width = slab->dim[slab->rank - 1];
    g.n = slab->dim[slab->rank - 2];
    for (int i = 0; i < slab->rank - 2; i++) g.items *= slab->dim[i];
    g.rows = g.items * g.n;
    g.panels = wf_ceil_div(g.e, B);
    g.padded = pad(g.n + (PAD - 1) * wf_min_i64(g.n, most_segments(g.n)));
    g.all_padded = g.items * g.padded;
    return g;
}

wf_gau_row wf_gau_row_of(const wf_gau_shape *g, const wf_gau_attr *a, const int32_t *span,
                         int64_t i)
{
    wf_gau_row r = {.from = wf_max_i64(span[2 * i], 0), .to = wf_min_i64(span[2 * i + 1], g->n)};
    if (r.to < r.from) r.to = r.from;
    /* as span_length counts, which knows no end of keys */
    r.length = fmaxf((float)((int64_t)span[2 * i + 1] - span[2 * i]), a->min_len);
    return r;
}

float wf_gau_factor(const wf_gau_attr *a, float length)
{
    return a->log_scale != 0 ? a->scale * (a->log_scale * logf(length)) : a->scale;
}

void *wf_gau_take(void *work, int64_t *at, int64_t bytes)
{
    void *p = work ? (char *)work + *at : NULL;
    *at += wf_ceil_div(bytes, WF_ALIGN) * WF_ALIGN;
    return p;
}

void wf_gau_plan_place(wf_gau_plan *p, const wf_gau_shape *g, void *work, int64_t *at)
{
    int64_t segments = g->items * most_segments(g->n);
    int64_t blocks = segments + g->items * wf_ceil_div(g->n, B);
    p->now = wf_gau_take(work, at, (int64_t)sizeof *p->now);
    p->segments = wf_gau_take(work, at, segments * (int64_t)sizeof *p->segments);
    p->brief = wf_gau_take(work, at, segments * (int64_t)sizeof *p->brief);
    p->blocks = wf_gau_take(work, at, blocks * (int64_t)sizeof *p->blocks);
    p->back = wf_gau_take(work, at, (g->n + 1) * (int64_t)sizeof *p->back);
}

/* ---- segments ---- */

/* The row after those that see, or are seen by, rows of the item from i on, with all between. */
static int64_t end_of(const wf_gau_plan *p, const wf_gau_shape *g, const int32_t *span, int64_t i)
{
    int64_t reach = i + 1;
    while (i < g->n && (i < reach || p->back[i] < i)) {
        if (span[2 * i] < span[2 * i + 1]) reach = wf_max_i64(reach, span[2 * i + 1]);
        i++;
    }
    return i;
}

static void cut_item(const wf_gau_plan *p, const wf_gau_shape *g, const int32_t *span, int64_t item)
{
    wf_gau_segment *s = NULL;
    span += 2 * item * g->n;
    p->back[g->n] = (int32_t)g->n;
    for (int64_t i = g->n - 1; i >= 0; i--) {
        p->back[i] = p->back[i + 1];
        if (span[2 * i] < span[2 * i + 1] && span[2 * i] < p->back[i]) p->back[i] = span[2 * i];
    }
    for (int64_t i = 0, end; i < g->n; i = end) {
        end = end_of(p, g, span, i);
        if (s && s->n + end - i <= SMALL) {
            s->n += end - i;
        } else {
            s = &p->segments[p->now->segments++];
            *s = (wf_gau_segment){.row = item * g->n + i, .n = end - i};
        }
    }
}

/* ---- blocks ---- */

static void find_keys(wf_gau_block *b, const wf_gau_shape *g, const int32_t *span)
{
    const wf_gau_segment *s = b->segment;
    int64_t from = s->height, to = 0, base = s->row % g->n;
    for (int64_t i = b->row; i < b->row + b->n; i++) {
        int64_t lo = wf_max_i64(span[2 * i], 0), hi = wf_min_i64(span[2 * i + 1], g->n);
        if (hi <= lo) continue;
        from = wf_min_i64(from, lo - base);
        to = wf_max_i64(to, hi - base);
    }
    b->from = s->at + (to ? from / PAD * PAD : 0);
    b->to = s->at + pad(to);
}

static int64_t cut_segment(const wf_gau_plan *p, const wf_gau_shape *g, const int32_t *span,
                           wf_gau_segment *s, int64_t at)
{
    s->at = at;
    s->height = pad(s->n);
    s->block = p->now->blocks;
    s->blocks = wf_ceil_div(s->n, B);
    for (int64_t i = 0; i < s->blocks; i++) {
        wf_gau_block *b = &p->blocks[p->now->blocks++];
        *b = (wf_gau_block){.segment = s, .row = s->row + i * B, .at = at + i * B};
        b->n = wf_min_i64(B, s->n - i * B);
        b->height = pad(b->n);
        find_keys(b, g, span);
    }
    return at + s->height;
}

/* ---- brief segments ---- */

static bool is_brief(const wf_gau_segment *s)
{
    return s->n <= B;
}

/* From all segments to where they belong. */
static void pick_brief(const wf_gau_plan *p, const wf_gau_shape *g)
{
    int64_t all = p->now->segments, brief = 0, other = 0;
    for (int64_t i = 0; i < all; i++) brief += is_brief(&p->segments[i]);
    if (brief < MANY && g->rows * g->e > LITTLE) return;
    for (int64_t i = 0; i < all; i++)
        if (is_brief(&p->segments[i]))
            p->brief[p->now->brief++] = p->segments[i];
        else
            p->segments[other++] = p->segments[i];
    p->now->segments = other;
}

wf_gau_shape wf_gau_brief_shape(const wf_gau_shape *g)
{
    wf_gau_shape s = *g;
    s.items = 1;
    s.n = s.rows = s.padded = s.all_padded = B;
    return s;
}

void wf_gau_plan_brief(wf_gau_plan *p, const wf_gau_shape *g, const int32_t *span,
                       const wf_gau_segment *s)
{
    *p->now = (wf_gau_wave){.segments = 1};
    p->segments[0] = *s;
    cut_segment(p, g, span, p->segments, 0);
    wf_gau_next_wave(p, g);
}

void wf_gau_plan_make(wf_gau_plan *p, const wf_gau_shape *g, const int32_t *span)
{
    *p->now = (wf_gau_wave){0};
    for (int64_t i = 0; i < g->items; i++) cut_item(p, g, span, i);
    pick_brief(p, g);
    int64_t at = 0;
    for (int64_t i = 0; i < p->now->segments; i++)
        at = cut_segment(p, g, span, &p->segments[i], at);
}

/* ---- waves ---- */

int64_t wf_gau_tile_floats(const wf_gau_shape *g)
{
    int64_t rows = pad(g->n), all = g->items * rows * rows;
    return wf_max_i64(wf_min_i64(all, TILE_FLOATS), wf_min_i64(B, rows) * rows);
}

bool wf_gau_next_wave(const wf_gau_plan *p, const wf_gau_shape *g)
{
    wf_gau_wave *w = p->now;
    int64_t room = wf_gau_tile_floats(g);
    if (w->last == w->blocks) return false;
    w->first = w->last;
    w->used = 0;
    for (; w->last < w->blocks; w->last++) {
        wf_gau_block *b = &p->blocks[w->last];
        int64_t need = (b->to - b->from) * b->height;
        if (w->used + need > room) break;
        b->tile = w->used;
        w->used += need;
    }
    if (w->last == w->blocks) return true;
    int64_t begin = p->blocks[w->last].segment->block;
    if (begin > w->first) w->last = begin;
    return true;
}

wf_gau_keys wf_gau_keys_of(const wf_gau_plan *p, const wf_gau_segment *s)
{
    wf_gau_keys k = {.first = wf_max_i64(s->block, p->now->first),
                     .last = wf_min_i64(s->block + s->blocks, p->now->last),
                     .from = s->at + s->height};
    for (int64_t b = k.first; b < k.last; b++) {
        if (p->blocks[b].from == p->blocks[b].to) continue;
        k.from = wf_min_i64(k.from, p->blocks[b].from);
        k.to = wf_max_i64(k.to, p->blocks[b].to);
    }
    if (k.to == 0) k.to = k.from = s->at;
    return k;
}
