/* The gated attention unit's plan: segments, blocks and waves, from the spans of a batch. */
#include "ops/gau_plan.h"

#include <math.h>
#include <string.h>

enum {
    B = WF_GAU_BLOCK,
    PAD = WF_GAU_PAD,
    SMALL = 32,            /* sequences are put together while they have no more rows */
    MANY = 16,             /* brief segments are taken at once if there are so many to share, ... */
    LITTLE = 1 << 16,      /* ... or if rows times e are no more: phases would mostly wait */
    TILE_FLOATS = 1 << 20, /* of a wave, unless fewer than ... */
    FEW_BLOCKS = 4,        /* ... would fit: threads share them */
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

wf_gau_shape wf_gau_shape_of(const wf_shape *slab, const wf_shape *ids, const wf_gau_attr *a)
{
    wf_gau_shape g = {.e = a->e, .s = a->s, .items = 1};
    g.width = slab->dim[slab->rank - 1];
    g.n = slab->dim[slab->rank - 2];
    for (int i = 0; i < slab->rank - 2; i++) g.items *= slab->dim[i];
    g.rows = g.items * g.n;
    g.queries = wf_gau_is_picked(a) ? wf_elements(ids) : g.rows;
    g.panels = wf_ceil_div(g.e, B);
    g.padded = pad(g.n + (PAD - 1) * wf_min_i64(g.n, most_segments(g.n)));
    g.all_padded = g.items * g.padded;
    int64_t segments = wf_min_i64(g.queries, g.items * most_segments(g.n));
    g.queries_padded = pad(g.queries + (PAD - 1) * segments);
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
    int64_t segments = g->items * most_segments(g->n), f = (int64_t)sizeof(int32_t);
    int64_t blocks = segments + g->queries / B, parts = segments + g->rows / B;
    p->now = wf_gau_take(work, at, (int64_t)sizeof *p->now);
    p->segments = wf_gau_take(work, at, segments * (int64_t)sizeof *p->segments);
    p->brief = wf_gau_take(work, at, segments * (int64_t)sizeof *p->brief);
    p->blocks = wf_gau_take(work, at, blocks * (int64_t)sizeof *p->blocks);
    p->parts = wf_gau_take(work, at, parts * (int64_t)sizeof *p->parts);
    p->back = wf_gau_take(work, at, (g->n + 1) * f);
    p->row = wf_gau_take(work, at, g->queries * f);
    p->place = wf_gau_take(work, at, g->queries * f);
    p->begin = wf_gau_take(work, at, (g->rows + 2) * f);
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

/* ---- queries ---- */

/* Sorted by counting: begin[r + 1] is where the next query of row r goes, and so, at last, where
 * those of row r + 1 begin. */
static void sort_queries(const wf_gau_plan *p, const wf_gau_shape *g, const wf_call *c)
{
    memset(p->begin, 0, (size_t)(g->rows + 2) * sizeof *p->begin);
    for (int64_t i = 0; i < g->queries; i++) p->begin[wf_gau_query_row(c, i) + 2]++;
    for (int64_t r = 2; r <= g->rows; r++) p->begin[r + 1] += p->begin[r];
    for (int64_t i = 0; i < g->queries; i++) {
        int64_t row = wf_gau_query_row(c, i), to = p->begin[row + 1]++;
        p->row[to] = (int32_t)row;
        p->place[to] = (int32_t)i;
    }
}

static void find_queries(const wf_gau_plan *p)
{
    for (int64_t i = 0; i < p->now->segments; i++) {
        wf_gau_segment *s = &p->segments[i];
        s->query = p->begin[s->row];
        s->queries = p->begin[s->row + s->n] - s->query;
    }
}

/* ---- blocks ---- */

static void find_keys(wf_gau_block *b, const wf_gau_shape *g, const int32_t *span)
{
    const wf_gau_segment *s = b->segment;
    int64_t from = s->height, to = 0, base = s->row % g->n;
    for (int64_t i = 0; i < b->n; i++) {
        int64_t row = b->row[i];
        int64_t lo = wf_max_i64(span[2 * row], 0), hi = wf_min_i64(span[2 * row + 1], g->n);
        if (hi <= lo) continue;
        from = wf_min_i64(from, lo - base);
        to = wf_max_i64(to, hi - base);
    }
    b->from = s->at + (to ? from / PAD * PAD : 0);
    b->to = s->at + pad(to);
}

/* Behind the segment before it, or NULL. */
static void cut_segment(const wf_gau_plan *p, const wf_gau_shape *g, const int32_t *span,
                        wf_gau_segment *s, const wf_gau_segment *before)
{
    s->at = before ? before->at + before->height : 0;
    s->query_at = before ? before->query_at + pad(before->queries) : 0;
    s->height = pad(s->n);
    s->part = p->now->parts;
    s->parts = wf_ceil_div(s->n, B);
    s->block = p->now->blocks;
    s->blocks = wf_max_i64(1, wf_ceil_div(s->queries, B));
    for (int64_t i = 0; i < s->n; i += B) {
        int64_t n = wf_min_i64(B, s->n - i);
        p->parts[p->now->parts++] = (wf_gau_part){
            .segment = s, .row = s->row + i, .n = n, .at = s->at + i, .height = pad(n)};
    }
    for (int64_t i = 0; i < s->blocks; i++) {
        wf_gau_block *b = &p->blocks[p->now->blocks++];
        int64_t first = s->query + i * B;
        *b = (wf_gau_block){.segment = s, .row = p->row + first, .place = p->place + first};
        b->at = s->query_at + i * B;
        b->n = wf_min_i64(B, s->queries - i * B);
        b->height = pad(b->n);
        find_keys(b, g, span);
    }
}

/* ---- brief segments ---- */

static bool is_brief(const wf_gau_segment *s)
{
    return s->n <= B && s->queries <= B;
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
    s.n = s.rows = s.padded = s.all_padded = s.queries = s.queries_padded = B;
    return s;
}

void wf_gau_plan_brief(wf_gau_plan *p, const wf_gau_plan *all, const wf_gau_shape *g,
                       const wf_call *c, const wf_gau_segment *s)
{
    p->row = all->row;
    p->place = all->place;
    p->begin = all->begin;
    *p->now = (wf_gau_wave){.segments = 1};
    p->segments[0] = *s;
    cut_segment(p, g, c->in[3].data, p->segments, NULL);
    wf_gau_next_wave(p, g);
}

void wf_gau_plan_make(wf_gau_plan *p, const wf_gau_shape *g, const wf_call *c)
{
    const int32_t *span = c->in[3].data;
    *p->now = (wf_gau_wave){0};
    for (int64_t i = 0; i < g->items; i++) cut_item(p, g, span, i);
    sort_queries(p, g, c);
    find_queries(p);
    pick_brief(p, g);
    for (int64_t i = 0; i < p->now->segments; i++)
        cut_segment(p, g, span, &p->segments[i], i > 0 ? &p->segments[i - 1] : NULL);
}

/* ---- waves ---- */

int64_t wf_gau_tile_floats(const wf_gau_shape *g)
{
    int64_t keys = pad(g->n), queries = g->items * pad(wf_ceil_div(g->queries, g->items));
    return wf_max_i64(wf_min_i64(queries * keys, TILE_FLOATS),
                      wf_min_i64(FEW_BLOCKS * B, queries) * keys);
}

bool wf_gau_is_long(const wf_gau_segment *s)
{
    return s->height * wf_min_i64(s->n, s->queries) > TILE_FLOATS;
}

int64_t wf_gau_v_floats(const wf_gau_shape *g)
{
    return pad(g->n) * g->n > TILE_FLOATS ? g->all_padded * g->e : 0;
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
