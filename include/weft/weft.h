/*
 * weft/weft.h - for people who write models; with weft/train.h, for people who train them, and
 * weft/inspect.h, for those who want to know what a program does.
 *
 * Declare a graph -> compile it (fuse, differentiate, update, fuse again, plan memory) -> bind
 * inputs -> run.
 *
 * Ownership. What a _new function or an out parameter gives is yours; give it to the matching _free
 * (NULL is fine; _free cannot fail). Nodes belong to their graph and die with it. Names and
 * attributes are copied; descriptors (wf_op, wf_optimizer, wf_pass) are not and must be static.
 * Data given to wf_bind is borrowed until the next bind.
 *
 * Errors. Builders never return NULL: the first mistake in a model is kept with the path of its
 * node, later calls pass a poison node on, and wf_compile reports it. Functions that meet the world
 * (memory, files) return a negative wf_status. Both leave one line of text in wf_error().
 *
 * Sizes are int64_t; data is row-major; "axis" may be negative to count from the end. Elementwise
 * builders broadcast as NumPy does. Values are float32 unless said otherwise.
 */
#ifndef WEFT_H
#define WEFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WF_API          __attribute__((visibility("default")))
#define WF_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WF_API
#define WF_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define WF_VERSION  "0.1.0"
#define WF_MAX_RANK 6

typedef struct wf_graph wf_graph;
typedef struct wf_node wf_node;
typedef struct wf_op wf_op;
typedef struct wf_optimizer wf_optimizer;
typedef struct wf_pass wf_pass;
typedef struct wf_runtime wf_runtime;
typedef struct wf_store wf_store;
typedef struct wf_program wf_program;

typedef enum wf_status {
    WF_OK = 0,
    WF_EMODEL = -1,     /* a mistake in the model or in an argument */
    WF_ENOMEM = -2,     /* out of memory */
    WF_EIO = -3,        /* a file could not be read or written */
    WF_EFORMAT = -4,    /* a file's content is not what it should be */
    WF_EUNBOUND = -5,   /* a program was run before all its inputs were bound */
    WF_ELIMIT = -6,     /* a limit given by the caller cannot be met */
    WF_ENONFINITE = -7, /* a number is NaN or infinite */
} wf_status;

/* The text of the last failure on this thread, one line without a newline; "" if none. */
WF_API const char *wf_error(void);
WF_API const char *wf_status_name(wf_status s);

typedef enum wf_dtype { WF_F32, WF_I32, WF_U8, WF_F16, WF_BF16 } wf_dtype; /* 16 bit: stored only */

typedef struct wf_shape {
    int rank;
    int64_t dim[WF_MAX_RANK];
} wf_shape;

typedef struct wf_axes {
    int n;
    int axis[WF_MAX_RANK];
} wf_axes;

/* WF_SHAPE(8, 128), WF_SCALAR for a single value; WF_AXES(0, -1), WF_ALL for all axes */
#define WF_SHAPE(...)                                                                              \
    ((wf_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define WF_SCALAR    ((wf_shape){0})
#define WF_ALL       ((wf_axes){0})
#define WF_AXES(...) ((wf_axes){(int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), {__VA_ARGS__}})

/* ---- graph ------------------------------------------------------------------------------- */

WF_API wf_graph *wf_graph_new(void);
WF_API void wf_graph_free(wf_graph *g);
/* WF_OK, or the first mistake so far, whose text is copied to wf_error(). */
WF_API wf_status wf_graph_check(const wf_graph *g);
/* One line a node, stable; or Graphviz. malloc'ed: free() it. NULL after running out of memory. */
WF_API char *wf_graph_text(const wf_graph *g);
WF_API char *wf_graph_dot(const wf_graph *g);
/* Nodes that outputs or effects need. */
WF_API int wf_graph_size(const wf_graph *g);

/* Names are paths: inside push("gau3") a parameter "w" is called "gau3/w". printf-style. */
WF_API void wf_push(wf_graph *g, const char *format, ...) WF_PRINTF(2, 3);
WF_API void wf_pop(wf_graph *g);
/* Name x after the current scope; returns x. */
WF_API wf_node *wf_name(wf_node *x, const char *name);
/* Mark x as a result that wf_read and wf_scalar can fetch by this name; returns x. */
WF_API wf_node *wf_output(wf_node *x, const char *name);
/* The graph of a node, the extent of an axis, the rank, the shape. Poison has one element. */
WF_API wf_graph *wf_graph_of(const wf_node *x);
WF_API int64_t wf_dim(const wf_node *x, int axis);
WF_API int wf_rank(const wf_node *x);
WF_API wf_shape wf_shape_of(const wf_node *x);

/*
 * A symbolic size: a handle that stands for a size in any shape and gets its value from
 * wf_compile_options.sizes. Sums and products of sizes are sizes too. Handles are negative; do no
 * other arithmetic on them: use wf_extent() where a formula needs the number.
 */
WF_API int64_t wf_size(wf_graph *g, const char *name);
WF_API int64_t wf_size_add(wf_graph *g, int64_t a, int64_t b);
WF_API int64_t wf_size_mul(wf_graph *g, int64_t a, int64_t b);

/* ---- leaves ------------------------------------------------------------------------------ */

WF_API wf_node *wf_input(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape);
WF_API wf_node *wf_constant(wf_graph *g, float value);                          /* a scalar */
WF_API wf_node *wf_constants(wf_graph *g, wf_shape shape, const float *values); /* copied */
WF_API wf_node *wf_constants_i32(wf_graph *g, wf_shape shape, const int32_t *values);
WF_API wf_node *wf_full(wf_graph *g, wf_shape shape, float value);
WF_API wf_node *wf_extent(wf_node *x, int axis); /* the size of an axis as a scalar value */
WF_API wf_node *wf_iota(wf_graph *g, int64_t n); /* 0, 1, ..., n-1 as int32 */

typedef enum wf_init_kind {
    WF_INIT_ZEROS,
    WF_INIT_CONSTANT,  /* a everywhere */
    WF_INIT_NORMAL,    /* standard deviation a */
    WF_INIT_TRUNCATED, /* normal, redrawn until within 2a; its own deviation is .8796a */
    WF_INIT_UNIFORM,   /* from a to b */
} wf_init_kind;

typedef struct wf_init {
    wf_init_kind kind;
    float a, b;
} wf_init;

typedef enum wf_role_kind { WF_KERNEL, WF_EMBEDDING, WF_BIAS, WF_SCALE, WF_CUSTOM } wf_role_kind;

/* What training knows of a parameter: its learning rate's multiplier, its weight decay's multiplier
 * and the centre that Tiger shrinks it to. Only WF_CUSTOM reads the numbers, but always. */
typedef struct wf_role {
    wf_role_kind kind;
    float rate, decay, centre;
} wf_role;

/* A trained tensor, kept in the store under its path. Asking twice for a path gives one node. */
WF_API wf_node *wf_param(wf_graph *g, const char *name, wf_shape shape, wf_role role, wf_init init);

/* ---- elementwise -------------------------------------------------------------------------- */

WF_API wf_node *wf_add(wf_node *a, wf_node *b);
WF_API wf_node *wf_sub(wf_node *a, wf_node *b);
WF_API wf_node *wf_mul(wf_node *a, wf_node *b);
WF_API wf_node *wf_div(wf_node *a, wf_node *b);
WF_API wf_node *wf_max(wf_node *a, wf_node *b);   /* gradient to a where a >= b, else to b */
WF_API wf_node *wf_min(wf_node *a, wf_node *b);   /* gradient to a where a <= b, else to b */
WF_API wf_node *wf_pow(wf_node *a, wf_node *b);   /* gradient to b needs a > 0 */
WF_API wf_node *wf_equal(wf_node *a, wf_node *b); /* comparisons give 1 or 0, no gradient */
WF_API wf_node *wf_less(wf_node *a, wf_node *b);
WF_API wf_node *wf_less_equal(wf_node *a, wf_node *b);
/* a where cond != 0, else b; cond may be float32, int32 or uint8 */
WF_API wf_node *wf_where(wf_node *cond, wf_node *a, wf_node *b);

WF_API wf_node *wf_neg(wf_node *x);
WF_API wf_node *wf_abs(wf_node *x);
WF_API wf_node *wf_sign(wf_node *x); /* -1, 0, 1; NaN stays NaN; gradient 0 */
WF_API wf_node *wf_exp(wf_node *x);
WF_API wf_node *wf_expm1(wf_node *x);
WF_API wf_node *wf_log(wf_node *x);
WF_API wf_node *wf_log1p(wf_node *x);
WF_API wf_node *wf_sqrt(wf_node *x);
WF_API wf_node *wf_rsqrt(wf_node *x); /* 1/sqrt(x), correctly rounded operations */
WF_API wf_node *wf_square(wf_node *x);
WF_API wf_node *wf_reciprocal(wf_node *x);
WF_API wf_node *wf_sin(wf_node *x);
WF_API wf_node *wf_cos(wf_node *x);
WF_API wf_node *wf_tanh(wf_node *x);
WF_API wf_node *wf_erf(wf_node *x);
WF_API wf_node *wf_sigmoid(wf_node *x);
WF_API wf_node *wf_softplus(wf_node *x);  /* log(1 + e^x) */
WF_API wf_node *wf_silu(wf_node *x);      /* x sigmoid(x) */
WF_API wf_node *wf_gelu(wf_node *x);      /* x Phi(x), exact (Hendrycks, Gimpel 2016) */
WF_API wf_node *wf_gelu_tanh(wf_node *x); /* its tanh form, .5x(1+tanh(sqrt(2/pi)(x+.044715x^3))) */
WF_API wf_node *wf_relu(wf_node *x);
WF_API wf_node *wf_relu2(wf_node *x); /* max(x,0)^2 */

WF_API wf_node *wf_scale(wf_node *x, float factor);
WF_API wf_node *wf_shift(wf_node *x, float summand);
WF_API wf_node *wf_clamp(wf_node *x, float lo, float hi); /* NaN stays NaN */
WF_API wf_node *wf_lerp(wf_node *a, wf_node *b, float t); /* a + t (b - a), as (1-t)a + tb */
WF_API wf_node *wf_cast(wf_node *x, wf_dtype to); /* f32 <-> i32 (towards zero), u8 -> f32 */
WF_API wf_node *wf_stop_gradient(wf_node *x);

/* ---- reductions: over axes (n = 0: all); keep leaves extents of 1 ------------------------- */

WF_API wf_node *wf_sum(wf_node *x, wf_axes axes, bool keep);
WF_API wf_node *wf_mean(wf_node *x, wf_axes axes, bool keep);
WF_API wf_node *wf_max_over(wf_node *x, wf_axes axes, bool keep); /* gradient shared by ties */
WF_API wf_node *wf_logsumexp(wf_node *x, wf_axes axes, bool keep);
WF_API wf_node *wf_norm(wf_node *x, wf_axes axes, bool keep); /* Euclidean; gradient 0 at 0 */
WF_API wf_node *wf_cumsum(wf_node *x, int axis);

/* ---- products ----------------------------------------------------------------------------- */

/* [..., m, k] x [..., k, n] -> [..., m, n]; leading axes broadcast; vectors are not promoted */
WF_API wf_node *wf_matmul(wf_node *a, wf_node *b);
WF_API wf_node *wf_matmul_t(wf_node *a, wf_node *b); /* a b^T: [..., m, k] x [..., n, k] */
WF_API wf_node *wf_t_matmul(wf_node *a, wf_node *b); /* a^T b: [..., k, m] x [..., k, n] */
/* x w + b over the last axis: x [..., k], w [k, n], b [n] or NULL */
WF_API wf_node *wf_linear(wf_node *x, wf_node *w, wf_node *b);

/* ---- shape: views, no data moves where that is possible ------------------------------------ */

WF_API wf_node *wf_reshape(wf_node *x, wf_shape shape);  /* one size may be -1: inferred */
WF_API wf_node *wf_transpose(wf_node *x, wf_axes order); /* n = 0: reverse all axes */
WF_API wf_node *wf_broadcast(wf_node *x, wf_shape shape);
WF_API wf_node *wf_slice(wf_node *x, int axis, int64_t start, int64_t size);
WF_API void wf_split(wf_node *x, int axis, int n, const int64_t sizes[], wf_node *parts[]);
WF_API wf_node *wf_concat(int n, wf_node *const x[], int axis);

/* ---- rows --------------------------------------------------------------------------------- */

/* Rows of table [v, ...] at int32 ids of any shape: ids.shape + [...]. An id outside 0..v-1 gives
 * a row of zeros and no gradient. */
WF_API wf_node *wf_gather(wf_node *table, wf_node *ids);
WF_API wf_node *wf_one_hot(wf_node *ids, int64_t classes);

/* ---- layers ------------------------------------------------------------------------------- */

WF_API wf_node *wf_softmax(wf_node *x); /* over the last axis */
WF_API wf_node *wf_log_softmax(wf_node *x);
/* x / sqrt(mean(x^2) + eps) over the last axis; eps = 0 and a zero row give 0 */
WF_API wf_node *wf_rms_norm(wf_node *x, float eps);
/* (x - mean) / sqrt(var + eps) over the last axis */
WF_API wf_node *wf_layer_norm(wf_node *x, float eps);
/* Scaled by 1/(1-rate), another mask every run; the identity in evaluation (forward_only). */
WF_API wf_node *wf_dropout(wf_node *x, float rate);
/* In [0,1); normal: new numbers every run, by the store's seed and the number of the run (of all
 * runs that trained or assigned, which checkpoints keep, and of this program's others). */
WF_API wf_node *wf_uniform(wf_graph *g, wf_shape shape);
WF_API wf_node *wf_normal(wf_graph *g, wf_shape shape);
/* x w (+ b): declares <name>/w [k, n] and, if bias, <name>/b */
WF_API wf_node *wf_dense(wf_node *x, int64_t width, bool bias, wf_init init, const char *name);

/* ---- sequences ----------------------------------------------------------------------------
 * A packed batch is t tokens in which r sequences lie one behind the other; offsets [r+1] (int32,
 * 0 first, never falling, last <= t) tells where each starts. Tokens behind the last offset belong
 * to no sequence. A padded batch is [b, n] tokens with lengths [b] (int32).
 *
 * A span [..., n, 2] (int32) says which keys each query sees: from, to (exclusive), inside 0..n. A
 * query with an empty span attends to nothing and gets zeros. */
WF_API wf_node *wf_span_packed(wf_node *offsets, int64_t tokens, bool causal); /* [t, 2] */
WF_API wf_node *wf_span_padded(wf_node *lengths, int64_t time, bool causal);   /* [b, n, 2] */
WF_API wf_node *wf_positions(wf_node *offsets, int64_t tokens); /* [t]: place in its sequence */
/* Scores [..., n, m] outside the span become "value" (softmax: -INFINITY, relu2: 0). */
WF_API wf_node *wf_mask_span(wf_node *scores, wf_node *span, float value);
/* Number of visible keys a query, at least floor: [..., n, 1] as float */
WF_API wf_node *wf_span_length(wf_node *span, float floor);
/* Rotary position embedding (Su et al. 2021) of adjacent pairs, theta_i = base^(-2i/s); the last
 * axis must be even; positions int32 [n] for axis -2. */
WF_API wf_node *wf_rope(wf_node *x, wf_node *positions, float base);

/* ---- losses ------------------------------------------------------------------------------- */

/* Softmax cross-entropy: logits [..., c], labels int32 [...]: one loss a row, 0 where the label
 * equals ignore (or lies outside 0..c-1). */
WF_API wf_node *wf_cross_entropy_rows(wf_node *logits, wf_node *labels, int32_t ignore);
/* The mean over the rows that count; 0 if there are none. */
WF_API wf_node *wf_cross_entropy(wf_node *logits, wf_node *labels, int32_t ignore);
/* 1 where the largest logit (the first of equals) is the label, 0 elsewhere and at ignored rows. */
WF_API wf_node *wf_hits(wf_node *logits, wf_node *labels, int32_t ignore);
/* The mean of (a - b)^2 over all elements; of one shape, or one is a scalar. */
WF_API wf_node *wf_mse(wf_node *a, wf_node *b);

/* ---- training ----------------------------------------------------------------------------- */

/* d loss / d x for a scalar loss, as a node: it can be used and differentiated again. An op without
 * a gradient between them is a mistake, found at the latest by wf_compile; nothing flows through
 * those that are piecewise constant: comparisons, casts to integers, wf_sign, wf_hits. */
WF_API wf_node *wf_gradient(wf_node *loss, wf_node *x);
/* Store value into a parameter or state after all reads of the run. */
WF_API void wf_assign(wf_node *leaf, wf_node *value);

/* ---- compile, bind, run ------------------------------------------------------------------- */

typedef struct wf_runtime_options {
    int threads;       /* 0: one a physical core within affinity, cpuset and CPU quota */
    bool no_pinning;   /* do not bind threads to cores */
    const char *trace; /* write a Chrome trace of every run to this file at wf_runtime_free */
} wf_runtime_options;

/* Environment variables are read here and nowhere else: WF_THREADS, WF_ISA (avx512, avx2, base),
 * WF_KERNELS (ref), WF_DUMP (a pass name, "before" or "after"), WF_PASSES ("-fuse_gau,-cse"),
 * WF_TRACE (file); an empty one is as none. NULL after a failure: see wf_error(). A runtime does
 * not survive fork(). */
WF_API wf_runtime *wf_runtime_new(const wf_runtime_options *options);
WF_API void wf_runtime_free(wf_runtime *rt);
/* Write the trace of all runs so far, if there is one. wf_runtime_free does so too, but cannot tell
 * that it failed. */
WF_API wf_status wf_runtime_save_trace(wf_runtime *rt);
WF_API int wf_runtime_threads(const wf_runtime *rt);
WF_API const char *wf_runtime_isa(const wf_runtime *rt);
/* Are products in bf16 faster than in float32 here? Else they only give their numbers. */
WF_API bool wf_runtime_has_bf16(const wf_runtime *rt);

/* Named tensors that outlive programs: parameters, optimizer state, counters. A checkpoint is a
 * store in a file in safetensors format. Programs compiled against one store share it. */
WF_API wf_store *wf_store_new(uint64_t seed);
WF_API void wf_store_free(wf_store *s);
/* Replaces the file as a whole: after a failure the old one is still there. prefix: NULL for all
 * tensors; "gau3/" for those whose names start so; "!opt/" for those whose names do not (weights
 * without optimizer state). Texts, seed and step always travel along. */
WF_API wf_status wf_store_save(const wf_store *s, const char *path, const char *prefix);
/* All or nothing. Tensors that the store has must agree in shape and keep their dtype: real numbers
 * (F32, F64, F16, BF16) take it, to nearest. Others are made as they are in the file, but for F64,
 * which becomes float32, and I64, int32. */
WF_API wf_status wf_store_load(wf_store *s, const char *path);
WF_API int wf_store_count(const wf_store *s);
WF_API const char *wf_store_name(const wf_store *s, int i);
/* The data of a tensor, its dtype and shape; NULL if there is none. */
WF_API void *wf_store_data(const wf_store *s, const char *name, wf_dtype *dtype, wf_shape *shape);
/* Create a tensor or overwrite one of equal shape and dtype; real numbers take its dtype. */
WF_API wf_status wf_store_put(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape,
                              const void *data);
/* Create a tensor whose data stay the caller's, 64-byte aligned, as long as the store is used. */
WF_API wf_status wf_store_lend(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape,
                               void *data);
/* Short texts that travel with a checkpoint (safetensors' __metadata__). */
WF_API wf_status wf_store_set_text(wf_store *s, const char *key, const char *text);
WF_API const char *wf_store_text(const wf_store *s, const char *key);

typedef struct wf_size_value {
    const char *name;
    int64_t value;
} wf_size_value;

/* What products multiply: wf_matmul and all that is made of it, gradients included; those inside a
 * fused gated attention unit stay float32. Sums are float32 in any case, and so is all that is
 * stored: weights, gradients, the state of optimizers, values between ops. */
typedef enum wf_products {
    WF_PRODUCTS_F32,
    WF_PRODUCTS_BF16, /* operands are rounded to bf16: 8 bits, to nearest, ties to even */
} wf_products;

typedef struct wf_compile_options {
    bool forward_only; /* drop minimize and assign; dropout becomes the identity */
    bool averages;     /* forward_only: averages (ema) of weights, if there are any, for them */
    const wf_size_value *sizes;   /* ends with {NULL, 0} */
    const wf_pass *const *passes; /* extra passes after the built-in fusions, ends with NULL */
    bool look_only; /* for wf_program_text, _tensor and _get_stats: the program makes no parameters,
                       takes no memory for values, and cannot run */
    bool explain;   /* listen to passes and time every kernel, for wf_program_explain */
    bool plain;     /* fuse no elementwise ops, so that wf_program_check names the one; slow */
    wf_products products;
    /* How they are stored; arithmetic stays float32. WF_F32: as the store has them, new ones in
     * float32. WF_BF16, WF_F16: parameters of two axes and more, but biases and scales, and what
     * the optimizer keeps in their shape (wf_state); what wraps it (accumulation, lookahead, ema)
     * stays float32. First values are rounded to nearest. What a run stores is rounded by chance,
     * so that the mean of many small steps is not lost; f16 becomes infinite above 65504 and has
     * no numbers between 0 and 6e-8: squares of gradients are bf16 where it is asked for. */
    wf_dtype weights, states;
    wf_dtype activations; /* and those that the backward pass reads late, to nearest */
    /* The most that wf_program_stats.memory_bytes may be; 0: no limit. Values that a run needs
     * again late are then computed twice instead of being kept, those first that cost the least
     * time for the memory they save. Results have the same bits. Where that is not enough,
     * WF_ELIMIT and the least that was found. */
    size_t memory_limit, memory_besides; /* the latter: what else is to count against the limit */
} wf_compile_options;

/* Compile a copy of g for these sizes. Missing parameters are made in the store. */
WF_API wf_status wf_compile(wf_program **out, const wf_graph *g, wf_store *s, wf_runtime *rt,
                            const wf_compile_options *options);
WF_API void wf_program_free(wf_program *p);
/* Lend data for an input; bytes must be its exact size. */
WF_API wf_status wf_bind(wf_program *p, const char *input, const void *data, size_t bytes);
/* Give a scalar input its value; it is copied. A learning rate is finite and at least 0. */
WF_API wf_status wf_set(wf_program *p, const char *input, float value);
WF_API wf_status wf_run(wf_program *p);
/* An output's data after a run, valid until the next run; NULL if there is no such output. */
WF_API const void *wf_read(const wf_program *p, const char *output, wf_shape *shape);
WF_API float wf_scalar(const wf_program *p, const char *output); /* its first element, or NaN */
/* The optimized graph as text. malloc'ed: free() it. */
WF_API char *wf_program_text(const wf_program *p);
/* The name of the i-th tensor of a store that the program reads or writes; NULL behind the last. */
WF_API const char *wf_program_tensor(const wf_program *p, int i);

#ifdef __cplusplus
}
#endif

#include <weft/inspect.h>
#include <weft/train.h>

#endif
