/*
 * Who sees whom: spans [from, to) of keys for every query, from the offsets of a packed batch or
 * the lengths of a padded one; places inside sequences; scores outside a span; lengths of spans.
 * Offsets are data: whatever they are, spans are cut to what exists.
 */
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

static int64_t clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static void set_span(int32_t *span, int64_t from, int64_t to, int64_t row, bool causal)
{
    if (causal) to = wf_min_i64(to, row + 1);
    span[0] = (int32_t)from;
    span[1] = (int32_t)wf_max_i64(from, to);
}

static int span_print(const void *attr, char *text, size_t size)
{
    const wf_span_attr *a = attr;
    return snprintf(text, size, "value=%g%s", (double)a->value, a->causal ? " causal" : "");
}

/* ---- of a packed batch: one unit, t is small beside everything else ---- */

static bool offsets_infer(wf_node *y, bool span)
{
    const wf_span_attr *a = y->attr;
    if (y->in[0]->dtype != WF_I32 || y->in[0]->shape.rank != 1)
        return wf_fail(y, "offsets must be int32 [sequences + 1]");
    int64_t tokens = wf_size_now(y->graph, a->tokens);
    y->dtype = WF_I32;
    y->shape = span ? WF_SHAPE(tokens, 2) : WF_SHAPE(tokens);
    if (tokens > INT32_MAX) return wf_fail(y, "more tokens than int32 can count");
    return true;
}

static bool span_packed_infer(wf_node *y)
{
    return offsets_infer(y, true);
}

static bool positions_infer(wf_node *y)
{
    return offsets_infer(y, false);
}

static wf_cost one_unit(const wf_node *y)
{
    wf_cost c = wf_cost_elementwise(y, 1);
    c.units = 1;
    return c;
}

/* Calls for every token of every sequence; tokens behind the last offset keep zeros. */
static void packed_run(const wf_call *c, bool span)
{
    const wf_span_attr *a = c->attr;
    const int32_t *offset = c->in[0].data;
    int64_t t = c->out->shape.dim[0], sequences = c->in[0].shape.dim[0] - 1;
    int32_t *y = c->out->data;
    memset(y, 0, (size_t)(t * (span ? 2 : 1)) * sizeof *y);
    for (int64_t s = 0; s < sequences; s++) {
        int64_t from = clamp(offset[s], 0, t), to = clamp(offset[s + 1], 0, t);
        for (int64_t i = from; i < to; i++)
            if (span)
                set_span(y + 2 * i, from, to, i, a->causal);
            else
                y[i] = (int32_t)(i - from);
    }
}

static void span_packed_run(const wf_call *c, int64_t lo, int64_t hi)
{
    if (lo < hi) packed_run(c, true);
}

static void positions_run(const wf_call *c, int64_t lo, int64_t hi)
{
    if (lo < hi) packed_run(c, false);
}

wf_node *wf_span_packed(wf_node *offsets, int64_t tokens, bool causal)
{
    wf_span_attr a = {.causal = causal, .tokens = tokens};
    return wf_apply1(&wf_op_span_packed, &a, offsets);
}

wf_node *wf_positions(wf_node *offsets, int64_t tokens)
{
    return wf_apply1(&wf_op_positions, &(wf_span_attr){.tokens = tokens}, offsets);
}

const wf_op wf_op_span_packed = {
    .name = "span_packed",
    .doc = "the sequence of each token, as [from, to)",
    .arity = 1,
    .attr_size = sizeof(wf_span_attr),
    .infer = span_packed_infer,
    .cost = one_unit,
    .run = span_packed_run,
    .print = span_print,
};

const wf_op wf_op_positions = {
    .name = "positions",
    .doc = "the place of each token in its sequence",
    .arity = 1,
    .attr_size = sizeof(wf_span_attr),
    .infer = positions_infer,
    .cost = one_unit,
    .run = positions_run,
};

/* ---- of a padded batch ---- */

static bool span_padded_infer(wf_node *y)
{
    const wf_span_attr *a = y->attr;
    if (y->in[0]->dtype != WF_I32 || y->in[0]->shape.rank != 1)
        return wf_fail(y, "lengths must be int32 [batch]");
    y->dtype = WF_I32;
    y->shape = WF_SHAPE(y->in[0]->shape.dim[0], wf_size_now(y->graph, a->tokens), 2);
    if (y->shape.dim[1] > INT32_MAX) return wf_fail(y, "more tokens than int32 can count");
    return true;
}

static void span_padded_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_span_attr *a = c->attr;
    const int32_t *length = c->in[0].data;
    int64_t items = lo < hi ? c->out->shape.dim[0] : 0, n = c->out->shape.dim[1];
    for (int64_t b = 0; b < items; b++)
        for (int64_t i = 0; i < n; i++)
            set_span((int32_t *)c->out->data + 2 * (b * n + i), 0, clamp(length[b], 0, n), i,
                     a->causal);
}

wf_node *wf_span_padded(wf_node *lengths, int64_t time, bool causal)
{
    wf_span_attr a = {.causal = causal, .tokens = time};
    return wf_apply1(&wf_op_span_padded, &a, lengths);
}

const wf_op wf_op_span_padded = {
    .name = "span_padded",
    .doc = "0 to the length of each item, for each query",
    .arity = 1,
    .attr_size = sizeof(wf_span_attr),
    .infer = span_padded_infer,
    .cost = one_unit,
    .run = span_padded_run,
    .print = span_print,
};

/* ---- mask_span: scores, span; a unit is a row of scores ---- */

static bool is_span_of(wf_node *y, const wf_shape *scores, const wf_node *span)
{
    const wf_shape *s = &span->shape;
    if (span->dtype != WF_I32 || s->rank < 2 || s->dim[s->rank - 1] != 2)
        return wf_fail(y, "a span must be int32 [..., n, 2]");
    for (int i = 1; i < s->rank; i++)
        if (scores->rank < s->rank || scores->dim[scores->rank - 1 - i] != s->dim[s->rank - 1 - i])
            return wf_fail(y, "the span has another shape than the scores");
    return true;
}

static bool mask_infer(wf_node *y)
{
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "the scores must be float32");
    return is_span_of(y, &y->in[0]->shape, y->in[1]) && wf_infer_same(y);
}

static wf_cost mask_cost(const wf_node *y)
{
    return wf_cost_rows(y, 0);
}

static void mask_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_span_attr *a = c->attr;
    int64_t m = wf_last(&c->out->shape), spans = wf_elements(&c->in[1].shape) / 2;
    for (int64_t r = lo; r < hi; r++) {
        const int32_t *s = (const int32_t *)c->in[1].data + 2 * (r % spans);
        int64_t from = clamp(s[0], 0, m), to = clamp(s[1], from, m);
        const float *x = (const float *)c->in[0].data + r * m;
        float *y = (float *)c->out->data + r * m;
        for (int64_t i = 0; i < from; i++) y[i] = a->value;
        if (y != x) memcpy(y + from, x + from, (size_t)(to - from) * sizeof *y);
        for (int64_t i = to; i < m; i++) y[i] = a->value;
    }
}

static void mask_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_mask_span(dy, y->in[1], 0);
}

wf_node *wf_mask_span(wf_node *scores, wf_node *span, float value)
{
    wf_span_attr a = {.value = value};
    return wf_apply2(&wf_op_mask_span, &a, scores, span);
}

const wf_op wf_op_mask_span = {
    .name = "mask_span",
    .doc = "x inside the span of its row, the value outside",
    .arity = 2,
    .traits = WF_INPLACE,
    .attr_size = sizeof(wf_span_attr),
    .infer = mask_infer,
    .grad = mask_grad,
    .cost = mask_cost,
    .run = mask_run,
    .print = span_print,
};

/* ---- span_length: a unit is an element ---- */

static bool length_infer(wf_node *y)
{
    const wf_shape *s = &y->in[0]->shape;
    if (y->in[0]->dtype != WF_I32 || s->rank < 2 || s->dim[s->rank - 1] != 2)
        return wf_fail(y, "a span must be int32 [..., n, 2]");
    y->dtype = WF_F32;
    y->shape = *s;
    y->shape.dim[s->rank - 1] = 1;
    return true;
}

static void length_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_span_attr *a = c->attr;
    const int32_t *s = c->in[0].data;
    for (int64_t i = lo; i < hi; i++) {
        float n = (float)((int64_t)s[2 * i + 1] - s[2 * i]);
        ((float *)c->out->data)[i] = n > a->value ? n : a->value;
    }
}

wf_node *wf_span_length(wf_node *span, float floor)
{
    wf_span_attr a = {.value = floor};
    return wf_apply1(&wf_op_span_length, &a, span);
}

const wf_op wf_op_span_length = {
    .name = "span_length",
    .doc = "max(to - from, floor)",
    .arity = 1,
    .attr_size = sizeof(wf_span_attr),
    .infer = length_infer,
    .run = length_run,
    .print = span_print,
};
