/* Wrong arguments of every builder: what is said, to the letter. The model stands in the scope
 * "net", so each line begins with it, then come the op, what is wrong, and the shapes. */
#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "graph/graph.h"
#include "ops/ops.h"

static wf_graph *g;
static const wf_role kernel = {.kind = WF_KERNEL};

static wf_node *f(wf_shape s)
{
    return wf_uniform(g, s);
}

#define F(...) f(WF_SHAPE(__VA_ARGS__))

static wf_node *ids(int64_t n)
{
    return wf_iota(g, n);
}

static wf_shape rank(int n) /* as wf_rank would count it: up to 6 sizes are there */
{
    return (wf_shape){.rank = n, .dim = {1, 1, 1, 1, 1, 1}};
}

static wf_node *split(int n, const int64_t sizes[])
{
    wf_node *parts[4];
    wf_split(F(2, 6), 1, n, sizes, parts);
    return parts[0];
}

static wf_node *mixed(int axis)
{
    return wf_concat(2, (wf_node *[]){F(3), ids(3)}, axis);
}

static wf_axes axes(int n)
{
    return (wf_axes){.n = n, .axis = {0, 1, 0, 0, 0, 0}};
}

static void train(wf_dtype dtype, wf_shape lr)
{
    wf_node *p = wf_param(g, "p", WF_SHAPE(2), kernel, (wf_init){0});
    wf_input(g, "rate", dtype, lr);
    wf_minimize(wf_sum(p, WF_ALL, false), &wf_sgd, NULL,
                &(wf_minimize_options){.lr_name = "net/rate"});
}

/* Each row is a mistake of its own, made in a new graph. */
#define MISTAKES(ROW)                                                                              \
    ROW("input: a shape of 7 axes, possible are 0 to 6", wf_input(g, "x", WF_F32, rank(7)))        \
    ROW("input: a shape of -1 axes, possible are 0 to 6", wf_input(g, "x", WF_F32, rank(-1)))      \
    ROW("input: values are f32, i32 or u8, not f16", wf_input(g, "x", WF_F16, rank(1)))            \
    ROW("input: values are f32, i32 or u8, not unknown", wf_input(g, "x", (wf_dtype)99, rank(1)))  \
    ROW("input: sizes must be positive, got [0]", wf_input(g, "x", WF_F32, WF_SHAPE(0)))           \
    ROW("input: sizes must be positive, got [2,-1]", wf_input(g, "x", WF_F32, WF_SHAPE(2, -1)))    \
    ROW("param: a shape of 7 axes", wf_param(g, "p", rank(7), kernel, (wf_init){0}))               \
    ROW("x: input: declared twice, as f32 [1] and as param f32 [1]",                               \
        (wf_input(g, "x", WF_F32, rank(1)), wf_param(g, "x", rank(1), kernel, (wf_init){0})))      \
    ROW("x: input: declared twice, as f32 [1] and as input i32 [1]",                               \
        (wf_input(g, "x", WF_F32, rank(1)), wf_input(g, "x", WF_I32, rank(1))))                    \
    ROW("input: a shape of 9 axes",                                                                \
        (wf_input(g, "x", WF_F32, rank(1)), wf_input(g, "x", WF_F32, rank(9))))                    \
    ROW("constant: a shape of 7 axes", wf_full(g, rank(7), 1))                                     \
    ROW("constant: a shape of -2 axes", wf_constants(g, rank(-2), (float[1]){0}))                  \
    ROW("constant: more than 2^48 values, [1099511627776,1099511627776]",                          \
        wf_constants(g, WF_SHAPE((int64_t)1 << 40, (int64_t)1 << 40), (float[1]){0}))              \
    ROW("constant: its sizes must be numbers, not symbols",                                        \
        wf_constants_i32(g, WF_SHAPE(wf_size(g, "n")), (int32_t[1]){0}))                           \
    ROW("uniform: a shape of 7 axes", wf_uniform(g, rank(7)))                                      \
    ROW("normal: a shape of -3 axes", wf_normal(g, rank(-3)))                                      \
    ROW("iota: more numbers than int32 has", wf_iota(g, (int64_t)1 << 32))                         \
    ROW("iota: sizes must be positive, got [-4]", wf_iota(g, -4))                                  \
    ROW("extent: there is no axis 2 in [2,6]", wf_extent(F(2, 6), 2))                              \
    ROW("extent: there is no axis 0 in []", wf_extent(f(WF_SCALAR), 0))                            \
    ROW("uniform: there is no axis -3 in [2,6]", f(WF_SHAPE(2, wf_dim(F(2, 6), -3))))              \
    ROW("add: shapes do not broadcast, [2,3] and [3,2]", wf_add(F(2, 3), F(3, 2)))                 \
    ROW("exp: input 0 must be float32; inputs i32 [3]", wf_exp(ids(3)))                            \
    ROW("where: input 2 must be float32; inputs f32 [3], f32 [3], i32 [3]",                        \
        wf_where(F(3), F(3), ids(3)))                                                              \
    ROW("clamp: bounds are the wrong way round, 1 and 0; inputs f32 [3]", wf_clamp(F(3), 1, 0))    \
    ROW("clamp: bounds are the wrong way round, nan", wf_clamp(F(3), NAN, 0))                      \
    ROW("cast: converts float32, int32 and uint8 to float32 or int32 only; inputs f32 [3]",        \
        wf_cast(F(3), WF_U8))                                                                      \
    ROW("sum: there is no axis -3 in [2,6]", wf_sum(F(2, 6), WF_AXES(-3), false))                  \
    ROW("mean: axis 1 of [2,6] comes twice", wf_mean(F(2, 6), WF_AXES(1, -1), false))              \
    ROW("norm: 3 axes are named of [2,6]", wf_norm(F(2, 6), axes(3), true))                        \
    ROW("logsumexp: -1 axes are named of [2,6]", wf_logsumexp(F(2, 6), axes(-1), true))            \
    ROW("max_over: 9 axes are named of [2,6]", wf_max_over(F(2, 6), axes(9), true))                \
    ROW("sum: the input must be float32; inputs i32 [3]", wf_sum(ids(3), WF_ALL, false))           \
    ROW("cumsum: there is no axis 0 in []", wf_cumsum(f(WF_SCALAR), 0))                            \
    ROW("matmul: both inputs need two axes, got [6] x [6]", wf_matmul(F(6), F(6)))                 \
    ROW("matmul: leading axes do not broadcast, [2,1,3] x [3,3,1]",                                \
        wf_matmul(F(2, 1, 3), F(3, 3, 1)))                                                         \
    ROW("reshape: sizes differ, [2,6] to [5]", wf_reshape(F(2, 6), WF_SHAPE(5)))                   \
    ROW("reshape: the open size is no whole number, [2,6] to [5,-1]",                              \
        wf_reshape(F(2, 6), WF_SHAPE(5, -1)))                                                      \
    ROW("reshape: the open size is no whole number, [2,6] to [0,-1]",                              \
        wf_reshape(F(2, 6), WF_SHAPE(0, -1)))                                                      \
    ROW("reshape: more than one size is open, [2,6] to [-1,3,-1]",                                 \
        wf_reshape(F(2, 6), WF_SHAPE(-1, 3, -1)))                                                  \
    ROW("reshape: sizes must be positive, got [-2,-6]", wf_reshape(F(2, 6), WF_SHAPE(-2, -6)))     \
    ROW("reshape: a shape of 7 axes", wf_reshape(F(1), rank(7)))                                   \
    ROW("reshape: a shape of -1 axes", wf_reshape(F(1), rank(-1)))                                 \
    ROW("a product of sizes overflows",                                                            \
        wf_reshape(F(2, 6), WF_SHAPE(INT64_MAX / 2, INT64_MAX / 2, -1)))                           \
    ROW("reshape: the open size is no whole number, [?,6] to [4,-1]",                              \
        wf_reshape(F(wf_size(g, "n"), 6), WF_SHAPE(4, -1)))                                        \
    ROW("reshape: sizes differ, [?,6] to [?,5]",                                                   \
        wf_reshape(F(wf_size(g, "n"), 6), WF_SHAPE(wf_size(g, "n"), 5)))                           \
    ROW("transpose: there is no axis 2 in [2,6]", wf_transpose(F(2, 6), WF_AXES(0, 2)))            \
    ROW("transpose: the order must name each axis of [2,6] once",                                  \
        wf_transpose(F(2, 6), WF_AXES(1, -1)))                                                     \
    ROW("transpose: the order names 1 axes of [2,6]", wf_transpose(F(2, 6), WF_AXES(1)))           \
    ROW("transpose: the order names 9 axes of [2,6]", wf_transpose(F(2, 6), axes(9)))              \
    ROW("transpose: the order names -1 axes of [2,6]", wf_transpose(F(2, 6), axes(-1)))            \
    ROW("broadcast: [2,6] does not broadcast to [6]", wf_broadcast(F(2, 6), WF_SHAPE(6)))          \
    ROW("broadcast: a shape of 7 axes", wf_broadcast(F(1), rank(7)))                               \
    ROW("broadcast: sizes must be positive, got [-1]", wf_broadcast(F(1), WF_SHAPE(-1)))           \
    ROW("slice: there is no axis -3 in [2,6]", wf_slice(F(2, 6), -3, 0, 1))                        \
    ROW("slice: 7 elements from 0 lie outside axis 1 of [2,6]", wf_slice(F(2, 6), 1, 0, 7))        \
    ROW("slice: -1 elements from 0 lie outside axis 1", wf_slice(F(2, 6), 1, 0, -1))               \
    ROW("slice: 1 elements from -1 lie outside axis 1", wf_slice(F(2, 6), 1, -1, 1))               \
    ROW("slice: 1 elements from 9223372036854775807 lie", wf_slice(F(2, 6), 1, INT64_MAX, 1))      \
    ROW("slice: 9223372036854775807 elements from 1 lie", wf_slice(F(2, 6), 1, 1, INT64_MAX))      \
    ROW("slice: 1 elements from -1 lie outside axis 0 of [?]",                                     \
        wf_slice(F(wf_size(g, "n")), 0, -1, 1))                                                    \
    ROW("slice: the start must be a number, not a symbol; inputs f32 [2,6]",                       \
        wf_slice(F(2, 6), 1, wf_size(g, "n"), 1))                                                  \
    ROW("slice: the start must be a number, not a symbol",                                         \
        split(2, (int64_t[]){wf_size(g, "n"), 2}))                                                 \
    ROW("slice: the parts of a split have 5 of 6 elements", split(2, (int64_t[]){2, 3}))           \
    ROW("slice: the parts of a split have n of 6 elements",                                        \
        split(1, (int64_t[]){wf_size(g, "n")}))                                                    \
    ROW("slice: 7 elements from 0 lie outside", split(2, (int64_t[]){7, -1}))                      \
    ROW("slice: 9223372036854775807 elements from 0 lie",                                          \
        split(3, (int64_t[]){INT64_MAX, INT64_MAX, 2}))                                            \
    ROW("concat: there is no axis 1 in [3]", mixed(1))                                             \
    ROW("concat: input 1 has another dtype; inputs f32 [3], i32 [3]", mixed(0))                    \
    ROW("concat: [2,3] and [3,3] differ outside axis 1",                                           \
        wf_concat(2, (wf_node *[]){F(2, 3), F(3, 3)}, 1))                                          \
    ROW("concat: [2,3] and [3] differ outside axis 0",                                             \
        wf_concat(2, (wf_node *[]){F(2, 3), F(3)}, 0))                                             \
    ROW("gather: ids must be int32; inputs f32 [3,2], f32 [4]", wf_gather(F(3, 2), F(4)))          \
    ROW("gather: the table must be float32 with at least one axis; inputs f32 [], i32 [4]",        \
        wf_gather(f(WF_SCALAR), ids(4)))                                                           \
    ROW("gather: too many axes; inputs f32 [1,1,1,1,1,1], i32 [1,4]",                              \
        wf_gather(f(rank(6)), wf_reshape(ids(4), WF_SHAPE(1, 4))))                                 \
    ROW("one_hot: sizes must be positive, got [4,0]", wf_one_hot(ids(4), 0))                       \
    ROW("one_hot: too many axes", wf_one_hot(wf_reshape(ids(1), rank(6)), 2))                      \
    ROW("softmax: needs at least one axis", wf_softmax(f(WF_SCALAR)))                              \
    ROW("rms_norm: eps must not be negative, got -1; inputs f32 [3]", wf_rms_norm(F(3), -1))       \
    ROW("layer_norm: eps must not be negative, got nan", wf_layer_norm(F(3), NAN))                 \
    ROW("dropout: the rate must lie in [0, 1), got 1", wf_dropout(F(3), 1))                        \
    ROW("dropout: the rate must lie in [0, 1), got nan", wf_dropout(F(3), NAN))                    \
    ROW("param: sizes must be positive, got [6,0]", wf_dense(F(2, 6), 0, true, (wf_init){0}, "d")) \
    ROW("span_packed: offsets must be int32 [sequences + 1]; inputs f32 [3]",                      \
        wf_span_packed(F(3), 8, false))                                                            \
    ROW("span_packed: more tokens than int32 can count; inputs i32 [3]",                           \
        wf_span_packed(ids(3), (int64_t)1 << 32, false))                                           \
    ROW("positions: more tokens than int32 can count", wf_positions(ids(3), (int64_t)1 << 32))     \
    ROW("span_padded: more tokens than int32 can count",                                           \
        wf_span_padded(ids(3), (int64_t)1 << 32, true))                                            \
    ROW("span_padded: sizes must be positive, got [3,0,2]", wf_span_padded(ids(3), 0, true))       \
    ROW("mask_span: the span has another shape than the scores; inputs f32 [3,5], i32 [3,4,2]",    \
        wf_mask_span(F(3, 5), wf_span_padded(ids(3), 4, true), 0))                                 \
    ROW("span_length: a span must be int32 [..., n, 2]; inputs i32 [3]",                           \
        wf_span_length(ids(3), 1))                                                                 \
    ROW("rope: positions must be int32, one for each of axis -2; inputs f32 [3,4], i32 [2]",       \
        wf_rope(F(3, 4), ids(2), 100))                                                             \
    ROW("rope: the last size must be even, got 5; inputs f32 [3,5], i32 [3]",                      \
        wf_rope(F(3, 5), ids(3), 100))                                                             \
    ROW("rope: the base must be positive, got 0", wf_rope(F(3, 4), ids(3), 0))                     \
    ROW("rope: the base must be positive, got nan", wf_rope(F(3, 4), ids(3), NAN))                 \
    ROW("cross_entropy_rows: labels [4] do not fit logits [3,5]",                                  \
        wf_cross_entropy_rows(F(3, 5), ids(4), -1))                                                \
    ROW("gradient: the loss must be one value, its shape has 1 axes; inputs f32 [3], f32 [3]",     \
        wf_gradient(F(3), F(3)))                                                                   \
    ROW("minimize: the learning rate must be one float32 value; inputs f32 [], f32 [2]",           \
        (train(WF_F32, WF_SHAPE(2)), NULL))                                                        \
    ROW("minimize: the learning rate must be one float32 value; inputs f32 [], i32 []",            \
        (train(WF_I32, WF_SCALAR), NULL))                                                          \
    ROW("a product of sizes overflows",                                                            \
        F(wf_size_mul(g, wf_size_mul(g, wf_size(g, "n"), INT64_MAX / 2), 4)))                      \
    ROW("a sum of sizes overflows", F(wf_size_add(g, INT64_MAX, 1)))                               \
    ROW("a sum of sizes overflows",                                                                \
        F(wf_size_add(g, wf_size_mul(g, wf_size(g, "n"), INT64_MAX), wf_size(g, "n"))))

static int failed; /* rows whose text is another one */

static void begin(void)
{
    g = wf_graph_new();
    wf_push(g, "net");
}

static void end(const char *want, wf_node *y)
{
    if (y) wf_output(wf_neg(y), "y"); /* poison flows on */
    bool ok = wf_graph_check(g) == WF_EMODEL && !strncmp(wf_error(), "net", 3) &&
              strstr(wf_error(), want);
    cr_expect(ok, "\"%s\" should be \"net: %s\"", wf_graph_check(g) ? wf_error() : "", want);
    failed += !ok;
    wf_graph_free(g);
}

#define TRY(WANT, BUILD)                                                                           \
    begin();                                                                                       \
    end(WANT, BUILD);

Test(graph_errors, every_wrong_argument_is_told_with_op_and_shapes)
{
    MISTAKES(TRY)
    cr_expect_eq(failed, 0);
}

Test(graph_errors, good_arguments_at_the_edge_are_taken)
{
    begin();
    int64_t n = wf_size(g, "n");
    wf_node *x = F(n, 6);
    cr_expect_eq(wf_dim(wf_reshape(x, WF_SHAPE(2, -1)), 1), wf_size_mul(g, 3, n));
    cr_expect_eq(wf_dim(wf_reshape(x, WF_SHAPE(-1, n)), 0), 6);
    cr_expect_eq(wf_rank(f(rank(6))), 6);
    cr_expect_eq(wf_rank(wf_sum(f(rank(6)), axes(2), false)), 4);
    cr_expect_eq(wf_rank(wf_transpose(f(WF_SCALAR), WF_ALL)), 0);
    cr_expect_eq(wf_dim(wf_slice(F(2, 6), -1, 5, 1), 1), 1);
    wf_rope(F(4, n), ids(4), 100);
    split(3, (int64_t[]){1, 2, 3});
    cr_expect_eq(wf_graph_check(g), WF_OK, "%s", wf_error());
    wf_graph_free(g);
}

/* Two names that differ late are two names: of parameters, states, scopes and random numbers. */
Test(graph_errors, names_of_any_length_stay_different)
{
    char name[1000];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    g = wf_graph_new();
    for (int i = 0; i < 3; i++) wf_push(g, "%s", name);
    wf_node *p = wf_param(g, "p", WF_SHAPE(2), kernel, (wf_init){0});
    wf_node *q = wf_param(g, "q", WF_SHAPE(2), kernel, (wf_init){0});
    cr_expect_neq(p, q);
    cr_expect_neq(wf_state(p, "m"), wf_state(p, "v"));
    cr_expect_neq(wf_state(p, "m"), wf_state(q, "m"));
    cr_expect_neq(F(2)->salt, F(2)->salt);
    cr_expect_eq(wf_graph_check(g), WF_OK, "%s", wf_error());
    wf_add(p, F(3));
    cr_expect(wf_graph_check(g) == WF_EMODEL && strstr(wf_error(), "[2] and [3]"),
              "a long path leaves room for the mistake: %s", wf_error());
    wf_graph_free(g);
}
