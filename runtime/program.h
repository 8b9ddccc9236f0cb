/* A compiled program's parts: compile.c makes them, program.c runs them. */
#ifndef WF_PROGRAM_H
#define WF_PROGRAM_H

#include "graph/graph.h"
#include "runtime/plan.h"
#include "runtime/runtime.h"

/* Where a value's bytes are. */
typedef enum wf_place { WF_IN_SLAB, WF_IN_STORE, WF_IN_GRAPH, WF_IN_INPUT, WF_IN_VIEW } wf_place;

typedef struct wf_value {
    wf_node *node;
    wf_tensor tensor;
    wf_place place;
    void *base;    /* store, graph: the data */
    size_t offset; /* slab: where */
    int origin;    /* view: the value it looks into */
    int input;     /* input: which */
} wf_value;

/* Times of a step in one run, kept when somebody asked for them. Nanoseconds. */
typedef struct wf_timing {
    int64_t start, end;
    int64_t busy; /* of all threads together */
    double flops; /* counted always */
} wf_timing;

typedef struct wf_step {
    const wf_node *node;
    wf_call call;
    wf_cost cost;
    size_t work;             /* offset in the slab, if the op has work */
    int value;               /* its output */
    bool alone;              /* too small to wake anybody */
    wf_timing last, fastest; /* of the last run; of the one with the least pace */
} wf_step;

typedef struct wf_bound {
    const char *name;
    const void *data;
    size_t bytes;
    bool is_scalar; /* one float32, ... */
    bool is_rate;   /* ... a learning rate */
    float scalar;   /* what wf_set copies to */
} wf_bound;

struct wf_program {
    wf_graph *g;
    wf_runtime *rt;
    wf_store *store;
    wf_value *values; /* in schedule order, leaves and views included */
    int n_values;
    wf_step *steps;
    int n_steps;
    wf_tensor *tensors; /* inputs of all steps, one behind the other */
    int *tensor_value;  /* which value each of them is */
    int n_tensors;
    wf_bound *inputs;
    int n_inputs;
    char *slab, *scratch;
    size_t scratch_bytes; /* a thread */
    bool is_stale;        /* an input was bound: pointers must be found anew */
    bool has_effects;
    wf_lifetime *life; /* of values, then of the work of steps; bytes 0: nothing of its own */
    int64_t timed;     /* runs whose steps were timed */
    double least_pace; /* of them: nanoseconds for a FLOP */
    bool is_timed;
    int64_t runs;   /* finished ones of a program without effects: the store counts the others */
    bool look_only; /* neither parameters nor memory: it cannot run */
    wf_dtype weights, states, activations; /* how they are stored, as it was asked for */
    int n_outputs;                         /* of the model; passes may add some */

    int peak;                 /* the step during which the most memory is in use, ... */
    size_t peak_bytes;        /* ... and how much */
    size_t limit, besides;    /* for stats.memory_bytes, and what counts beside it; 0: none */
    size_t least;             /* bytes: the least that recomputing found; 0: it did not look */
    size_t plan_bytes_before; /* without it */
    wf_program_stats stats;
};

/* Values and steps in order, and their plan, out of p->g. false: p->g or wf_error() tells why. */
bool wf_program_lay_out(wf_program *p);

/* The plan of p's graph as it is now, to look at; take that out before it is freed. NULL: p->g
 * tells why. */
wf_program *wf_program_look(const wf_program *p);

/* Find all pointers before a run; the inputs must be bound. */
wf_status wf_program_settle(wf_program *p);
/* Run one step; count is the number of finished runs, for random ops. */
void wf_program_step(const wf_program *p, const wf_step *s, int64_t count);

/* The last run was timed: keep its times if it took the least so far for its FLOPs. */
void wf_program_keep_fastest(wf_program *p);

/* The values that a step reads, in the order of its inputs. */
static inline const int *wf_step_inputs(const wf_program *p, const wf_step *s)
{
    return p->tensor_value + (s->call.in - p->tensors);
}

/* What a step takes, by its cost. */
double wf_step_ns(const wf_step *s);

/* Does n keep a value in 16 bits for late readers, rounded to nearest? What is stored is rounded by
 * chance. */
bool wf_waits_narrow(const wf_node *n);

/* The pass that computes values again instead of keeping them; works for p->g->program. */
extern const wf_pass wf_pass_recompute;

/* The pass that stores weights and states in 16 bits; works for p->g->program. */
extern const wf_pass wf_pass_store_narrow;

/* Lifetimes, in-place choices and offsets (memory.c). false: wf_error(). */
bool wf_program_plan(wf_program *p);

#endif
