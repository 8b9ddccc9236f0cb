/*
 * What kernels touch. Every kernel of a row's program runs once more on buffers of their exact
 * sizes with guards around, one unit at a time and the last unit first: nothing is written outside
 * the output, every element of it is written, inputs stay as they are, scratch and workspace may
 * begin with anything, and units do not depend on each other. ONLY_OP=name runs the rows of one op.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/program.h"
#include "tests/op_trial.h"

enum { GUARD = 256, MARK = 0xff, INPUTS = 16 }; /* as numbers the marks are NaN and -1 */

typedef struct buffer {
    char *data; /* GUARD marks lie before it and behind its bytes */
    size_t bytes;
} buffer;

static buffer buffer_new(size_t bytes)
{
    char *all = wf_aligned_alloc(bytes + 2 * GUARD);
    cr_assert(all);
    memset(all, MARK, bytes + 2 * GUARD);
    return (buffer){all + GUARD, bytes};
}

static void buffer_free(buffer *b)
{
    if (b->data) free(b->data - GUARD);
}

static bool is_intact(const buffer *b)
{
    for (size_t i = 0; i < GUARD; i++)
        if ((unsigned char)b->data[-(ptrdiff_t)i - 1] != MARK ||
            (unsigned char)b->data[b->bytes + i] != MARK)
            return false;
    return true;
}

/* Bytes from the first element to behind the last. */
static size_t extent(const wf_tensor *t)
{
    int64_t last = 0;
    for (int i = 0; i < t->shape.rank; i++) last += (t->shape.dim[i] - 1) * t->stride[i];
    return (size_t)(last + 1) * wf_dtype_bytes(t->dtype);
}

/* A step of a program on guarded copies of its tensors. */
typedef struct bench {
    const wf_step *step;
    wf_tensor in[INPUTS], out;
    buffer in_buffer[INPUTS], out_buffer, work, scratch;
    wf_call call;
} bench;

static void copy_inputs(bench *b)
{
    const wf_call *c = &b->step->call;
    cr_assert_leq(c->n_in, INPUTS);
    for (int i = 0; i < c->n_in; i++) {
        int same = 0;
        b->in[i] = c->in[i];
        while (c->in[same].data != c->in[i].data) same++;
        if (same == i) {
            b->in_buffer[i] = buffer_new(extent(&c->in[i]));
            memcpy(b->in_buffer[i].data, c->in[i].data, b->in_buffer[i].bytes);
        }
        b->in[i].data = b->in_buffer[same].data;
    }
}

/* in_place: the input whose bytes the output takes, or -1. */
static bench bench_new(const wf_step *s, int in_place)
{
    const wf_op *op = s->node->op;
    bench b = {.step = s, .call = s->call, .out = *s->call.out};
    copy_inputs(&b);
    b.out_buffer = buffer_new(op->traits & WF_EFFECT ? 0 : extent(s->call.out));
    b.work = buffer_new(op->work ? op->work(s->node) : 0);
    b.scratch = buffer_new(op->scratch ? op->scratch(s->node) : 0);
    b.out.data = in_place < 0 ? b.out_buffer.data : b.in[in_place].data;
    b.call.work = b.work.data;
    b.call.scratch = b.scratch.data;
    return b;
}

static void bench_free(bench *b)
{
    for (int i = 0; i < INPUTS; i++) buffer_free(&b->in_buffer[i]);
    buffer_free(&b->out_buffer);
    buffer_free(&b->work);
    buffer_free(&b->scratch);
}

static int64_t units(const wf_step *s, const wf_call *c, int phase)
{
    if (s->node->op->units) return s->node->op->units(c, phase);
    return phase == 0 ? s->cost.units : -1;
}

static void run_units(bench *b)
{
    b->call.in = b->in;
    b->call.out = &b->out;
    for (int phase = 0;; phase++) {
        b->call.phase = phase;
        int64_t n = units(b->step, &b->call, phase);
        if (n < 0) return;
        for (int64_t u = n - 1; u >= 0; u--) {
            memset(b->scratch.data, MARK, b->scratch.bytes);
            b->step->node->op->run(&b->call, u, u + 1);
        }
    }
}

/* The step as the program runs it, on one thread. */
static void run_step(const wf_program *p, const wf_step *s)
{
    wf_call c = s->call;
    c.scratch = p->scratch;
    for (c.phase = 0;; c.phase++) {
        int64_t n = units(s, &c, c.phase);
        if (n < 0) return;
        if (n > 0) s->node->op->run(&c, 0, n);
    }
}

static void expect(bool ok, const op_case *c, const bench *b, const char *what)
{
    cr_expect(ok, "%s, %s: kernel %s: %s", c->op->name, c->name, b->step->node->op->name, what);
}

static void check_guards(const op_case *c, const bench *b)
{
    bool effect = b->step->node->op->traits & WF_EFFECT;
    for (int i = 0; i < b->call.n_in; i++) {
        const buffer *x = &b->in_buffer[i];
        if (!x->data) continue;
        expect(is_intact(x), c, b, "wrote around an input");
        if (!effect && b->out.data != x->data)
            expect(!memcmp(x->data, b->step->call.in[i].data, x->bytes), c, b, "wrote an input");
    }
    expect(is_intact(&b->out_buffer), c, b, "wrote around the output");
    expect(is_intact(&b->work), c, b, "wrote around its workspace");
    expect(is_intact(&b->scratch), c, b, "wrote around its scratch");
}

/* Over every input that the planner may give to the output. */
static void check_in_place(const op_case *c, const bench *apart)
{
    const wf_step *s = apart->step;
    const wf_op *op = s->node->op;
    for (int i = op->inplace_from; (op->traits & WF_INPLACE) && i < s->call.n_in; i++) {
        const wf_tensor *x = &s->call.in[i], *y = s->call.out;
        if (x->dtype != y->dtype || !wf_is_contiguous(x) || !wf_shape_equal(&x->shape, &y->shape))
            continue;
        bench b = bench_new(s, i);
        run_units(&b);
        check_guards(c, &b);
        expect(!memcmp(b.out.data, apart->out.data, apart->out_buffer.bytes), c, &b,
               "gives other bits in place");
        bench_free(&b);
    }
}

static void check_step(const op_case *c, const wf_program *p, const wf_step *s)
{
    bench b = bench_new(s, -1);
    run_units(&b);
    check_guards(c, &b);
    check_in_place(c, &b);
    run_step(p, s);
    expect(!memcmp(b.out.data, s->call.out->data, b.out_buffer.bytes), c, &b,
           "gives other bits unit by unit");
    for (int i = 0; (s->node->op->traits & WF_EFFECT) && i < s->call.n_in; i++)
        expect(!memcmp(b.in[i].data, s->call.in[i].data, extent(&b.in[i])), c, &b,
               "stores other bits unit by unit");
    bench_free(&b);
}

static void check_rows(const char *kernels)
{
    const char *only = getenv("ONLY_OP");
    wf_runtime *rt = op_runtime(1, kernels, "");
    cr_assert(rt, "%s", wf_error());
    for (const op_case *c = op_cases; c->op; c++) {
        op_trial t;
        bool large = c->flags & OP_LARGE, differentiate = (c->flags & OP_GRADIENT) && !large;
        if ((only && strcmp(only, c->op->name)) || (*kernels && large)) continue;
        bool ok = op_trial_start(&t, c, rt, differentiate ? OP_DIFFERENTIATE : 0);
        cr_expect(ok, "%s, %s: %s", c->op->name, c->name, wf_error());
        for (int s = 0; ok && s < t.p->n_steps; s++) check_step(c, t.p, &t.p->steps[s]);
        op_trial_end(&t);
    }
    wf_runtime_free(rt);
}

Test(op_memory, kernels_write_their_output_and_nothing_else, .timeout = 100)
{
    check_rows("");
}

Test(op_memory, naive_references_write_their_output_and_nothing_else, .timeout = 100)
{
    check_rows("ref");
}
