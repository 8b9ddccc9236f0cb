/* Graphs much deeper than the stack of a thread: they are built, differentiated, compiled and run
 * on a thread whose stack is small. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <pthread.h>

#include <weft/op.h>

enum { DEPTH = 10000, STACK = 1 << 18 };

static wf_node *add(wf_node *x)
{
    return wf_add(x, x);
}

static wf_node *cumsum(wf_node *x)
{
    return wf_neg(wf_cumsum(x, 0));
}

/* Three views that are none of each other's inverse and never need a copy. */
static wf_node *views(wf_node *x)
{
    wf_node *y = wf_slice(wf_broadcast(x, WF_SHAPE(2, 4)), 0, 1, 1);
    return wf_reshape(y, WF_SHAPE(4));
}

/* A constant, seen through all of the views so far. */
static wf_node *constant(wf_node *x)
{
    return wf_reshape(wf_broadcast(x, WF_SHAPE(1, 4)), WF_SHAPE(4));
}

static const struct row {
    const char *what;
    wf_node *(*step)(wf_node *x);
    bool of_constant;
} rows[] = {
    {"adds", add, false},
    {"running sums", cumsum, false},
    {"views", views, false},
    {"views of a constant", constant, true},
};

static void *train(void *argument)
{
    const struct row *r = argument;
    wf_graph *g = wf_graph_new();
    wf_role kernel = {.kind = WF_KERNEL};
    wf_node *p = wf_param(g, "p", WF_SHAPE(4), kernel, (wf_init){WF_INIT_CONSTANT, 1, 0});
    wf_node *x = r->of_constant ? wf_full(g, WF_SHAPE(4), 1) : p;
    for (int i = 0; i < DEPTH; i++) x = r->step(x);
    wf_node *loss = wf_mean(wf_mul(x, wf_scale(p, 0.5f)), WF_ALL, false);
    wf_output(loss, "loss");
    wf_minimize(loss, &wf_sgd, NULL, NULL);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_program *t = NULL;
    cr_expect_eq(wf_compile(&t, g, s, rt, NULL), WF_OK, "%s: %s", r->what, wf_error());
    if (t) {
        wf_set(t, "lr", 0);
        cr_expect_eq(wf_run(t), WF_OK, "%s", r->what);
        if (r->step == views || r->step == constant)
            cr_expect_eq(wf_scalar(t, "loss"), 0.5f, "%s", r->what);
    }
    wf_program_free(t);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return NULL;
}

Test(deep, a_graph_may_be_deeper_than_the_stack, .timeout = 120)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pthread_attr_t small;
        pthread_t thread;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, STACK);
        cr_assert_eq(pthread_create(&thread, &small, train, (void *)&rows[i]), 0);
        pthread_join(thread, NULL);
        pthread_attr_destroy(&small);
    }
}
