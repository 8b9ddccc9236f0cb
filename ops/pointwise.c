/*
 * The fused elementwise program as an op: see pointwise.h. A unit is a tile: some whole rows, or a
 * part of one row, of the output after axes that all tensors step through evenly were merged.
 */
#include "ops/matmul.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PART = 4 * WF_PW_TILE }; /* elements of a unit */

/* The output as [outer axes..., cols] with the fewest axes, and every input's strides in it. */
typedef struct geometry {
    int rank; /* outer axes */
    int64_t dim[WF_MAX_RANK], cols, rows;
    int64_t step[WF_PW_IN][WF_MAX_RANK], inner[WF_PW_IN];
    bool reference; /* without the vector layer */
} geometry;

static void fill(int64_t n, float *y, float value, bool reference)
{
    for (int64_t i = 0; reference && i < n; i++) y[i] = value;
    if (!reference) wf_vec_get()->fill(n, y, value);
}

/* Stride of input t along axis a of an output of that rank; 0 where it is broadcast. */
static int64_t stride_along(const wf_tensor *t, int rank, int a)
{
    int own = a - (rank - t->shape.rank);
    return own < 0 || t->shape.dim[own] == 1 ? 0 : t->stride[own];
}

static bool merges(const geometry *g, int n_in, const int64_t stride[], int64_t dim)
{
    for (int i = 0; i < n_in; i++)
        if (g->step[i][g->rank - 1] != stride[i] * dim) return false;
    return true;
}

static void find_geometry(geometry *g, const wf_shape *s, int n_in, const wf_tensor in[])
{
    g->rank = 0;
    for (int a = 0; a < s->rank; a++) {
        int64_t stride[WF_PW_IN];
        if (s->dim[a] == 1) continue;
        for (int i = 0; i < n_in; i++) stride[i] = stride_along(&in[i], s->rank, a);
        if (g->rank > 0 && merges(g, n_in, stride, s->dim[a]))
            g->dim[g->rank - 1] *= s->dim[a];
        else
            g->dim[g->rank++] = s->dim[a];
        for (int i = 0; i < n_in; i++) g->step[i][g->rank - 1] = stride[i];
    }
    if (g->rank == 0) {
        g->dim[g->rank++] = wf_elements(s); /* a single value, or none */
        for (int i = 0; i < n_in; i++) g->step[i][0] = 0;
    }
    g->cols = g->dim[--g->rank];
    g->rows = 1;
    for (int a = 0; a < g->rank; a++) g->rows *= g->dim[a];
    for (int i = 0; i < n_in; i++) g->inner[i] = g->step[i][g->rank];
}

static int64_t offset(const geometry *g, int i, int64_t row)
{
    int64_t at = 0;
    for (int a = g->rank - 1; a >= 0; a--) {
        at += row % g->dim[a] * g->step[i][a];
        row /= g->dim[a];
    }
    return at;
}

int64_t wf_pw_scratch(const wf_pw *p)
{
    return (int64_t)(p->n_in + p->n_slots) * WF_PW_TILE;
}

static void run_scalar(const wf_pw_instr *k, int64_t n, float *y, const float *const x[])
{
    for (int64_t i = 0; i < n; i++) {
        double v[4] = {0};
        for (int j = 0; j < k->n_in; j++) v[j] = (double)x[j][i];
        y[i] = (float)k->op->scalar(k->attr, v);
    }
}

/* All instructions on n elements; value[] holds the inputs and receives the results. The last
 * result goes to out (if any), and with at_once those that may go to stored inputs at once do
 * so. Either may be what the instruction reads. */
static void run_tile(const wf_pw *p, int64_t n, const float *value[], float *temp, float *out,
                     bool at_once, bool reference)
{
    for (int i = 0; i < p->n_instr; i++) {
        const wf_pw_instr *k = &p->instr[i];
        const float *x[4];
        for (int j = 0; j < k->n_in; j++) x[j] = value[k->in[j]];
        float *y = i == p->n_instr - 1 && out ? out : temp + (int64_t)k->slot * WF_PW_TILE;
        if (at_once && k->store) y = (float *)value[p->store[k->store - 1].input];
        if (reference && k->op->scalar)
            run_scalar(k, n, y, x);
        else
            k->op->lane(k->attr, n, y, x);
        value[p->n_in + i] = y;
    }
}

/* n elements of an input with this stride: in place if they lie side by side, else gathered. */
static const float *load(const float *x, int64_t stride, int64_t n, float *room, bool reference)
{
    if (stride == 1 || n == 1) return x;
    if (stride == 0)
        fill(n, room, *x, reference);
    else
        for (int64_t i = 0; i < n; i++) room[i] = x[i * stride];
    return room;
}

/* Are the stored inputs read where they are, so that results may go there at once? */
static bool is_in_place(const wf_pw *p, const wf_tensor in[], int64_t at,
                        const float *const value[])
{
    for (int s = 0; s < p->n_stores; s++)
        if (value[p->store[s].input] != (const float *)in[p->store[s].input].data + at)
            return false;
    return true;
}

static void store_all(const wf_pw *p, const wf_tensor in[], int64_t at, int64_t n,
                      const float *const value[])
{
    for (int s = 0; s < p->n_stores; s++) {
        float *to = (float *)in[p->store[s].input].data + at;
        const float *from = value[p->store[s].value];
        if (from != to) memcpy(to, from, (size_t)n * sizeof *to);
    }
}

/* Inputs that are one number everywhere fill their room once. */
static void fill_scalars(const geometry *g, int n_in, const wf_tensor in[], int64_t n, float *room,
                         bool is_filled[])
{
    for (int i = 0; i < n_in; i++) {
        is_filled[i] = in[i].data && g->inner[i] == 0;
        for (int a = 0; a < g->rank; a++) is_filled[i] = is_filled[i] && g->step[i][a] == 0;
        if (is_filled[i])
            fill(n, room + i * (int64_t)WF_PW_TILE, *(float *)in[i].data, g->reference);
    }
}

/* Elements at..at+n-1 of one row. */
static void run_part(const wf_call *c, const geometry *g, const bool is_filled[], int64_t row,
                     int64_t col, int64_t n)
{
    const wf_pw *p = c->attr;
    const float *value[WF_PW_IN + WF_PW_INSTR];
    float *room = c->scratch, *temp = room + (int64_t)p->n_in * WF_PW_TILE;
    for (int i = 0; i < p->n_in; i++) {
        const float *x = (const float *)c->in[i].data + offset(g, i, row) + col * g->inner[i];
        float *own = room + i * (int64_t)WF_PW_TILE;
        value[i] = is_filled[i] ? own : load(x, g->inner[i], n, own, g->reference);
    }
    int64_t at = row * g->cols + col;
    float *out = c->out->data && p->n_stores == 0 ? (float *)c->out->data + at : NULL;
    bool at_once = is_in_place(p, c->in, at, value);
    run_tile(p, n, value, temp, out, at_once, g->reference);
    store_all(p, c->in, at, n, value);
}

/* Rows that one unit covers (cols fit into a tile), or 1 and a part of a row. */
static int64_t rows_per_unit(const geometry *g)
{
    return g->cols >= WF_PW_TILE ? 1 : wf_max_i64(1, PART / wf_max_i64(g->cols, 1));
}

static int64_t pointwise_units(const wf_call *c, int phase)
{
    if (phase > 0) return -1;
    geometry g;
    find_geometry(&g, &c->out->shape, c->n_in, c->in);
    return wf_ceil_div(g.rows, rows_per_unit(&g)) * wf_ceil_div(g.cols, PART);
}

static void pointwise_run(const wf_call *c, int64_t lo, int64_t hi)
{
    geometry g;
    find_geometry(&g, &c->out->shape, c->n_in, c->in);
    int64_t parts = wf_ceil_div(g.cols, PART), step = rows_per_unit(&g);
    bool is_filled[WF_PW_IN];
    g.reference = c->reference;
    fill_scalars(&g, c->n_in, c->in, wf_min_i64(WF_PW_TILE, g.cols), c->scratch, is_filled);
    for (int64_t u = lo; u < hi; u++) {
        int64_t from = u % parts * PART, to = wf_min_i64(from + PART, g.cols);
        int64_t row = u / parts * step, end = wf_min_i64(row + step, g.rows);
        for (; row < end; row++)
            for (int64_t col = from; col < to; col += WF_PW_TILE)
                run_part(c, &g, is_filled, row, col, wf_min_i64(WF_PW_TILE, to - col));
    }
}

/* ---- blocks of another kernel ---- */

typedef struct block_run {
    const wf_pw *p;
    const wf_tensor *in;
    const wf_pw_block *b;
    geometry g;
    bool is_filled[WF_PW_IN];
    float *room, *temp;
} block_run;

/* Rows first..first+rows-1 of the block, side by side: in place where they lie so already. */
static const float *gather(const block_run *k, int i, int64_t first, int64_t rows, float *room)
{
    const wf_pw_block *b = k->b;
    int64_t n = b->cols, ld = b->ld, step = 1;
    const float *x = b->out + first * ld;
    if (k->in[i].data) {
        int outer = k->g.rank - 1;
        x = (const float *)k->in[i].data + offset(&k->g, i, b->row + first) +
            b->col * k->g.inner[i];
        step = k->g.inner[i];
        ld = outer == 0 ? k->g.step[i][0] : -1; /* more axes: each row is looked up */
    }
    if (step == 1 && (ld == n || rows == 1)) return x;
    for (int64_t r = 0; r < rows; r++) {
        if (ld < 0)
            x = (const float *)k->in[i].data + offset(&k->g, i, b->row + first + r) + b->col * step;
        const float *from = load(ld < 0 ? x : x + r * ld, step, n, room + r * n, k->g.reference);
        if (from != room + r * n) memcpy(room + r * n, from, (size_t)n * sizeof *room);
    }
    return room;
}

static void scatter(float *to, int64_t ld, const float *from, int64_t rows, int64_t n)
{
    if (to == from) return;
    if (ld == n) rows *= n, n = rows, rows = 1;
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * ld, from + r * n, (size_t)n * sizeof *to);
}

static void run_rows(const block_run *k, int64_t first, int64_t rows)
{
    const wf_pw *p = k->p;
    const wf_pw_block *b = k->b;
    const float *value[WF_PW_IN + WF_PW_INSTR];
    for (int i = 0; i < p->n_in; i++) {
        float *own = k->room + i * (int64_t)WF_PW_TILE;
        value[i] = k->is_filled[i] ? own : gather(k, i, first, rows, own);
    }
    float *out = b->out + first * b->ld;
    bool in_place = p->n_stores == 0 && (b->ld == b->cols || rows == 1);
    int64_t at = (b->row + first) * k->g.cols + b->col;
    bool at_once = (k->g.cols == b->cols || rows == 1) && is_in_place(p, k->in, at, value);
    run_tile(p, rows * b->cols, value, k->temp, in_place ? out : NULL, at_once, k->g.reference);
    if (p->n_stores == 0) scatter(out, b->ld, value[p->n_in + p->n_instr - 1], rows, b->cols);
    for (int s = 0; s < p->n_stores; s++) {
        float *to = (float *)k->in[p->store[s].input].data + at;
        scatter(to, k->g.cols, value[p->store[s].value], rows, b->cols);
    }
}

void wf_pw_run_block(const wf_pw *p, const wf_tensor in[], const wf_shape *shape, bool reference,
                     const wf_pw_block *b, float *scratch)
{
    block_run k; /* large: only what is read is set */
    k.p = p, k.in = in, k.b = b;
    k.room = scratch;
    k.temp = scratch + (int64_t)p->n_in * WF_PW_TILE;
    k.g.reference = reference;
    k.g.cols = wf_last(shape);
    k.g.rank = 0;
    for (int a = 0; a + 1 < shape->rank; a++) k.g.dim[k.g.rank++] = shape->dim[a];
    for (int i = 0; i < p->n_in; i++)
        for (int a = 0; a < shape->rank && in[i].data; a++)
            *(a < k.g.rank ? &k.g.step[i][a] : &k.g.inner[i]) =
                stride_along(&in[i], shape->rank, a);
    int64_t rows = wf_max_i64(1, WF_PW_TILE / b->cols), all = wf_min_i64(rows, b->rows) * b->cols;
    fill_scalars(&k.g, p->n_in, in, all, scratch, k.is_filled);
    for (int64_t r = 0; r < b->rows; r += rows) run_rows(&k, r, wf_min_i64(rows, b->rows - r));
}

static bool pointwise_infer(wf_node *y)
{
    wf_pw_settle((wf_pw *)y->attr); /* the node's own copy */
    return wf_infer_broadcast(y);
}

static wf_cost pointwise_cost(const wf_node *y)
{
    const wf_pw *p = y->attr;
    wf_cost c = wf_cost_elementwise(y, 0);
    if (p->n_stores) c.bytes += 4.0 * (p->n_stores - 1) * (double)wf_elements(&y->shape);
    for (int i = 0; i < p->n_instr; i++) {
        const wf_op *op = p->instr[i].op;
        double each = 1;
        if (op->cost) each = op->cost(y).flops / (double)wf_max_i64(1, wf_elements(&y->shape));
        c.flops += each * (double)wf_elements(&y->shape);
    }
    return c;
}

static size_t pointwise_scratch(const wf_node *y)
{
    return (size_t)wf_pw_scratch(y->attr) * sizeof(float);
}

static int pointwise_print(const void *attr, char *text, size_t size)
{
    const wf_pw *p = attr;
    size_t n = 0;
    for (int i = 0; i < p->n_instr && n < size; i++) {
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? "; " : "", p->instr[i].op->name);
        for (int j = 0; j < p->instr[i].n_in && n < size; j++)
            n += (size_t)snprintf(text + n, size - n, " %d", p->instr[i].in[j]);
    }
    for (int s = 0; s < p->n_stores && n < size; s++)
        n += (size_t)snprintf(text + n, size - n, "; %d -> %d", p->store[s].value,
                              p->store[s].input);
    return (int)n;
}

#define POINTWISE                                                                                  \
    .arity = -1, .attr_size = sizeof(wf_pw), .infer = pointwise_infer, .cost = pointwise_cost,     \
    .scratch = pointwise_scratch, .units = pointwise_units, .run = pointwise_run,                  \
    .print = pointwise_print

const wf_op wf_op_pointwise = {
    .name = "pointwise",
    .doc = "a fused elementwise program",
    .traits = WF_INPLACE | WF_STRIDED,
    POINTWISE,
};

const wf_op wf_op_pointwise_store = {
    .name = "pointwise_store",
    .doc = "a fused elementwise program that writes into stored tensors",
    .traits = WF_EFFECT | WF_STRIDED,
    POINTWISE,
};
