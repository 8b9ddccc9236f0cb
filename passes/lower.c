/* Every elementwise node becomes a pointwise program of one instruction; stop_gradient goes. Not an
 * optimization: it is how elementwise ops run. */
#include "passes/passes.h"

#include "ops/pointwise.h"

static wf_node *lower(wf_node *n)
{
    if (n->op == &wf_op_stop_gradient) return n->in[0];
    if (!n->op->lane) return NULL;
    wf_node *in[4];
    wf_pw p = wf_pw_single(n, in);
    return wf_apply(&wf_op_pointwise, &p, p.n_in, in);
}

const wf_pass wf_pass_lower = {
    .name = "lower",
    .doc = "elementwise(x) -> pointwise {elementwise}",
    .rewrite = lower,
};
