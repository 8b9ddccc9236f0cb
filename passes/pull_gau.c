/*
 * rows of gau_gated(gau(P, ...), P, ...), P = H W [+ bias]
 *   ->  silu(rows of H W_u) * gau(H W_vz, ..., ids)
 *
 * Attention is not row by row, but its queries are: a row that nobody asks for needs no query, no
 * scores and no gate; as a key and a value it stays. So columns u of the product are made for some
 * rows, the others for all: two products, whose parts of W are read in place.
 */
#include "passes/pull_gau.h"

#include "ops/gau.h"
#include "ops/matmul.h"

static const wf_node *behind_reshape(const wf_node *x)
{
    return x->op == &wf_op_reshape ? x->in[0] : x;
}

static bool find_product(const wf_node *p, wf_gau_source *s)
{
    const wf_node *x = behind_reshape(p);
    for (int i = 0; i < 2 && x->op == &wf_op_add; i++) {
        const wf_node *product = behind_reshape(x->in[i]);
        if (product->op != &wf_op_matmul || x->n_users > (x == p ? 2 : 1)) continue;
        s->bias = x->in[1 - i];
        x = product;
    }
    s->product = x;
    s->h = x->in[0];
    return x->op == &wf_op_matmul && x->n_users <= (x == p ? 2 : 1) &&
           (!s->bias ||
            (s->bias->shape.rank == 1 && wf_last(&s->bias->shape) == wf_last(&p->shape)));
}

const char *wf_gau_source_find(const wf_node *gated, wf_gau_source *s)
{
    const wf_gau_attr *a = gated->attr;
    const wf_node *y = gated->in[0], *p = gated->in[1];
    int64_t e = a->e, width = wf_last(&p->shape);
    *s = (wf_gau_source){0};
    if (y->op != &wf_op_gau || y->in[0] != p || y->n_users > 1 || p->n_users > 2)
        return "A V or the slab has another reader";
    if (a->u != 0 && a->u + e != width) return "columns u lie between v and z";
    if (!find_product(p, s)) return "the slab is no product of its own, with a bias or without";
    bool is_by_row = wf_matmul_is_by_row(s->product, width) && wf_matmul_is_by_row(s->product, e) &&
                     wf_matmul_is_by_row(s->product, width - e);
    return is_by_row ? NULL : "rows of the slab's product depend on how many there are";
}

/* Of the product and bias: h is H, or rows of it. */
static wf_node *columns(const wf_gau_source *s, wf_node *h, int64_t from, int64_t n)
{
    const wf_matmul_attr *a = s->product->attr;
    wf_node *w = wf_slice(s->product->in[1], a->tb ? 0 : 1, from, n);
    wf_node *y = wf_apply2(&wf_op_matmul, a, h, w);
    return s->bias ? wf_add(y, wf_slice(s->bias, 0, from, n)) : y;
}

wf_node *wf_gau_rows(const wf_node *gated, const wf_gau_source *s, wf_node *h, wf_node *ids)
{
    wf_gau_attr a = *(const wf_gau_attr *)gated->attr;
    wf_node *const *in = gated->in;
    int64_t u = a.u, n = a.e + a.s;
    wf_shape shape = in[1]->shape;
    shape.dim[shape.rank - 1] = n;
    a.v -= u < a.v ? a.e : 0;
    a.z -= u < a.z ? a.e : 0;
    a.u = -1;
    wf_node *p = wf_reshape(columns(s, s->h, u == 0 ? a.e : 0, n), shape);
    wf_node *y = wf_apply(&wf_op_gau, &a, 6, (wf_node *[]){p, in[2], in[3], in[4], in[5], ids});
    return wf_mul(wf_silu(columns(s, h, u, a.e)), y);
}
