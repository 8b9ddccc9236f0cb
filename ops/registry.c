/* The table of built-in ops, made from oplist.h. */
#include "ops/ops.h"

#include <string.h>

const wf_op *const wf_ops[] = {
#define OP(name) &wf_op_##name,
#include "ops/oplist.h"
#undef OP
    NULL,
};

const wf_op *wf_op_find(const char *name)
{
    for (const wf_op *const *op = wf_ops; *op; op++)
        if (!strcmp((*op)->name, name)) return *op;
    return NULL;
}
