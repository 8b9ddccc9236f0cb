/*
 * Elementwise programs as machine code against the same programs instruction by instruction, bit by
 * bit: every op on special numbers, random programs on random layouts, blocks of other kernels.
 * Where there is no AVX2 there is no code, and these tests have nothing to compare.
 */
#include "ops/matmul.h"
#include "ops/narrow.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

static uint32_t state;

static int next(int below)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (uint32_t)below);
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Zeros, subnormal, largest, infinite, NaN (quiet, signaling, negative) and any numbers. */
static float special(void)
{
    static const uint32_t bits[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff,
                                    0x00800000, 0x3f800000, 0xbf800000, 0x7f7fffff, 0xff7fffff,
                                    0x7f800000, 0xff800000, 0x7fc00000, 0x7f812345, 0xffc54321};
    int i = next(3 * COUNT(bits));
    if (i < COUNT(bits)) return of_bits(bits[i]);
    return i % 2 ? of_bits((uint32_t)next(1 << 16) << 16 | (uint32_t)next(1 << 16))
                 : (float)(next(2001) - 1000) / 250;
}

/* A NaN is a NaN: which one of two a sum gives is up to the order that the compiler puts them in.
 */
static bool is_same(float a, float b)
{
    return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

static int64_t differs(int64_t n, const float *a, const float *b)
{
    for (int64_t i = 0; i < n; i++)
        if (!is_same(a[i], b[i])) return i;
    return -1;
}

static bool has_code(void)
{
    return wf_vec_get()->width >= 8;
}

/* ---- single ops ---- */

static const char exact[] = " add sub mul div max min equal less less_equal where sqrt rsqrt "
                            "reciprocal square neg abs sign "
                            "relu relu2 scale shift clamp axpby ";

static bool is_exact(const wf_op *op)
{
    char word[40];
    snprintf(word, sizeof word, " %s ", op->name);
    return strstr(exact, word) != NULL;
}

enum { LONGEST = 67, GUARD = 8 };

/* One op on n elements from a place that is not aligned; inputs in numbers are one number. */
static bool is_op_right(const wf_pw_instr *k, const wf_jit *code, unsigned numbers, int64_t n)
{
    float in[3][LONGEST + 1], y[LONGEST + GUARD], want[LONGEST + 1];
    const float *x[3], *full[3];
    for (int j = 0; j < k->n_in; j++) {
        in[j][0] = special();
        for (int i = 1; i <= LONGEST; i++) in[j][i] = numbers >> j & 1 ? in[j][0] : special();
        x[j] = full[j] = in[j] + (n < LONGEST);
        if (numbers >> j & 1) x[j] = &in[j][0];
    }
    for (int i = 0; i < LONGEST + GUARD; i++) y[i] = 77;
    k->op->lane(k->attr, n, want, full);
    wf_jit_run(code, n, (float *[]){y}, x);
    int64_t at = differs(n, y, want);
    for (int i = 0; i < GUARD; i++) at = y[n + i] == 77 ? at : n + i;
    if (at < 0) return true;
    cr_expect(false, "%s, numbers %u, n %ld: [%ld] is %a, the vector layer's %a (of %a, %a)",
              k->op->name, numbers, (long)n, (long)at, (double)y[at], (double)want[at],
              (double)full[0][at], (double)full[k->n_in - 1][at]);
    return false;
}

Test(jit, every_exact_op_has_the_bits_of_the_vector_layer)
{
    int found = 0;
    for (int o = 0; wf_ops[o] && has_code(); o++) {
        const wf_op *op = wf_ops[o];
        if (!op->lane) continue;
        wf_scalar_attr attr = {0};
        wf_pw p = {.n_in = op->arity, .n_instr = 1};
        p.instr[0] = (wf_pw_instr){.op = op, .attr = &attr, .n_in = op->arity, .in = {0, 1, 2}};
        cr_expect_eq(wf_jit_get(&p, 0) != NULL, is_exact(op), "%s", op->name);
        if (!is_exact(op)) continue;
        found++;
        bool ok = true;
        for (int64_t trial = 0; ok && trial < 8 * (LONGEST + 1); trial++) {
            unsigned numbers = (unsigned)trial % (1u << op->arity);
            attr.a = trial % 3 ? (float)(next(9) - 4) / 3 : special();
            attr.b = trial % 3 ? attr.a + (float)next(4) : special();
            const wf_jit *code = wf_jit_get(&p, numbers);
            ok = code && is_op_right(&p.instr[0], code, numbers, trial % (LONGEST + 1));
        }
        cr_expect(ok, "%s", op->name);
    }
    if (has_code()) cr_expect_eq(found, 23);
}

/* ---- random programs ---- */

enum { ROOM = 8000, TRIALS = 800 };

/* A program and the tensors it runs on; memory that may be written is copied for each way. */
typedef struct trial {
    wf_linear_attr linear;
    wf_pw *p; /* in linear */
    wf_scalar_attr attr[WF_PW_INSTR];
    wf_node node, from[WF_PW_IN], *in[WF_PW_IN + 1];
    wf_tensor tensor[WF_PW_IN], out;
} trial;

static float memory[WF_PW_IN + 1][ROOM], before[WF_PW_IN + 1][ROOM], plain[WF_PW_IN + 1][ROOM];
static float scratch[(WF_PW_IN + WF_PW_INSTR) * WF_PW_TILE];

/* An input as it may lie: whole, a row, a column, one number, transposed, repeated by strides. */
static void random_input(trial *t, int i, int shift, bool is_whole)
{
    int64_t rows = t->out.shape.dim[0], cols = t->out.shape.dim[1];
    wf_tensor *x = &t->tensor[i];
    *x = (wf_tensor){.data = memory[i], .shape = {.rank = 2, .dim = {rows, cols}}};
    if (next(5) == 0) x->dtype = next(2) ? WF_BF16 : WF_F16;
    x->stride[0] = cols;
    x->stride[1] = 1;
    switch (is_whole ? 9 : next(10)) {
    case 0:
        x->shape = (wf_shape){.rank = 1, .dim = {cols}};
        x->stride[0] = 1;
        break;
    case 1:
        x->shape.dim[1] = x->stride[0] = 1;
        break;
    case 2:
        x->shape = (wf_shape){.rank = 0};
        break;
    case 3:
        x->stride[0] = 1, x->stride[1] = rows;
        break;
    case 4:
        x->stride[0] = x->stride[1] = 0;
        break;
    case 5:
        x->stride[1] = 0, x->stride[0] = 1;
        break;
    }
    t->from[i] = (wf_node){.shape = x->shape};
    t->in[i + shift] = &t->from[i];
}

static void random_instruction(trial *t, int i)
{
    static const wf_op *ops[64];
    static int n_ops;
    for (int o = 0; n_ops < 23 && wf_ops[o]; o++)
        if (wf_ops[o]->lane && is_exact(wf_ops[o])) ops[n_ops++] = wf_ops[o];
    const wf_op *op = ops[next(n_ops)];
    wf_pw_instr *k = &t->p->instr[i];
    int known = t->p->n_in + i, recent = known < 8 ? known : 8;
    t->attr[i] = (wf_scalar_attr){(float)(next(9) - 4) / 3, (float)(next(5) - 2) / 3};
    *k = (wf_pw_instr){.op = op, .attr = &t->attr[i], .n_in = op->arity};
    for (int j = 0; j < op->arity; j++) k->in[j] = next(3) ? known - 1 - next(recent) : next(known);
}

/* With shift 1 the first input is the block that the program runs on. */
static void random_trial(trial *t, uint32_t seed, int shift)
{
    static const int64_t sizes[] = {1, 2, 5, 8, 31, 64, 67, 130, 300};
    state = seed * 7919 + (uint32_t)shift;
    *t = (trial){.node = {.op = &wf_op_linear, .attr = &t->linear, .in = t->in}};
    wf_pw *p = t->p = &t->linear.program;
    if (!shift) t->node.op = &wf_op_pointwise, t->node.attr = p;
    bool is_long = !shift && next(8) == 0;
    int64_t cols = is_long ? 2500 : sizes[next(COUNT(sizes))], rows = next(is_long ? 4 : 8);
    if (cols <= 67 && next(2)) rows = sizes[next(7)];
    t->out = (wf_tensor){
        .data = memory[WF_PW_IN], .shape = {.rank = 2, .dim = {rows, cols}}, .stride = {cols, 1}};
    t->node.shape = t->out.shape;
    p->n_in = 1 + shift + next(next(4) ? 6 : WF_PW_IN - shift);
    p->n_instr = 1 + next(next(3) ? 12 : WF_PW_INSTR);
    p->n_stores = next(3) ? 0 : next((int)wf_min_i64(WF_PW_STORES, p->n_in - shift) + 1);
    for (int i = 0; i < p->n_in; i++) random_input(t, i, shift, i < p->n_stores + shift);
    if (shift) t->tensor[0].data = NULL;
    if (!shift && p->n_stores == 0 && next(3) == 0) { /* over an input */
        random_input(t, 0, 0, true);
        t->tensor[0].dtype = WF_F32;
        t->out.data = memory[0];
    }
    for (int i = 0; i < p->n_instr; i++) random_instruction(t, i);
    for (int s = 0; s < p->n_stores; s++) {
        p->store[s].input = s + shift;
        p->store[s].salt = (uint32_t)next(2);
        p->store[s].value = p->n_in + (s ? next(p->n_instr) : p->n_instr - 1);
    }
    for (int i = 0; i <= WF_PW_IN; i++)
        for (int64_t j = 0; j < rows * cols && (i < p->n_in || i == WF_PW_IN); j++)
            before[i][j] = special();
    wf_pw_settle(p);
    wf_pw_prepare(&t->node);
}

static void run_op(const trial *t)
{
    const wf_op *op = t->p->n_stores ? &wf_op_pointwise_store : &wf_op_pointwise;
    wf_call c = {
        .in = t->tensor, .n_in = t->p->n_in, .out = &t->out, .attr = t->p, .scratch = scratch};
    memcpy(memory, before, sizeof memory);
    int64_t n = op->units(&c, 0);
    for (int64_t lo = 0; lo < n; lo += 3) op->run(&c, lo, lo + 3 < n ? lo + 3 : n);
}

static bool is_memory_same(const trial *t, uint32_t seed, const char *what)
{
    for (int i = 0; i <= WF_PW_IN; i++) {
        wf_dtype type = i < t->p->n_in ? t->tensor[i].dtype : WF_F32;
        for (int64_t j = 0; j < ROOM; j++) {
            float got = wf_read_number(type, memory[i], j),
                  want = wf_read_number(type, plain[i], j);
            if (is_same(got, want)) continue;
            cr_expect(false, "%s, seed %u: tensor %d of %d at %ld is %a, plain %a", what, seed, i,
                      t->p->n_in, (long)j, (double)got, (double)want);
            return false;
        }
    }
    return true;
}

/* Runs it with the code, and without. */
static bool is_trial_right(trial *t, uint32_t seed, const char *what, void (*run)(const trial *))
{
    const wf_jit *code = t->p->code;
    t->p->code = NULL;
    run(t);
    memcpy(plain, memory, sizeof plain);
    t->p->code = code;
    run(t);
    return is_memory_same(t, seed, what);
}

Test(jit, random_programs_have_the_same_bits, .timeout = 120)
{
    static trial t;
    int with_code = 0;
    bool ok = true;
    for (uint32_t seed = 1; ok && has_code() && seed <= TRIALS; seed++) {
        random_trial(&t, seed, 0);
        with_code += t.p->code != NULL;
        ok = is_trial_right(&t, seed, "tensor", run_op);
    }
    if (has_code()) cr_expect_gt(with_code, TRIALS * 2 / 3, "%d of %d", with_code, TRIALS);
}

/* ---- blocks of another kernel ---- */

/* The block lies in the output or, when there are only stores, apart from it. */
static void run_blocks(const trial *t)
{
    static float apart[ROOM];
    int64_t rows = t->out.shape.dim[0], cols = t->out.shape.dim[1];
    wf_call c = {.out = &t->out, .seed = 5};
    int64_t width = rows % 2 ? (cols + 1) / 2 : cols; /* of a block */
    memcpy(memory, before, sizeof memory);
    memcpy(apart, before[WF_PW_IN], sizeof apart);
    for (int64_t row = 0; row < rows; row += 5)
        for (int64_t col = 0; col < cols; col += width) {
            wf_pw_block b = {.row = row, .col = col, .ld = cols};
            b.rows = wf_min_i64(5, rows - row);
            b.cols = wf_min_i64(width, cols - col);
            b.out = (t->p->n_stores ? apart : memory[WF_PW_IN]) + row * cols + col;
            wf_pw_run_block(t->p, t->tensor, &c, &b, scratch);
        }
}

Test(jit, blocks_of_products_have_the_same_bits, .timeout = 120)
{
    static trial t;
    int with_code = 0;
    bool ok = true;
    for (uint32_t seed = 1; ok && has_code() && seed <= TRIALS; seed++) {
        random_trial(&t, seed, 1);
        with_code += t.p->code != NULL;
        ok = is_trial_right(&t, seed, "block", run_blocks);
    }
    if (has_code()) cr_expect_gt(with_code, TRIALS * 2 / 3, "%d of %d", with_code, TRIALS);
}

/* ---- where there is none, where it is ---- */

static wf_pw chain(const wf_op *op, int n)
{
    static const wf_scalar_attr attr = {.a = 2};
    wf_pw p = {.n_in = 1, .n_instr = n};
    for (int i = 0; i < n; i++)
        p.instr[i] = (wf_pw_instr){.op = op, .attr = &attr, .n_in = 1, .in = {i}};
    return p;
}

/* n factors of one input, then their sum: all are wanted until the end. */
static wf_pw wide(int n)
{
    wf_pw p = chain(&wf_op_scale, n);
    for (int i = 0; i < n; i++) p.instr[i].in[0] = 0;
    p.n_instr = 2 * n - 1;
    for (int i = n; i < p.n_instr; i++)
        p.instr[i] = (wf_pw_instr){.op = &wf_op_add, .n_in = 2, .in = {i, i - n + 1}};
    return p;
}

Test(jit, what_cannot_be_code_has_none)
{
    wf_pw p = chain(&wf_op_scale, WF_PW_INSTR);
    cr_expect_eq(wf_jit_get(&p, 0) != NULL, has_code());
    p.instr[7].op = &wf_op_tanh;
    cr_expect(!wf_jit_get(&p, 0), "tanh");
    p = chain(&wf_op_neg, 1);
    p.n_in = 11;
    cr_expect(!wf_jit_get(&p, 0), "twelve streams");
    cr_expect_eq(wf_jit_get(&p, 2) != NULL, has_code(), "eleven, and a number");
    p = wide(13);
    cr_expect_eq(wf_jit_get(&p, 0) != NULL, has_code(), "thirteen values and the input");
    p = wide(14);
    cr_expect(!wf_jit_get(&p, 0), "fourteen values and the input");
}

Test(jit, where_no_code_may_be_made_there_is_none)
{
    wf_pw p = chain(&wf_op_abs, 3);
    struct rlimit old, none;
    cr_assert(getrlimit(RLIMIT_AS, &old) == 0);
    none = old;
    none.rlim_cur = 0;
    cr_assert(setrlimit(RLIMIT_AS, &none) == 0);
    const wf_jit *code = wf_jit_get(&p, 0);
    cr_assert(setrlimit(RLIMIT_AS, &old) == 0);
    cr_expect_eq(code, NULL, "no memory");
    enum { SET_MDWE = 65, REFUSE_EXEC_GAIN = 1 }; /* from Linux 6.3 on */
    if (prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
        cr_expect_eq(wf_jit_get(&p, 0), NULL, "memory that was written is not executed");
    else
        cr_expect_eq(wf_jit_get(&p, 0) != NULL, has_code());
}

Test(jit, a_level_keeps_its_bits)
{
    wf_pw p = chain(&wf_op_square, 2);
    p.code = wf_jit_get(&p, 0);
    cr_expect_eq(wf_pw_code(&p, false), p.code);
    cr_expect_eq(wf_pw_code(&p, true), NULL, "the reference");
    cr_assert(wf_vec_select("base"));
    cr_expect_eq(wf_pw_code(&p, false), NULL, "code from before");
    cr_expect_eq(wf_jit_get(&p, 0), NULL);
}

/* The permissions of the page at this address, as the system tells them. */
static void find_permissions(const void *at, char text[5])
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[400], *end;
    snprintf(text, 5, "none");
    while (f && fgets(line, sizeof line, f)) {
        uintptr_t from = strtoul(line, &end, 16), to = strtoul(end + 1, &end, 16);
        if ((uintptr_t)at >= from && (uintptr_t)at < to) snprintf(text, 5, "%.4s", end + 1);
    }
    if (f) fclose(f);
}

Test(jit, equal_programs_share_code_that_nobody_writes)
{
    wf_pw p = chain(&wf_op_scale, 3), q = p;
    wf_scalar_attr other = {.a = 3}, equal = {.a = 2};
    const wf_jit *code = wf_jit_get(&p, 0);
    char text[5];
    if (!has_code()) return;
    q.instr[1].attr = &equal;
    cr_expect_eq(wf_jit_get(&q, 0), code);
    cr_expect_neq(wf_jit_get(&q, 1), code, "of a number");
    p.n_in = q.n_in = 2; /* the same instructions, but the one stream is another input */
    for (int i = 0; i < 3; i++) p.instr[i].in[0] = i ? i + 1 : 0, q.instr[i].in[0] = i + 1;
    cr_expect_neq(wf_jit_get(&p, 2), wf_jit_get(&q, 1), "of another input");
    q.instr[1].attr = &other;
    cr_expect_neq(wf_jit_get(&q, 0), code, "with another factor");
    find_permissions(code, text);
    cr_expect_str_eq(text, "r-xp");
}
