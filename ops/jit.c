/*
 * Elementwise programs as machine code: see jit.h.
 *
 * A program run instruction by instruction writes every result to the first-level cache and reads
 * it again. Here each instruction becomes one to five of the processor's, all between loading eight
 * elements of the inputs and storing eight of the results, in one loop:
 *
 *     fn(RDI bytes, RSI pointers of the streams, RDX numbers), RAX = 0, 32, ... below bytes
 *
 * Streams are the inputs that are no numbers, then the outputs. An input that is read once, a
 * number and a constant are operands in memory; anything else gets a register at its first use and
 * keeps it until its last. Results are stored when all is read, so that they may lie where inputs
 * do.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "ops/jit.h"

#include "ops/jit_x86.h"
#include "ops/pointwise.h"

#include <pthread.h>
#include <sys/mman.h>

/* Pointers of streams; those from RBX on belong to the caller. */
static const int pointers[] = {RCX, R8, R9, R10, R11, RBX, RBP, R12, R13, R14, R15};
enum { STREAMS = sizeof pointers / sizeof *pointers, OWN = 5, VALUES = WF_PW_IN + WF_PW_INSTR };

/* ---- ops ---- */

/* What a step reads and writes: inputs, the result, a register for masks, the attributes and other
 * numbers. The result is in none of the inputs' registers. */
typedef enum role { NONE, X0, X1, X2, Y, MASK, A, B, ZERO, ONE, SIGN, REST, ROLES } role;

typedef struct step {
    jit_op op;
    role y, a, x; /* y = a (op) x */
} step;

/* The expressions of vec.c and simd.h, where NaN and zeros are thought about, to the order of
 * operands. */
static const struct recipe {
    const wf_op *op;
    step step[4];
} recipes[] = {
    {&wf_op_add, {{ADD, Y, X0, X1}}},
    {&wf_op_sub, {{SUB, Y, X0, X1}}},
    {&wf_op_mul, {{MUL, Y, X0, X1}}},
    {&wf_op_div, {{DIV, Y, X0, X1}}},
    {&wf_op_max, {{MAX, Y, X0, X1}, {EQUAL, MASK, X0, X0}, {PICK, Y, X0, Y}}},
    {&wf_op_min, {{MIN, Y, X0, X1}, {EQUAL, MASK, X0, X0}, {PICK, Y, X0, Y}}},
    {&wf_op_equal, {{EQUAL, Y, X0, X1}, {AND, Y, Y, ONE}}},
    {&wf_op_less, {{LESS, Y, X0, X1}, {AND, Y, Y, ONE}}},
    {&wf_op_less_equal, {{LESS_EQUAL, Y, X0, X1}, {AND, Y, Y, ONE}}},
    {&wf_op_where, {{EQUAL, MASK, X0, ZERO}, {PICK, Y, X1, X2}}},
    {&wf_op_sqrt, {{SQRT, Y, NONE, X0}}},
    {&wf_op_rsqrt, {{SQRT, Y, NONE, X0}, {DIV, Y, ONE, Y}}},
    {&wf_op_reciprocal, {{DIV, Y, ONE, X0}}},
    {&wf_op_square, {{MUL, Y, X0, X0}}},
    {&wf_op_neg, {{XOR, Y, X0, SIGN}}},
    {&wf_op_abs, {{AND, Y, X0, REST}}},
    {&wf_op_sign,
     {{UNEQUAL, MASK, X0, ZERO}, {AND, Y, X0, SIGN}, {OR, Y, Y, ONE}, {PICK, Y, X0, Y}}},
    {&wf_op_relu, {{MAX, Y, ZERO, X0}}},
    {&wf_op_relu2, {{MAX, Y, ZERO, X0}, {MUL, Y, Y, Y}}},
    {&wf_op_scale, {{MUL, Y, X0, A}}},
    {&wf_op_shift, {{ADD, Y, X0, A}}},
    {&wf_op_clamp, {{MAX, Y, A, X0}, {MIN, Y, B, Y}}},
    {&wf_op_axpby, {{MUL, Y, X1, B}, {FMA, Y, X0, A}}},
};

static const struct recipe *recipe_of(const wf_op *op)
{
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (recipes[i].op == op) return &recipes[i];
    return NULL;
}

static place in_register(int r)
{
    return (place){IN_REGISTER, r};
}

/* The register that x is in, or t after loading it. */
static int loaded(jit_buffer *b, place x, int t)
{
    if (x.kind == IN_REGISTER) return x.n;
    jit_vex(b, LOAD, t, 0, x);
    return t;
}

static place number(jit_buffer *b, role r, const wf_scalar_attr *k)
{
    static const uint32_t bits[ROLES] = {
        [ONE] = 0x3f800000, [SIGN] = 0x80000000, [REST] = 0x7fffffff};
    uint32_t x = bits[r];
    if (r == A || r == B) memcpy(&x, r == A ? &k->a : &k->b, sizeof x);
    return jit_constant(b, x);
}

static void cook(jit_buffer *b, const struct recipe *r, int y, const place x[], const void *attr)
{
    for (const step *s = r->step; s < r->step + 4 && s->y; s++) {
        place at[ROLES] = {[X0] = x[0], [X1] = x[1], [X2] = x[2]};
        at[Y] = in_register(y);
        at[MASK] = in_register(T1);
        if (s->a > MASK) at[s->a] = number(b, s->a, attr);
        if (s->x > MASK) at[s->x] = number(b, s->x, attr);
        jit_vex(b, s->op, at[s->y].n, s->a ? loaded(b, at[s->a], T0) : 0, at[s->x]);
    }
}

/* ---- programs ---- */

typedef struct builder {
    jit_buffer b;
    place value[VALUES];
    int reads[VALUES], last[VALUES]; /* how often, and by which instruction at last */
    unsigned taken;                  /* registers */
    int n_out, out[WF_PW_STORES];    /* values */
} builder;

static void find_reads(builder *s, const wf_pw *p)
{
    int last = p->n_in + p->n_instr - 1;
    s->n_out = p->n_stores ? p->n_stores : 1;
    for (int i = 0; i < p->n_instr; i++)
        for (int j = 0; j < p->instr[i].n_in; j++) {
            s->reads[p->instr[i].in[j]]++;
            s->last[p->instr[i].in[j]] = i;
        }
    for (int j = 0; j < s->n_out; j++) {
        s->out[j] = p->n_stores ? p->store[j].value : last;
        s->reads[s->out[j]]++;
        s->last[s->out[j]] = p->n_instr;
    }
}

/* A register for a value, or for nothing when there are no more. */
static int take_register(builder *s)
{
    int r = 0;
    while (s->taken >> r & 1) r++;
    if (r >= T0) s->b.is_full = true;
    s->taken |= 1u << r;
    return s->b.is_full ? 0 : r;
}

static void keep_in_register(builder *s, int value)
{
    if (s->value[value].kind == IN_REGISTER) return;
    s->value[value] = in_register(loaded(&s->b, s->value[value], take_register(s)));
}

static bool add_instruction(builder *s, const wf_pw *p, int i)
{
    const wf_pw_instr *k = &p->instr[i];
    place x[4] = {{0}};
    const struct recipe *r = recipe_of(k->op);
    if (!r) return false;
    for (int j = 0; j < k->n_in; j++) {
        int v = k->in[j];
        if (s->value[v].kind == IN_STREAM && s->reads[v] > 1) keep_in_register(s, v);
        x[j] = s->value[v];
    }
    int y = take_register(s);
    cook(&s->b, r, y, x, k->attr);
    s->value[p->n_in + i] = in_register(y);
    for (int j = 0; j < k->n_in; j++)
        if (x[j].kind == IN_REGISTER && s->last[k->in[j]] == i) s->taken &= ~(1u << x[j].n);
    if (s->reads[p->n_in + i] == 0) s->taken &= ~(1u << y);
    return !s->b.is_full;
}

/* Streams and numbers get their places, pointers are loaded, RAX = 0. */
static int begin(builder *s, const wf_pw *p, unsigned numbers)
{
    int n = 0, offset = 0;
    for (int i = 0; i < p->n_in; i++)
        if (numbers >> i & 1) {
            s->value[i] = (place){IN_NUMBERS, offset};
            offset += JIT_BYTES;
        } else {
            s->value[i] = (place){IN_STREAM, n < STREAMS ? pointers[n] : 0};
            n++;
        }
    n += s->n_out;
    if (n > STREAMS) return n;
    for (int i = OWN; i < n; i++) jit_stack(&s->b, false, pointers[i]);
    for (int i = 0; i < n; i++) jit_pointer(&s->b, pointers[i], i);
    jit_bytes(&s->b, 2, (uint8_t[]){0x31, 0xc0}); /* xor EAX, EAX */
    return n;
}

static void end(builder *s, int n_streams, int loop)
{
    static const uint8_t next[] = {0x48, 0x83, 0xc0, JIT_BYTES, /* add RAX, 32 */
                                   0x48, 0x39, 0xf8,            /* cmp RAX, RDI */
                                   0x0f, 0x82};                 /* jb, by what follows */
    for (int j = 0; j < s->n_out; j++) keep_in_register(s, s->out[j]);
    for (int j = 0; j < s->n_out; j++)
        jit_vex(&s->b, STORE, s->value[s->out[j]].n, 0,
                (place){IN_STREAM, pointers[n_streams - s->n_out + j]});
    jit_bytes(&s->b, sizeof next, next);
    jit_int32(&s->b, loop - (s->b.end + 4));
    jit_bytes(&s->b, 3, (uint8_t[]){0xc5, 0xf8, 0x77}); /* vzeroupper */
    for (int i = n_streams - 1; i >= OWN; i--) jit_stack(&s->b, true, pointers[i]);
    jit_byte(&s->b, 0xc3); /* ret */
}

static bool build(builder *s, const wf_pw *p, unsigned numbers)
{
    s->b.first = s->b.end = JIT_START;
    find_reads(s, p);
    int n_streams = begin(s, p, numbers), loop = s->b.end;
    if (n_streams > STREAMS) return false;
    for (int i = 0; i < p->n_instr; i++)
        if (!add_instruction(s, p, i)) return false;
    end(s, n_streams, loop);
    return !s->b.is_full;
}

/* ---- memory ---- */

enum { HEAD = (sizeof(wf_jit) + JIT_BYTES - 1) / JIT_BYTES * JIT_BYTES };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const wf_jit *kernels; /* all that there are; each has pages of its own, written once */

static const wf_jit *find(const wf_jit *like, const uint8_t *bytes)
{
    const wf_jit *k = kernels;
    while (k && (k->numbers != like->numbers || k->n_in != like->n_in || k->n_out != like->n_out ||
                 k->size != like->size ||
                 memcmp((const char *)k + HEAD, bytes, (size_t)like->size) != 0))
        k = k->next;
    return k;
}

/* like with its code behind it, in memory that is never to be written and executed at a time. */
static const wf_jit *place_code(const wf_jit *like, const uint8_t *bytes, int entry)
{
    size_t size = HEAD + (size_t)like->size;
    char *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED) return NULL;
    wf_jit *k = (wf_jit *)(void *)to;
    void *code = to + HEAD + entry;
    *k = *like;
    k->next = kernels;
    memcpy(&k->run, &code, sizeof code);
    memcpy(to + HEAD, bytes, (size_t)like->size);
    if (mprotect(to, size, PROT_READ | PROT_EXEC) == 0) return kernels = k;
    munmap(to, size);
    return NULL;
}

const wf_jit *wf_jit_get(const wf_pw *p, unsigned numbers)
{
    builder s = {0};
    if (!strcmp(wf_vec_get()->isa, "base") || !build(&s, p, numbers)) return NULL;
    const uint8_t *bytes = s.b.byte + s.b.first;
    wf_jit like = {.numbers = numbers, .n_in = p->n_in, .n_out = s.n_out};
    like.size = s.b.end - s.b.first;
    pthread_mutex_lock(&lock);
    const wf_jit *k = find(&like, bytes);
    if (!k) k = place_code(&like, bytes, JIT_START - s.b.first);
    pthread_mutex_unlock(&lock);
    return k;
}

/* ---- running ---- */

/* The last n < 8 elements, in padded copies through the same code. */
static void run_tail(const wf_jit *k, int64_t n, int n_streams, float *const at[],
                     const float *numbers)
{
    float room[STREAMS][JIT_WIDTH] = {{0}}, *copy[STREAMS];
    size_t bytes = (size_t)n * sizeof(float);
    for (int i = 0; i < n_streams; i++) copy[i] = room[i];
    for (int i = 0; i < n_streams - k->n_out; i++) memcpy(copy[i], at[i], bytes);
    k->run(JIT_BYTES, copy, numbers);
    for (int i = n_streams - k->n_out; i < n_streams; i++) memcpy(at[i], copy[i], bytes);
}

void wf_jit_run(const wf_jit *k, int64_t n, float *const out[], const float *const in[])
{
    float numbers[WF_PW_IN * JIT_WIDTH], *at[STREAMS];
    int n_streams = 0, n_numbers = 0;
    for (int i = 0; i < k->n_in; i++)
        if (k->numbers >> i & 1)
            for (int j = 0; j < JIT_WIDTH; j++) numbers[n_numbers++] = *in[i];
        else
            at[n_streams++] = (float *)in[i];
    for (int j = 0; j < k->n_out; j++) at[n_streams++] = out[j];
    int64_t whole = n / JIT_WIDTH * JIT_WIDTH;
    if (whole) k->run(whole * (int64_t)sizeof(float), at, numbers);
    for (int i = 0; i < n_streams; i++) at[i] += whole;
    if (n > whole) run_tail(k, n - whole, n_streams, at, numbers);
}
