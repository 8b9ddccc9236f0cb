/* What can be known of a program without running it, and of a trace that cannot be written. */
#include <weft/weft.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(look, .timeout = 30);

static wf_graph *declare(int64_t width)
{
    wf_init init = {WF_INIT_NORMAL, 0.1f, 0};
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 8));
    wf_node *y = wf_dense(wf_relu(wf_dense(x, width, true, init, "one")), 1, false, init, "two");
    wf_node *loss = wf_output(wf_mean(wf_square(y), WF_ALL, false), "loss");
    wf_minimize(loss, &wf_tiger, NULL, NULL);
    return g;
}

Test(look, a_program_to_look_at_is_the_same_without_parameters_and_memory)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_graph *g = declare(16);
    wf_program *look, *whole;
    wf_compile_options how = {.look_only = true};
    cr_assert_eq(wf_compile(&look, g, s, rt, &how), WF_OK, "%s", wf_error());
    cr_expect_eq(wf_store_count(s), 0);
    cr_expect_eq(wf_run(look), WF_EMODEL);
    cr_expect(strstr(wf_error(), "look"), "%s", wf_error());
    cr_assert_eq(wf_compile(&whole, g, s, rt, NULL), WF_OK, "%s", wf_error());
    char *a = wf_program_text(look), *b = wf_program_text(whole);
    cr_expect_str_eq(a, b);
    wf_program_stats x = wf_program_get_stats(look), y = wf_program_get_stats(whole);
    cr_expect(x.plan_bytes == y.plan_bytes && x.store_bytes == y.store_bytes && x.flops == y.flops);
    free(a);
    free(b);
    wf_program_free(look);
    wf_program_free(whole);
    wf_graph_free(g);
    wf_store_free(s);
    wf_runtime_free(rt);
}

Test(look, a_size_that_no_machine_has_can_be_looked_at)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_graph *g = declare((int64_t)1 << 44);
    wf_program *p;
    wf_compile_options how = {.look_only = true};
    cr_expect_eq(wf_compile(&p, g, s, rt, &how), WF_OK, "%s", wf_error());
    wf_program_free(p);
    wf_graph_free(g);
    wf_store_free(s);
    wf_runtime_free(rt);
}

Test(look, a_program_names_the_tensors_that_it_uses)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_graph *g = declare(16);
    wf_program *train, *evaluate;
    wf_compile_options forward = {.forward_only = true};
    cr_assert_eq(wf_compile(&train, g, s, rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_compile(&evaluate, g, s, rt, &forward), WF_OK, "%s", wf_error());
    int n = 0, parameters = 0;
    for (const char *name; (name = wf_program_tensor(train, n)); n++)
        cr_expect(wf_store_data(s, name, NULL, NULL), "%s", name);
    cr_expect_eq(n, wf_store_count(s)); /* three parameters, their momenta and skips */
    cr_expect_eq(n, 9);
    for (const char *name; (name = wf_program_tensor(evaluate, parameters)); parameters++)
        cr_expect(strncmp(name, "opt/", 4) != 0, "%s", name);
    cr_expect_eq(parameters, 3);
    wf_program_free(train);
    wf_program_free(evaluate);
    wf_graph_free(g);
    wf_store_free(s);
    wf_runtime_free(rt);
}

Test(look, a_trace_that_cannot_be_written_is_an_error)
{
    wf_runtime_options how = {.threads = 1, .trace = "/nowhere/trace.json"};
    cr_expect_null(wf_runtime_new(&how));
    cr_expect(strstr(wf_error(), "No such file"), "%s", wf_error());
    how.trace = "/dev/full";
    wf_runtime *rt = wf_runtime_new(&how);
    cr_assert(rt, "%s", wf_error());
    cr_expect_eq(wf_runtime_save_trace(rt), WF_EIO);
    cr_expect(strstr(wf_error(), "/dev/full") && strstr(wf_error(), "No space"), "%s", wf_error());
    wf_runtime_free(rt);
    rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    cr_expect_eq(wf_runtime_save_trace(rt), WF_OK);
    wf_runtime_free(rt);
}
