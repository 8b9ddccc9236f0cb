/* A row of the table of op cases as graph, and the numbers of its inputs. */
#include "tests/op_cases.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { MARGIN = 2 }; /* an OP_SLICED input has one index more on either side of every axis */

int op_case_args(const op_case *c)
{
    int n = 0;
    while (n < OP_ARGS && c->in[n].draw != OP_NONE) n++;
    return n;
}

bool op_case_has_gradient(const op_case *c, int i)
{
    return (c->flags & OP_GRADIENT) && c->in[i].draw >= OP_ANY && c->in[i].draw <= OP_SPACED;
}

static wf_dtype dtype_of(const op_arg *a)
{
    return a->draw == OP_BYTES ? WF_U8 : a->draw >= OP_IDS ? WF_I32 : WF_F32;
}

static wf_shape seen(const op_arg *a)
{
    wf_shape s = {0};
    while (a->dim[s.rank]) {
        s.dim[s.rank] = a->dim[s.rank];
        s.rank++;
    }
    return s;
}

/* The shape that the input is declared with. */
static wf_shape declared(const op_arg *a)
{
    wf_shape s = seen(a), d = s;
    for (int i = 0; i < s.rank; i++) {
        if (a->layout == OP_TURNED) d.dim[i] = s.dim[s.rank - 1 - i];
        if (a->layout == OP_SLICED) d.dim[i] = s.dim[i] + MARGIN;
    }
    if (a->layout == OP_REPEATED) d.dim[0] = 1;
    return d;
}

static wf_node *lay_out(const op_arg *a, wf_node *x)
{
    wf_shape s = seen(a);
    if (a->layout == OP_TURNED) return wf_transpose(x, (wf_axes){0});
    if (a->layout == OP_REPEATED) return wf_broadcast(x, s);
    for (int i = 0; i < s.rank && a->layout == OP_SLICED; i++)
        x = wf_slice(x, i, MARGIN / 2, s.dim[i]);
    return x;
}

static wf_node *fixed_input(wf_graph *g, const op_case *c, int i, const char *name,
                            const void *values, wf_node **x)
{
    wf_shape s = declared(&c->in[i]);
    if (dtype_of(&c->in[i]) == WF_I32) return *x = wf_constants_i32(g, s, values);
    *x = wf_constants(g, s, values);
    if (!op_case_has_gradient(c, i)) return *x;
    wf_node *base = *x;
    *x = wf_param(g, name, s, (wf_role){0}, (wf_init){0});
    return wf_add(base, *x);
}

wf_node *op_case_build(const op_case *c, wf_graph *g, void *const fixed[], wf_node *x[OP_ARGS])
{
    wf_node *in[OP_ARGS] = {0};
    int n = op_case_args(c);
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        if (fixed)
            in[i] = fixed_input(g, c, i, name, fixed[i], &x[i]);
        else
            in[i] = x[i] = wf_input(g, name, dtype_of(&c->in[i]), declared(&c->in[i]));
        in[i] = lay_out(&c->in[i], in[i]);
    }
    wf_node *y = c->build ? c->build(g, in, c->attr) : wf_apply(c->op, c->attr, n, in);
    return wf_output(y, "y");
}

/* ---- numbers ---- */

static uint64_t next(uint64_t *state) /* splitmix64 (Steele et al. 2014) */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int64_t below(uint64_t *state, int64_t n)
{
    return (int64_t)(next(state) % (uint64_t)n);
}

static float between(uint64_t *state, double lo, double hi)
{
    return (float)(lo + (hi - lo) * (double)(next(state) >> 11) * 0x1p-53);
}

static float draw_float(op_draw draw, uint64_t *state)
{
    switch (draw) {
    case OP_POSITIVE:
        return between(state, 0.3, 2);
    case OP_NONZERO:
        return between(state, 0.3, 1.5) * (next(state) & 1 ? 1.0f : -1.0f);
    case OP_TIES:
        return (float)(below(state, 5) - 2);
    case OP_BITS:
        return (float)below(state, 2);
    default:
        return between(state, -1.5, 1.5);
    }
}

/* A shuffled row of multiples of 0.2 around 0; argument i lies 0.07 i beside them. */
static void draw_spaced(float *x, int64_t n, int i, uint64_t *state)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t at = below(state, k + 1);
        x[k] = x[at];
        x[at] = (float)(0.2 * (double)(k - n / 2) + 0.07 * i);
    }
}

static int by_value(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void draw_ints(const op_arg *a, int32_t *x, int64_t n, uint64_t *state)
{
    int64_t least = a->draw == OP_IDS ? -1 : 0;
    for (int64_t k = 0; k < n; k++) x[k] = (int32_t)(least + below(state, a->limit + 1 - least));
    if (a->draw == OP_OFFSETS) {
        x[0] = 0;
        qsort(x, (size_t)n, sizeof *x, by_value);
    }
    for (int64_t k = 0; k + 1 < n && a->draw == OP_SPANS; k += 2)
        qsort(x + k, 2, sizeof *x, by_value);
}

void *op_case_draw(const op_case *c, int i, uint64_t seed, size_t *bytes)
{
    const op_arg *a = &c->in[i];
    wf_shape s = declared(a);
    int64_t n = wf_elements(&s);
    uint64_t state = seed * 1000003u + wf_hash(c->op->name) + (uint64_t)i * 7919u;
    *bytes = (size_t)n * wf_dtype_bytes(dtype_of(a));
    void *data = wf_aligned_alloc(*bytes);
    assert(data);
    if (a->draw == OP_SPACED)
        draw_spaced(data, n, i, &state);
    else if (dtype_of(a) == WF_I32)
        draw_ints(a, data, n, &state);
    for (int64_t k = 0; k < n; k++)
        if (a->draw == OP_BYTES)
            ((uint8_t *)data)[k] = (uint8_t)next(&state);
        else if (dtype_of(a) == WF_F32 && a->draw != OP_SPACED)
            ((float *)data)[k] = draw_float(a->draw, &state);
    return data;
}
