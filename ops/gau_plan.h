/*
 * How the gated attention unit's passes cut their work, and the tiles of scores that they share.
 *
 * Rows of an item fall into segments that see nothing of each other (one or a few sequences), those
 * into ranges of 64 keys; the queries of a segment, which are all of its rows or those picked, into
 * blocks of 64. Inside, rows are padded: a segment begins at a multiple of 8 and is a multiple of 8
 * long, so that products have few shapes; the rows added are zeros. So are queries, which are kept
 * sorted by row. The scores of a block are its tile, transposed: [visible keys][queries], so that
 * softmax runs down columns. Blocks are taken in waves: as many as fit into the memory for tiles.
 * All cuts follow from shapes, spans and ids, never from the number of threads.
 */
#ifndef WF_GAU_PLAN_H
#define WF_GAU_PLAN_H

#include "ops/gau.h"

enum {
    WF_GAU_BLOCK = 64,
    WF_GAU_PAD = 8,
    WF_GAU_DEEP = 64,  /* keys that are taken together while their part of a tile is in the cache */
    WF_GAU_WIDE = 256, /* columns of a panel of a brief segment: few rows, so more fit the cache */
};

/* ---- plan (gau_plan.c) ---- */

/* Numbers are the first, and how many. */
typedef struct wf_gau_segment {
    int64_t row, n;         /* of all rows */
    int64_t at, height;     /* of padded rows */
    int64_t query, queries; /* of all queries as they are sorted */
    int64_t query_at;       /* of padded queries */
    int64_t block, blocks;  /* at least one, which may be empty */
    int64_t part, parts;    /* of its keys */
} wf_gau_segment;

/* Some keys. */
typedef struct wf_gau_part {
    const wf_gau_segment *segment;
    int64_t row, n;     /* of all rows */
    int64_t at, height; /* of padded rows */
} wf_gau_part;

/* Some queries. */
typedef struct wf_gau_block {
    const wf_gau_segment *segment;
    const int32_t *row, *place; /* of each: of all rows; of Y */
    int64_t n;
    int64_t at, height; /* of padded queries */
    int64_t from, to;   /* padded rows of the keys that some query of it sees */
    int64_t tile;       /* where its tile begins, in floats */
} wf_gau_block;

/* The state of a run: set where units are counted, read where they run. */
typedef struct wf_gau_wave {
    int64_t segments, blocks, parts; /* of all waves */
    int64_t brief;                   /* segments that are in none: they are taken at once */
    int64_t first, last;             /* blocks of this wave; last is exclusive */
    int64_t used;                    /* floats of its tiles */
    int phase;                       /* what its op does now */
} wf_gau_wave;

typedef struct wf_gau_plan {
    wf_gau_wave *now;
    wf_gau_segment *segments, *brief;
    wf_gau_block *blocks;
    wf_gau_part *parts;
    int32_t *back;        /* [n]: the least key that a row from here on sees */
    int32_t *row, *place; /* [queries], sorted by row, those of a row in their order */
    int32_t *begin;       /* [rows + 1]: the first query of each row */
} wf_gau_plan;

/* A piece of work, *at bytes from its begin (NULL while sizes are asked for). */
void *wf_gau_take(void *work, int64_t *at, int64_t bytes);
void wf_gau_plan_place(wf_gau_plan *p, const wf_gau_shape *g, void *work, int64_t *at);
void wf_gau_plan_make(wf_gau_plan *p, const wf_gau_shape *g, const wf_call *c);
/* A brief segment is one block, and all phases of it are one unit's, in a thread's own memory: a
 * plan and a wave of that segment alone, with the queries of the plan of all. The shape of what has
 * to be placed there: */
wf_gau_shape wf_gau_brief_shape(const wf_gau_shape *g);
void wf_gau_plan_brief(wf_gau_plan *p, const wf_gau_plan *all, const wf_gau_shape *g,
                       const wf_call *c, const wf_gau_segment *s);
/* Floats of the tiles of one wave, at most. */
int64_t wf_gau_tile_floats(const wf_gau_shape *g);
/* The blocks after the last wave: whole segments, or part of one that fits into no wave. */
bool wf_gau_next_wave(const wf_gau_plan *p, const wf_gau_shape *g);

/* A long segment may need several waves: its V is made once and kept in work. Floats for it. */
bool wf_gau_is_long(const wf_gau_segment *s);
int64_t wf_gau_v_floats(const wf_gau_shape *g);

/* Keys that blocks of this wave see of a segment of it. */
typedef struct wf_gau_keys {
    int64_t first, last; /* its blocks in this wave */
    int64_t from, to;
} wf_gau_keys;

wf_gau_keys wf_gau_keys_of(const wf_gau_plan *p, const wf_gau_segment *s);

/* The padded query that a query of a segment is. */
static inline int64_t wf_gau_query_at(const wf_gau_segment *s, int64_t query)
{
    return s->query_at + query - s->query;
}

/* Segments of this wave: how many, and the i-th. */
static inline int64_t wf_gau_wave_segments(const wf_gau_plan *p)
{
    return p->blocks[p->now->last - 1].segment - p->blocks[p->now->first].segment + 1;
}

static inline const wf_gau_segment *wf_gau_wave_segment(const wf_gau_plan *p, int64_t i)
{
    return p->blocks[p->now->first].segment + i;
}

#endif
