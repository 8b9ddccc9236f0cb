/*
 * Rows of a table at ids; its gradient, rows added into a table; one-hot rows.
 *
 * scatter_rows is a sparse-row gradient: only rows that some id names are summed, in the order of
 * the ids, whatever the number of threads. Phase 0 sorts the ids by counting (one unit), phase 1
 * takes the table in blocks of 64 rows. With a third input the sum starts from that table, in place
 * where memory allows it; scatter_store adds to the stored table itself, if that has 16 bits to
 * widened rows that are then rounded by chance.
 */
#include "ops/narrow.h"

#include <string.h>

enum { ROWS = 64 };

/* Elements of one row of a table [v, ...]. */
static int64_t row_size(const wf_shape *table)
{
    return wf_product(table, 1, table->rank);
}

static bool are_ids(wf_node *y, const wf_node *ids)
{
    return ids->dtype == WF_I32 || wf_fail(y, "ids must be int32");
}

/* ---- gather: table, ids ---- */

static bool gather_infer(wf_node *y)
{
    const wf_shape *t = &y->in[0]->shape, *ids = &y->in[1]->shape;
    if (!are_ids(y, y->in[1])) return false;
    if (t->rank < 1 || !wf_is_real(y->in[0]->dtype))
        return wf_fail(y, "the table must be float32 with at least one axis");
    if (ids->rank + t->rank - 1 > WF_MAX_RANK) return wf_fail(y, "too many axes");
    y->dtype = WF_F32;
    y->shape = *ids;
    for (int i = 1; i < t->rank; i++) y->shape.dim[y->shape.rank++] = t->dim[i];
    return true;
}

static wf_cost gather_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->shape);
    return (wf_cost){.bytes = 8 * n, .units = wf_elements(&y->in[1]->shape)};
}

static void gather_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const int32_t *ids = c->in[1].data;
    const wf_tensor *table = &c->in[0];
    int64_t v = table->shape.dim[0], n = row_size(&table->shape);
    for (int64_t i = lo; i < hi; i++) {
        float *y = (float *)c->out->data + i * n;
        bool is_known = ids[i] >= 0 && ids[i] < v;
        if (is_known && wf_is_narrow(table->dtype))
            wf_widen(table->dtype, n, y, (const uint16_t *)table->data + ids[i] * n, c->reference);
        else if (is_known)
            memcpy(y, (const float *)table->data + ids[i] * n, (size_t)n * sizeof *y);
        else
            memset(y, 0, (size_t)n * sizeof *y);
    }
}

static void gather_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_node *table = y->in[0], *ids = y->in[1];
    wf_rows_attr a = {.rows = wf_dim(table, 0)};
    wf_node *d = wf_apply2(&wf_op_scatter_rows, &a, ids, dy);
    dx[0] = wf_reshape(d, table->shape);
}

wf_node *wf_gather(wf_node *table, wf_node *ids)
{
    return wf_apply2(&wf_op_gather, NULL, table, ids);
}

const wf_op wf_op_gather = {
    .name = "gather",
    .doc = "rows of a table at ids; zeros for an id outside",
    .arity = 2,
    .traits = WF_NARROW,
    .infer = gather_infer,
    .grad = gather_grad,
    .cost = gather_cost,
    .run = gather_run,
};

/* ---- scatter_rows: ids, rows [, table] ---- */

static bool scatter_infer(wf_node *y)
{
    const wf_rows_attr *a = y->attr;
    const wf_shape *ids = &y->in[0]->shape, *dy = &y->in[1]->shape;
    if (!are_ids(y, y->in[0])) return false;
    if (y->n_in < 2 || y->n_in > 3) return wf_fail(y, "takes 2 or 3 inputs, got %d", y->n_in);
    y->dtype = WF_F32;
    y->shape = (wf_shape){.rank = 1, .dim = {wf_size_now(y->graph, a->rows)}};
    for (int i = 0; i < ids->rank; i++)
        if (i >= dy->rank || ids->dim[i] != dy->dim[i])
            return wf_fail(y, "there must be one row for each id");
    for (int i = ids->rank; i < dy->rank; i++) y->shape.dim[y->shape.rank++] = dy->dim[i];
    if (y->n_in == 3 && !wf_shape_equal(&y->in[2]->shape, &y->shape))
        return wf_fail(y, "the table has another shape");
    return true;
}

/* Work: where each row's ids begin [rows + 1], then the positions of ids sorted by row. */
static size_t scatter_work(const wf_node *y)
{
    int64_t n = y->shape.dim[0] + 2 + wf_elements(&y->in[0]->shape);
    return (size_t)n * sizeof(int64_t);
}

static wf_cost scatter_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->shape), moved = (double)wf_elements(&y->in[1]->shape);
    return (wf_cost){.flops = moved,
                     .bytes = 4 * ((y->n_in == 3 ? 0 : n) + 3 * moved),
                     .units = wf_ceil_div(y->shape.dim[0], ROWS)};
}

static void sort_ids(const wf_call *c)
{
    const int32_t *ids = c->in[0].data;
    int64_t rows = c->out->shape.dim[0], n = wf_elements(&c->in[0].shape);
    int64_t *begin = c->work, *position = begin + rows + 2;
    memset(begin, 0, (size_t)(rows + 2) * sizeof *begin);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < rows) begin[ids[i] + 2]++;
    for (int64_t r = 0; r < rows; r++) begin[r + 2] += begin[r + 1];
    for (int64_t i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < rows) position[begin[ids[i] + 1]++] = i;
}

/* Add all that goes to row r, of n elements, to y. */
static void add_to_row(const wf_call *c, int64_t r, int64_t n, float *y)
{
    const int64_t *begin = c->work, *position = begin + c->out->shape.dim[0] + 2;
    for (int64_t k = begin[r]; k < begin[r + 1]; k++) {
        const float *x = (const float *)c->in[1].data + position[k] * n;
        for (int64_t i = 0; c->reference && i < n; i++) y[i] += x[i];
        if (!c->reference) wf_vec_get()->add(n, y, y, x);
    }
}

static void scatter_run(const wf_call *c, int64_t lo, int64_t hi)
{
    if (c->phase == 0) {
        sort_ids(c);
        return;
    }
    int64_t rows = c->out->shape.dim[0], n = row_size(&c->out->shape);
    const float *base = c->n_in == 3 ? c->in[2].data : NULL;
    int64_t end = wf_min_i64(hi * ROWS, rows);
    float *out = (float *)c->out->data + lo * ROWS * n;
    size_t bytes = (size_t)((end - lo * ROWS) * n) * sizeof *out;
    if (!base)
        memset(out, 0, bytes);
    else if (base != c->out->data)
        memcpy(out, base + lo * ROWS * n, bytes);
    for (int64_t r = lo * ROWS; r < end; r++) add_to_row(c, r, n, (float *)c->out->data + r * n);
}

static int64_t scatter_units(const wf_call *c, int phase)
{
    return phase == 0 ? 1 : phase == 1 ? wf_ceil_div(c->out->shape.dim[0], ROWS) : -1;
}

static void scatter_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[1] = wf_gather(dy, y->in[0]);
    if (y->n_in == 3) dx[2] = dy;
}

#define SCATTER                                                                                    \
    .attr_size = sizeof(wf_rows_attr), .infer = scatter_infer, .cost = scatter_cost,               \
    .work = scatter_work, .units = scatter_units

const wf_op wf_op_scatter_rows = {
    .name = "scatter_rows",
    .doc = "rows added into a table (zeros, or input 2) at ids",
    .arity = -1,
    .traits = WF_INPLACE,
    .inplace_from = 2, /* rows are read after the table is set */
    .grad = scatter_grad,
    .run = scatter_run,
    SCATTER,
};

static size_t scatter_store_scratch(const wf_node *y)
{
    return wf_is_narrow(y->in[2]->dtype) ? (size_t)row_size(&y->shape) * sizeof(float) : 0;
}

/* Rows that nobody names keep their bits. */
static void add_narrow(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_tensor *table = &c->in[2];
    const int64_t *begin = c->work;
    uint32_t salt = (uint32_t)((const wf_rows_attr *)c->attr)->salt;
    wf_draws d = wf_draws_of(c->seed, salt, c->step);
    int64_t n = row_size(&table->shape), end = wf_min_i64(hi * ROWS, table->shape.dim[0]);
    for (int64_t r = lo * ROWS; r < end; r++) {
        uint16_t *row = (uint16_t *)table->data + r * n;
        if (begin[r] == begin[r + 1]) continue;
        wf_widen(table->dtype, n, c->scratch, row, c->reference);
        add_to_row(c, r, n, c->scratch);
        wf_narrow(table->dtype, n, row, c->scratch, &d, r * n, c->reference);
    }
}

static void scatter_store_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_call into = *c;
    into.out = &c->in[2];
    if (c->phase > 0 && wf_is_narrow(into.out->dtype))
        add_narrow(c, lo, hi);
    else
        scatter_run(&into, lo, hi);
}

const wf_op wf_op_scatter_store = {
    .name = "scatter_store",
    .doc = "rows added into a stored table, input 2, at ids",
    .arity = 3,
    .traits = WF_EFFECT | WF_NARROW,
    .scratch = scatter_store_scratch,
    .run = scatter_store_run,
    SCATTER,
};

/* ---- one_hot: a unit is a row ---- */

static bool one_hot_infer(wf_node *y)
{
    const wf_rows_attr *a = y->attr;
    if (!are_ids(y, y->in[0])) return false;
    if (y->in[0]->shape.rank == WF_MAX_RANK) return wf_fail(y, "too many axes");
    y->dtype = WF_F32;
    y->shape = y->in[0]->shape;
    y->shape.dim[y->shape.rank++] = wf_size_now(y->graph, a->rows);
    return true;
}

static void one_hot_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const int32_t *ids = c->in[0].data;
    int64_t n = wf_last(&c->out->shape);
    for (int64_t i = lo; i < hi; i++) {
        float *y = (float *)c->out->data + i * n;
        memset(y, 0, (size_t)n * sizeof *y);
        if (ids[i] >= 0 && ids[i] < n) y[ids[i]] = 1;
    }
}

static wf_cost one_hot_cost(const wf_node *y)
{
    return wf_cost_rows(y, 0);
}

wf_node *wf_one_hot(wf_node *ids, int64_t classes)
{
    return wf_apply1(&wf_op_one_hot, &(wf_rows_attr){.rows = classes}, ids);
}

const wf_op wf_op_one_hot = {
    .name = "one_hot",
    .doc = "1 at the id, 0 elsewhere",
    .arity = 1,
    .attr_size = sizeof(wf_rows_attr),
    .infer = one_hot_infer,
    .cost = one_hot_cost,
    .run = one_hot_run,
};
