/*
 * The fused elementwise program as an op: see pointwise.h. A unit is a tile: some whole rows, or a
 * part of one row, of the output after axes that all tensors step through evenly were merged.
 */
#include "ops/matmul.h"

#include "ops/narrow.h"

#include <string.h>

enum { PART = 4 * WF_PW_TILE, LONG_ROW = 128 }; /* elements of a unit; see takes_rows */

/* The output as [outer axes..., cols] with the fewest axes, and every input's strides in it. */
typedef struct geometry {
    int rank; /* outer axes */
    int64_t dim[WF_MAX_RANK], cols, rows;
    int64_t step[WF_PW_IN][WF_MAX_RANK], inner[WF_PW_IN];
    const wf_call *call;
    const wf_jit *code; /* or NULL: the instructions one after the other */
} geometry;

/* Does the code read one number for all of a row? */
static bool is_number(const geometry *g, int i)
{
    return g->code && g->code->numbers >> i & 1;
}

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

/* run_tile by the code, which reads all before it stores anything. */
static void run_code(const wf_jit *code, const wf_pw *p, int64_t n, const float *value[],
                     float *temp, float *out, unsigned at_once)
{
    float *to[WF_PW_STORES];
    for (int j = 0; j < code->n_out; j++) {
        int i = p->n_stores ? p->store[j].value - p->n_in : p->n_instr - 1;
        to[j] = at_once >> j & 1 ? (float *)value[p->store[j].input] : out;
        if (!to[j]) to[j] = temp + (int64_t)p->instr[i].slot * WF_PW_TILE;
        value[p->n_in + i] = to[j];
    }
    wf_jit_run(code, n, to, value);
}

/* All instructions on n elements; value[] holds the inputs and receives the results. The last
 * result goes to out (if any), and those that may go to stored inputs at once do so for the stores
 * in at_once, a set of bits. Either may be what the instruction reads. */
static void run_tile(const geometry *g, const wf_pw *p, int64_t n, const float *value[],
                     float *temp, float *out, unsigned at_once)
{
    bool reference = g->call->reference;
    for (int i = 0; i < p->n_instr && !g->code; i++) {
        const wf_pw_instr *k = &p->instr[i];
        const float *x[4];
        for (int j = 0; j < k->n_in; j++) x[j] = value[k->in[j]];
        float *y = i == p->n_instr - 1 && out ? out : temp + (int64_t)k->slot * WF_PW_TILE;
        if (k->store && at_once >> (k->store - 1) & 1)
            y = (float *)value[p->store[k->store - 1].input];
        if (reference && k->op->scalar)
            run_scalar(k, n, y, x);
        else
            k->op->lane(k->attr, n, y, x);
        value[p->n_in + i] = y;
    }
    if (g->code) run_code(g->code, p, n, value, temp, out, at_once);
}

/* n elements of an input from this one on, so far apart: float32 side by side where it lies, all
 * else in room. */
static const float *load(const wf_tensor *t, int64_t from, int64_t stride, int64_t n, float *room,
                         bool reference)
{
    bool is_row = stride == 1 || n == 1, is_narrow = wf_is_narrow(t->dtype);
    const float *x = is_narrow ? NULL : (const float *)t->data + from;
    if (is_row && !is_narrow) return x;
    if (is_row)
        wf_widen(t->dtype, n, room, (const uint16_t *)t->data + from, reference);
    else if (stride == 0)
        fill(n, room, wf_read_number(t->dtype, t->data, from), reference);
    else if (is_narrow)
        for (int64_t i = 0; i < n; i++)
            room[i] = wf_read_number(t->dtype, t->data, from + i * stride);
    else
        for (int64_t i = 0; i < n; i++) room[i] = x[i * stride];
    return room;
}

/* The stores whose inputs are read where they are, so that results may go there at once. */
static unsigned in_place(const wf_pw *p, const wf_tensor in[], int64_t at,
                         const float *const value[])
{
    unsigned all = 0;
    for (int s = 0; s < p->n_stores; s++) {
        const wf_tensor *t = &in[p->store[s].input];
        if (!wf_is_narrow(t->dtype) && value[p->store[s].input] == (const float *)t->data + at)
            all |= 1u << s;
    }
    return all;
}

/* What store s writes: n elements at this place of the tensor. */
static void store(const wf_pw *p, int s, const wf_call *c, const wf_tensor *t, int64_t at,
                  int64_t n, const float *from)
{
    if (wf_is_narrow(t->dtype)) {
        uint32_t salt = p->store[s].salt;
        wf_draws d = wf_draws_of(c->seed, salt, c->step);
        wf_narrow(t->dtype, n, (uint16_t *)t->data + at, from, salt ? &d : NULL, at, c->reference);
    } else if (from != (float *)t->data + at) {
        memcpy((float *)t->data + at, from, (size_t)n * sizeof *from);
    }
}

/* Inputs that are one number everywhere fill their room once. */
static void fill_scalars(const geometry *g, int n_in, const wf_tensor in[], int64_t n, float *room,
                         bool is_filled[])
{
    for (int i = 0; i < n_in; i++) {
        is_filled[i] = in[i].data && g->inner[i] == 0 && !is_number(g, i);
        for (int a = 0; a < g->rank; a++) is_filled[i] = is_filled[i] && g->step[i][a] == 0;
        if (is_filled[i])
            fill(n, room + i * (int64_t)WF_PW_TILE, wf_read_number(in[i].dtype, in[i].data, 0),
                 g->call->reference);
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
        int64_t from = offset(g, i, row) + col * g->inner[i];
        float *own = room + i * (int64_t)WF_PW_TILE;
        int64_t count = is_number(g, i) ? 1 : n;
        value[i] = own;
        if (!is_filled[i]) value[i] = load(&c->in[i], from, g->inner[i], count, own, c->reference);
    }
    int64_t at = row * g->cols + col;
    float *out = c->out->data && p->n_stores == 0 ? (float *)c->out->data + at : NULL;
    run_tile(g, p, n, value, temp, out, in_place(p, c->in, at, value));
    for (int s = 0; s < p->n_stores; s++)
        store(p, s, c, &c->in[p->store[s].input], at, n, value[p->store[s].value]);
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
    g.call = c;
    g.code = wf_pw_code(c->attr, c->reference);
    int64_t most = g.code ? PART : WF_PW_TILE; /* elements at a time */
    for (int i = 0; i < c->n_in; i++)
        if (!is_number(&g, i) && (g.inner[i] != 1 || c->in[i].dtype != WF_F32))
            most = WF_PW_TILE; /* the room of what is no row of float32 */
    fill_scalars(&g, c->n_in, c->in, wf_min_i64(WF_PW_TILE, g.cols), c->scratch, is_filled);
    for (int64_t u = lo; u < hi; u++) {
        int64_t from = u % parts * PART, to = wf_min_i64(from + PART, g.cols);
        int64_t row = u / parts * step, end = wf_min_i64(row + step, g.rows);
        for (; row < end; row++)
            for (int64_t col = from; col < to; col += most)
                run_part(c, &g, is_filled, row, col, wf_min_i64(most, to - col));
    }
}

/* ---- blocks of another kernel ---- */

typedef struct block_run {
    const wf_pw *p;
    const wf_tensor *in;
    const wf_pw_block *b;
    geometry g;
    const float *at[WF_PW_IN]; /* the block's first element of what a program reads in place, ... */
    int64_t ld[WF_PW_IN];      /* ... rows so far apart; NULL: see load */
    bool is_filled[WF_PW_IN];
    float *room, *temp;
} block_run;

static void find_place(block_run *k, int i)
{
    const wf_tensor *t = &k->in[i];
    const geometry *g = &k->g;
    bool is_plain = t->dtype == WF_F32 && (g->inner[i] == 1 || is_number(g, i));
    for (int a = 0; a < g->rank; a++) is_plain = is_plain && (g->rank == 1 || g->step[i][a] == 0);
    k->ld[i] = g->rank == 1 ? g->step[i][0] : 0;
    int64_t at = k->b->row * k->ld[i] + k->b->col * g->inner[i];
    k->at[i] = is_plain ? (const float *)t->data + at : NULL;
}

/* Rows first..first+rows-1 of the block, side by side: in place where they lie so already. */
static const float *gather(const block_run *k, int i, int64_t first, int64_t rows, float *room)
{
    const float *lies = k->at[i] ? k->at[i] + first * k->ld[i] : NULL;
    int64_t n = k->b->cols;
    if (is_number(&k->g, i)) n = rows = 1;
    if (lies && (rows == 1 || k->ld[i] == n)) return lies;
    for (int64_t r = 0; r < rows; r++, room += n) {
        int64_t from = lies ? 0 : offset(&k->g, i, k->b->row + first + r);
        const float *x = lies ? lies + r * k->ld[i]
                              : load(&k->in[i], from + k->b->col * k->g.inner[i], k->g.inner[i], n,
                                     room, k->g.call->reference);
        if (rows == 1) return x;
        if (x != room) memcpy(room, x, (size_t)n * sizeof *room);
    }
    return room - rows * n;
}

static void run_rows(const block_run *k, int64_t first, int64_t rows)
{
    const wf_pw *p = k->p;
    const wf_pw_block *b = k->b;
    const wf_call *c = k->g.call;
    const float *value[WF_PW_IN + WF_PW_INSTR];
    for (int i = 0; i < p->n_in; i++) {
        float *own = k->room + i * (int64_t)WF_PW_TILE;
        value[i] = k->is_filled[i] ? own : gather(k, i, first, rows, own);
    }
    float *out = b->out + first * b->ld;
    int64_t at = (b->row + first) * k->g.cols + b->col, n = b->cols;
    bool is_row = rows == 1 || k->g.cols == n;
    float *here = p->n_stores == 0 && (b->ld == n || rows == 1) ? out : NULL;
    run_tile(&k->g, p, rows * n, value, k->temp, here, is_row ? in_place(p, k->in, at, value) : 0);
    const float *y = value[p->n_in + p->n_instr - 1];
    for (int64_t r = 0; p->n_stores == 0 && !here && r < rows; r++)
        memcpy(out + r * b->ld, y + r * n, (size_t)n * sizeof *out);
    if (is_row) n *= rows, rows = 1;
    for (int s = 0; s < p->n_stores; s++)
        for (int64_t r = 0; r < rows; r++)
            store(p, s, c, &k->in[p->store[s].input], at + r * k->g.cols, n,
                  value[p->store[s].value] + r * n);
}

/* Are several rows one run? From some length on the code is faster on a single one, where it lies,
 * than on a copy; and its numbers must be the same in all of them. */
static bool takes_rows(const block_run *k)
{
    bool takes = !k->g.code || k->b->cols < LONG_ROW;
    for (int i = 0; i < k->p->n_in; i++)
        for (int a = 0; is_number(&k->g, i) && a < k->g.rank; a++)
            takes = takes && k->g.step[i][a] == 0;
    return takes;
}

void wf_pw_run_block(const wf_pw *p, const wf_tensor in[], const wf_call *c, const wf_pw_block *b,
                     float *scratch)
{
    const wf_shape *shape = &c->out->shape;
    block_run k; /* large: only what is read is set */
    k.p = p, k.in = in, k.b = b;
    k.room = scratch;
    k.temp = scratch + (int64_t)p->n_in * WF_PW_TILE;
    k.g.call = c;
    k.g.code = wf_pw_code(p, c->reference);
    k.g.cols = wf_last(shape);
    k.g.rank = 0;
    for (int a = 0; a + 1 < shape->rank; a++) k.g.dim[k.g.rank++] = shape->dim[a];
    for (int i = 0; i < p->n_in; i++) {
        for (int a = 0; a < shape->rank && in[i].data; a++)
            *(a < k.g.rank ? &k.g.step[i][a] : &k.g.inner[i]) =
                stride_along(&in[i], shape->rank, a);
        k.at[i] = b->out;
        k.ld[i] = b->ld;
        if (in[i].data) find_place(&k, i);
    }
    int64_t rows = takes_rows(&k) ? wf_max_i64(1, WF_PW_TILE / b->cols) : 1;
    int64_t all = wf_min_i64(rows, b->rows) * b->cols;
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
    if (p->n_stores) c.bytes += wf_store_bytes(y) - 4.0 * (double)wf_elements(&y->shape);
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
    return wf_pw_print(attr, text, size);
}

#define POINTWISE                                                                                  \
    .arity = -1, .attr_size = sizeof(wf_pw), .infer = pointwise_infer, .cost = pointwise_cost,     \
    .prepare = wf_pw_prepare, .scratch = pointwise_scratch, .units = pointwise_units,              \
    .run = pointwise_run, .print = pointwise_print

const wf_op wf_op_pointwise = {
    .name = "pointwise",
    .doc = "a fused elementwise program",
    .traits = WF_INPLACE | WF_STRIDED | WF_NARROW,
    POINTWISE,
};

const wf_op wf_op_pointwise_store = {
    .name = "pointwise_store",
    .doc = "a fused elementwise program that writes into stored tensors",
    .traits = WF_EFFECT | WF_STRIDED | WF_NARROW,
    POINTWISE,
};
