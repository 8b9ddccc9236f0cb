/*
 * The kernel of matmul.c and linear.c: y = op(a) op(b) over the last two axes, leading axes
 * broadcast.
 *
 * y is cut into panels of columns and those into chunks of rows; a panel's chunk is a unit. Kernels
 * want op(b) packed in strips of columns, a block of k at a time in the second-level cache: a unit
 * does that in its scratch, or phase 0 in work if several chunks need it and it is not too large.
 * They read op(a) in place; where it is stored the other way, it is transposed: in phase 0 if
 * several panels need it and it is not too large, else block by block. All cuts follow from shapes.
 *
 * For products in bf16, phase 0 rounds both operands into work as their kernels want them.
 */
#include "ops/matmul.h"

#include "ops/gemm.h"
#include "ops/operand.h"

enum {
    STRIP = WF_STRIP, /* columns that are packed together and go through one kernel, ... */
    ROWS = 48,        /* ... and rows */
    PANEL = 64, /* columns of a panel; fewer for more units, more while it stays in the cache: */
    CACHED = 1 << 16, /* floats of a panel, ... */
    K_BLOCK = 1280,   /* ... so deep at most, */
    K_TURNED = 256,   /* or so deep if that makes one panel of what else were turned as a whole */
    CHUNK = 96,       /* rows of a chunk at least */
    UNITS = 40,       /* wanted, so that threads end together, */
    FEW = 12,         /* and rather narrow panels than fewer than this, */
    UNIT = 1 << 18,   /* but of no less work than that: FLOPs */
    SHARED = 1 << 22, /* floats of an operand (of one item) that is copied as a whole, at most */
    TURN_FROM = 96,   /* columns for which a block of op(a) stored the other way is transposed */
};

typedef struct product {
    int64_t m, n, k, items;
    int64_t depth; /* k, or an even number in bf16 */
    int64_t k_block;
    int64_t width, panels; /* columns of a panel */
    int64_t rows, chunks;  /* rows of a chunk */
    bool bf16;             /* of rounded operands */
    bool turned, shared;   /* op(a) is transposed, op(b) packed, into work */
    bool has_room;         /* for op(b) in work: a later runtime may choose another level */
} product;

/* Columns far apart are slow to walk down for narrow vectors: even a plain operand is packed. */
static bool packs_plain(void)
{
    return wf_vec_get()->width < 16;
}

static product product_of(const wf_shape *a, const wf_shape *y, const wf_matmul_attr *attr)
{
    product p = {
        .m = y->dim[y->rank - 2], .n = y->dim[y->rank - 1], .items = 1, .bf16 = attr->bf16};
    p.k = a->dim[attr->ta ? a->rank - 2 : a->rank - 1];
    for (int i = 0; i < y->rank - 2; i++) p.items *= y->dim[i];
    p.depth = p.bf16 ? p.k + p.k % 2 : p.k;
    bool is_narrow = attr->ta && p.n <= 4 * PANEL && !p.bf16;
    int64_t blocks = wf_ceil_div(p.k, is_narrow ? K_TURNED : K_BLOCK);
    p.k_block = wf_ceil_div(wf_ceil_div(p.k, blocks), 8) * 8;
    int64_t most = wf_max_i64(1, p.m / CHUNK);
    int64_t want = wf_min_i64(UNITS, 2 * p.m * p.n * p.k * p.items / UNIT);
    int64_t few = wf_min_i64(FEW, want);
    p.width = STRIP; /* wider while it stays in the cache: op(a) is read once a panel */
    while (p.width < 4 * PANEL && (2 * p.width * p.k_block <= CACHED || p.width < PANEL) &&
           wf_ceil_div(p.n, 2 * p.width) * p.items * most >= few)
        p.width *= 2;
    p.panels = wf_ceil_div(p.n, p.width);
    int64_t chunks = wf_min_i64(most, wf_ceil_div(UNITS, p.panels * p.items));
    p.rows = wf_ceil_div(wf_ceil_div(p.m, chunks), ROWS) * ROWS;
    p.chunks = wf_ceil_div(p.m, p.rows);
    p.turned = p.bf16 || (attr->ta && p.panels > 1 && p.k * p.m <= SHARED);
    p.has_room = p.bf16 || (p.chunks > 1 && p.k * p.n <= SHARED);
    p.shared = p.has_room && (p.bf16 || attr->tb || packs_plain());
    return p;
}

/* ---- phase 0: what several units need, into work: op(a), then op(b) ---- */

static int64_t turn_units(const product *p, const wf_shape *a)
{
    return p->turned ? wf_own_items(a) * wf_ceil_div(p->m, PANEL) : 0;
}

static int64_t pack_units(const product *p, const wf_shape *b)
{
    return p->shared ? wf_own_items(b) * wf_ceil_div(p->n, PANEL) : 0;
}

/* Where op(b) of an item is packed: strips one behind the other. */
static float *shared_b(const wf_call *c, const product *p, int64_t item)
{
    int64_t before = p->turned ? wf_elements(&c->in[0].shape) : 0;
    return (float *)c->work + before + item * p->k * p->n;
}

/* The same in bf16, and op(a). */
static uint16_t *rounded_a(const wf_call *c, const product *p, int64_t item)
{
    return (uint16_t *)c->work + item * p->m * p->depth;
}

static uint16_t *rounded_b(const wf_call *c, const product *p, int64_t item)
{
    return rounded_a(c, p, wf_own_items(&c->in[0].shape)) + item * p->n * p->depth;
}

/* PANEL rows of op(a). */
static void turn(const wf_call *c, const product *p, bool swap, int64_t unit)
{
    int64_t blocks = wf_ceil_div(p->m, PANEL), row = unit % blocks * PANEL;
    int64_t n = wf_min_i64(PANEL, p->m - row);
    wf_matrix a = wf_matrix_of(&c->in[0], swap, unit / blocks), from = wf_matrix_part(&a, row, 0);
    if (p->bf16)
        wf_matrix_round(rounded_a(c, p, unit / blocks) + row * p->depth, p->depth, &from, n, p->k,
                        c->scratch);
    else
        wf_matrix_copy((float *)c->work + (unit / blocks * p->m + row) * p->k, p->k, &from, n,
                       p->k);
}

/* PANEL columns of op(b). */
static void pack_panel(const wf_call *c, const product *p, bool swap, int64_t unit)
{
    int64_t panels = wf_ceil_div(p->n, PANEL), col = unit % panels * PANEL;
    wf_matrix b = wf_matrix_of(&c->in[1], swap, unit / panels), from = wf_matrix_part(&b, 0, col);
    int64_t n = wf_min_i64(PANEL, p->n - col);
    if (p->bf16)
        wf_matrix_pack_rounded(rounded_b(c, p, unit / panels) + col * p->depth, STRIP * p->depth,
                               &from, p->k, n, c->scratch);
    else
        wf_matrix_pack(shared_b(c, p, unit / panels) + col * p->k, STRIP * p->k, &from, p->k, n);
}

/* ---- one unit ---- */

/* The scratch of a thread. */
typedef struct room {
    float *b;       /* STRIP columns of op(b), K_BLOCK deep, for each strip of a panel */
    float *a;       /* ROWS rows of op(a), where it lies in no order that a kernel reads */
    float *out;     /* a chunk, when the result is only stored by the program */
    float *program; /* of wf_pw_run_block */
} room;

static int64_t lay_out(room *r, const product *p, const wf_pw *program, float *scratch)
{
    int64_t at = 0;
    r->b = scratch;
    at += p->bf16 ? WF_ROUND_ROOM : p->width * p->k_block; /* in bf16 for phase 0 */
    r->a = scratch + at;
    at += p->bf16 ? 0 : ROWS * p->k_block;
    r->out = scratch + at;
    if (program && program->n_stores) at += p->rows * p->width;
    r->program = scratch + at;
    return at + (program ? wf_pw_scratch(program) : 0);
}

typedef struct unit {
    const product *p;
    wf_matrix a, b;
    const float *shared; /* op(b) packed for all, or NULL */
    const uint16_t *rounded_a, *rounded_b;
    float *c; /* the first element of the chunk */
    int64_t ldc, row, rows, col, cols;
    room room;
} unit;

/* Is op(b) copied for this unit? */
static bool is_packed(const unit *u)
{
    if (u->shared) return false;
    if (u->b.type != WF_F32 || u->b.col != 1 || (u->b.row < u->p->n && u->p->k > 1)) return true;
    return packs_plain() && u->rows >= ROWS && u->b.row > STRIP;
}

/* rows x k of op(a) at (row, from) of the chunk, as a kernel wants it: sets m, k, lda, trans_a. */
static const float *left(const unit *u, int64_t row, int64_t from, wf_gemm_shape *s)
{
    wf_matrix a = wf_matrix_part(&u->a, u->row + row, from);
    s->m = wf_min_i64(ROWS, u->rows - row);
    s->k = wf_min_i64(u->p->k_block, u->p->k - from);
    bool is_wide = a.type == WF_F32;
    s->trans_a = is_wide && a.col != 1 && a.row == 1 && a.col >= s->m && u->cols < TURN_FROM;
    if (s->trans_a) {
        s->lda = a.col;
    } else if (is_wide && a.col == 1 && (a.row >= s->k || s->m == 1)) {
        s->lda = wf_max_i64(a.row, s->k);
    } else {
        wf_matrix_copy(u->room.a, s->k, &a, s->m, s->k);
        a.data = u->room.a;
        s->lda = s->k;
    }
    return a.data;
}

/* The strip of op(b) at (from, col of the unit), *ldb floats a row. */
static const float *right(const unit *u, bool packed, int64_t from, int64_t col, int64_t *ldb)
{
    *ldb = wf_min_i64(STRIP, u->cols - col);
    if (packed) return u->room.b + col * u->p->k_block;
    if (u->shared) return u->shared + (u->col + col) * u->p->k + from * *ldb;
    *ldb = u->b.row;
    return (const float *)u->b.data + from * u->b.row + u->col + col;
}

/* All of the chunk for one block of k. */
static void run_block(const unit *u, int64_t from)
{
    int64_t k = wf_min_i64(u->p->k_block, u->p->k - from);
    bool packed = is_packed(u);
    wf_matrix b = wf_matrix_part(&u->b, from, u->col);
    if (packed) wf_matrix_pack(u->room.b, STRIP * u->p->k_block, &b, k, u->cols);
    wf_gemm_shape s = {.ldc = u->ldc, .accumulate = from > 0};
    for (int64_t row = 0; row < u->rows; row += ROWS) {
        const float *a = left(u, row, from, &s);
        for (int64_t col = 0; col < u->cols; col += STRIP) {
            const float *x = right(u, packed, from, col, &s.ldb);
            s.n = wf_min_i64(STRIP, u->cols - col);
            wf_gemm g = wf_gemm_get(&s);
            wf_gemm_run(&g, a, x, u->c + row * u->ldc + col, 1);
        }
    }
}

/* The same in bf16. */
static void run_rounded_block(const unit *u, int64_t from)
{
    const product *p = u->p;
    wf_gemm_shape s = {.lda = p->depth, .ldc = u->ldc, .accumulate = from > 0, .bf16 = true};
    s.k = wf_min_i64(p->k_block, p->depth - from);
    for (int64_t row = 0; row < u->rows; row += ROWS) {
        s.m = wf_min_i64(ROWS, u->rows - row);
        for (int64_t col = 0; col < u->cols; col += STRIP) {
            s.n = s.ldb = wf_min_i64(STRIP, u->cols - col);
            wf_gemm g = wf_gemm_get(&s);
            wf_gemm_run(&g, u->rounded_a + (u->row + row) * p->depth + from,
                        u->rounded_b + (u->col + col) * p->depth + from * s.n,
                        u->c + row * u->ldc + col, 1);
        }
    }
}

/* As the kernels see it. */
static double operand(const product *p, const wf_matrix *m, int64_t at)
{
    float x = wf_read_number(m->type, m->data, at);
    return (double)(p->bf16 ? wf_from_bf16(wf_to_bf16(x)) : x);
}

static void reference_block(const unit *u)
{
    for (int64_t i = 0; i < u->rows; i++)
        for (int64_t j = 0; j < u->cols; j++) {
            wf_matrix a = wf_matrix_part(&u->a, u->row + i, 0),
                      b = wf_matrix_part(&u->b, 0, u->col + j);
            double y = 0;
            for (int64_t k = 0; k < u->p->k; k++)
                y += operand(u->p, &a, k * a.col) * operand(u->p, &b, k * b.row);
            u->c[i * u->ldc + j] = (float)y;
        }
}

/* The program's inputs: the product itself (no data of its own), then the node's further inputs. */
static void run_program(const wf_call *c, const wf_pw *program, const unit *u, int64_t item)
{
    wf_tensor in[WF_PW_IN]; /* large: only what is read is set */
    in[0].data = NULL;
    for (int i = 1; i < program->n_in; i++) in[i] = c->in[i + 1];
    wf_pw_block b = {.row = item * u->p->m + u->row,
                     .col = u->col,
                     .rows = u->rows,
                     .cols = u->cols,
                     .out = u->c,
                     .ld = u->ldc};
    wf_pw_run_block(program, in, c, &b, u->room.program);
}

static void run_unit(const wf_call *c, const wf_matmul_attr *attr, const wf_pw *program,
                     const product *p, int64_t number)
{
    int64_t item = number / (p->panels * p->chunks), rest = number % (p->panels * p->chunks);
    unit u = {.p = p, .row = rest % p->chunks * p->rows, .col = rest / p->chunks * p->width};
    u.rows = wf_min_i64(p->rows, p->m - u.row);
    u.cols = wf_min_i64(p->width, p->n - u.col);
    int64_t own = wf_own_item(&c->in[0].shape, &c->out->shape, item);
    u.a = wf_matrix_of(&c->in[0], attr->ta, own);
    int64_t own_b = wf_own_item(&c->in[1].shape, &c->out->shape, item);
    u.b = wf_matrix_of(&c->in[1], attr->tb, own_b);
    if (p->bf16) {
        u.rounded_a = rounded_a(c, p, own);
        u.rounded_b = rounded_b(c, p, own_b);
    }
    if (p->shared && !c->reference) u.shared = shared_b(c, p, own_b);
    if (p->turned && !c->reference)
        u.a = (wf_matrix){(const float *)c->work + own * p->m * p->k, p->k, 1, WF_F32};
    lay_out(&u.room, p, program, c->scratch);
    bool only_stores = program && program->n_stores;
    u.ldc = only_stores ? u.cols : p->n;
    u.c = only_stores ? u.room.out : (float *)c->out->data + (item * p->m + u.row) * p->n + u.col;
    if (c->reference)
        reference_block(&u);
    else
        for (int64_t from = 0; from < p->k; from += p->k_block)
            (p->bf16 ? run_rounded_block : run_block)(&u, from);
    if (program) run_program(c, program, &u, item);
}

/* ---- for matmul and linear ---- */

void wf_matmul_run(const wf_call *c, const wf_matmul_attr *a, const wf_pw *program, int64_t lo,
                   int64_t hi)
{
    product p = product_of(&c->in[0].shape, &c->out->shape, a);
    bool prepares = c->phase == 0 && (p.turned || p.shared);
    int64_t turns = turn_units(&p, &c->in[0].shape);
    for (int64_t u = lo; u < hi; u++)
        if (!prepares)
            run_unit(c, a, program, &p, u);
        else if (u < turns)
            turn(c, &p, a->ta, u);
        else
            pack_panel(c, &p, a->tb, u - turns);
}

int64_t wf_matmul_units(const wf_call *c, const wf_matmul_attr *a, int phase)
{
    product p = product_of(&c->in[0].shape, &c->out->shape, a);
    bool prepares = p.turned || p.shared;
    if (prepares && phase == 0)
        return c->reference ? 0 : turn_units(&p, &c->in[0].shape) + pack_units(&p, &c->in[1].shape);
    return phase == prepares ? p.items * p.panels * p.chunks : -1;
}

size_t wf_matmul_work(const wf_node *y, const wf_matmul_attr *a)
{
    product p = product_of(&y->in[0]->shape, &y->shape, a);
    int64_t n = p.turned ? wf_own_items(&y->in[0]->shape) * p.m : 0;
    if (p.has_room) n += wf_own_items(&y->in[1]->shape) * p.n;
    return (size_t)(n * p.depth) * (p.bf16 ? sizeof(uint16_t) : sizeof(float));
}

size_t wf_matmul_scratch(const wf_node *y, const wf_matmul_attr *a, const wf_pw *program)
{
    room r;
    product p = product_of(&y->in[0]->shape, &y->shape, a);
    return (size_t)lay_out(&r, &p, program, NULL) * sizeof(float);
}

/* Few rows of columns that fill one vector of AVX-512 are summed up in several parts by libxsmm;
 * otherwise each element is one sum in the order of k. */
bool wf_matmul_is_by_row(const wf_node *y, int64_t columns)
{
    enum { VECTOR = 16 };
    const wf_matmul_attr *a = y->attr;
    int64_t last = columns % STRIP;
    bool are_matrices = y->in[0]->shape.rank == 2 && y->in[1]->shape.rank == 2;
    return are_matrices && !a->ta && (last == 0 || last > VECTOR);
}

/* Of the product; units() has the last word on units. */
wf_cost wf_matmul_cost(const wf_node *y)
{
    const wf_matmul_attr *a = y->attr; /* wf_linear_attr begins with it */
    product p = product_of(&y->in[0]->shape, &y->shape, a);
    wf_cost c = wf_cost_elementwise(y, 2 * (double)p.k);
    c.units = p.items * p.panels * p.chunks;
    return c;
}
