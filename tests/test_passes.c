/* Passes: the graph before and after as text, and equal numbers. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "passes/passes.h"
#include "tests/op_trial.h"

static const wf_role kernel = {.kind = WF_KERNEL};

static wf_node *input(wf_graph *g, const char *name)
{
    return wf_input(g, name, WF_F32, WF_SHAPE(4, 6));
}

static void expect_text(wf_graph *g, const char *want)
{
    char *text = wf_graph_text(g);
    cr_expect_str_eq(text, want);
    free(text);
    wf_graph_free(g);
}

static void apply(wf_graph *g, const wf_pass *p)
{
    cr_assert(wf_pass_apply(g, p), "%s", g->message);
}

/* What was on the stack before must not matter: attributes have bytes between their members. */
static void dirty_the_stack(int with)
{
    volatile char rubbish[4096];
    for (size_t i = 0; i < sizeof rubbish; i++) rubbish[i] = (char)with;
}

static wf_node *make_any(wf_graph *g, int which)
{
    static int beyond; /* the rank */
    wf_node *x = input(g, "x"), *offsets = wf_input(g, "offsets", WF_I32, WF_SHAPE(3));
    wf_node *span = wf_span_packed(offsets, 4, false), *row = wf_slice(x, 0, 1, 1);
    switch (which) {
    case 0:
        return wf_slice(x, 1, 2, 3);
    case 1:
        return wf_concat(2, (wf_node *[]){x, x}, 1);
    case 2:
        return wf_cumsum(x, 1);
    case 3:
        return wf_reshape(x, (wf_shape){1, {24, ++beyond}});
    case 4:
        return wf_broadcast(row, (wf_shape){2, {4, 6, ++beyond}});
    case 5:
        return span;
    case 6:
        return wf_positions(offsets, 4);
    case 7:
        return wf_span_length(span, 1);
    case 8:
        return wf_mask_span(wf_slice(x, 1, 0, 4), span, -1);
    case 9:
        return wf_rope(x, wf_positions(offsets, 4), 100);
    case 10:
        return wf_extent(x, 1);
    default:
        return NULL;
    }
}

Test(passes, cse_merges_whatever_was_on_the_stack)
{
    for (int which = 0;; which++) {
        wf_graph *g = wf_graph_new();
        wf_node *y[2];
        for (int i = 0; i < 2; i++) {
            dirty_the_stack(i ? 0xff : 0x55);
            y[i] = make_any(g, which);
        }
        if (!y[0]) {
            wf_graph_free(g);
            break;
        }
        char text[20];
        for (int i = 0; i < 2; i++) {
            snprintf(text, sizeof text, "y%d", i);
            wf_output(y[i], text);
        }
        apply(g, &wf_pass_cse);
        cr_expect_eq(g->outputs[0].node, g->outputs[1].node, "%d: two %s", which, y[0]->op->name);
        wf_graph_free(g);
    }
}

Test(passes, simplify_drops_what_changes_nothing)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = input(g, "x");
    wf_node *y = wf_scale(wf_shift(wf_neg(wf_neg(x)), -0.0f), 1);
    y = wf_reshape(wf_reshape(y, WF_SHAPE(24)), WF_SHAPE(4, 6));
    y = wf_transpose(wf_transpose(y, WF_AXES(1, 0)), WF_AXES(1, 0));
    wf_output(wf_sub(y, wf_constant(g, 0)), "y");
    apply(g, &wf_pass_simplify);
    expect_text(g, "%0 = input : f32[4,6]  # x\noutput y = %0\n");
}

Test(passes, simplify_makes_sizes_numbers_and_folds_constants)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = input(g, "x");
    wf_output(wf_mul(x, wf_sqrt(wf_mul(wf_extent(x, 0), wf_constant(g, 4)))), "y");
    apply(g, &wf_pass_simplify);
    expect_text(g, "%0 = input : f32[4,6]  # x\n%1 = scale %0 {a=4} : f32[4,6]\noutput y = %1\n");
}

Test(passes, cse_merges_equal_nodes_but_never_random_ones)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = input(g, "x");
    wf_output(wf_add(wf_exp(x), wf_exp(x)), "y");
    wf_output(wf_sub(wf_dropout(x, 0.5f), wf_dropout(x, 0.5f)), "z");
    cr_expect_eq(wf_graph_size(g), 7);
    apply(g, &wf_pass_cse);
    cr_expect_eq(wf_graph_size(g), 6);
    wf_graph_free(g);
}

Test(passes, fuse_pointwise_makes_one_program_of_a_chain)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = input(g, "x"), *z = input(g, "z");
    wf_output(wf_mul(wf_tanh(wf_add(x, z)), x), "y");
    apply(g, &wf_pass_lower);
    apply(g, &wf_pass_fuse_pointwise);
    expect_text(g, "%0 = input : f32[4,6]  # x\n%1 = input : f32[4,6]  # z\n"
                   "%2 = pointwise %0 %1 {add 0 1; tanh 2; mul 3 0} : f32[4,6]\noutput y = %2\n");
}

Test(passes, fuse_pointwise_keeps_a_value_with_two_users)
{
    wf_graph *g = wf_graph_new();
    wf_node *e = wf_exp(input(g, "x"));
    wf_output(wf_neg(e), "y");
    wf_output(e, "e");
    apply(g, &wf_pass_lower);
    apply(g, &wf_pass_fuse_pointwise);
    cr_expect_eq(wf_graph_size(g), 3);
    wf_graph_free(g);
}

Test(passes, an_optimizer_step_becomes_one_program_with_two_stores)
{
    wf_graph *g = wf_graph_new();
    wf_node *w = wf_param(g, "w", WF_SHAPE(4, 6), kernel, (wf_init){0});
    wf_node *loss = wf_sum(wf_mul(w, input(g, "x")), WF_ALL, false);
    wf_minimize(loss, &wf_lion, &(wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.1f},
                NULL);
    wf_pass_options o = {0};
    cr_assert(wf_optimize(g, &o), "%s", g->message);
    char *text = wf_graph_text(g);
    const char *stores = strstr(text, "pointwise_store");
    cr_expect(stores && !strstr(stores + 1, "pointwise_store"), "%s", text);
    cr_expect_not(strstr(text, "assign"), "%s", text);
    free(text);
    wf_graph_free(g);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) n++;
    return n;
}

Test(passes, steps_of_adam_are_counted_once_and_make_no_value_twice)
{
    wf_graph *g = wf_graph_new();
    wf_node *loss = NULL;
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('u' + i), 0};
        wf_node *w = wf_param(g, name, WF_SHAPE(4, 6 + i), kernel, (wf_init){0});
        wf_node *sum = wf_sum(wf_exp(w), WF_ALL, false);
        loss = loss ? wf_add(loss, sum) : sum;
    }
    wf_minimize(loss, &wf_adamw, NULL, NULL);
    wf_pass_options o = {0};
    cr_assert(wf_optimize(g, &o), "%s", g->message);
    char *text = wf_graph_text(g);
    cr_expect_eq(count(text, "# opt/adamw/u/step\n"), 1, "%s", text);
    cr_expect_eq(count(text, "/step\n"), 1, "%s", text);
    cr_expect_eq(count(text, "pointwise_store"), 3 + 1, "%s", text); /* and part of a step */
    cr_expect_eq(count(text, "square"), 3, "%s", text);
    cr_expect_eq(count(text, "sqrt"), 3 + 1, "%s", text); /* and 1 / sqrt(1 - beta2^t) */
    free(text);
    wf_graph_free(g);
}

Test(passes, two_updates_that_read_each_other_keep_the_old_values)
{
    wf_graph *g = wf_graph_new();
    wf_node *a = wf_param(g, "a", WF_SHAPE(3), kernel, (wf_init){WF_INIT_CONSTANT, 1, 0});
    wf_node *b = wf_param(g, "b", WF_SHAPE(3), kernel, (wf_init){WF_INIT_CONSTANT, 2, 0});
    wf_assign(a, wf_scale(b, 10));
    wf_assign(b, wf_scale(a, 100));
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(0);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(p), WF_OK);
    cr_expect_eq(((float *)wf_store_data(s, "a", NULL, NULL))[2], 20);
    cr_expect_eq(((float *)wf_store_data(s, "b", NULL, NULL))[2], 100);
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
}

Test(passes, an_update_waits_for_every_reader_of_the_old_value)
{
    wf_graph *g = wf_graph_new();
    wf_node *a = wf_param(g, "a", WF_SHAPE(2, 2), kernel, (wf_init){WF_INIT_CONSTANT, 1, 0});
    wf_assign(a, wf_shift(a, 1));
    wf_output(wf_sum(wf_exp(wf_transpose(a, WF_AXES(1, 0))), WF_ALL, false), "old");
    wf_output(wf_reshape(a, WF_SHAPE(4)), "view");
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(0);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(wf_run(p), WF_OK);
        cr_expect_float_eq(wf_scalar(p, "old"), 4 * exp(i), 1e-4);
        cr_expect_eq(wf_scalar(p, "view"), (float)i);
    }
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
}

Test(passes, passes_can_be_left_out_by_name)
{
    wf_graph *g = wf_graph_new();
    wf_output(wf_neg(wf_exp(input(g, "x"))), "y");
    wf_pass_options o = {.without = "-cse,-fuse_pointwise"};
    cr_assert(wf_optimize(g, &o));
    cr_expect_eq(wf_graph_size(g), 3);
    wf_graph_free(g);
}

/* Bytes of the plan of y, whose tensors of 32 x 32 have 4 KiB each; its numbers are those of the
 * program without any pass. */
static size_t planned(wf_node *(*build)(wf_node *x, wf_node *w))
{
    float x[32 * 32], y[2][32 * 32];
    wf_program_stats stats = {0};
    for (int i = 0; i < 32 * 32; i++) x[i] = (float)sin(i);
    for (int plain = 0; plain < 2; plain++) {
        wf_graph *g = wf_graph_new();
        wf_node *w = wf_input(g, "w", WF_F32, WF_SHAPE(32, 32));
        wf_output(build(wf_softmax(wf_input(g, "x", WF_F32, WF_SHAPE(32, 32))), w), "y");
        wf_runtime *rt = op_runtime(1, "", plain ? OP_NO_PASSES : "");
        wf_store *s = wf_store_new(0);
        wf_program *p;
        cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
        wf_bind(p, "x", x, sizeof x);
        wf_bind(p, "w", x, sizeof x);
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        memcpy(y[plain], wf_read(p, "y", NULL), sizeof *y);
        if (!plain) stats = wf_program_get_stats(p);
        wf_program_free(p);
        wf_store_free(s);
        wf_runtime_free(rt);
        wf_graph_free(g);
    }
    cr_expect_lt(op_differs(WF_F32, 32 * 32, y[0], y[1], 1e-5), 0);
    return stats.plan_bytes / 4096; /* whole tensors; a product's work is less than one */
}

static wf_node *norm_of_linear(wf_node *x, wf_node *w)
{
    return wf_rms_norm(wf_tanh(wf_matmul(x, w)), 0.1f); /* in place of the product, x is dead */
}

static wf_node *residual(wf_node *x, wf_node *w)
{
    return wf_add(wf_tanh(wf_matmul(x, w)), x); /* x is read on while the product is written */
}

static wf_node *two_layers(wf_node *x, wf_node *w)
{
    return wf_relu(wf_matmul(residual(residual(x, w), w), w));
}

static wf_node *both_are_needed(wf_node *x, wf_node *w)
{
    wf_node *y = wf_neg(wf_matmul(x, w));
    return wf_add(wf_rms_norm(y, 0.1f), wf_cumsum(y, 0)); /* y lives while its norm is made */
}

Test(passes, memory_of_a_linear_is_planned_in_place_where_that_is_right)
{
    cr_expect_eq(planned(norm_of_linear), 2);
    cr_expect_eq(planned(residual), 2);
    cr_expect_eq(planned(two_layers), 2);
    cr_expect_eq(planned(both_are_needed), 2);
}
