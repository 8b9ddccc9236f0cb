/* Passes of a user's that break the graph: the compiler says which pass it was, and what is wrong.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "graph/graph.h"
#include "ops/ops.h"

static wf_graph *other; /* a graph that has nothing to do with the compiled one */

static wf_node *stranger(void)
{
    return wf_input(other, "stranger", WF_F32, WF_SHAPE(4, 6));
}

/* Each of these meets y = tanh(exp(x) + z), x and z [4,6], and misbehaves at exp or add. */

static wf_node *loses_the_type(wf_node *n)
{
    return n->op == &wf_op_exp ? wf_sum(n->in[0], WF_ALL, false) : NULL;
}

static wf_node *loses_the_type_of_an_output(wf_node *n)
{
    return n->op == &wf_op_tanh ? wf_cast(n->in[0], WF_I32) : NULL;
}

static wf_node *leads_back(wf_node *n)
{
    return n->op == &wf_op_exp ? wf_neg(n) : NULL;
}

static wf_node *leads_back_by_hand(wf_node *n)
{
    if (n->op == &wf_op_tanh) n->in[0]->in[1] = n;
    return NULL;
}

static wf_node *gives_a_stranger(wf_node *n)
{
    return n->op == &wf_op_exp ? stranger() : NULL;
}

static wf_node *reads_a_stranger(wf_node *n)
{
    if (n->op == &wf_op_exp) n->in[0] = stranger();
    return NULL;
}

static wf_node *reads_nothing(wf_node *n)
{
    if (n->op == &wf_op_exp) n->in[0] = NULL;
    return NULL;
}

static wf_node *reads_poison(wf_node *n)
{
    if (n->op == &wf_op_exp) n->in[0] = wf_poison(n->graph);
    return NULL;
}

static wf_node *drops_an_input(wf_node *n)
{
    if (n->op == &wf_op_add) n->n_in = 1;
    return NULL;
}

static wf_node *lies_about_the_shape(wf_node *n)
{
    if (n->op == &wf_op_exp) n->shape.dim[0] = 1;
    return NULL;
}

static wf_node *lies_about_the_dtype(wf_node *n)
{
    if (n->op == &wf_op_tanh) n->dtype = WF_I32;
    return NULL;
}

static wf_node *reads_what_does_not_fit(wf_node *n)
{
    if (n->op == &wf_op_add) n->in[1] = wf_reshape(n->in[1], WF_SHAPE(24));
    return NULL;
}

static wf_node *makes_a_mistake(wf_node *n)
{
    return n->op == &wf_op_exp ? wf_matmul(n->in[0], n->in[0]) : NULL;
}

static const struct {
    wf_node *(*rewrite)(wf_node *n);
    const char *text;
} rogues[] = {
    {loses_the_type, "after rogue: model: exp: its replacement has another type"},
    {loses_the_type_of_an_output, "after rogue: model: tanh: its replacement has another type"},
    {leads_back, "after rogue: model: neg: the graph has a cycle"},
    {leads_back_by_hand, "the graph has a cycle"},
    {gives_a_stranger, "after rogue: model: exp: its replacement belongs to another graph"},
    {reads_a_stranger, "after rogue: model: exp: an input belongs to another graph"},
    {reads_nothing, "after rogue: model: exp: an input is missing"},
    {reads_poison, "after rogue: model: exp: an input is the poison node"},
    {drops_an_input, "after rogue: model: add: wrong number of inputs"},
    {lies_about_the_shape, "after rogue: model: exp: its type is not what its inputs give"},
    {lies_about_the_dtype, "after rogue: model: tanh: its type is not what its inputs give"},
    {reads_what_does_not_fit, "after rogue: model: add: shapes do not broadcast, [4,6] and [24]"},
    {makes_a_mistake, "model: matmul: inner sizes differ, [4,6] x [4,6]"},
};

static const wf_op unfinished = {.name = "unfinished", .arity = 1, .infer = wf_infer_same};

Test(verify, an_op_without_a_kernel_is_named)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_graph *g = wf_graph_new();
    wf_program *p;
    wf_push(g, "model");
    wf_output(wf_apply1(&unfinished, NULL, wf_input(g, "x", WF_F32, WF_SHAPE(3))), "y");
    cr_expect_eq(wf_compile(&p, g, s, rt, NULL), WF_EMODEL);
    cr_expect_str_eq(wf_error(), "model: unfinished: the op has no kernel");
    wf_graph_free(g);
    wf_store_free(s);
    wf_runtime_free(rt);
}

Test(verify, a_pass_that_breaks_the_graph_is_named)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    cr_assert(rt, "%s", wf_error());
    for (size_t i = 0; i < sizeof rogues / sizeof *rogues; i++) {
        wf_pass rogue = {.name = "rogue", .rewrite = rogues[i].rewrite};
        const wf_pass *const passes[] = {&rogue, NULL};
        wf_store *s = wf_store_new(1);
        wf_graph *g = wf_graph_new();
        wf_program *p;
        other = wf_graph_new();
        for (int k = 0; k < 100; k++) wf_constant(other, 1); /* its nodes have higher numbers */
        wf_push(g, "model");
        wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 6));
        wf_node *z = wf_input(g, "z", WF_F32, WF_SHAPE(4, 6));
        wf_output(wf_tanh(wf_add(wf_exp(x), z)), "y");
        cr_expect_eq(wf_compile(&p, g, s, rt, &(wf_compile_options){.passes = passes}), WF_EMODEL,
                     "%zu", i);
        cr_expect(strstr(wf_error(), rogues[i].text), "\"%s\" should be \"%s\"", wf_error(),
                  rogues[i].text);
        wf_graph_free(other);
        wf_graph_free(g);
        wf_store_free(s);
    }
    wf_runtime_free(rt);
}
