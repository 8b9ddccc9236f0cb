/*
 * WF_KERNELS=ref: naive references alone. The linker (cmake/tests.cmake) sends all calls of
 * wf_vec_get and wf_gemm_get in this program through here, so that the vector layer can be
 * poisoned.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gemm.h"
#include "tests/op_trial.h"

const wf_vec *__real_wf_vec_get(void);
wf_gemm __real_wf_gemm_get(const wf_gemm_shape *s);
const wf_vec *__wrap_wf_vec_get(void);
wf_gemm __wrap_wf_gemm_get(const wf_gemm_shape *s);

static bool is_poisoned;
static const char *running; /* the row under way */

/* In place of every function of the table, whatever its arguments. */
static void poison(void)
{
    fprintf(stderr, "%s called the vector layer\n", running);
    abort();
}

/* The names stay, all pointers behind them are poison. */
const wf_vec *__wrap_wf_vec_get(void)
{
    static wf_vec table;
    const wf_vec *v = __real_wf_vec_get();
    if (!is_poisoned) return v;
    void (*const call)(void) = poison;
    table = *v;
    for (size_t at = offsetof(wf_vec, neg); at < sizeof table; at += sizeof call)
        memcpy((char *)&table + at, &call, sizeof call);
    return &table;
}

wf_gemm __wrap_wf_gemm_get(const wf_gemm_shape *s)
{
    if (is_poisoned) poison();
    return __real_wf_gemm_get(s);
}

/* Compiling may use it, for first values of parameters; no run of a kernel may. */
static void run_poisoned(const op_case *c, wf_runtime *rt)
{
    op_trial t;
    char name[200];
    unsigned how = (c->flags & OP_GRADIENT) && !(c->flags & OP_LARGE) ? OP_DIFFERENTIATE : 0;
    snprintf(name, sizeof name, "%s, %s", c->op->name, c->name);
    running = name;
    bool ok = op_trial_start(&t, c, rt, how);
    cr_expect(ok, "%s: %s", name, wf_error());
    is_poisoned = true;
    if (ok) cr_expect_eq(wf_run(t.p), WF_OK, "%s: %s", name, wf_error());
    is_poisoned = false;
    op_trial_end(&t);
}

Test(reference, no_op_calls_the_vector_layer, .timeout = 100)
{
    static const char *const passes[] = {"", OP_NO_PASSES};
    for (int i = 0; i < 2; i++) {
        wf_runtime *rt = op_runtime(1, "ref", passes[i]);
        cr_assert(rt, "%s", wf_error());
        for (const op_case *c = op_cases; c->op; c++)
            if (!(c->flags & OP_LARGE)) run_poisoned(c, rt);
        wf_runtime_free(rt);
    }
}

/* The poison works: the same with the kernels ends at once. */
Test(reference, the_kernels_do_call_it, .signal = SIGABRT)
{
    const op_case *c = op_cases;
    while (c->op != &wf_op_softmax) c++;
    run_poisoned(c, op_runtime(1, "", ""));
}
