/*
 * weft/op.h - for people who write ops, passes and optimizers.
 *
 * An op is one static descriptor (wf_op). A node of a graph points at its descriptor; there are no
 * op numbers. Everything the framework knows of an op stands in the descriptor, and a descriptor in
 * a user's program gets the same treatment as a built-in one: shapes are checked, it is
 * differentiated, fused (if it has a lane), planned, run on all threads, traced and benchmarked.
 *
 * Minimal elementwise op: name, doc, arity, infer = wf_infer_same, lane, grad. Minimal other op:
 * name, doc, arity, infer, cost, run, grad. Leave the rest zero.
 */
#ifndef WEFT_OP_H
#define WEFT_OP_H

#include <weft/weft.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A value in memory while a program runs. Strides are in elements; 0 repeats (broadcast). */
typedef struct wf_tensor {
    void *data;
    wf_dtype dtype;
    wf_shape shape;
    int64_t stride[WF_MAX_RANK];
} wf_tensor;

/* What a kernel is given. Tensors without the trait WF_STRIDED are contiguous, row-major. */
typedef struct wf_call {
    const wf_tensor *in; /* n_in of them */
    int n_in;
    const wf_tensor *out;
    const void *attr;
    void *work;     /* work() bytes shared by all units and phases of this op; 64-byte aligned */
    void *scratch;  /* scratch() bytes of this thread's own; 64-byte aligned */
    int phase;      /* 0, 1, ...: see wf_op.units */
    bool reference; /* WF_KERNELS=ref: run the naive reference */
    uint64_t seed;  /* random ops: the store's seed, ... */
    int64_t step;   /* ... the number of finished runs, which every run advances, ... */
    uint64_t salt;  /* ... and a number that belongs to this node's name */
} wf_call;

typedef struct wf_cost {
    double flops;  /* floating point operations of one run */
    double bytes;  /* bytes that must travel: inputs once, output once */
    int64_t units; /* how many units run() can be cut into; set by shape, never by thread count */
} wf_cost;

/* Traits of a descriptor. */
enum {
    WF_ELEMENTWISE = 1, /* has a lane; output element i depends on input elements i (broadcast) */
    WF_INPLACE = 2,     /* the output may share memory with an input of equal shape and dtype */
    WF_VIEW = 4,        /* no data moves: view() describes the output inside input 0 */
    WF_STRIDED = 8,     /* the kernel takes inputs of any strides; others get contiguous copies */
    WF_RANDOM = 16,     /* uses seed, step, salt: never merged with an equal node */
    WF_EFFECT = 32,     /* changes stored tensors: kept although nobody reads it */
    WF_LEAF = 64,       /* has no inputs and no kernel: input, constant, parameter, state */
    WF_REQUEST = 128,   /* replaced by graph while compiling (gradient, minimize); never runs */
    WF_FLAT = 256,      /* no gradient flows through it and none is missed: piecewise constant */
    WF_NARROW = 512,    /* inputs may be 16-bit numbers; other ops are never given any */
    WF_ROWWISE = 1024,  /* a row of the last axis depends on this row of each input, which have the
                           output's shape: rows that nobody asks for may be left out */
};

struct wf_op {
    const char *name; /* unique among built-in ops; printed and looked up, never a number */
    const char *doc;  /* one line: the formula */
    int arity;        /* -1: variadic */
    unsigned traits;
    int inplace_from; /* WF_INPLACE: inputs before this one are never written over */
    size_t attr_size; /* bytes of the attribute struct, copied into the graph; nodes that differ in
                         one, be it between members, are two */

    /* Set y->dtype and y->shape from y->in[] and y->attr, or report with wf_fail(). */
    bool (*infer)(wf_node *y);

    /* The gradient as graph: dx[i] arrives NULL; set it, or leave it where none flows. NULL: a
     * gradient that would lead through the op is a mistake, unless it is WF_FLAT. */
    void (*grad)(wf_node *y, wf_node *dy, wf_node *dx[]);

    wf_cost (*cost)(const wf_node *y); /* NULL: wf_cost_elementwise(y, 1) */
    double (*share)(const wf_call *c); /* of cost().flops that this call's data ask for; NULL: 1 */
    size_t (*scratch)(const wf_node *y); /* bytes a thread; NULL: 0 */
    size_t (*work)(const wf_node *y);    /* bytes a node; NULL: 0 */

    /* Units of a phase; a negative number ends the op. All units of a phase are done before the
     * next phase starts. It may look at data, but never at the number of threads. It is called by
     * one thread. NULL: one phase of cost().units units. */
    int64_t (*units)(const wf_call *c, int phase);

    /* Compute units lo..hi-1 of phase c->phase. Cannot fail, allocates nothing. */
    void (*run)(const wf_call *c, int64_t lo, int64_t hi);

    /* Elementwise ops give this in place of run: n contiguous float elements of every input. y may
     * be the same memory as any x. Such an op joins every elementwise fusion. */
    void (*lane)(const void *attr, int64_t n, float *y, const float *const x[]);
    /* Its naive reference in double precision, run for WF_KERNELS=ref; NULL: the lane. */
    double (*scalar)(const void *attr, const double x[]);

    /* y belongs to a complete program: make ready in its attributes what runs need, such as code.
     * NULL: nothing. */
    void (*prepare)(const wf_node *y);

    /* Views: describe y inside x, or return false if that needs a contiguous x first. */
    bool (*view)(const wf_node *y, const wf_tensor *x, wf_tensor *out);

    /* Write the attributes for the text form, such as "axis=1 keep=0"; NULL: none. */
    int (*print)(const void *attr, char *text, size_t size);
};

/* A node is one value. Fields are read-only outside infer functions and the graph's own code. */
struct wf_node {
    const wf_op *op;
    wf_graph *graph;
    const char *name;  /* path such as "gau3/out", or NULL */
    const char *scope; /* the path around it: what messages and traces call it */
    uint64_t salt;     /* random ops: a number of its own, stable from build to build */
    void *attr;
    wf_node **in;
    int n_in;
    int n_users;      /* inputs of live nodes that are this node; kept up to date between passes */
    int id;           /* order of birth */
    bool is_assigned; /* a leaf: some wf_assign, dead or alive, writes it */
    wf_dtype dtype;
    wf_shape shape;
    wf_node *forward;       /* set while a pass replaces this node */
    const wf_node *repeats; /* what this one computes again, late; or NULL */
};

/* Make a node of op. attr may be NULL if attr_size is 0. The poison node after a mistake. */
WF_API wf_node *wf_apply(const wf_op *op, const void *attr, int n_in, wf_node *const in[]);

/* Report a mistake at node y: "path: op: text". The first one of a graph wins. Returns false. */
WF_API bool wf_fail(wf_node *y, const char *format, ...) WF_PRINTF(2, 3);

/* Ready-made infer functions: shape of input 0; broadcast of all inputs (both float32). */
WF_API bool wf_infer_same(wf_node *y);
WF_API bool wf_infer_broadcast(wf_node *y);

/* flops = per_element * elements of y; bytes of all inputs and of y. */
WF_API wf_cost wf_cost_elementwise(const wf_node *y, double per_element);

/* Shape arithmetic. Sizes may be symbolic (negative handles, see wf_size) until compiled. */
WF_API int64_t wf_elements(const wf_shape *s); /* product; a symbolic handle if any size is one */
WF_API bool wf_shape_equal(const wf_shape *a, const wf_shape *b);
WF_API bool wf_shape_broadcast(const wf_shape *a, const wf_shape *b, wf_shape *out);
WF_API int wf_axis(const wf_shape *s, int axis); /* -1 counts from the end; -1 if out of range */
WF_API const char *wf_shape_text(const wf_shape *s, char *text, size_t size); /* "[8,128]" */
/* The number behind a symbolic handle once it is known, else the size itself. Infer functions pass
 * every size in their attributes through it; kernels take sizes from shapes alone. */
WF_API int64_t wf_size_now(const wf_graph *g, int64_t size);
WF_API size_t wf_dtype_bytes(wf_dtype t);
WF_API const char *wf_dtype_name(wf_dtype t); /* "f32"; "unknown" for what is none */
WF_API bool wf_is_contiguous(const wf_tensor *t);

/* Reduce x over leading and repeated axes so that its shape is like's (gradient of a broadcast). */
WF_API wf_node *wf_sum_to(wf_node *x, wf_node *like);

/* One number of an optimizer, so that commands can show it and groups of parameters change it. */
typedef enum wf_hyper_kind {
    WF_HYPER_REAL,   /* float */
    WF_HYPER_COUNT,  /* int */
    WF_HYPER_FLAG,   /* bool */
    WF_HYPER_CHOICE, /* an enum from 0 on */
} wf_hyper_kind;

typedef struct wf_hyper {
    const char *name; /* that of the weight decay is "decay", that of the runs that make a step of
                         an optimizer which adds their gradients up itself is "accumulate" */
    wf_hyper_kind kind;
    size_t offset; /* in the struct */
    const char *doc;
    const char *choices; /* "optax|raw|bert4keras" */
} wf_hyper;

/*
 * An optimizer turns a parameter p, its gradient dp and the learning rate lr (a scalar node) into
 * graph: it declares its state with wf_state(), refreshes it with wf_assign() and returns the new
 * value of p. Every read sees the values from before the step, whatever the order of the lines.
 */
struct wf_optimizer {
    const char *name;
    const char *doc;
    size_t hyper_size;
    const void *defaults;   /* hyper_size bytes, used when wf_minimize gets NULL */
    const wf_hyper *hypers; /* what the bytes are, ends with {NULL}; or NULL */
    float lr;               /* a learning rate to begin with */
    wf_node *(*step)(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper);
    /* Complain about impossible numbers, such as beta = 2: a static text, or NULL if fine. */
    const char *(*check)(const void *hyper);
};

/* The number of this name; NULL if o has none. */
WF_API const wf_hyper *wf_hyper_find(const wf_optimizer *o, const char *name);

/* A state tensor of parameter p, zero at birth, kept in the store as opt/<optimizer>/<p>/<name>; in
 * 16 bits if p may be and wf_compile_options.states asks for that. */
WF_API wf_node *wf_state(wf_node *p, const char *name);
/* The same for squares of gradients: bf16 where f16 is asked for, which has not their range. */
WF_API wf_node *wf_state_square(wf_node *p, const char *name);
/* The same with another shape, e.g. WF_SCALAR for a step counter; always float32. */
WF_API wf_node *wf_state_shaped(wf_node *p, const char *name, wf_shape shape);
/* A scalar that all parameters of a request share, kept with the one whose name is first: is it new
 * (then somebody must assign it), or known from another parameter's step? */
WF_API wf_node *wf_state_shared(wf_node *p, const char *name, bool *is_new);
WF_API wf_role wf_param_role(const wf_node *p);

/* A number of a schedule; all are finite. */
enum { WF_RUN_WARMUP = -1, WF_RUN_TOTAL = -2 }; /* initial: what wf_schedule_read was told */
typedef struct wf_schedule_number {
    const char *name;
    double initial, least;
    const char *doc;
} wf_schedule_number;

/* A kind of schedule: a closed form, for n = 0, 1, ... If its first number is WF_RUN_WARMUP, the
 * rate rises from 0 over so many steps, and at is asked behind them only. A program's own needs no
 * list: wf_schedule s = {.kind = &my_kind, .number = {100, 0.5}}. */
typedef struct wf_schedule_kind {
    const char *name;
    const char *doc;
    double (*at)(const wf_schedule *s, double n);
    /* Complain about numbers that do not go together: a static text, or NULL if fine. Optional. */
    const char *(*check)(const wf_schedule *s);
    const wf_schedule_number *numbers; /* ends with {NULL} */
} wf_schedule_kind;

WF_API const wf_schedule_kind *wf_schedule_kind_at(int i); /* NULL behind the last */

/*
 * A pass improves a graph. Give rewrite (called for every node in topological order, returns a
 * replacement or NULL; repeated until nothing changes) or run (whole graph; true if it changed).
 */
struct wf_pass {
    const char *name;
    const char *doc; /* before -> after, and what it saves */
    wf_node *(*rewrite)(wf_node *n);
    bool (*run)(wf_graph *g);
};

/* For passes: a pattern nearly matched at n, and what stopped it ("the product has another
 * reader"). wf_program_explain tells it; nothing happens when nobody asked for that. */
WF_API void wf_note(const wf_node *n, const char *format, ...) WF_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
