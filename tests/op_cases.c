/* THE table of op cases. Every op of ops/oplist.h has a row; the tests ask for it. */
#include "tests/op_cases.h"

#include "ops/gau.h"
#include "ops/matmul.h"

#include <math.h>

/* Rows leave the rest zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* ---- rows whose builder does more than wf_apply ---- */

static wf_node *just_input(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g, (void)attr;
    return x[0];
}

static wf_node *full(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)x, (void)attr;
    return wf_full(g, WF_SHAPE(3, 5), 0.25f);
}

static wf_node *table(wf_graph *g, wf_node *const x[], const void *attr)
{
    static const int32_t values[] = {3, -1, 4, 1, -5, 9};
    (void)x, (void)attr;
    return wf_constants_i32(g, WF_SHAPE(2, 3), values);
}

static wf_node *parameter(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)x;
    return wf_param(g, "p", WF_SHAPE(3, 5), (wf_role){0}, *(const wf_init *)attr);
}

static wf_node *state(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *p = parameter(g, x, attr);
    return wf_state(p, "momentum");
}

static wf_node *iota(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)x;
    return wf_iota(g, *(const int64_t *)attr);
}

static wf_node *uniform(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)x;
    return wf_uniform(g, *(const wf_shape *)attr);
}

static wf_node *normal(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)x;
    return wf_normal(g, *(const wf_shape *)attr);
}

static wf_node *assign(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *p = wf_param(g, "p", wf_shape_of(x[0]), (wf_role){0}, *(const wf_init *)attr);
    wf_assign(p, x[0]);
    return p;
}

/* p <- exp(p) x, q <- p */
static wf_node *store_two(wf_graph *g, wf_node *const x[], const void *attr)
{
    static const wf_init init = {.kind = WF_INIT_NORMAL, .a = 1};
    wf_node *p = wf_param(g, "p", wf_shape_of(x[0]), (wf_role){0}, init);
    wf_node *q = wf_param(g, "q", wf_shape_of(x[0]), (wf_role){0}, init);
    wf_apply3(&wf_op_pointwise_store, attr, p, q, x[0]);
    return p;
}

static wf_node *mean_of_last(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g, (void)attr;
    return wf_mean(x[0], WF_AXES(-1, 0), true);
}

static wf_node *reshape_open(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g, (void)attr;
    return wf_reshape(x[0], WF_SHAPE(-1, 2));
}

static wf_node *linear(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g, (void)attr;
    return wf_linear(x[0], x[1], x[2]);
}

/* p <- p - 0.1 (a b) x */
static wf_node *store_product(wf_graph *g, wf_node *const x[], const void *attr)
{
    static const wf_init init = {.kind = WF_INIT_NORMAL, .a = 1};
    wf_node *p = wf_param(g, "p", wf_shape_of(x[2]), (wf_role){0}, init);
    wf_apply(&wf_op_linear_store, attr, 4, (wf_node *[]){x[0], x[1], p, x[2]});
    return p;
}

static wf_node *store_product_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    static const wf_init init = {.kind = WF_INIT_NORMAL, .a = 1};
    wf_node *p = wf_param(g, "p", wf_shape_of(x[2]), (wf_role){0}, init);
    const wf_matmul_attr *a = &((const wf_linear_attr *)attr)->product;
    wf_node *d = wf_mul(wf_apply2(&wf_op_matmul, a, x[0], x[1]), x[2]);
    wf_assign(p, wf_sub(p, wf_scale(d, 0.1f)));
    return p;
}

static wf_node *rows_table(wf_graph *g, const wf_node *dy, const void *attr)
{
    static const wf_init init = {.kind = WF_INIT_NORMAL, .a = 1};
    wf_shape s = WF_SHAPE(((const wf_rows_attr *)attr)->rows, wf_dim(dy, -1));
    return wf_param(g, "p", s, (wf_role){0}, init);
}

static wf_node *scatter_store(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *p = rows_table(g, x[1], attr);
    wf_apply3(&wf_op_scatter_store, attr, x[0], x[1], p);
    return p;
}

static wf_node *scatter_store_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *p = rows_table(g, x[1], attr);
    wf_assign(p, wf_apply3(&wf_op_scatter_rows, attr, x[0], x[1], p));
    return p;
}

static wf_node *matmul(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_matmul_attr *a = attr;
    (void)g;
    return a->ta   ? wf_t_matmul(x[0], x[1])
           : a->tb ? wf_matmul_t(x[0], x[1])
                   : wf_matmul(x[0], x[1]);
}

/* ---- families of rows ---- */

/* clang-format off */
#define UNARY(OP, DRAW, FLAGS, ATTR)                                                               \
    {&wf_op_##OP, "one value", {{DRAW, {0}}}, .attr = ATTR, .flags = FLAGS},                       \
    {&wf_op_##OP, "of rank 3", {{DRAW, {2, 3, 5}}}, .attr = ATTR, .flags = FLAGS},                 \
    {&wf_op_##OP, "of a slice", {{DRAW, {3, 7}, OP_SLICED}}, .attr = ATTR, .flags = FLAGS},        \
    {&wf_op_##OP, "of a transposed", {{DRAW, {2, 1, 3, 5}, OP_TURNED}}, .attr = ATTR, .flags = FLAGS}, \
    {&wf_op_##OP, "1037", {{DRAW, {17, 61}}}, .attr = ATTR, .flags = (FLAGS) & OP_DATA},           \
    {&wf_op_##OP, "large", {{DRAW, {512, 1024}}}, .attr = ATTR, .flags = OP_LARGE}

#define BINARY(OP, A, B, FLAGS, ATTR)                                                              \
    {&wf_op_##OP, "two values", {{A, {0}}, {B, {0}}}, .attr = ATTR, .flags = FLAGS},               \
    {&wf_op_##OP, "of one shape", {{A, {3, 7}}, {B, {3, 7}}}, .attr = ATTR, .flags = FLAGS},       \
    {&wf_op_##OP, "with a value", {{A, {3, 7}}, {B, {0}}}, .attr = ATTR, .flags = FLAGS},          \
    {&wf_op_##OP, "a value with", {{A, {0}}, {B, {2, 3, 4}}}, .attr = ATTR, .flags = FLAGS},       \
    {&wf_op_##OP, "with a row", {{A, {2, 3, 5}}, {B, {5}}}, .attr = ATTR, .flags = FLAGS},         \
    {&wf_op_##OP, "a column with", {{A, {4, 1}}, {B, {4, 6}}}, .attr = ATTR, .flags = FLAGS},      \
    {&wf_op_##OP, "both repeated", {{A, {2, 1, 5}}, {B, {3, 1}}}, .attr = ATTR, .flags = FLAGS},   \
    {&wf_op_##OP, "rank 4 and 2", {{A, {2, 1, 3, 2}}, {B, {3, 1}}}, .attr = ATTR, .flags = FLAGS}, \
    {&wf_op_##OP, "size 1", {{A, {1, 1, 1}}, {B, {1}}}, .attr = ATTR, .flags = FLAGS},             \
    {&wf_op_##OP, "slices", {{A, {3, 5}, OP_SLICED}, {B, {5}, OP_SLICED}},                         \
     .attr = ATTR, .flags = FLAGS},                                                                \
    {&wf_op_##OP, "transposed", {{A, {4, 3, 2}, OP_TURNED}, {B, {4, 3, 1}, OP_TURNED}},            \
     .attr = ATTR, .flags = FLAGS},                                                                \
    {&wf_op_##OP, "large", {{A, {512, 1024}}, {B, {512, 1024}}}, .attr = ATTR, .flags = OP_LARGE}, \
    {&wf_op_##OP, "large with a row", {{A, {512, 1024}}, {B, {1024}}},                             \
     .attr = ATTR, .flags = OP_LARGE}

#define OVER(...) .attr = &(const wf_reduce_attr){.over = {__VA_ARGS__}}
#define KEEP(...) .attr = &(const wf_reduce_attr){.over = {__VA_ARGS__}, .keep = true}
#define REDUCE(OP, DRAW, FLAGS)                                                                    \
    {&wf_op_##OP, "of a value", {{DRAW, {0}}}, OVER(0), .flags = FLAGS},                           \
    {&wf_op_##OP, "of all", {{DRAW, {3, 7}}}, OVER(1, 1), .flags = FLAGS},                         \
    {&wf_op_##OP, "of one", {{DRAW, {1, 1}}}, OVER(1, 1), .flags = FLAGS},                         \
    {&wf_op_##OP, "of rows", {{DRAW, {4, 7}}}, OVER(0, 1), .flags = FLAGS},                        \
    {&wf_op_##OP, "of columns, kept", {{DRAW, {4, 7}}}, KEEP(1, 0), .flags = FLAGS},               \
    {&wf_op_##OP, "of the middle", {{DRAW, {3, 4, 5}}}, OVER(0, 1, 0), .flags = FLAGS},            \
    {&wf_op_##OP, "of outer axes", {{DRAW, {2, 3, 4}}}, KEEP(1, 0, 1), .flags = FLAGS},            \
    {&wf_op_##OP, "of two pairs", {{DRAW, {2, 3, 2, 5}}}, OVER(0, 1, 0, 1), .flags = FLAGS},       \
    {&wf_op_##OP, "of a size 1", {{DRAW, {3, 1, 4}}}, OVER(0, 1, 0), .flags = FLAGS},              \
    {&wf_op_##OP, "of a slice", {{DRAW, {3, 5}, OP_SLICED}}, OVER(0, 1), .flags = FLAGS},          \
    {&wf_op_##OP, "of a transposed", {{DRAW, {5, 3}, OP_TURNED}}, OVER(0, 1), .flags = FLAGS},     \
    {&wf_op_##OP, "of 333 columns of 300", {{DRAW, {300, 333}}}, OVER(1, 0)},                      \
    {&wf_op_##OP, "of all, large", {{DRAW, {512, 1024}}}, OVER(1, 1), .flags = OP_LARGE, .tolerance = 2e-5}, \
    {&wf_op_##OP, "of rows, large", {{DRAW, {512, 1024}}}, OVER(0, 1), .flags = OP_LARGE, .tolerance = 2e-5}, \
    {&wf_op_##OP, "of columns, large", {{DRAW, {512, 1024}}}, OVER(1, 0), .flags = OP_LARGE, .tolerance = 2e-5}

#define ROWS(OP, DRAW, ATTR)                                                                       \
    {&wf_op_##OP, "of a row", {{DRAW, {7}}}, .attr = ATTR, .flags = OP_SECOND},                    \
    {&wf_op_##OP, "of rank 3", {{DRAW, {2, 3, 5}}}, .attr = ATTR, .flags = OP_SECOND},             \
    {&wf_op_##OP, "of size 1", {{DRAW, {3, 1}}}, .attr = ATTR, .flags = OP_SECOND},                \
    {&wf_op_##OP, "of a slice", {{DRAW, {3, 5}, OP_SLICED}}, .attr = ATTR, .flags = OP_SECOND},    \
    {&wf_op_##OP, "of a transposed", {{DRAW, {5, 3}, OP_TURNED}}, .attr = ATTR, .flags = OP_SECOND}, \
    {&wf_op_##OP, "of 1500", {{DRAW, {3, 1500}}}, .attr = ATTR, .flags = 0},                       \
    {&wf_op_##OP, "large", {{DRAW, {512, 1024}}}, .attr = ATTR, .flags = OP_LARGE}

#define ROWS_GRAD(OP, ATTR)                                                                        \
    {&wf_op_##OP, "of a row", {{OP_ANY, {7}}, {OP_ANY, {7}}}, .attr = ATTR, .flags = OP_SECOND},   \
    {&wf_op_##OP, "of rank 3", {{OP_ANY, {2, 3, 5}}, {OP_ANY, {2, 3, 5}}},                         \
     .attr = ATTR, .flags = OP_SECOND},                                                            \
    {&wf_op_##OP, "of a slice", {{OP_ANY, {3, 5}, OP_SLICED}, {OP_ANY, {3, 5}, OP_TURNED}},        \
     .attr = ATTR, .flags = OP_SECOND},                                                            \
    {&wf_op_##OP, "of 1500", {{OP_ANY, {3, 1500}}, {OP_ANY, {3, 1500}}}, .attr = ATTR, .flags = 0}, \
    {&wf_op_##OP, "large", {{OP_ANY, {512, 1024}}, {OP_ANY, {512, 1024}}},                         \
     .attr = ATTR, .flags = OP_LARGE, .tolerance = 5e-5}

#define NUMBERS(...) &(const wf_scalar_attr){__VA_ARGS__}
#define EPS(X) &(const wf_norm_attr){X}
#define MM(TA, TB) .attr = &(const wf_matmul_attr){.ta = TA, .tb = TB}, .build = matmul
#define AXIS(...) .attr = &(const wf_axis_attr){__VA_ARGS__}
#define SHAPE(RANK, ...) .attr = &(const wf_shape_attr){{RANK, {__VA_ARGS__}}}
#define ORDER(...) .attr = &(const wf_order_attr){{__VA_ARGS__}}
#define SLICE(AXIS_, START, SIZE) .attr = &(const wf_slice_attr){.axis = AXIS_, .start = START, .size = SIZE}
#define PAD(AXIS_, BEFORE, TOTAL) .attr = &(const wf_pad_attr){.axis = AXIS_, .before = BEFORE, .total = TOTAL}
#define TABLE(N) .attr = &(const wf_rows_attr){.rows = N}
#define SPAN(...) .attr = &(const wf_span_attr){__VA_ARGS__}
#define ROPE(...) .attr = &(const wf_rope_attr){__VA_ARGS__}
#define IGNORE(N) .attr = &(const wf_loss_attr){N}
#define RATE(X) .attr = &(const wf_random_attr){.rate = X}

/* u | v | z in P, by columns; P [n, 2e + s] */
#define GAU(E, S, ...) .attr = &(const wf_gau_attr){.e = E, .s = S, .v = E, .z = 2 * E, __VA_ARGS__}
#define GAU_IN(N, E, S)                                                                            \
    {OP_ANY, {N, 2 * E + S}}, {OP_ANY, {S}}, {OP_ANY, {S}}, {OP_SPANS, {N, 2}, .limit = N},        \
    {OP_LENGTHS, {N}, .limit = N}
#define GAU_BATCH(B, N, E, S)                                                                      \
    {OP_ANY, {B, N, 2 * E + S}}, {OP_ANY, {S}}, {OP_ANY, {S}}, {OP_SPANS, {B, N, 2}, .limit = N},  \
    {OP_LENGTHS, {N}, .limit = N}
#define SOFTMAX .kind = WF_GAU_KIND_SOFTMAX, .scale = 0.5f, .min_len = 1
#define PLUS SOFTMAX, .log_scale = 0.16f
#define RELU2 .kind = WF_GAU_KIND_RELU2, .scale = 0.5f, .min_len = 1
#define GAU_ROWS(OP, FLAGS, TOLERANCE, DG)                                                         \
    {&wf_op_##OP, "softmax", {GAU_IN(5, 3, 4) DG(5, 3)}, GAU(3, 4, SOFTMAX),                   \
     FLAGS, op_##OP, op_##OP##_plain, TOLERANCE},                                          \
    {&wf_op_##OP, "softmax plus", {GAU_IN(7, 2, 2) DG(7, 2)}, GAU(2, 2, PLUS),                 \
     FLAGS, op_##OP, op_##OP##_plain, TOLERANCE},                                          \
    {&wf_op_##OP, "relu2", {GAU_IN(5, 3, 4) DG(5, 3)}, GAU(3, 4, RELU2),                       \
     FLAGS, op_##OP, op_##OP##_plain, TOLERANCE},                                          \
    {&wf_op_##OP, "three blocks", {GAU_IN(131, 70, 6) DG(131, 70)},                            \
     GAU(70, 6, PLUS), 0, op_##OP, op_##OP##_plain, TOLERANCE},                            \
    {&wf_op_##OP, "three blocks of relu2", {GAU_IN(131, 70, 6) DG(131, 70)},                   \
     GAU(70, 6, RELU2), 0, op_##OP, op_##OP##_plain, TOLERANCE},                           \
    {&wf_op_##OP, "several waves", {GAU_IN(1100, 9, 2) DG(1100, 9)}, GAU(9, 2, PLUS),              \
     0, op_##OP, op_##OP##_plain, TOLERANCE},                                                      \
    {&wf_op_##OP, "large", {GAU_IN(256, 192, 64) DG(256, 192)}, GAU(192, 64, PLUS),            \
     OP_LARGE, op_##OP, op_##OP##_plain, TOLERANCE}
/* v | z, or z | v, in P [n, e + s]; M queries */
#define PICK(E, S, V, Z, ...) .attr = &(const wf_gau_attr){.e = E, .s = S, .u = -1, .v = V, .z = Z, __VA_ARGS__}
#define PICK_IN(N, E, S, M)                                                                        \
    {OP_ANY, {N, E + S}}, {OP_ANY, {S}}, {OP_ANY, {S}}, {OP_SPANS, {N, 2}, .limit = N},            \
    {OP_LENGTHS, {N}, .limit = N}, {OP_LENGTHS, {M}, .limit = N - 1}
#define PICK_BATCH(B, N, E, S, M)                                                                  \
    {OP_ANY, {B, N, E + S}}, {OP_ANY, {S}}, {OP_ANY, {S}}, {OP_SPANS, {B, N, 2}, .limit = N},      \
    {OP_LENGTHS, {N}, .limit = N}, {OP_LENGTHS, {M}, .limit = B * N - 1}
#define PICK_ROWS(OP, FLAGS, TOLERANCE, DG)                                                        \
    {&wf_op_##OP, "picked, softmax", {PICK_IN(5, 3, 4, 7) DG(7, 3)}, PICK(3, 4, 0, 3, SOFTMAX),    \
     FLAGS, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},                                  \
    {&wf_op_##OP, "picked, softmax plus", {PICK_IN(7, 2, 2, 3) DG(3, 2)}, PICK(2, 2, 2, 0, PLUS),  \
     FLAGS, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},                                  \
    {&wf_op_##OP, "picked, relu2", {PICK_IN(5, 3, 4, 4) DG(4, 3)}, PICK(3, 4, 0, 3, RELU2),        \
     FLAGS, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},                                  \
    {&wf_op_##OP, "picked of a batch", {PICK_BATCH(3, 4, 2, 2, 4) DG(4, 2)},                       \
     PICK(2, 2, 0, 2, SOFTMAX), FLAGS, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},       \
    {&wf_op_##OP, "picked, one block", {PICK_IN(131, 70, 6, 20) DG(20, 70)},                       \
     PICK(70, 6, 6, 0, PLUS), 0, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},             \
    {&wf_op_##OP, "picked, three blocks", {PICK_IN(100, 70, 6, 150) DG(150, 70)},                  \
     PICK(70, 6, 0, 70, RELU2), 0, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},           \
    {&wf_op_##OP, "picked, several waves", {PICK_IN(1100, 9, 2, 1000) DG(1000, 9)},                \
     PICK(9, 2, 0, 9, PLUS), 0, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE},              \
    {&wf_op_##OP, "picked, large", {PICK_IN(512, 192, 64, 76) DG(76, 192)},                        \
     PICK(192, 64, 0, 192, PLUS), OP_LARGE, op_##OP##_picked, op_##OP##_picked_plain, TOLERANCE}
#define NO_DG(N, E)
#define WITH_DG(N, E) , {OP_ANY, {N, E}}

static const wf_init one_normal = {.kind = WF_INIT_NORMAL, .a = 1};
static const wf_shape small_shape = {2, {3, 5}}, large_shape = {2, {512, 1024}};
static const int64_t seven = 7, many = 1 << 19;

/* tanh(a + b) a, with a constant in between */
static const wf_pw chain = {
    .n_in = 2, .n_instr = 4,
    .instr = {{&wf_op_add, NULL, 2, {0, 1}}, {&wf_op_tanh, NULL, 1, {2}},
              {&wf_op_scale, &(const wf_scalar_attr){.a = 3}, 1, {3}}, {&wf_op_mul, NULL, 2, {4, 0}}}};
static const wf_pw stores = {
    .n_in = 3, .n_instr = 2, .n_stores = 2,
    .instr = {{&wf_op_exp, NULL, 1, {0}}, {&wf_op_mul, NULL, 2, {3, 2}}},
    .store = {{4, 0}, {0, 1}}};

/* silu(a b + bias) residual; store: see store_product */
#define EPILOGUE                                                                                   \
    {.n_in = 3, .n_instr = 3,                                                                      \
     .instr = {{&wf_op_add, NULL, 2, {0, 1}}, {&wf_op_silu, NULL, 1, {3}},                         \
               {&wf_op_mul, NULL, 2, {4, 2}}}}
static const wf_linear_attr epilogue = {.program = EPILOGUE};
static const wf_linear_attr turned_epilogue = {{.tb = true}, EPILOGUE};
static const wf_linear_attr update = {
    {.ta = true},
    {.n_in = 3, .n_instr = 3, .n_stores = 1,
     .instr = {{&wf_op_mul, NULL, 2, {0, 2}}, {&wf_op_scale, &(const wf_scalar_attr){.a = 0.1f}, 1, {3}},
               {&wf_op_sub, NULL, 2, {1, 4}}},
     .store = {{5, 1}}}};

const op_case op_cases[] = {
    /* leaf.c */
    {&wf_op_input, "read back", {{OP_ANY, {3, 5}}}, .flags = OP_SECOND, .build = just_input},
    {&wf_op_input, "one value", {{OP_ANY, {0}}}, .flags = OP_SECOND, .build = just_input},
    {&wf_op_constant, "one number everywhere", .flags = OP_DATA, .build = full},
    {&wf_op_constant, "a table of integers", .flags = OP_DATA, .build = table},
    {&wf_op_param, "normal", .attr = &one_normal, .flags = OP_DATA, .build = parameter},
    {&wf_op_state, "zeros", .attr = &one_normal, .flags = OP_DATA, .build = state},
    {&wf_op_extent, "axis 1", {{OP_ANY, {3, 5}}}, AXIS(1), .flags = OP_DATA},
    {&wf_op_iota, "of 7", .attr = &seven, .flags = OP_DATA, .build = iota},
    {&wf_op_iota, "large", .attr = &many, .flags = OP_DATA | OP_LARGE, .build = iota},

    /* unary.c */
    UNARY(neg, OP_ANY, OP_SECOND, NULL), UNARY(abs, OP_NONZERO, OP_SECOND, NULL), UNARY(sign, OP_NONZERO, OP_DATA, NULL),
    UNARY(exp, OP_ANY, OP_SECOND, NULL), UNARY(expm1, OP_ANY, OP_SECOND, NULL), UNARY(log, OP_POSITIVE, OP_SECOND, NULL),
    UNARY(log1p, OP_POSITIVE, OP_SECOND, NULL), UNARY(sqrt, OP_POSITIVE, OP_SECOND, NULL),
    UNARY(rsqrt, OP_POSITIVE, OP_SECOND, NULL), UNARY(square, OP_ANY, OP_SECOND, NULL),
    UNARY(reciprocal, OP_NONZERO, OP_SECOND, NULL), UNARY(sin, OP_ANY, OP_SECOND, NULL),
    UNARY(cos, OP_ANY, OP_SECOND, NULL), UNARY(tanh, OP_ANY, OP_SECOND, NULL), UNARY(erf, OP_ANY, OP_SECOND, NULL),
    UNARY(sigmoid, OP_ANY, OP_SECOND, NULL), UNARY(softplus, OP_ANY, OP_SECOND, NULL),
    UNARY(silu, OP_ANY, OP_SECOND, NULL), UNARY(gelu, OP_ANY, OP_SECOND, NULL),
    UNARY(gelu_tanh, OP_ANY, OP_SECOND, NULL), UNARY(relu, OP_NONZERO, OP_SECOND, NULL),
    UNARY(relu2, OP_NONZERO, OP_SECOND, NULL), UNARY(scale, OP_ANY, OP_SECOND, NUMBERS(-1.7f)),
    UNARY(shift, OP_ANY, OP_SECOND, NUMBERS(0.3f)),
    UNARY(clamp, OP_SPACED, OP_SECOND, NUMBERS(-0.5f, 0.9f)),

    /* binary.c */
    BINARY(add, OP_ANY, OP_ANY, OP_SECOND, NULL), BINARY(sub, OP_ANY, OP_ANY, OP_SECOND, NULL),
    BINARY(mul, OP_ANY, OP_ANY, OP_SECOND, NULL), BINARY(div, OP_ANY, OP_NONZERO, OP_SECOND, NULL),
    BINARY(max, OP_SPACED, OP_SPACED, OP_SECOND, NULL), BINARY(min, OP_SPACED, OP_SPACED, OP_SECOND, NULL),
    BINARY(pow, OP_POSITIVE, OP_ANY, OP_SECOND, NULL), BINARY(equal, OP_TIES, OP_TIES, OP_DATA, NULL),
    BINARY(less, OP_TIES, OP_TIES, OP_DATA, NULL), BINARY(less_equal, OP_TIES, OP_TIES, OP_DATA, NULL),
    BINARY(axpby, OP_ANY, OP_ANY, OP_SECOND, NUMBERS(0.3f, -0.7f)),
    {&wf_op_where, "of one shape", {{OP_BITS, {3, 7}}, {OP_ANY, {3, 7}}, {OP_ANY, {3, 7}}}, .flags = OP_SECOND},
    {&wf_op_where, "a column, a row, a value", {{OP_BITS, {4, 1}}, {OP_ANY, {5}}, {OP_ANY, {0}}}, .flags = OP_SECOND},
    {&wf_op_where, "one condition", {{OP_BITS, {0}}, {OP_ANY, {2, 3}, OP_TURNED}, {OP_ANY, {3}, OP_SLICED}}, .flags = OP_SECOND},
    {&wf_op_where, "large", {{OP_BITS, {512, 1024}}, {OP_ANY, {512, 1024}}, {OP_ANY, {1024}}}, .flags = OP_LARGE},

    /* reduce.c */
    REDUCE(sum, OP_ANY, OP_SECOND), REDUCE(mean, OP_ANY, OP_SECOND), REDUCE(max_over, OP_SPACED, OP_SECOND),
    REDUCE(logsumexp, OP_ANY, OP_SECOND), REDUCE(norm, OP_NONZERO, OP_SECOND),
    {&wf_op_mean, "of the last and the first axis", {{OP_ANY, {2, 3, 4}}}, .flags = OP_SECOND, .build = mean_of_last},
    {&wf_op_max_over, "of ties", {{OP_TIES, {4, 7}}}, OVER(0, 1), .flags = OP_DATA},

    /* cumsum.c */
    {&wf_op_cumsum, "of a row", {{OP_ANY, {7}}}, AXIS(0), .flags = OP_SECOND, .plain = op_cumsum_plain},
    {&wf_op_cumsum, "down columns", {{OP_ANY, {4, 5}}}, AXIS(0), .flags = OP_SECOND, .plain = op_cumsum_plain},
    {&wf_op_cumsum, "exclusive", {{OP_ANY, {3, 5}}}, AXIS(1, .exclusive = true), .flags = OP_SECOND, .plain = op_cumsum_plain},
    {&wf_op_cumsum, "reverse", {{OP_ANY, {2, 3, 4}, OP_TURNED}}, AXIS(1, .reverse = true), .flags = OP_SECOND, .plain = op_cumsum_plain},
    {&wf_op_cumsum, "exclusive and reverse", {{OP_ANY, {1, 5}}}, AXIS(1, true, true), .flags = OP_SECOND, .plain = op_cumsum_plain},
    {&wf_op_cumsum, "large", {{OP_ANY, {512, 1024}}}, AXIS(1), .flags = OP_LARGE},

    /* cast.c */
    {&wf_op_cast, "int32 to float", {{OP_IDS, {3, 5}, .limit = 1000}}, .attr = &(const wf_cast_attr){WF_F32}, .flags = OP_DATA},
    {&wf_op_cast, "uint8 to float", {{OP_BYTES, {3, 5}}}, .attr = &(const wf_cast_attr){WF_F32}, .flags = OP_DATA},
    {&wf_op_cast, "float to int32", {{OP_ANY, {3, 5}}}, .attr = &(const wf_cast_attr){WF_I32}, .flags = OP_DATA},
    {&wf_op_cast, "float to float", {{OP_ANY, {3, 5}, OP_SLICED}}, .attr = &(const wf_cast_attr){WF_F32}, .flags = OP_SECOND},
    {&wf_op_cast, "large", {{OP_BYTES, {512, 1024}}}, .attr = &(const wf_cast_attr){WF_F32}, .flags = OP_DATA | OP_LARGE},
    {&wf_op_stop_gradient, "of a slice", {{OP_ANY, {3, 5}, OP_SLICED}}, .flags = OP_DATA},

    /* matmul.c */
    {&wf_op_matmul, "1x1x1", {{OP_ANY, {1, 1}}, {OP_ANY, {1, 1}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "3x5x7", {{OP_ANY, {3, 5}}, {OP_ANY, {5, 7}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "a row", {{OP_ANY, {1, 6}}, {OP_ANY, {6, 5}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "a column", {{OP_ANY, {5, 6}}, {OP_ANY, {6, 1}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "outer product", {{OP_ANY, {4, 1}}, {OP_ANY, {1, 6}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "b transposed", {{OP_ANY, {3, 5}}, {OP_ANY, {7, 5}}}, MM(0, 1), .flags = OP_SECOND},
    {&wf_op_matmul, "a transposed", {{OP_ANY, {5, 3}}, {OP_ANY, {5, 7}}}, MM(1, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "both transposed", {{OP_ANY, {5, 3}}, {OP_ANY, {7, 5}}}, .attr = &(const wf_matmul_attr){.ta = 1, .tb = 1}, .flags = OP_SECOND},
    {&wf_op_matmul, "batches", {{OP_ANY, {2, 3, 4}}, {OP_ANY, {2, 4, 5}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "batch by one", {{OP_ANY, {2, 3, 4}}, {OP_ANY, {4, 5}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "one by batch", {{OP_ANY, {3, 4}}, {OP_ANY, {2, 4, 5}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "batches repeated", {{OP_ANY, {2, 1, 2, 3}}, {OP_ANY, {3, 3, 2}}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "batches, b transposed", {{OP_ANY, {2, 3, 4}}, {OP_ANY, {2, 5, 4}}}, MM(0, 1), .flags = OP_SECOND},
    {&wf_op_matmul, "batches, a transposed", {{OP_ANY, {2, 4, 3}}, {OP_ANY, {1, 4, 5}}}, MM(1, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "slices", {{OP_ANY, {3, 4}, OP_SLICED}, {OP_ANY, {4, 5}, OP_SLICED}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "turned", {{OP_ANY, {3, 4}, OP_TURNED}, {OP_ANY, {4, 5}, OP_TURNED}}, MM(0, 0), .flags = OP_SECOND},
    {&wf_op_matmul, "repeated rows", {{OP_ANY, {3, 4}, OP_REPEATED}, {OP_ANY, {5, 4}, OP_REPEATED}}, MM(0, 1), .flags = OP_SECOND},
    {&wf_op_matmul, "65x129x67", {{OP_ANY, {65, 129}}, {OP_ANY, {129, 67}}}, MM(0, 0), .tolerance = 2e-5},
    {&wf_op_matmul, "129x64x65, b transposed", {{OP_ANY, {129, 64}}, {OP_ANY, {65, 64}}}, MM(0, 1), .tolerance = 2e-5},
    {&wf_op_matmul, "67x300x70, a transposed", {{OP_ANY, {300, 67}}, {OP_ANY, {300, 70}}}, MM(1, 0), .tolerance = 2e-5},
    {&wf_op_matmul, "long inner axis", {{OP_ANY, {3, 2500}}, {OP_ANY, {2500, 5}}}, MM(0, 0), .tolerance = 5e-5},
    {&wf_op_matmul, "a layer with bias", {{OP_ANY, {2, 3, 4}}, {OP_ANY, {4, 5}}, {OP_ANY, {5}, OP_SLICED}}, .build = linear, .flags = OP_SECOND},
    {&wf_op_matmul, "large", {{OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}}, MM(0, 0), .flags = OP_LARGE, .tolerance = 5e-5},
    {&wf_op_matmul, "large, b transposed", {{OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}}, MM(0, 1), .flags = OP_LARGE, .tolerance = 5e-5},
    {&wf_op_matmul, "large, a transposed", {{OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}}, MM(1, 0), .flags = OP_LARGE, .tolerance = 5e-5},
    {&wf_op_matmul, "large batch", {{OP_ANY, {8, 128, 64}}, {OP_ANY, {8, 64, 128}}}, MM(0, 0), .flags = OP_LARGE, .tolerance = 5e-5},
    {&wf_op_matmul, "large layer", {{OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}, {OP_ANY, {256}}}, NULL, OP_LARGE, linear, .tolerance = 5e-5},

    /* linear.c */
    {&wf_op_linear, "bias and residual", {{OP_ANY, {3, 5}}, {OP_ANY, {5, 7}}, {OP_ANY, {7}}, {OP_ANY, {3, 7}}}, &epilogue},
    {&wf_op_linear, "a value and a column", {{OP_ANY, {2, 3, 5}}, {OP_ANY, {5, 7}}, {OP_ANY, {0}}, {OP_ANY, {2, 3, 1}}}, &epilogue},
    {&wf_op_linear, "one row", {{OP_ANY, {1, 5}}, {OP_ANY, {5, 1}}, {OP_ANY, {1}}, {OP_ANY, {1, 1}}}, &epilogue},
    {&wf_op_linear, "slices", {{OP_ANY, {3, 5}, OP_SLICED}, {OP_ANY, {7, 5}, OP_SLICED}, {OP_ANY, {7}, OP_SLICED}, {OP_ANY, {3, 7}, OP_SLICED}}, &turned_epilogue},
    {&wf_op_linear, "turned", {{OP_ANY, {3, 5}, OP_TURNED}, {OP_ANY, {5, 7}, OP_TURNED}, {OP_ANY, {3, 1}, OP_TURNED}, {OP_ANY, {3, 7}, OP_TURNED}}, &epilogue},
    {&wf_op_linear, "65x129x131", {{OP_ANY, {65, 129}}, {OP_ANY, {129, 131}}, {OP_ANY, {131}}, {OP_ANY, {65, 131}}}, &epilogue, .tolerance = 5e-5},
    {&wf_op_linear, "large", {{OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}, {OP_ANY, {256}}, {OP_ANY, {256, 256}}}, &epilogue, OP_LARGE, .tolerance = 5e-5},
    {&wf_op_linear_store, "3x5x7", {{OP_ANY, {5, 3}}, {OP_ANY, {5, 7}}, {OP_ANY, {3, 7}}}, &update, 0, store_product, store_product_plain},
    {&wf_op_linear_store, "65x129x67", {{OP_ANY, {129, 65}}, {OP_ANY, {129, 67}}, {OP_ANY, {65, 67}}}, &update, 0, store_product, store_product_plain, 5e-5},
    {&wf_op_linear_store, "large", {{OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}, {OP_ANY, {256, 256}}}, &update, OP_LARGE, store_product, store_product_plain, 5e-5},

    /* view.c */
    {&wf_op_reshape, "of rank 3", {{OP_ANY, {2, 3, 4}}}, SHAPE(2, 4, 6), .flags = OP_SECOND},
    {&wf_op_reshape, "to a value", {{OP_ANY, {1, 1}}}, SHAPE(0, 0), .flags = OP_SECOND},
    {&wf_op_reshape, "of a transposed", {{OP_ANY, {3, 4}, OP_TURNED}}, SHAPE(1, 12), .flags = OP_SECOND},
    {&wf_op_reshape, "open", {{OP_ANY, {3, 4}, OP_SLICED}}, .build = reshape_open, .flags = OP_SECOND},
    {&wf_op_transpose, "two axes", {{OP_ANY, {3, 4}}}, ORDER(1, 0), .flags = OP_SECOND, .plain = op_transpose_plain},
    {&wf_op_transpose, "three axes", {{OP_ANY, {2, 3, 4}, OP_SLICED}}, ORDER(2, 0, 1), .flags = OP_SECOND},
    {&wf_op_transpose, "back", {{OP_ANY, {3, 4}, OP_TURNED}}, ORDER(1, 0), .flags = OP_SECOND, .plain = op_transpose_plain},
    {&wf_op_broadcast, "a value", {{OP_ANY, {0}}}, SHAPE(2, 3, 4), .flags = OP_SECOND, .plain = op_broadcast_plain},
    {&wf_op_broadcast, "a column", {{OP_ANY, {3, 1}}}, SHAPE(3, 2, 3, 4), .flags = OP_SECOND, .plain = op_broadcast_plain},
    {&wf_op_broadcast, "again", {{OP_ANY, {3, 4}, OP_REPEATED}}, SHAPE(3, 2, 3, 4), .flags = OP_SECOND, .plain = op_broadcast_plain},
    {&wf_op_slice, "of rows", {{OP_ANY, {5, 4}}}, SLICE(0, 1, 3), .flags = OP_SECOND, .plain = op_slice_plain},
    {&wf_op_slice, "of columns", {{OP_ANY, {3, 5}, OP_TURNED}}, SLICE(1, 4, 1), .flags = OP_SECOND, .plain = op_slice_plain},
    {&wf_op_copy, "of a slice", {{OP_ANY, {3, 5}, OP_SLICED}}, .flags = OP_SECOND},
    {&wf_op_copy, "of a transposed", {{OP_ANY, {2, 3, 5}, OP_TURNED}}, .flags = OP_SECOND},
    {&wf_op_copy, "of a repeated", {{OP_ANY, {3, 5}, OP_REPEATED}}, .flags = OP_SECOND},
    {&wf_op_copy, "of bytes", {{OP_BYTES, {3, 5}, OP_TURNED}}, .flags = OP_DATA},
    {&wf_op_copy, "large", {{OP_ANY, {512, 1024}}}, .flags = OP_DATA | OP_LARGE},
    {&wf_op_copy, "large transposed", {{OP_ANY, {512, 1024}, OP_TURNED}}, .flags = OP_DATA | OP_LARGE},

    /* concat.c */
    {&wf_op_concat, "rows", {{OP_ANY, {2, 3}}, {OP_ANY, {1, 3}}, {OP_ANY, {3, 3}}}, AXIS(0), .flags = OP_SECOND},
    {&wf_op_concat, "columns", {{OP_ANY, {3, 2}, OP_TURNED}, {OP_ANY, {3, 4}, OP_SLICED}}, AXIS(1), .flags = OP_SECOND, .plain = op_concat_plain},
    {&wf_op_concat, "the middle", {{OP_ANY, {2, 1, 3}}, {OP_ANY, {2, 2, 3}}}, AXIS(1), .flags = OP_SECOND},
    {&wf_op_concat, "one", {{OP_ANY, {2, 3}}}, AXIS(1), .flags = OP_SECOND},
    {&wf_op_concat, "integers", {{OP_IDS, {2, 3}, .limit = 9}, {OP_IDS, {2, 1}, .limit = 9}}, AXIS(1), .flags = OP_DATA},
    {&wf_op_concat, "large", {{OP_ANY, {512, 512}}, {OP_ANY, {512, 512}}}, AXIS(1), .flags = OP_DATA | OP_LARGE},
    {&wf_op_pad, "rows", {{OP_ANY, {3, 4}}}, PAD(0, 1, 5), .flags = OP_SECOND, .plain = op_pad_plain},
    {&wf_op_pad, "columns", {{OP_ANY, {2, 3, 4}, OP_SLICED}}, PAD(2, 0, 6), .flags = OP_SECOND, .plain = op_pad_plain},
    {&wf_op_pad, "by nothing", {{OP_ANY, {5}}}, PAD(0, 0, 5), .flags = OP_SECOND, .plain = op_pad_plain},
    {&wf_op_pad, "large", {{OP_ANY, {512, 768}}}, PAD(1, 128, 1024), .flags = OP_DATA | OP_LARGE},

    /* gather.c */
    {&wf_op_gather, "rows", {{OP_ANY, {5, 3}}, {OP_IDS, {7}, .limit = 5}}, .flags = OP_SECOND, .plain = op_gather_plain},
    {&wf_op_gather, "values", {{OP_ANY, {5}}, {OP_IDS, {2, 3}, .limit = 5}}, .flags = OP_SECOND, .plain = op_gather_plain},
    {&wf_op_gather, "one id", {{OP_ANY, {2, 3, 4}}, {OP_LENGTHS, {0}, .limit = 1}}, .flags = OP_SECOND, .plain = op_gather_plain},
    {&wf_op_gather, "of a slice", {{OP_ANY, {5, 3}, OP_SLICED}, {OP_IDS, {2, 2}, OP_TURNED, 5}}, .flags = OP_SECOND, .plain = op_gather_plain},
    {&wf_op_gather, "large", {{OP_ANY, {2000, 512}}, {OP_IDS, {1024}, .limit = 2000}}, .flags = OP_DATA | OP_LARGE},
    {&wf_op_scatter_rows, "rows", {{OP_IDS, {7}, .limit = 5}, {OP_ANY, {7, 3}}}, TABLE(5), .flags = OP_SECOND, .plain = op_scatter_plain},
    {&wf_op_scatter_rows, "values", {{OP_IDS, {2, 3}, .limit = 5}, {OP_ANY, {2, 3}}}, TABLE(5), .flags = OP_SECOND, .plain = op_scatter_plain},
    {&wf_op_scatter_rows, "into a table", {{OP_IDS, {7}, .limit = 5}, {OP_ANY, {7, 3}}, {OP_ANY, {5, 3}}}, TABLE(5), .flags = OP_SECOND, .plain = op_scatter_into_plain},
    {&wf_op_scatter_rows, "as many rows as ids", {{OP_IDS, {5}, .limit = 5}, {OP_ANY, {5, 3}}}, TABLE(5), .flags = OP_SECOND, .plain = op_scatter_plain},
    {&wf_op_scatter_rows, "into a table of as many", {{OP_IDS, {5}, .limit = 5}, {OP_ANY, {5, 3}}, {OP_ANY, {5, 3}}}, TABLE(5), .flags = OP_SECOND, .plain = op_scatter_into_plain},
    {&wf_op_scatter_rows, "150 rows", {{OP_IDS, {200}, .limit = 150}, {OP_ANY, {200, 3}}}, TABLE(150), .plain = op_scatter_plain},
    {&wf_op_scatter_rows, "large", {{OP_IDS, {1024}, .limit = 2000}, {OP_ANY, {1024, 512}}}, TABLE(2000), .flags = OP_LARGE},
    {&wf_op_scatter_store, "150 rows", {{OP_IDS, {200}, .limit = 150}, {OP_ANY, {200, 3}}}, TABLE(150), .build = scatter_store, .plain = scatter_store_plain},
    {&wf_op_scatter_store, "large", {{OP_IDS, {512}, .limit = 30000}, {OP_ANY, {512, 256}}}, TABLE(30000), OP_LARGE, scatter_store},
    {&wf_op_one_hot, "of rank 2", {{OP_IDS, {2, 3}, .limit = 4}}, TABLE(4), .flags = OP_DATA, .plain = op_one_hot_plain},
    {&wf_op_one_hot, "one id", {{OP_LENGTHS, {0}, .limit = 3}}, TABLE(4), .flags = OP_DATA, .plain = op_one_hot_plain},
    {&wf_op_one_hot, "large", {{OP_IDS, {512}, .limit = 1024}}, TABLE(1024), .flags = OP_DATA | OP_LARGE, .plain = op_one_hot_plain},

    /* softmax.c */
    ROWS(softmax, OP_ANY, NULL), ROWS(log_softmax, OP_ANY, NULL), ROWS_GRAD(softmax_grad, NULL), ROWS_GRAD(log_softmax_grad, NULL),

    /* norm.c */
    ROWS(rms_norm, OP_ANY, EPS(0.1f)), ROWS(layer_norm, OP_ANY, EPS(0.1f)),
    ROWS_GRAD(rms_norm_grad, EPS(0.1f)), ROWS_GRAD(layer_norm_grad, EPS(0.1f)),

    /* random.c */
    {&wf_op_dropout, "0.3", {{OP_ANY, {3, 7}}}, RATE(0.3f), .flags = OP_SECOND},
    {&wf_op_dropout, "0.9 of a slice", {{OP_ANY, {3, 7}, OP_SLICED}}, RATE(0.9f), .flags = OP_SECOND},
    {&wf_op_dropout, "draws of rows", {{OP_ANY, {4, 7}}, {OP_IDS, {4}, .limit = 9}}, RATE(0.3f), .flags = OP_SECOND},
    {&wf_op_dropout, "draws of long rows", {{OP_ANY, {3, 2, 3000}}, {OP_IDS, {3}, .limit = 9}}, RATE(0.3f), .flags = OP_DATA},
    {&wf_op_dropout, "large", {{OP_ANY, {512, 1024}}}, RATE(0.1f), .flags = OP_LARGE},
    {&wf_op_uniform, "small", .attr = &small_shape, .flags = OP_DATA, .build = uniform},
    {&wf_op_uniform, "large", .attr = &large_shape, .flags = OP_DATA | OP_LARGE, .build = uniform},
    {&wf_op_normal, "small", .attr = &small_shape, .build = normal},
    {&wf_op_normal, "large", .attr = &large_shape, .flags = OP_LARGE, .build = normal},

    /* rope.c, rope_angles.c */
    {&wf_op_rope, "of rank 2", {{OP_ANY, {5, 4}}, {OP_LENGTHS, {5}, .limit = 100}}, ROPE(100), .flags = OP_SECOND, .plain = op_rope_plain},
    {&wf_op_rope, "of rank 4", {{OP_ANY, {2, 2, 3, 2}}, {OP_LENGTHS, {3}, .limit = 100}}, ROPE(100), .flags = OP_SECOND, .plain = op_rope_plain},
    {&wf_op_rope, "inverse, of a slice", {{OP_ANY, {3, 6}, OP_SLICED}, {OP_LENGTHS, {3}, .limit = 100}}, ROPE(100, true), .flags = OP_SECOND, .plain = op_rope_plain},
    {&wf_op_rope, "large", {{OP_ANY, {8, 512, 128}}, {OP_LENGTHS, {512}, .limit = 4000}}, ROPE(10000), .flags = OP_LARGE},
    {&wf_op_rope_angles, "of 6", {{OP_LENGTHS, {5}, .limit = 100}}, ROPE(100, .size = 6), .plain = op_rope_angles_plain},
    {&wf_op_rope_angles, "large", {{OP_LENGTHS, {4096}, .limit = 4000}}, ROPE(10000, .size = 128), .flags = OP_LARGE},

    /* span.c */
    {&wf_op_span_packed, "all", {{OP_OFFSETS, {4}, .limit = 9}}, SPAN(.tokens = 9), .flags = OP_DATA, .plain = op_span_packed_plain},
    {&wf_op_span_packed, "causal, offsets beyond", {{OP_OFFSETS, {4}, .limit = 12}}, SPAN(true, .tokens = 9), .flags = OP_DATA, .plain = op_span_packed_plain},
    {&wf_op_span_padded, "all", {{OP_LENGTHS, {3}, .limit = 6}}, SPAN(.tokens = 5), .flags = OP_DATA, .plain = op_span_padded_plain},
    {&wf_op_span_padded, "causal", {{OP_LENGTHS, {3}, .limit = 6}}, SPAN(true, .tokens = 5), .flags = OP_DATA, .plain = op_span_padded_plain},
    {&wf_op_positions, "of 9", {{OP_OFFSETS, {4}, .limit = 9}}, SPAN(.tokens = 9), .flags = OP_DATA, .plain = op_positions_plain},
    {&wf_op_mask_span, "by a number", {{OP_ANY, {5, 6}}, {OP_SPANS, {5, 2}, .limit = 6}}, SPAN(.value = 0.5f), .flags = OP_SECOND, .plain = op_mask_span_plain},
    {&wf_op_mask_span, "a batch by one", {{OP_ANY, {2, 3, 4}, OP_SLICED}, {OP_SPANS, {3, 2}, .limit = 6}}, SPAN(.value = 0), .flags = OP_SECOND, .plain = op_mask_span_plain},
    {&wf_op_mask_span, "a batch", {{OP_ANY, {2, 3, 4}}, {OP_SPANS, {2, 3, 2}, .limit = 6}}, SPAN(.value = 0), .flags = OP_SECOND, .plain = op_mask_span_plain},
    {&wf_op_mask_span, "by -infinity", {{OP_ANY, {5, 6}}, {OP_SPANS, {5, 2}, .limit = 6}}, SPAN(.value = -INFINITY), .flags = OP_DATA, .plain = op_mask_span_plain},
    {&wf_op_mask_span, "large", {{OP_ANY, {8, 256, 256}}, {OP_SPANS, {256, 2}, .limit = 256}}, SPAN(.value = 0), .flags = OP_DATA | OP_LARGE, .plain = op_mask_span_plain},
    {&wf_op_span_length, "floor 2", {{OP_SPANS, {2, 3, 2}, .limit = 6}}, SPAN(.value = 2), .flags = OP_DATA, .plain = op_span_length_plain},

    /* loss.c */
    {&wf_op_cross_entropy_rows, "of rank 2", {{OP_ANY, {5, 7}}, {OP_IDS, {5}, .limit = 7}}, IGNORE(2), .flags = OP_SECOND, .plain = op_cross_entropy_plain},
    {&wf_op_cross_entropy_rows, "one row", {{OP_ANY, {4}}, {OP_LENGTHS, {0}, .limit = 3}}, IGNORE(-1), .flags = OP_SECOND, .plain = op_cross_entropy_plain},
    {&wf_op_cross_entropy_rows, "of rank 3", {{OP_ANY, {2, 3, 4}, OP_SLICED}, {OP_IDS, {2, 3}, .limit = 4}}, IGNORE(-1), .flags = OP_SECOND, .plain = op_cross_entropy_plain},
    {&wf_op_cross_entropy_rows, "of few classes", {{OP_ANY, {70, 10}}, {OP_IDS, {70}, .limit = 11}}, IGNORE(3), .flags = OP_SECOND, .plain = op_cross_entropy_plain},
    {&wf_op_cross_entropy_rows, "of 33 classes", {{OP_ANY, {6, 33}}, {OP_IDS, {6}, .limit = 33}}, IGNORE(3), .flags = OP_SECOND, .plain = op_cross_entropy_plain},
    {&wf_op_cross_entropy_rows, "large", {{OP_ANY, {64, 8000}}, {OP_IDS, {64}, .limit = 8000}}, IGNORE(-1), .flags = OP_LARGE, .plain = op_cross_entropy_plain},
    {&wf_op_cross_entropy_grad, "of rank 2", {{OP_ANY, {5, 7}}, {OP_IDS, {5}, .limit = 7}, {OP_ANY, {5}}}, IGNORE(2), .flags = OP_SECOND, .plain = op_cross_entropy_grad_plain},
    {&wf_op_cross_entropy_grad, "one row", {{OP_ANY, {4}}, {OP_LENGTHS, {0}, .limit = 3}, {OP_ANY, {0}}}, IGNORE(-1), .flags = OP_SECOND, .plain = op_cross_entropy_grad_plain},
    {&wf_op_cross_entropy_grad, "of few classes", {{OP_ANY, {70, 10}}, {OP_IDS, {70}, .limit = 11}, {OP_ANY, {70}}}, IGNORE(3), .flags = OP_SECOND, .plain = op_cross_entropy_grad_plain},
    {&wf_op_cross_entropy_grad, "of 33 classes", {{OP_ANY, {6, 33}}, {OP_IDS, {6}, .limit = 33}, {OP_ANY, {6}}}, IGNORE(3), .flags = OP_SECOND, .plain = op_cross_entropy_grad_plain},
    {&wf_op_cross_entropy_grad, "large", {{OP_ANY, {64, 8000}}, {OP_IDS, {64}, .limit = 8000}, {OP_ANY, {64}}}, IGNORE(-1), .flags = OP_LARGE, .plain = op_cross_entropy_grad_plain},
    {&wf_op_hits, "of ties", {{OP_TIES, {9, 3}}, {OP_IDS, {9}, .limit = 3}}, IGNORE(-1), .flags = OP_DATA, .plain = op_hits_plain},
    {&wf_op_hits, "large", {{OP_ANY, {64, 8000}}, {OP_IDS, {64}, .limit = 8000}}, IGNORE(-1), .flags = OP_DATA | OP_LARGE, .plain = op_hits_plain},
    {&wf_op_label_mask, "of rank 2", {{OP_ANY, {9, 3}}, {OP_IDS, {9}, .limit = 3}}, IGNORE(1), .flags = OP_DATA, .plain = op_label_mask_plain},

    /* gau.c, gau_grad.c */
    GAU_ROWS(gau, 0, 2e-5, NO_DG), GAU_ROWS(gau_gated, OP_GRADIENT, 2e-5, NO_DG), GAU_ROWS(gau_grad, 0, 1e-4, WITH_DG),
    PICK_ROWS(gau, OP_GRADIENT, 2e-5, NO_DG), PICK_ROWS(gau_grad, 0, 1e-4, WITH_DG),
    {&wf_op_gau_gated, "a batch", {GAU_BATCH(2, 3, 2, 2)}, GAU(2, 2, SOFTMAX), OP_GRADIENT, op_gau_gated, op_gau_gated_plain, 2e-5},

    /* pointwise.c, effect.c */
    {&wf_op_pointwise, "a chain", {{OP_ANY, {3, 7}}, {OP_ANY, {7}}}, &chain},
    {&wf_op_pointwise, "a chain of strides", {{OP_ANY, {3, 7}, OP_TURNED}, {OP_ANY, {3, 1}, OP_SLICED}}, &chain},
    {&wf_op_pointwise, "a large chain", {{OP_ANY, {512, 1024}}, {OP_ANY, {1024}}}, &chain, OP_LARGE},
    {&wf_op_pointwise_store, "two", {{OP_ANY, {3, 7}}}, &stores, .build = store_two},
    {&wf_op_pointwise_store, "two large ones", {{OP_ANY, {512, 1024}}}, &stores, OP_LARGE, store_two},
    {&wf_op_assign, "a slice", {{OP_ANY, {3, 7}, OP_SLICED}}, &one_normal, OP_DATA, assign},
    {&wf_op_assign, "a large one", {{OP_ANY, {512, 1024}}}, &one_normal, OP_DATA | OP_LARGE, assign},
    {0},
};
/* clang-format on */
