/*
 * A compiler pass of one's own: sqrt(square(x)) becomes abs(x), which saves a root and cannot
 * overflow. The program prints the graph before and after.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/op.h>

static bool is(const wf_node *n, const char *op)
{
    return !strcmp(n->op->name, op);
}

/* Called for every node; returns what to put in its place, or NULL. */
static wf_node *root_of_square(wf_node *n)
{
    if (!is(n, "sqrt") || !is(n->in[0], "square")) return NULL;
    return wf_abs(n->in[0]->in[0]);
}

static const wf_pass root_pass = {
    .name = "root_of_square",
    .doc = "sqrt(square(x)) -> abs(x): one op less, no overflow",
    .rewrite = root_of_square,
};

static void show(const char *title, char *text)
{
    printf("%s:\n%s\n", title, text ? text : "(out of memory)");
    free(text);
}

int main(void)
{
    const float x[3] = {-3, 1e30f, 0.5f}; /* the square of 1e30 is not a float */
    wf_graph *g = wf_graph_new();
    wf_node *in = wf_input(g, "x", WF_F32, WF_SHAPE(3));
    wf_output(wf_max_over(wf_sqrt(wf_square(in)), WF_ALL, false), "largest");
    show("before", wf_graph_text(g));

    const wf_pass *const passes[] = {&root_pass, NULL};
    wf_runtime *rt = wf_runtime_new(NULL);
    wf_store *store = wf_store_new(1);
    wf_program *p = NULL;
    float largest = 0;
    if (rt && wf_compile(&p, g, store, rt, &(wf_compile_options){.passes = passes}) == WF_OK &&
        wf_bind(p, "x", x, sizeof x) == WF_OK && wf_run(p) == WF_OK) {
        show("after", wf_program_text(p));
        largest = wf_scalar(p, "largest");
        printf("largest |x|: %g\n", largest);
    } else {
        fprintf(stderr, "%s\n", wf_error());
    }
    wf_program_free(p);
    wf_store_free(store);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return largest == 1e30f ? 0 : 1;
}
