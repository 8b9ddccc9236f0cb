/* What each pass makes of a small graph, as text: one row a rule, and one for each case where a
 * rule must keep its hands off. Every graph has the inputs x [4,6], z [4,6], w [6,6], the
 * parameters p and q [4,6], and the output y. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "ops/ops.h"
#include "passes/passes.h"

typedef struct leaves {
    wf_graph *g;
    wf_node *x, *z, *w, *p, *q;
} leaves;

typedef struct row {
    const char *what;
    wf_node *(*build)(const leaves *l); /* y */
    const char *after;
} row;

static leaves declare(void)
{
    static const wf_role kernel = {.kind = WF_KERNEL};
    leaves l = {.g = wf_graph_new()};
    l.x = wf_input(l.g, "x", WF_F32, WF_SHAPE(4, 6));
    l.z = wf_input(l.g, "z", WF_F32, WF_SHAPE(4, 6));
    l.w = wf_input(l.g, "w", WF_F32, WF_SHAPE(6, 6));
    l.p = wf_param(l.g, "p", WF_SHAPE(4, 6), kernel, (wf_init){0});
    l.q = wf_param(l.g, "q", WF_SHAPE(4, 6), kernel, (wf_init){0});
    return l;
}

/* The text of a graph with inputs and parameters called by their names and without their lines. */
static char *readable(char *text)
{
    char *y = NULL, leaf[64][24] = {{0}}, op[16];
    size_t size;
    FILE *f = open_memstream(&y, &size);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        int k = 0;
        bool is_node = sscanf(line, "%%%d = %15s", &k, op) == 2;
        if (is_node && (!strcmp(op, "input") || !strcmp(op, "param") || !strcmp(op, "state"))) {
            snprintf(leaf[k], sizeof *leaf, "%.23s", strchr(line, '#') + 2);
            continue;
        }
        for (char *c = line; *c; c++) {
            int digits = 0;
            if (*c == '%' && sscanf(c, "%%%d%n", &k, &digits) == 1 && *leaf[k]) {
                fputs(leaf[k], f);
                c += digits - 1;
            } else {
                fputc(*c, f);
            }
        }
        fputc('\n', f);
    }
    fclose(f);
    return y;
}

/* The passes, ended by NULL, one after the other. */
static void expect_texts(const wf_pass *const passes[], int n, const row rows[])
{
    for (int i = 0; i < n; i++) {
        leaves l = declare();
        wf_node *y = rows[i].build(&l);
        if (y) wf_output(y, "y");
        cr_assert_eq(wf_graph_check(l.g), WF_OK, "%s: %s", rows[i].what, wf_error());
        for (int k = 0; passes[k]; k++)
            cr_assert(wf_pass_apply(l.g, passes[k]), "%s: %s", rows[i].what, l.g->message);
        char *text = wf_graph_text(l.g), *got = readable(text);
        cr_expect_str_eq(got, rows[i].after, "%s: got\n%s", rows[i].what, got);
        free(got);
        free(text);
        wf_graph_free(l.g);
    }
}

#define ROW(NAME, EXPRESSION)                                                                      \
    static wf_node *NAME(const leaves *l)                                                          \
    {                                                                                              \
        return EXPRESSION;                                                                         \
    }
#define N(rows) (int)(sizeof(rows) / sizeof *(rows))

static wf_node *number(const leaves *l, float value)
{
    return wf_constant(l->g, value);
}

/* ---- simplify ---- */

ROW(extent, wf_mul(wf_extent(l->x, 0), wf_extent(l->x, 1)))
ROW(folding, wf_sqrt(wf_add(number(l, 7), number(l, 9))))
ROW(folding_broadcast, wf_add(wf_broadcast(number(l, 1), WF_SHAPE(2, 2)), number(l, 1)))
ROW(scale_1, wf_scale(l->x, 1))
ROW(shift_0, wf_shift(l->x, 0))
ROW(shift_negative_0, wf_shift(l->x, -0.0f))
ROW(times_1, wf_mul(l->x, number(l, 1)))
ROW(one_times, wf_mul(number(l, 1), l->x))
ROW(by_1, wf_div(l->x, number(l, 1)))
ROW(one_by, wf_div(number(l, 1), l->x))
ROW(plus_0, wf_add(l->x, number(l, -0.0f)))
ROW(zero_plus, wf_add(number(l, -0.0f), l->x))
ROW(minus_0, wf_sub(l->x, number(l, 0)))
ROW(zero_minus, wf_sub(number(l, 0), l->x))
ROW(times_wide_1, wf_mul(l->x, wf_full(l->g, WF_SHAPE(2, 4, 6), 1)))
ROW(times_0, wf_mul(l->x, number(l, 0)))
ROW(times_number, wf_mul(number(l, 3), l->x))
ROW(plus_number, wf_add(l->x, number(l, 3)))
ROW(plus_wide_number, wf_add(l->x, wf_full(l->g, WF_SHAPE(2, 4, 6), 3)))
ROW(reshapes, wf_reshape(wf_reshape(l->x, WF_SHAPE(24)), WF_SHAPE(2, 12)))
ROW(reshape_back, wf_reshape(wf_reshape(l->x, WF_SHAPE(24)), WF_SHAPE(4, 6)))
ROW(broadcast_same, wf_broadcast(l->x, WF_SHAPE(4, 6)))
ROW(slice_all, wf_slice(l->x, 1, 0, 6))
ROW(slice_part, wf_slice(l->x, 1, 1, 5))
ROW(transpose_none, wf_transpose(l->x, WF_AXES(0, 1)))
ROW(transpose_twice, wf_transpose(wf_transpose(l->x, WF_AXES(1, 0)), WF_AXES(1, 0)))
ROW(transpose_turns,
    wf_transpose(wf_transpose(wf_reshape(l->x, WF_SHAPE(4, 2, 3)), WF_AXES(1, 2, 0)),
                 WF_AXES(1, 2, 0)))
ROW(neg_twice, wf_neg(wf_neg(l->x)))
ROW(cast_same, wf_cast(l->x, WF_F32))
ROW(cast_other, wf_cast(wf_cast(l->x, WF_I32), WF_F32))
ROW(sum_of_one, wf_sum(wf_reshape(l->x, WF_SHAPE(4, 1, 6)), WF_AXES(1), false))
ROW(max_of_one, wf_max_over(wf_reshape(l->x, WF_SHAPE(24, 1)), WF_AXES(1), true))
ROW(norm_of_one, wf_norm(wf_reshape(l->x, WF_SHAPE(24, 1)), WF_AXES(1), true))

static wf_node *scattered(const leaves *l)
{
    static const int32_t ids[2] = {3, 0};
    wf_node *in[] = {wf_constants_i32(l->g, WF_SHAPE(2), ids), wf_slice(l->z, 0, 0, 2)};
    return wf_apply(&wf_op_scatter_rows, &(wf_rows_attr){.rows = 4}, 2, in);
}

ROW(scatter_add, wf_add(l->x, scattered(l)))

/* x from row or column before on, on an axis of total */
static wf_node *between(wf_node *x, int axis, int64_t before, int64_t total)
{
    return wf_apply1(&wf_op_pad, &(wf_pad_attr){.axis = axis, .before = before, .total = total}, x);
}

ROW(parts, wf_add(between(l->x, 1, 6, 12), between(l->x, 1, 0, 12)))
ROW(parts_with_a_gap, wf_add(between(l->x, 0, 0, 9), between(l->x, 0, 5, 9)))
ROW(parts_that_are_broadcast,
    wf_add(between(l->x, 1, 0, 12), between(wf_slice(l->x, 0, 0, 1), 1, 6, 12)))
ROW(parts_that_overlap, wf_add(between(l->x, 0, 0, 7), between(l->x, 0, 3, 7)))

static wf_node *scatter_used_twice(const leaves *l)
{
    wf_node *s = scattered(l);
    return wf_add(wf_add(l->x, s), wf_exp(s));
}

Test(pass_texts, simplify)
{
    static const wf_pass *const passes[] = {&wf_pass_simplify, NULL};
    static const row rows[] = {
        {"sizes are numbers", extent, "%0 = constant {24} : f32[]\noutput y = %0\n"},
        {"constants", folding, "%0 = constant {4} : f32[]\noutput y = %0\n"},
        {"constants that broadcast", folding_broadcast,
         "%0 = constant {2} : f32[2,2]\noutput y = %0\n"},
        {"1 x", scale_1, "output y = x\n"},
        {"x + 0 is not -0", shift_0, "%1 = shift x {a=0} : f32[4,6]\noutput y = %1\n"},
        {"x + -0", shift_negative_0, "output y = x\n"},
        {"x times a constant 1", times_1, "output y = x\n"},
        {"a constant 1 times x", one_times, "output y = x\n"},
        {"x / 1", by_1, "output y = x\n"},
        {"1 / x stays", one_by,
         "%0 = constant {1} : f32[]\n%2 = div %0 x : f32[4,6]\noutput y = %2\n"},
        {"x plus a constant -0", plus_0, "output y = x\n"},
        {"a constant -0 plus x", zero_plus, "output y = x\n"},
        {"x - 0", minus_0, "output y = x\n"},
        {"0 - x stays", zero_minus,
         "%0 = constant {0} : f32[]\n%2 = sub %0 x : f32[4,6]\noutput y = %2\n"},
        {"1 of a larger shape stays", times_wide_1,
         "%1 = constant {1} : f32[2,4,6]\n%2 = mul x %1 : f32[2,4,6]\noutput y = %2\n"},
        {"0 x is not 0 for NaN", times_0, "%1 = scale x {a=0} : f32[4,6]\noutput y = %1\n"},
        {"mul by a number", times_number, "%1 = scale x {a=3} : f32[4,6]\noutput y = %1\n"},
        {"add of a number", plus_number, "%1 = shift x {a=3} : f32[4,6]\noutput y = %1\n"},
        {"a number of a larger shape stays", plus_wide_number,
         "%1 = constant {3} : f32[2,4,6]\n%2 = add x %1 : f32[2,4,6]\noutput y = %2\n"},
        {"reshape of reshape", reshapes, "%1 = reshape x : f32[2,12]\noutput y = %1\n"},
        {"reshape to the same", reshape_back, "output y = x\n"},
        {"broadcast to the same", broadcast_same, "output y = x\n"},
        {"slice of all", slice_all, "output y = x\n"},
        {"slice of a part stays", slice_part,
         "%1 = slice x {axis=1 start=1} : f32[4,5]\noutput y = %1\n"},
        {"transpose in order", transpose_none, "output y = x\n"},
        {"transpose there and back", transpose_twice, "output y = x\n"},
        {"transposes that do not cancel", transpose_turns,
         "%1 = reshape x : f32[4,2,3]\n%2 = transpose %1 {order=201000} : f32[3,4,2]\noutput y = "
         "%2\n"},
        {"- - x", neg_twice, "output y = x\n"},
        {"cast to the same", cast_same, "output y = x\n"},
        {"cast to an integer stays", cast_other,
         "%1 = cast x : i32[4,6]\n%2 = cast %1 : f32[4,6]\noutput y = %2\n"},
        {"sum over axes of one", sum_of_one, "output y = x\n"},
        {"maximum over an axis of one", max_of_one, "%1 = reshape x : f32[24,1]\noutput y = %1\n"},
        {"a norm over an axis of one stays: it is |x|", norm_of_one,
         "%1 = reshape x : f32[24,1]\n%2 = norm %1 {axes=1 keep} : f32[24,1]\noutput y = %2\n"},
        {"scatter added to a table", scatter_add,
         "%0 = constant : i32[2]\n%2 = slice z {axis=0 start=0} : f32[2,6]\n%4 = scatter_rows %0 "
         "%2 x : f32[4,6]\noutput y = %4\n"},
        {"two parts", parts, "%1 = concat x x {axis=1} : f32[4,12]\noutput y = %1\n"},
        {"parts with a gap stay", parts_with_a_gap,
         "%1 = pad x {axis=0 before=0} : f32[9,6]\n%2 = pad x {axis=0 before=5} : f32[9,6]\n%3 = "
         "add %1 %2 : f32[9,6]\noutput y = %3\n"},
        {"parts that are broadcast stay", parts_that_are_broadcast,
         "%1 = pad x {axis=1 before=0} : f32[4,12]\n%2 = slice x {axis=0 start=0} : f32[1,6]\n%3 = "
         "pad %2 {axis=1 before=6} : f32[1,12]\n%4 = add %1 %3 : f32[4,12]\noutput y = %4\n"},
        {"parts that overlap stay", parts_that_overlap,
         "%1 = pad x {axis=0 before=0} : f32[7,6]\n%2 = pad x {axis=0 before=3} : f32[7,6]\n%3 = "
         "add %1 %2 : f32[7,6]\noutput y = %3\n"},
        {"scatter with two users stays", scatter_used_twice,
         "%1 = constant : i32[2]\n%3 = slice z {axis=0 start=0} : f32[2,6]\n%4 = scatter_rows %1 "
         "%3 : f32[4,6]\n%5 = add x %4 : f32[4,6]\n%6 = exp %4 : f32[4,6]\n%7 = add %5 %6 : "
         "f32[4,6]\noutput y = %7\n"},
    };
    expect_texts(passes, N(rows), rows);
}

/* ---- round_products ---- */

ROW(product, wf_matmul(l->x, l->w))
ROW(product_and_program, wf_exp(wf_matmul_t(l->x, l->w)))
ROW(turned_product, wf_t_matmul(wf_exp(wf_matmul(l->x, l->w)), l->z))

Test(pass_texts, round_products)
{
    static const wf_pass *const passes[] = {&wf_pass_round_products, NULL};
    static const wf_pass *const then_fuse[] = {&wf_pass_round_products, &wf_pass_lower,
                                               &wf_pass_fuse_pointwise, &wf_pass_fuse_linear, NULL};
    static const row rows[] = {
        {"a product", product, "%2 = matmul x w {bf16} : f32[4,6]\noutput y = %2\n"},
        {"products, whatever stands between", turned_product,
         "%2 = matmul x w {bf16} : f32[4,6]\n%3 = exp %2 : f32[4,6]\n"
         "%5 = matmul %3 z {ta bf16} : f32[6,6]\noutput y = %5\n"},
        {"nothing else", scale_1, "%1 = scale x {a=1} : f32[4,6]\noutput y = %1\n"},
    };
    static const row fused[] = {
        {"what is fused later", product_and_program,
         "%2 = linear x w {tb bf16; exp 0} : f32[4,6]\noutput y = %2\n"},
    };
    expect_texts(passes, N(rows), rows);
    expect_texts(then_fuse, N(fused), fused);
}

/* ---- cse, inference, lower, layout ---- */

ROW(twins, wf_add(wf_tanh(wf_exp(l->x)), wf_tanh(wf_exp(l->x))))
ROW(attributes, wf_add(wf_scale(l->x, 2), wf_scale(l->x, 3)))
ROW(swapped, wf_sub(wf_add(l->x, l->z), wf_add(l->z, l->x)))
ROW(constants, wf_mul(wf_add(l->x, number(l, 2)), wf_add(l->z, number(l, 2))))
ROW(dropouts, wf_sub(wf_dropout(l->x, 0.5f), wf_dropout(l->x, 0.5f)))
ROW(noise, wf_sub(wf_uniform(l->g, WF_SHAPE(3)), wf_uniform(l->g, WF_SHAPE(3))))

Test(pass_texts, cse)
{
    static const wf_pass *const passes[] = {&wf_pass_cse, NULL};
    static const row rows[] = {
        {"equal chains", twins,
         "%1 = exp x : f32[4,6]\n%2 = tanh %1 : f32[4,6]\n%3 = add %2 %2 : f32[4,6]\noutput y = "
         "%3\n"},
        {"other attributes stay", attributes,
         "%1 = scale x {a=2} : f32[4,6]\n%2 = scale x {a=3} : f32[4,6]\n%3 = add %1 %2 : "
         "f32[4,6]\noutput y = %3\n"},
        {"inputs in another order stay", swapped,
         "%2 = add x z : f32[4,6]\n%3 = add z x : f32[4,6]\n%4 = sub %2 %3 : f32[4,6]\noutput y = "
         "%4\n"},
        {"equal constants", constants,
         "%1 = constant {2} : f32[]\n%2 = add x %1 : f32[4,6]\n%4 = add z %1 : f32[4,6]\n%5 = mul "
         "%2 %4 : f32[4,6]\noutput y = %5\n"},
        {"dropout stays", dropouts,
         "%1 = dropout x {rate=0.5} : f32[4,6]\n%2 = dropout x {rate=0.5} : f32[4,6]\n%3 = sub %1 "
         "%2 : f32[4,6]\noutput y = %3\n"},
        {"random numbers stay", noise,
         "%0 = uniform : f32[3]\n%1 = uniform : f32[3]\n%2 = sub %0 %1 : f32[3]\noutput y = %2\n"},
    };
    expect_texts(passes, N(rows), rows);
}

ROW(dropped, wf_exp(wf_dropout(wf_tanh(l->x), 0.5f)))

static wf_node *trained(const leaves *l)
{
    wf_node *loss = wf_sum(wf_mul(l->p, l->x), WF_ALL, false);
    wf_assign(l->q, wf_scale(l->q, 2));
    wf_minimize(loss, &wf_sgd, NULL, NULL);
    return loss;
}

Test(pass_texts, inference)
{
    static const wf_pass *const passes[] = {&wf_pass_inference, NULL};
    static const row rows[] = {
        {"dropout", dropped, "%1 = tanh x : f32[4,6]\n%2 = exp %1 : f32[4,6]\noutput y = %2\n"},
        {"minimize and assign", trained,
         "%2 = mul p x : f32[4,6]\n%3 = sum %2 {axes=01} : f32[]\noutput y = %3\n"},
    };
    expect_texts(passes, N(rows), rows);
}

ROW(single, wf_where(l->x, l->z, l->x))
ROW(both_the_same, wf_mul(l->x, l->x))
ROW(attribute, wf_scale(l->x, 2))
ROW(stopped, wf_softmax(wf_stop_gradient(l->x)))

Test(pass_texts, lower)
{
    static const wf_pass *const passes[] = {&wf_pass_lower, NULL};
    static const row rows[] = {
        {"an input that comes twice is one", single,
         "%2 = pointwise x z {where 0 1 0} : f32[4,6]\noutput y = %2\n"},
        {"a square", both_the_same, "%1 = pointwise x {mul 0 0} : f32[4,6]\noutput y = %1\n"},
        {"an attribute", attribute, "%1 = pointwise x {scale 0} : f32[4,6]\noutput y = %1\n"},
        {"stop_gradient", stopped, "%1 = softmax x : f32[4,6]\noutput y = %1\n"},
    };
    expect_texts(passes, N(rows), rows);
}

ROW(softmax_strided, wf_softmax(wf_transpose(l->x, WF_ALL)))
ROW(matmul_strided, wf_matmul(wf_transpose(l->x, WF_ALL), l->z))
ROW(reshape_strided, wf_exp(wf_reshape(wf_transpose(l->x, WF_ALL), WF_SHAPE(24))))
ROW(rows_slice, wf_softmax(wf_slice(l->x, 0, 1, 2)))
ROW(output_leaf, l->x)
ROW(output_view, wf_slice(wf_exp(l->x), 1, 0, 2))
ROW(output_plain_view, wf_reshape(wf_softmax(l->x), WF_SHAPE(24)))
ROW(repeated, wf_cumsum(wf_broadcast(number(l, 2), WF_SHAPE(3)), 0))

static wf_node *trade(const leaves *l)
{
    wf_assign(l->p, l->q);
    return NULL;
}

Test(pass_texts, layout)
{
    static const wf_pass *const passes[] = {&wf_pass_layout, NULL};
    static const row rows[] = {
        {"a kernel that needs contiguous rows", softmax_strided,
         "%1 = transpose x {order=100000} : f32[6,4]\n%2 = copy %1 : f32[6,4]\n%3 = softmax %2 : "
         "f32[6,4]\noutput y = %3\n"},
        {"a product takes strides", matmul_strided,
         "%1 = transpose x {order=100000} : f32[6,4]\n%3 = matmul %1 z : f32[6,6]\noutput y = "
         "%3\n"},
        {"a view that cannot be described", reshape_strided,
         "%1 = transpose x {order=100000} : f32[6,4]\n%2 = copy %1 : f32[6,4]\n%3 = reshape %2 : "
         "f32[24]\n%4 = exp %3 : f32[24]\noutput y = %4\n"},
        {"a slice of whole rows is contiguous", rows_slice,
         "%1 = slice x {axis=0 start=1} : f32[2,6]\n%2 = softmax %1 : f32[2,6]\noutput y = %2\n"},
        {"an output that is a leaf", output_leaf, "%1 = copy x : f32[4,6]\noutput y = %1\n"},
        {"an output that is a strided view", output_view,
         "%1 = exp x : f32[4,6]\n%2 = slice %1 {axis=1 start=0} : f32[4,2]\n%3 = copy %2 : "
         "f32[4,2]\noutput y = %3\n"},
        {"an output that is a plain view", output_plain_view,
         "%1 = softmax x : f32[4,6]\n%2 = reshape %1 : f32[24]\noutput y = %2\n"},
        {"a repeated element", repeated,
         "%0 = constant {2} : f32[]\n%1 = broadcast %0 : f32[3]\n%2 = copy %1 : f32[3]\n%3 = "
         "cumsum %2 {axis=0} : f32[3]\noutput y = %3\n"},
        {"a leaf assigned to another", trade,
         "%2 = copy q : f32[4,6]\n%3 = assign p %2 : f32[4,6]\n"},
    };
    expect_texts(passes, N(rows), rows);
}

/* ---- fuse_pointwise ---- */

static wf_node *shared(const leaves *l)
{
    wf_node *e = wf_exp(l->x);
    return wf_add(wf_softmax(e), wf_neg(e));
}

ROW(smaller, wf_add(l->x, wf_exp(wf_slice(l->z, 0, 0, 1))))

static wf_node *assign_chain(const leaves *l)
{
    wf_assign(l->p, wf_tanh(wf_add(l->p, l->x)));
    return NULL;
}

static wf_node *momentum(const leaves *l)
{
    wf_node *m = wf_lerp(l->x, l->q, 0.5f);
    wf_assign(l->q, m);
    wf_assign(l->p, wf_sub(l->p, m));
    return NULL;
}

static wf_node *pair(const leaves *l)
{
    wf_assign(l->p, wf_add(l->p, l->x));
    wf_assign(l->q, wf_mul(l->q, l->x));
    return NULL;
}

static wf_node *apart(const leaves *l)
{
    wf_assign(l->p, wf_add(l->p, l->x));
    wf_assign(l->q, wf_mul(l->q, l->z));
    return NULL;
}

static wf_node *turned(const leaves *l)
{
    wf_node *t = wf_reshape(wf_transpose(l->p, WF_ALL), WF_SHAPE(4, 6));
    wf_assign(l->p, wf_add(l->p, t));
    return NULL;
}

static wf_node *each_other(const leaves *l)
{
    wf_assign(l->p, wf_scale(wf_reshape(l->q, WF_SHAPE(4, 6)), 2));
    wf_assign(l->q, wf_scale(wf_slice(l->p, 0, 0, 4), 3));
    return NULL;
}

static wf_node *three_stores_that_share(const leaves *l)
{
    wf_node *r = wf_state(l->p, "r");
    wf_assign(l->p, wf_add(l->p, l->x));
    wf_assign(l->q, wf_mul(l->q, l->x));
    wf_assign(r, wf_sub(r, l->x));
    return NULL;
}

static wf_node *five_stores_that_share(const leaves *l)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++) {
        wf_node *s = wf_state(l->p, names[i]);
        wf_assign(s, wf_add(s, l->x));
    }
    return NULL;
}

static wf_node *assigned_output(const leaves *l)
{
    wf_node *m = wf_lerp(l->x, l->q, 0.5f);
    wf_assign(l->q, m);
    return m;
}

Test(pass_texts, fuse_pointwise)
{
    static const wf_pass *const passes[] = {&wf_pass_lower, &wf_pass_fuse_pointwise, NULL};
    static const row rows[] = {
        {"a value with two users stays", shared,
         "%1 = pointwise x {exp 0} : f32[4,6]\n%2 = softmax %1 : f32[4,6]\n%3 = pointwise %1 %2 "
         "{neg 0; add 1 2} : f32[4,6]\noutput y = %3\n"},
        {"a smaller value stays", smaller,
         "%2 = slice z {axis=0 start=0} : f32[1,6]\n%3 = pointwise %2 {exp 0} : f32[1,6]\n%4 = "
         "pointwise x %3 {add 0 1} : f32[4,6]\noutput y = %4\n"},
        {"an assigned chain", assign_chain,
         "%2 = pointwise_store p x {add 0 1; tanh 2; 3 -> 0} : f32[4,6]\n"},
        {"a value that is assigned and used on", momentum,
         "%3 = pointwise_store x q p {axpby 0 1; sub 2 3; 4 -> 2; 3 -> 1} : f32[4,6]\n"},
        {"two stores that share an input", pair,
         "%3 = pointwise_store p x q {add 0 1; mul 2 1; 3 -> 0; 4 -> 2} : f32[4,6]\n"},
        {"three stores that share an input", three_stores_that_share,
         "%4 = pointwise_store opt/none/p/r x p q {sub 0 1; add 2 1; mul 3 1; 4 -> 0; 5 -> 2; 6 -> "
         "3} : f32[4,6]\n"},
        {"a program has four stores at most", five_stores_that_share,
         "%3 = pointwise_store opt/none/p/c x opt/none/p/d {add 0 1; add 2 1; 3 -> 0; 4 -> 2} : "
         "f32[4,6]\n%7 = pointwise_store opt/none/p/e x opt/none/p/a opt/none/p/b {add 0 1; add 2 "
         "1; add 3 1; 4 -> 0; 5 -> 2; 6 -> 3} : f32[4,6]\n"},
        {"two stores that share nothing stay", apart,
         "%2 = pointwise_store p x {add 0 1; 2 -> 0} : f32[4,6]\n%5 = pointwise_store q z {mul 0 "
         "1; 2 -> 0} : f32[4,6]\n"},
        {"a store that reads its leaf elsewhere stays an assign", turned,
         "%1 = transpose p {order=100000} : f32[6,4]\n%2 = reshape %1 : f32[4,6]\n%3 = pointwise p "
         "%2 {add 0 1} : f32[4,6]\n%4 = assign p %3 : f32[4,6]\n"},
        {"two that need each other's old value", each_other,
         "%2 = slice p {axis=0 start=0} : f32[4,6]\n%3 = pointwise %2 {scale 0} : f32[4,6]\n%4 = "
         "assign q %3 : f32[4,6]\n%5 = reshape q : f32[4,6]\n%6 = pointwise_store %5 p {scale 0; 2 "
         "-> 1} : f32[4,6]\n"},
        {"an assigned output stays", assigned_output,
         "%2 = pointwise x q {axpby 0 1} : f32[4,6]\n%3 = assign q %2 : f32[4,6]\noutput y = %2\n"},
    };
    expect_texts(passes, N(rows), rows);
}

/* ---- fuse_linear ---- */

static wf_node *bias(const leaves *l)
{
    return wf_input(l->g, "b", WF_F32, WF_SHAPE(6));
}

ROW(with_bias, wf_linear(l->x, l->w, bias(l)))
ROW(with_activation, wf_relu(wf_linear(l->x, l->w, bias(l))))
ROW(with_residual, wf_add(l->x, wf_tanh(wf_matmul(l->x, l->w))))
ROW(with_transposed, wf_neg(wf_t_matmul(l->x, l->z)))
ROW(two_products, wf_add(wf_matmul(l->x, l->w), wf_matmul(l->z, l->w)))
ROW(wider, wf_add(wf_matmul(l->x, l->w), wf_constants(l->g, WF_SHAPE(2, 1, 1), (float[2]){1, 2})))
ROW(product_alone, wf_softmax(wf_matmul(l->x, l->w)))

static wf_node *product_used_twice(const leaves *l)
{
    wf_node *m = wf_matmul(l->x, l->w);
    return wf_add(wf_softmax(m), wf_exp(m));
}

static wf_node *product_is_output(const leaves *l)
{
    return wf_neg(wf_output(wf_matmul(l->x, l->w), "m"));
}

static wf_node *update(const leaves *l)
{
    wf_assign(l->p, wf_sub(l->p, wf_matmul(l->x, l->w)));
    return NULL;
}

static wf_node *update_from_stored(const leaves *l)
{
    wf_assign(l->p, wf_sub(l->p, wf_matmul(l->q, l->w)));
    return NULL;
}

/* Of rows x 256 weights. */
static wf_node *update_of(const leaves *l, int64_t rows)
{
    wf_init none = {0};
    wf_node *p = wf_param(l->g, "large", WF_SHAPE(rows, 256), (wf_role){.kind = WF_KERNEL}, none);
    wf_node *a = wf_input(l->g, "a", WF_F32, WF_SHAPE(rows, 2));
    wf_node *b = wf_input(l->g, "b", WF_F32, WF_SHAPE(2, 256));
    wf_assign(p, wf_sub(p, wf_matmul(a, b)));
    return NULL;
}

ROW(update_in_cache, update_of(l, 256))
ROW(update_beyond_cache, update_of(l, 1025))

Test(pass_texts, fuse_linear)
{
    static const wf_pass *const passes[] = {&wf_pass_lower, &wf_pass_fuse_pointwise,
                                            &wf_pass_fuse_linear, NULL};
    static const row rows[] = {
        {"bias", with_bias, "%3 = linear x w b {add 0 1} : f32[4,6]\noutput y = %3\n"},
        {"bias and activation", with_activation,
         "%3 = linear x w b {add 0 1; relu 2} : f32[4,6]\noutput y = %3\n"},
        {"residual", with_residual,
         "%2 = linear x w x {tanh 0; add 1 2} : f32[4,6]\noutput y = %2\n"},
        {"operand transposed", with_transposed,
         "%2 = linear x z {ta; neg 0} : f32[6,6]\noutput y = %2\n"},
        {"one of two products", two_products,
         "%3 = matmul z w : f32[4,6]\n%4 = linear x w %3 {add 0 1} : f32[4,6]\noutput y = %4\n"},
        {"a larger result stays", wider,
         "%2 = matmul x w : f32[4,6]\n%3 = constant : f32[2,1,1]\n%4 = pointwise %2 %3 {add 0 1} : "
         "f32[2,4,6]\noutput y = %4\n"},
        {"a product alone stays", product_alone,
         "%2 = matmul x w : f32[4,6]\n%3 = softmax %2 : f32[4,6]\noutput y = %3\n"},
        {"a product with two users stays", product_used_twice,
         "%2 = matmul x w : f32[4,6]\n%3 = softmax %2 : f32[4,6]\n%4 = pointwise %2 %3 {exp 0; add "
         "1 2} : f32[4,6]\noutput y = %4\n"},
        {"a product that is an output stays", product_is_output,
         "%2 = matmul x w : f32[4,6]\n%3 = pointwise %2 {neg 0} : f32[4,6]\noutput m = %2\noutput "
         "y = %3\n"},
        {"an update on its gradient's tiles", update,
         "%3 = linear_store x w p {sub 1 0; 2 -> 1} : f32[4,6]\n"},
        {"an update that the cache holds stays apart", update_in_cache,
         "%3 = matmul a b : f32[256,256]\n%4 = pointwise_store large %3 {sub 0 1; 2 -> 0} : "
         "f32[256,256]\n"},
        {"a larger one does not", update_beyond_cache,
         "%3 = linear_store a b large {sub 1 0; 2 -> 1} : f32[1025,256]\n"},
        {"an update whose product reads stored tensors stays", update_from_stored,
         "%3 = matmul q w : f32[4,6]\n%4 = pointwise_store p %3 {sub 0 1; 2 -> 0} : f32[4,6]\n"},
    };
    expect_texts(passes, N(rows), rows);
}

/* ---- update, backward ---- */

static wf_node *step(const leaves *l)
{
    wf_minimize(wf_sum(wf_mul(l->p, l->x), WF_ALL, false), &wf_sgd, NULL, NULL);
    return NULL;
}

static wf_node *clipped_step(const leaves *l)
{
    wf_minimize(wf_sum(wf_mul(l->p, l->x), WF_ALL, false), &wf_sgd, NULL,
                &(wf_minimize_options){.clip_norm = 2, .lr_name = "rate"});
    return NULL;
}

Test(pass_texts, update)
{
    static const wf_pass *const passes[] = {&wf_pass_update, NULL};
    static const row rows[] = {
        {"one step a parameter that the loss depends on", step,
         "%3 = mul p x : f32[4,6]\n%4 = sum %3 {axes=01} : f32[]\n%5 = gradient %4 p : "
         "f32[4,6]\n%6 = mul lr %5 : f32[4,6]  # update/p/\n%7 = sub p %6 : f32[4,6]  # "
         "update/p/\n%8 = assign p %7 : f32[4,6]  # update/p/\n"},
        {"clipping", clipped_step,
         "%3 = mul p x : f32[4,6]\n%4 = sum %3 {axes=01} : f32[]\n%5 = gradient %4 p : "
         "f32[4,6]\n%6 = constant {1} : f32[]\n%7 = constant {2} : f32[]\n%8 = square %5 : "
         "f32[4,6]\n%9 = sum %8 {axes=01} : f32[]\n%10 = sqrt %9 : f32[]\n%11 = shift %10 "
         "{a=9.99999997e-07} : f32[]\n%12 = div %7 %11 : f32[]\n%13 = min %6 %12 : f32[]\n%14 = "
         "mul %5 %13 : f32[4,6]\n%15 = mul rate %14 : f32[4,6]  # update/p/\n%16 = sub p %15 : "
         "f32[4,6]  # update/p/\n%17 = assign p %16 : f32[4,6]  # update/p/\n"},
    };
    expect_texts(passes, N(rows), rows);
}

ROW(slope, wf_gradient(wf_sum(wf_mul(wf_tanh(l->x), l->z), WF_ALL, false), l->x))

static wf_node *two_paths(const leaves *l)
{
    return wf_gradient(wf_sum(wf_mul(l->x, wf_mul(l->x, l->z)), WF_ALL, false), l->x);
}

Test(pass_texts, backward)
{
    static const wf_pass *const passes[] = {&wf_pass_backward, &wf_pass_simplify, NULL};
    static const row rows[] = {
        {"a chain", slope,
         "%2 = tanh x : f32[4,6]\n%3 = square %2 : f32[4,6]\n%4 = neg %3 : f32[4,6]\n%5 = shift %4 "
         "{a=1} : f32[4,6]\n%6 = mul z %5 : f32[4,6]\noutput y = %6\n"},
        {"two paths add up", two_paths,
         "%2 = mul x z : f32[4,6]\n%3 = mul x z : f32[4,6]\n%4 = add %2 %3 : f32[4,6]\noutput y = "
         "%4\n"},
    };
    expect_texts(passes, N(rows), rows);
}
