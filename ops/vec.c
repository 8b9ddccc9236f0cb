/* The vector layer's table (vec.h) of the level being compiled. */
#include "ops/vec.h"
#include "ops/gemm.h"
#include "ops/simd_libm.h"
#include "ops/simd_narrow.h"
#include "ops/simd_random.h"
#include "ops/simd_row.h"
#include "ops/simd_transpose.h"

#define BLOCK 1024 /* elements summed in floats, or buffered */

#define UNARY(name, expression)                                                                    \
    ROW(name, LOAD_1, expression)                                                                  \
    static void vec_##name(int64_t n, float *y, const float *x)                                    \
    {                                                                                              \
        each(name##_row, n, &(row){.y = y, .a = x});                                               \
    }

#define BINARY(name, expression)                                                                   \
    ROW(name, LOAD_2, expression)                                                                  \
    static void vec_##name(int64_t n, float *y, const float *a, const float *b)                    \
    {                                                                                              \
        each(name##_row, n, &(row){.y = y, .a = a, .b = b});                                       \
    }

static inline vf v_sign(vf x)
{
    vm nonzero = v_lt((vf){0}, v_abs(x));
    return v_pick(nonzero, v_signed(v_splat(1), x), x);
}

static inline vf v_truth(vm m)
{
    return v_pick(m, v_splat(1), (vf){0});
}

static inline vf v_relu(vf x)
{
    return v_above((vf){0}, x); /* keeps NaN */
}

UNARY(neg, -a)
UNARY(abs, v_abs(a))
UNARY(sign, v_sign(a))
UNARY(exp, v_exp(a))
UNARY(expm1, v_expm1(a))
UNARY(log, v_log(a))
UNARY(log1p, v_log1p(a))
UNARY(sqrt, v_sqrt(a))
UNARY(rsqrt, 1 / v_sqrt(a))
UNARY(square, a *a)
UNARY(reciprocal, 1 / a)
UNARY(sin, v_sin(a))
UNARY(cos, v_cos(a))
UNARY(tanh, v_tanh(a))
UNARY(erf, v_erf(a))
UNARY(sigmoid, v_sigmoid(a))
UNARY(softplus, v_softplus(a))
UNARY(silu, v_silu(a))
UNARY(silu_grad, v_silu_grad(a))
UNARY(gelu, v_gelu(a))
UNARY(gelu_tanh, v_gelu_tanh(a))
UNARY(relu, v_relu(a))
UNARY(relu2, v_relu(a) * v_relu(a))

BINARY(silu_mul, v_silu(a) * b)
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(max, v_max(a, b))
BINARY(min, v_min(a, b))
BINARY(pow, v_pow(a, b))
BINARY(equal, v_truth(v_eq(a, b)))
BINARY(less, v_truth(v_lt(a, b)))
BINARY(less_equal, v_truth(v_le(a, b)))

ROW(where, LOAD_3, v_pick(v_eq(a, (vf){0}), c, b))
ROW(fma, LOAD_3, v_fma(a, b, c))
ROW(fill, (void)0, s)
ROW(scale, LOAD_1, a *s)
ROW(shift, LOAD_1, a + s)
ROW(clamp, LOAD_1, v_below(t, v_above(s, a)))
ROW(axpby, LOAD_2, v_fma(a, s, b *t))
ROW(exp_shifted, LOAD_1, v_exp(a - s))
ROW(uniform, LOAD_1, v_float((vi)((vu)a >> 8)) * 0x1p-24f)
ROW(keep, LOAD_2, v_pick(v_le(s, v_float((vi)((vu)b >> 8))), a *t, (vf){0}))

/* One exponential for two results. */
APART static void silu_both_row(int64_t n, const row *r)
{
    const float *x = r->a;
    float *y = r->y, *z = r->z;
    for (int64_t i = 0; i < n; i += WF_WIDTH) {
        vf slope, silu = v_silu_both(v_load(x + i), &slope);
        v_store(z + i, slope);
        v_store(y + i, silu);
    }
}

static void vec_silu_both(int64_t n, float *y, float *slope, const float *x)
{
    each(silu_both_row, n, &(row){.y = y, .z = slope, .a = x});
}

APART static void gate_grad_row(int64_t n, const row *r)
{
    const float *u = r->a, *dg = r->b, *y = r->c;
    float *dy = r->y, *du = r->z;
    for (int64_t i = 0; i < n; i += WF_WIDTH) {
        vf slope, gate = v_silu_both(v_load(u + i), &slope), d = v_load(dg + i);
        v_store(du + i, v_load(y + i) * d * slope);
        v_store(dy + i, gate * d);
    }
}

static void vec_gate_grad(int64_t n, float *dy, float *du, const float *u, const float *dg,
                          const float *y)
{
    each(gate_grad_row, n, &(row){.y = dy, .z = du, .a = u, .b = dg, .c = y});
}

static void vec_where(int64_t n, float *y, const float *c, const float *a, const float *b)
{
    each(where_row, n, &(row){.y = y, .a = c, .b = a, .c = b});
}

static void vec_muladd(int64_t n, float *y, const float *a, const float *b)
{
    each(fma_row, n, &(row){.y = y, .a = a, .b = b, .c = y});
}

static void vec_fill(int64_t n, float *y, float value)
{
    each(fill_row, n, &(row){.y = y, .s = value});
}

static void vec_scale(int64_t n, float *y, const float *x, float a)
{
    each(scale_row, n, &(row){.y = y, .a = x, .s = a});
}

static void vec_shift(int64_t n, float *y, const float *x, float a)
{
    each(shift_row, n, &(row){.y = y, .a = x, .s = a});
}

static void vec_clamp(int64_t n, float *y, const float *x, float lo, float hi)
{
    each(clamp_row, n, &(row){.y = y, .a = x, .s = lo, .t = hi});
}

static void vec_axpby(int64_t n, float *y, float a, const float *x, float b, const float *z)
{
    each(axpby_row, n, &(row){.y = y, .a = x, .b = z, .s = a, .t = b});
}

/* ---- reductions ----------------------------------------------------------------------------- */

static double block_sum(int64_t n, const float *x)
{
    vf s[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * WF_WIDTH <= n; i += 4 * WF_WIDTH)
        for (int j = 0; j < 4; j++) s[j] += v_load(x + i + j * WF_WIDTH);
    for (; i + WF_WIDTH <= n; i += WF_WIDTH) s[0] += v_load(x + i);
    if (i < n) s[1] += v_load_part(x + i, n - i);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static double vec_sum(int64_t n, const float *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i += BLOCK) sum += block_sum(n - i < BLOCK ? n - i : BLOCK, x + i);
    return sum;
}

static double block_dot(int64_t n, const float *a, const float *b)
{
    vf s[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * WF_WIDTH <= n; i += 4 * WF_WIDTH)
        for (int j = 0; j < 4; j++) {
            int64_t k = i + j * WF_WIDTH;
            s[j] = v_fma(v_load(a + k), v_load(b + k), s[j]);
        }
    for (; i + WF_WIDTH <= n; i += WF_WIDTH) s[0] = v_fma(v_load(a + i), v_load(b + i), s[0]);
    if (i < n) s[1] = v_fma(v_load_part(a + i, n - i), v_load_part(b + i, n - i), s[1]);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static double vec_dot(int64_t n, const float *a, const float *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i += BLOCK)
        sum += block_dot(n - i < BLOCK ? n - i : BLOCK, a + i, b + i);
    return sum;
}

static void vec_sum_rows(int64_t rows, int64_t cols, float *y, const float *x, int64_t ld)
{
    int64_t c = 0;
    for (; c + 4 * WF_WIDTH <= cols; c += 4 * WF_WIDTH) {
        vf s[4] = {{0}};
        for (int64_t r = 0; r < rows; r++)
            for (int j = 0; j < 4; j++) s[j] += v_load(x + r * ld + c + j * WF_WIDTH);
        for (int j = 0; j < 4; j++) v_store(y + c + j * WF_WIDTH, s[j]);
    }
    for (; c + WF_WIDTH <= cols; c += WF_WIDTH) {
        vf s = {0};
        for (int64_t r = 0; r < rows; r++) s += v_load(x + r * ld + c);
        v_store(y + c, s);
    }
    if (c == cols) return;
    vf s = {0};
    for (int64_t r = 0; r < rows; r++) s += v_load_part(x + r * ld + c, cols - c);
    v_store_part(y + c, s, cols - c);
}

static float vec_max_of(int64_t n, const float *x)
{
    vf s[4];
    for (int j = 0; j < 4; j++) s[j] = v_splat(-INFINITY);
    int64_t i = 0;
    for (; i + 4 * WF_WIDTH <= n; i += 4 * WF_WIDTH)
        for (int j = 0; j < 4; j++) s[j] = v_max(s[j], v_load(x + i + j * WF_WIDTH));
    for (; i + WF_WIDTH <= n; i += WF_WIDTH) s[0] = v_max(s[0], v_load(x + i));
    vf m = v_max(v_max(s[0], s[1]), v_max(s[2], s[3]));
    float best = m[0];
    for (int j = 1; j < WF_WIDTH; j++) best = best >= m[j] || best != best ? best : m[j];
    for (; i < n; i++) best = best >= x[i] || best != best ? best : x[i];
    return best;
}

static float vec_exp_sum(int64_t n, float *y, const float *x, float m)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t k = n - i < BLOCK ? n - i : BLOCK;
        each(exp_shifted_row, k, &(row){.y = y + i, .a = x + i, .s = m});
        sum += block_sum(k, y + i);
    }
    return (float)sum;
}

/* ---- rotation, random numbers --------------------------------------------------------------- */

/* x cos + swapped x * (-sin, sin), for a multiple of WF_WIDTH pairs */
APART static void rotate_rows(int64_t pairs, float *y, const float *x, const float *cos,
                              const float *sin)
{
    vi minus = {0};
    for (int j = 0; j < WF_WIDTH; j += 2) minus[j] = INT32_MIN;
    for (int64_t i = 0; i < pairs; i += WF_WIDTH) {
        vf a = v_load(x + 2 * i), b = v_load(x + 2 * i + WF_WIDTH);
        vf c = v_load(cos + i), s = v_load(sin + i);
        vf sa = (vf)((vi)v_twice_low(s) ^ minus), sb = (vf)((vi)v_twice_high(s) ^ minus);
        v_store(y + 2 * i, v_fma(a, v_twice_low(c), v_swap(a) * sa));
        v_store(y + 2 * i + WF_WIDTH, v_fma(b, v_twice_high(c), v_swap(b) * sb));
    }
}

static void vec_rotate(int64_t pairs, float *y, const float *x, const float *cos, const float *sin)
{
    int64_t whole = pairs / WF_WIDTH * WF_WIDTH, k = pairs - whole;
    if (whole) rotate_rows(whole, y, x, cos, sin);
    if (!k) return;
    float t[2 * WF_WIDTH] = {0}, c[WF_WIDTH], s[WF_WIDTH];
    memcpy(t, x + 2 * whole, (size_t)(2 * k) * sizeof(float));
    rotate_rows(WF_WIDTH, t, t, padded(c, cos + whole, k), padded(s, sin + whole, k));
    memcpy(y + 2 * whole, t, (size_t)(2 * k) * sizeof(float));
}

/* Part of a group of blocks: k words from word skip on. */
static void random_part(uint32_t *y, int64_t k, int64_t skip, const philox_key *key, uint64_t block)
{
    uint32_t t[PHILOX_GROUP];
    v_philox(t, key, block);
    memcpy(y, t + skip, (size_t)k * sizeof(uint32_t));
}

static void vec_random_bits(int64_t n, uint32_t *y, uint64_t key, uint64_t stream, uint64_t first)
{
    philox_key k;
    v_philox_key(&k, key, stream);
    uint64_t block = first / 4;
    int64_t skip = (int64_t)(first % 4), i = 0;
    if (skip && n > 0) {
        i = n < PHILOX_GROUP - skip ? n : PHILOX_GROUP - skip;
        random_part(y, i, skip, &k, block);
        block += WF_WIDTH;
    }
    for (; i + PHILOX_GROUP <= n; i += PHILOX_GROUP, block += WF_WIDTH) v_philox(y + i, &k, block);
    if (i < n) random_part(y + i, n - i, 0, &k, block);
}

/* The bits of part of a row, for v_load to read. */
typedef union words {
    uint32_t bits[BLOCK];
    float lanes[BLOCK];
} words;

static void vec_uniform(int64_t n, float *y, uint64_t key, uint64_t stream, uint64_t first)
{
    words w;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t k = n - i < BLOCK ? n - i : BLOCK;
        vec_random_bits(k, w.bits, key, stream, first + (uint64_t)i);
        each(uniform_row, k, &(row){.y = y + i, .a = w.lanes});
    }
}

static void vec_dropout(int64_t n, float *y, const float *x, float rate, uint64_t key,
                        uint64_t stream, uint64_t first)
{
    words w;
    row r = {.b = w.lanes, .s = rate * 0x1p24f, .t = 1 / (1 - rate)};
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t k = n - i < BLOCK ? n - i : BLOCK;
        vec_random_bits(k, w.bits, key, stream, first + (uint64_t)i);
        r.y = y + i;
        r.a = x + i;
        each(keep_row, k, &r);
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

#define F(name) .name = vec_##name

const wf_vec WF_VEC_TABLE = {
    .isa = WF_ISA_NAME,
    .width = WF_WIDTH,
    F(neg),
    F(abs),
    F(sign),
    F(exp),
    F(expm1),
    F(log),
    F(log1p),
    F(sqrt),
    F(rsqrt),
    F(square),
    F(reciprocal),
    F(sin),
    F(cos),
    F(tanh),
    F(erf),
    F(sigmoid),
    F(softplus),
    F(silu),
    F(silu_grad),
    F(gelu),
    F(gelu_tanh),
    F(silu_mul),
    F(silu_both),
    F(gate_grad),
    F(relu),
    F(relu2),
    F(add),
    F(sub),
    F(mul),
    F(div),
    F(max),
    F(min),
    F(pow),
    F(equal),
    F(less),
    F(less_equal),
    F(where),
    F(fill),
    F(scale),
    F(shift),
    F(clamp),
    F(axpby),
    F(muladd),
    F(sum),
    F(dot),
    F(sum_rows),
    F(max_of),
    F(exp_sum),
    F(rotate),
    F(transpose),
    F(pack),
    F(bf16),
    F(bf16_pairs),
    F(f16),
    F(bf16_drawn),
    F(f16_drawn),
    F(from_bf16),
    F(from_f16),
    F(random_bits),
    F(uniform),
    F(dropout),
    .gemm = WF_GEMM_TILE,
};
