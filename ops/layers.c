/* Composites that declare parameters. */
#include <weft/op.h>

#include <stdio.h>

wf_node *wf_dense(wf_node *x, int64_t width, bool bias, wf_init init, const char *name)
{
    wf_graph *g = wf_graph_of(x);
    wf_push(g, "%s", name);
    wf_node *w =
        wf_param(g, "w", WF_SHAPE(wf_dim(x, -1), width), (wf_role){.kind = WF_KERNEL}, init);
    wf_node *b = NULL;
    if (bias) b = wf_param(g, "b", WF_SHAPE(width), (wf_role){.kind = WF_BIAS}, (wf_init){0});
    wf_node *y = wf_linear(x, w, b);
    wf_pop(g);
    return y;
}
