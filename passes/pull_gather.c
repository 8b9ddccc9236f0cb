/*
 * gather(f(x, ...), ids)  ->  f(gather(x, ids), ...)
 *
 * where f works row by row and nobody else reads its rows: elementwise ops, norms and softmax over
 * the last axis, dropout, products with a matrix on the right, and views that keep rows whole; on
 * through all of these to values that are needed as a whole. What broadcasts over rows (a bias)
 * stays. Of the gated attention unit queries and gate are computed for some rows (pull_gau.c). So a
 * model whose loss looks at some of its tokens computes the end of its last layer for these alone,
 * and its gradient too.
 *
 * Bits stay. f is computed for no other rows than before: gather gives zeros for an id outside, but
 * f(0) may be anything, and its slope infinite; so the nearest row that exists is taken there, and
 * its result is replaced by zeros, through which no gradient comes back:
 *
 *   where(ids = near, f(gather(x, near), ...), 0),   near = clamp(ids, 0, rows - 1)
 *
 * Sums of gradients over rows may be rounded otherwise, and what is not finite in other rows does
 * not reach them any more. Dropout draws for a row what it would have drawn for it among all.
 */
#include "passes/pull_gau.h"

#include "ops/matmul.h"

#include <stdlib.h>

/* More are gathered as they are; rows beyond are no float of their own (ids are clamped as such);
 * every gather costs: at least half of the rows must go, and see pays. TERMS of a product take the
 * time that one number takes to move. */
enum { MOST_VALUES = 64, MOST_ROWS = 1 << 24, LEAST_FACTOR = 2, TERMS = 32 };

/* A value that is asked for its rows at ids only, as far as it is known. */
typedef struct value {
    wf_node *x, *picked; /* picked: these rows, [n, ...]; NULL: not built yet */
    int reads;           /* of x by values that are picked; if those are all, ... */
    bool is_picked;      /* ... and x works row by row, only these rows of it are computed */
} value;

typedef struct pull {
    int64_t rows; /* of the table: the leading axes of each value have so many elements together */
    wf_node *near;
    value values[MOST_VALUES];
    int n;
    int64_t work; /* numbers that kernels of picked values make of a row */
} pull;

/* How many axes from the first on have so many elements together; 0: that is not so. */
static int row_axes(const wf_shape *s, int64_t rows)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank && n < rows; i++)
        if ((n *= s->dim[i]) == rows) return i + 1;
    return 0;
}

/* Is input i of x, which has its axes of rows first, to be picked too? */
static bool has_rows(const wf_node *x, int axes, int i)
{
    const wf_shape *s = &x->in[i]->shape;
    if (x->op == &wf_op_matmul || x->op->traits & WF_VIEW) return i == 0;
    for (int j = 0; j < axes; j++)
        if (s->rank != x->shape.rank || s->dim[j] != x->shape.dim[j]) return false;
    return x->in[i]->dtype == WF_F32;
}

/* Is it the same for all rows, and has no more axes than what is picked? */
static bool is_for_all_rows(const wf_node *x, int axes, int i)
{
    const wf_shape *s = &x->in[i]->shape;
    int more = s->rank - (x->shape.rank - axes);
    return more < 1 || (more == 1 && s->dim[0] == 1);
}

/* Elementwise ops, or those marked; with shapes that follow from their inputs' alone. */
static bool has_fitting_inputs(const wf_node *x, int axes)
{
    const wf_op *op = x->op;
    bool is_by_element =
        op->lane && (op->infer == wf_infer_broadcast || op->infer == wf_infer_same);
    bool is_by_row = op->traits & WF_ROWWISE && x->shape.rank > axes;
    for (int i = 0; i < x->n_in && (is_by_element || is_by_row); i++)
        if (!has_rows(x, axes, i) && !(is_by_element && is_for_all_rows(x, axes, i))) return false;
    return is_by_element || is_by_row;
}

static bool is_row_by_row(const wf_node *x, int64_t rows)
{
    int axes = row_axes(&x->shape, rows);
    if (x->dtype != WF_F32) return false;
    if (x->op == &wf_op_matmul) return axes == 1 && wf_matmul_is_by_row(x, wf_last(&x->shape));
    if (x->op == &wf_op_reshape) return row_axes(&x->in[0]->shape, rows) > 0;
    if (x->op == &wf_op_slice) return ((const wf_slice_attr *)x->attr)->axis >= axes;
    if (x->op == &wf_op_dropout) return x->n_in == 1;
    return has_fitting_inputs(x, axes);
}

static value *find(pull *p, wf_node *x)
{
    int i = 0;
    while (i < p->n && p->values[i].x != x) i++;
    if (i == p->n) p->values[p->n++] = (value){.x = x};
    return &p->values[i];
}

/* Of a row of x. */
static int64_t numbers(const pull *p, const wf_node *x)
{
    return wf_elements(&x->shape) / p->rows;
}

/* Queries and gate; H, of which they are made, is gathered, since keys are made of all of it. What
 * attention itself saves depends on spans, and is not counted. */
static void read_gau(pull *p, value *v)
{
    wf_gau_source s;
    const char *why = wf_gau_source_find(v->x, &s);
    if (numbers(p, v->x) != wf_last(&v->x->shape))
        why = "not rows of it are gathered, but several together";
    if (why) wf_note(v->x, "%s", why);
    if (why || p->n == MOST_VALUES) return;
    v->is_picked = true;
    p->work += numbers(p, v->x) * (2 + wf_last(&s.h->shape) / TERMS);
    find(p, s.h);
}

/* A value that is picked reads x: pick that too, if it is the last one. */
static void read(pull *p, wf_node *x)
{
    value *v = find(p, x);
    if (++v->reads < x->n_users) return;
    if (x->op == &wf_op_gau_gated) {
        read_gau(p, v);
        return;
    }
    if (p->n + x->n_in > MOST_VALUES || !is_row_by_row(x, p->rows)) return;
    v->is_picked = true;
    int64_t terms = x->op == &wf_op_matmul ? wf_last(&x->in[0]->shape) : 0;
    if (!(x->op->traits & WF_VIEW)) p->work += numbers(p, x) * (1 + terms / TERMS);
    int axes = row_axes(&x->shape, p->rows);
    for (int i = 0; i < x->n_in; i++) /* all of them first: there is room for them now */
        if (has_rows(x, axes, i)) find(p, x->in[i]);
    for (int i = 0; i < x->n_in; i++)
        if (has_rows(x, axes, i)) read(p, x->in[i]);
}

/* Do kernels and gathers, of count rows, handle fewer numbers than now? */
static bool pays(const pull *p, int64_t count)
{
    int64_t gathered = -numbers(p, p->values[0].x); /* the table is not gathered any more */
    for (int i = 0; i < p->n; i++)
        if (!p->values[i].is_picked) gathered += numbers(p, p->values[i].x);
    return (double)count * (double)(p->work + gathered) < (double)p->rows * (double)p->work;
}

static wf_node *shaped(wf_node *x, const wf_shape *s)
{
    return wf_shape_equal(&x->shape, s) ? x : wf_reshape(x, *s);
}

/* n rows like those of s. */
static wf_shape rows_like(const pull *p, const wf_shape *s, int64_t n)
{
    wf_shape y = {.rank = 1, .dim = {n}};
    for (int i = row_axes(s, p->rows); i < s->rank; i++) y.dim[y.rank++] = s->dim[i];
    return y;
}

static wf_node *pick(pull *p, wf_node *x);

static wf_node *apply_gau(pull *p, const wf_node *x)
{
    wf_gau_source s;
    wf_gau_source_find(x, &s);
    wf_node *h = pick(p, s.h);
    x->graph->scope = x->scope;
    return wf_gau_rows(x, &s, h, p->near);
}

/* x for the rows of its inputs that are picked. */
static wf_node *apply(pull *p, const wf_node *x)
{
    if (x->op == &wf_op_gau_gated) return apply_gau(p, x);
    wf_node *in[MOST_VALUES];
    int axes = row_axes(&x->shape, p->rows);
    wf_shape s = rows_like(p, &x->shape, p->near->shape.dim[0]);
    for (int i = 0; i < x->n_in; i++) in[i] = has_rows(x, axes, i) ? pick(p, x->in[i]) : x->in[i];
    x->graph->scope = x->scope;
    if (x->op == &wf_op_reshape) return shaped(in[0], &s);
    if (x->op == &wf_op_dropout) return wf_dropout_rows(x, in[0], p->near);
    if (x->op != &wf_op_slice) return wf_apply(x->op, x->attr, x->n_in, in);
    const wf_slice_attr *a = x->attr;
    return wf_slice(in[0], a->axis - axes + 1, a->start, x->shape.dim[a->axis]);
}

static wf_node *pick(pull *p, wf_node *x)
{
    value *v = find(p, x);
    if (!v->picked && v->is_picked) {
        v->picked = apply(p, x);
    } else if (!v->picked) {
        wf_shape s = rows_like(p, &x->shape, p->rows);
        x->graph->scope = x->scope;
        v->picked = wf_gather(shaped(x, &s), p->near);
    }
    return v->picked;
}

/* y [n, ...], but zeros where the id was another one. */
static wf_node *zero_outside(wf_node *y, wf_node *id, wf_node *near)
{
    wf_shape column = {.rank = y->shape.rank, .dim = {y->shape.dim[0]}};
    for (int i = 1; i < column.rank; i++) column.dim[i] = 1;
    wf_node *is_inside = shaped(wf_equal(id, near), &column);
    return wf_where(is_inside, y, wf_constant(y->graph, 0));
}

static wf_node *pull_gather(wf_node *n)
{
    wf_node *table = n->in[0], *ids = n->in[1];
    pull p = {.rows = table->shape.dim[0]};
    int64_t count = wf_elements(&ids->shape);
    if (count < 1 || p.rows < 2 || p.rows > MOST_ROWS) return NULL;
    const char *why = LEAST_FACTOR * count > p.rows ? "more than half of the rows are gathered"
                      : table->n_users > 1          ? "its rows have another reader"
                                                    : NULL;
    if (why) {
        bool is_kernel = !(table->op->traits & WF_VIEW);
        if (is_kernel && is_row_by_row(table, p.rows)) wf_note(table, "%s", why);
        return NULL;
    }
    read(&p, table);
    if (!pays(&p, count)) return NULL;
    n->graph->scope = n->scope;
    wf_node *id = wf_cast(shaped(ids, &WF_SHAPE(count)), WF_F32);
    wf_node *near = wf_clamp(id, 0, (float)(p.rows - 1));
    p.near = wf_cast(near, WF_I32);
    wf_node *y = pick(&p, table);
    n->graph->scope = n->scope;
    return shaped(zero_outside(y, id, near), &n->shape);
}

/* Once: what is pulled goes all the way. */
static bool pull_gathers(wf_graph *g)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    for (int i = 0; order && i < n && g->status == WF_OK; i++) {
        wf_node *by = order[i]->op == &wf_op_gather ? pull_gather(order[i]) : NULL;
        if (by && !wf_is_poison(by)) wf_replace(order[i], by);
    }
    g->scope = "";
    free(order);
    return false;
}

const wf_pass wf_pass_pull_gather = {
    .name = "pull_gather",
    .doc = "gather(f(x), ids) -> f(gather(x, ids)), f row by row: fewer rows to compute",
    .run = pull_gathers,
};
