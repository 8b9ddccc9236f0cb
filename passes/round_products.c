/*
 * matmul(a, b)  ->  the same in bf16, twice as fast where the processor can
 *
 * After differentiation, so that gradients are such products too; before products are fused.
 */
#include "passes/passes.h"

#include "ops/ops.h"

static wf_node *round_products(wf_node *n)
{
    if (n->op != &wf_op_matmul) return NULL;
    wf_matmul_attr a = *(const wf_matmul_attr *)n->attr;
    if (a.bf16) return NULL;
    a.bf16 = true;
    return wf_apply2(&wf_op_matmul, &a, n->in[0], n->in[1]);
}

const wf_pass wf_pass_round_products = {
    .name = "round_products",
    .doc = "operands of products are rounded to bf16, if the program was asked to",
    .rewrite = round_products,
};
