/* The table made from optlist.h. */
#include <weft/op.h>

#include <string.h>

static const wf_optimizer *const all[] = {
#define OPT(name) &wf_##name,
#include "optim/optlist.h"
#undef OPT
};

const wf_optimizer *wf_optimizer_at(int i)
{
    return i >= 0 && i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}

const wf_optimizer *wf_optimizer_find(const char *name)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i]->name, name)) return all[i];
    return NULL;
}
