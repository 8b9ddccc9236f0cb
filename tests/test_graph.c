/* Declaring graphs: names, mistakes, symbolic sizes, text. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include <weft/op.h>

static const wf_role kernel = {.kind = WF_KERNEL};

static wf_node *input(wf_graph *g, const char *name, int64_t a, int64_t b)
{
    return wf_input(g, name, WF_F32, WF_SHAPE(a, b));
}

static void expect_mistake(wf_graph *g, const char *a, const char *b)
{
    cr_expect_eq(wf_graph_check(g), WF_EMODEL);
    cr_expect(strstr(wf_error(), a) && strstr(wf_error(), b), "\"%s\" should tell %s and %s",
              wf_error(), a, b);
    wf_graph_free(g);
}

Test(graph, a_wrong_shape_names_path_op_and_shapes)
{
    wf_graph *g = wf_graph_new();
    wf_push(g, "gau%d", 3);
    wf_node *y = wf_matmul(input(g, "a", 8, 1024), input(g, "b", 512, 512));
    wf_pop(g);
    cr_expect_eq(wf_dim(y, 0), 1, "poison has one element");
    wf_add(y, y);
    expect_mistake(g, "gau3: matmul: inner sizes differ", "[8,1024] x [512,512]");
}

Test(graph, the_first_mistake_wins)
{
    wf_graph *g = wf_graph_new();
    wf_add(input(g, "a", 2, 3), input(g, "b", 2, 4));
    wf_matmul(input(g, "c", 2, 3), input(g, "d", 4, 5));
    expect_mistake(g, "add", "[2,3] and [2,4]");
}

Test(graph, a_wrong_dtype_is_told)
{
    wf_graph *g = wf_graph_new();
    wf_add(wf_input(g, "ids", WF_I32, WF_SHAPE(3)), wf_constant(g, 1));
    expect_mistake(g, "add", "float32");
}

Test(graph, two_outputs_of_one_name_are_a_mistake)
{
    wf_graph *g = wf_graph_new();
    wf_output(wf_constant(g, 1), "y");
    wf_output(wf_constant(g, 2), "y");
    expect_mistake(g, "two outputs", "\"y\"");
}

Test(graph, nodes_of_two_graphs_do_not_mix)
{
    wf_graph *g = wf_graph_new(), *h = wf_graph_new();
    wf_add(input(g, "a", 2, 2), input(h, "b", 2, 2));
    expect_mistake(g, "add", "another graph");
    wf_graph_free(h);
}

Test(graph, a_pop_without_push_is_a_mistake)
{
    wf_graph *g = wf_graph_new();
    wf_pop(g);
    expect_mistake(g, "wf_pop", "wf_push");
}

Test(graph, parameters_are_one_a_path)
{
    wf_graph *g = wf_graph_new();
    wf_push(g, "layer");
    wf_node *a = wf_param(g, "w", WF_SHAPE(2, 3), kernel, (wf_init){0});
    cr_expect_eq(a, wf_param(g, "w", WF_SHAPE(2, 3), kernel, (wf_init){0}));
    cr_expect_str_eq(a->name, "layer/w");
    wf_param(g, "w", WF_SHAPE(3, 3), kernel, (wf_init){0});
    expect_mistake(g, "layer/w", "[3,3]");
}

Test(graph, symbolic_sizes_multiply_add_and_divide)
{
    wf_graph *g = wf_graph_new();
    int64_t b = wf_size(g, "batch"), t = wf_size(g, "time");
    cr_expect_eq(b, wf_size(g, "batch"));
    cr_expect_neq(b, t);
    cr_expect_eq(wf_size_mul(g, b, t), wf_size_mul(g, t, b));
    cr_expect_eq(wf_size_add(g, b, b), wf_size_mul(g, 2, b));
    cr_expect_eq(wf_size_add(g, b, 1), wf_size_add(g, 1, b));
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(b, t, 8));
    wf_node *y = wf_reshape(x, WF_SHAPE(-1, 8));
    cr_expect_eq(wf_dim(y, 0), wf_size_mul(g, b, t));
    cr_expect_eq(wf_graph_check(g), WF_OK, "%s", wf_error());
    wf_add(wf_input(g, "u", WF_F32, WF_SHAPE(b)), wf_input(g, "v", WF_F32, WF_SHAPE(t)));
    expect_mistake(g, "add", "[?] and [?]");
}

Test(graph, one_graph_is_compiled_for_several_sizes)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(wf_size(g, "n")));
    wf_output(wf_sum(wf_div(x, wf_extent(x, 0)), WF_ALL, false), "mean");
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(0);
    float data[7] = {1, 2, 3, 4, 5, 6, 7};
    for (int64_t n = 1; n <= 7; n += 3) {
        wf_program *p;
        wf_size_value sizes[] = {{"n", n}, {NULL, 0}};
        cr_assert_eq(wf_compile(&p, g, s, rt, &(wf_compile_options){.sizes = sizes}), WF_OK, "%s",
                     wf_error());
        cr_assert_eq(wf_run(p), WF_EUNBOUND);
        cr_expect(strstr(wf_error(), "\"x\""));
        cr_expect_eq(wf_bind(p, "x", data, 4), n == 1 ? WF_OK : WF_EMODEL);
        cr_assert_eq(wf_bind(p, "x", data, (size_t)n * 4), WF_OK);
        cr_assert_eq(wf_run(p), WF_OK);
        cr_expect_float_eq(wf_scalar(p, "mean"), (float)(n + 1) / 2, 1e-6);
        wf_program_free(p);
    }
    wf_program *p;
    cr_expect_eq(wf_compile(&p, g, s, rt, NULL), WF_EMODEL);
    cr_expect(strstr(wf_error(), "\"n\""), "%s", wf_error());
    wf_size_value wrong[] = {{"n", 3}, {"m", 4}, {NULL, 0}};
    cr_expect_eq(wf_compile(&p, g, s, rt, &(wf_compile_options){.sizes = wrong}), WF_EMODEL);
    cr_expect(strstr(wf_error(), "\"m\""), "%s", wf_error());
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
}

Test(graph, text_is_stable)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = input(g, "x", 4, 3);
    wf_node *w = wf_param(g, "w", WF_SHAPE(3, 2), kernel, (wf_init){0});
    wf_output(wf_relu(wf_matmul(x, w)), "y");
    char *text = wf_graph_text(g), *dot = wf_graph_dot(g);
    cr_expect_str_eq(text, "%0 = input : f32[4,3]  # x\n"
                           "%1 = param : f32[3,2]  # w\n"
                           "%2 = matmul %0 %1 : f32[4,2]\n"
                           "%3 = relu %2 : f32[4,2]\n"
                           "output y = %3\n");
    cr_expect(strstr(dot, "digraph") && strstr(dot, "n2 -> n3"));
    free(text);
    free(dot);
    wf_graph_free(g);
}

Test(graph, a_gradient_that_does_not_exist_is_a_builder_error)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = input(g, "x", 2, 2), *z = input(g, "z", 2, 2);
    wf_gradient(wf_sum(x, WF_ALL, false), z);
    expect_mistake(g, "gradient", "");
    g = wf_graph_new();
    x = input(g, "x", 2, 2);
    wf_gradient(x, x);
    expect_mistake(g, "gradient", "");
}

Test(graph, sizes_beyond_memory_are_told_before_the_run)
{
    wf_graph *g = wf_graph_new();
    wf_node *a = wf_input(g, "a", WF_F32, WF_SHAPE(INT64_C(1) << 31, 1));
    wf_matmul_t(a, a);
    cr_expect_eq(wf_graph_check(g), WF_EMODEL);
    cr_expect(strstr(wf_error(), "more than 2^48 values"), "%s", wf_error());
    wf_graph_free(g);
}
