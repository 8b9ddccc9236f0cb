/* What op files share, and what passes may know of built-in ops: descriptors and attributes. */
#ifndef WF_OPS_H
#define WF_OPS_H

#include "graph/base.h"
#include "ops/vec.h"
#include <weft/op.h>

#define OP(name) extern const wf_op wf_op_##name;
#include "ops/oplist.h"
#undef OP

/* The table made from oplist.h, ended by NULL; NULL if there is no op of that name. */
extern const wf_op *const wf_ops[];
const wf_op *wf_op_find(const char *name);

/* Attributes are compared as bytes, but compilers leave anything in those between members: "zero"
 * fills them up. */
typedef struct wf_scalar_attr {
    float a, b; /* scale: a x; shift: x + a; clamp: a..b; axpby: a x + b z; pow etc.: unused */
} wf_scalar_attr;

typedef struct wf_matmul_attr {
    bool ta, tb; /* the last two axes of that operand are swapped */
    bool bf16;   /* operands are rounded to bf16 */
} wf_matmul_attr;

typedef struct wf_reduce_attr {
    bool over[WF_MAX_RANK]; /* which axes of the input */
    bool keep;
} wf_reduce_attr;

typedef struct wf_axis_attr {
    int axis;                         /* not negative */
    bool exclusive, reverse, zero[2]; /* cumsum */
} wf_axis_attr;

typedef struct wf_slice_attr {
    int axis, zero;
    int64_t start, size; /* size may be symbolic */
} wf_slice_attr;

typedef struct wf_pad_attr {
    int axis, zero;
    int64_t before, total; /* zeros around: place x at "before" on an axis of "total" */
} wf_pad_attr;

typedef struct wf_shape_attr {
    wf_shape shape; /* may hold symbolic sizes */
} wf_shape_attr;

typedef struct wf_order_attr {
    int order[WF_MAX_RANK];
} wf_order_attr;

typedef struct wf_cast_attr {
    wf_dtype to;
    uint32_t salt; /* to 16 bits: rounded by chance, with draws of this salt; 0: to nearest */
} wf_cast_attr;

typedef struct wf_rows_attr {
    int64_t rows; /* scatter_rows: rows of the table, may be symbolic; one_hot: classes */
    int64_t salt; /* scatter_store into 16 bits: of the draws for rounding */
} wf_rows_attr;

typedef struct wf_norm_attr {
    float eps;
} wf_norm_attr;

typedef struct wf_random_attr {
    float rate;     /* dropout */
    wf_shape shape; /* uniform, normal; may hold symbolic sizes */
    uint64_t salt;  /* dropout_grad: the salt of its dropout; 0: the node's own */
} wf_random_attr;

typedef struct wf_span_attr {
    bool causal, zero[3];
    float value;    /* mask_span: outside; span_length: floor */
    int64_t tokens; /* span_packed, positions; may be symbolic */
} wf_span_attr;

typedef struct wf_rope_attr {
    float base;
    bool inverse, zero[3]; /* rotate by -p: the gradient */
    int64_t size;          /* rope_angles: s */
} wf_rope_attr;

typedef struct wf_loss_attr {
    int32_t ignore;
} wf_loss_attr;

/* Leaves (graph/leaf.c). */
typedef struct wf_leaf_attr {
    wf_role role;
    wf_init init;
    bool may_narrow; /* parameters, states: 16 bits are enough, if the program asks for that */
    bool is_square, is_rate; /* states: f16 has not their range; inputs: a learning rate */
    wf_dtype dtype;
    wf_shape shape;
    const void *values; /* constants: in the graph's arena; NULL: every element is fill */
    float fill;
} wf_leaf_attr;

typedef struct wf_minimize_attr {
    const wf_optimizer *optimizer;
    const void *hyper; /* in the graph's arena */
    wf_minimize_options options;
} wf_minimize_attr;

/* Runs that the optimizer itself (by its number "accumulate") makes one step of; 1: every run. */
int wf_own_window(const wf_minimize_attr *a);

/* Rows of the last axis: x is treated as [wf_rows(x), last]. */
static inline int64_t wf_last(const wf_shape *s)
{
    return s->rank ? s->dim[s->rank - 1] : 1;
}

/* The stream of random numbers of a node (its salt) in one run. */
static inline uint64_t wf_random_stream(uint64_t salt, int64_t step)
{
    uint64_t h = (salt ^ (uint64_t)step * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    return h ^ (h >> 31);
}

/* Number i of a stream, naively: in [0, 1), as the vector layer's uniform gives it; then normal. */
float wf_random_number(uint64_t key, uint64_t stream, int64_t i);
float wf_random_normal(uint64_t key, uint64_t stream, int64_t i);
/* Normal numbers from first on, by the vector layer; it takes the stream behind this one too.
 * angle: room for n. */
void wf_normal_row(int64_t n, float *y, float *angle, uint64_t key, uint64_t stream, int64_t first);

/* Dropout of x, some rows of what y drops, with the draws of these rows: int32 [rows of x]. */
wf_node *wf_dropout_rows(const wf_node *y, wf_node *x, wf_node *rows);

int64_t wf_product(const wf_shape *s, int lo, int hi);      /* of the sizes of axes lo..hi-1 */
int64_t wf_rows(const wf_shape *s);                         /* product of all axes but the last */
wf_cost wf_cost_rows(const wf_node *y, double per_element); /* elementwise, a unit is a row */

/* Set y's shape to that of an attribute, with the sizes that are known by now. */
bool wf_infer_shape(wf_node *y, const wf_shape *s);
/* The axis of x that a builder of op was given, counted from 0; -1 after refusing it. */
int wf_find_axis(const wf_op *op, wf_node *x, int axis);

/* Apply with one, two, three inputs. */
wf_node *wf_apply1(const wf_op *op, const void *attr, wf_node *a);
wf_node *wf_apply2(const wf_op *op, const void *attr, wf_node *a, wf_node *b);
wf_node *wf_apply3(const wf_op *op, const void *attr, wf_node *a, wf_node *b, wf_node *c);

#endif
