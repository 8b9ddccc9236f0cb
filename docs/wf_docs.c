/*
 * Prints docs/ops.md from the descriptors of ops, optimizers and passes, so that their text stands
 * in one place.
 */
#include "ops/ops.h"
#include "passes/passes.h"
#include "runtime/program.h"

#include <stdio.h>

/* Ops are grouped by the first of these traits that they have; the last row takes the others. */
static const struct group {
    unsigned trait;
    const char *title, *text;
} groups[] = {
    {WF_LEAF, "Leaves", "They have no inputs and no kernel."},
    {WF_REQUEST, "Requests", "The compiler replaces them by graph; they never run."},
    {WF_VIEW, "Views", "No data moves: they look into their input."},
    {WF_ELEMENTWISE, "Elementwise", "They broadcast, and chains of them become one kernel."},
    {WF_EFFECT, "Effects", "They change stored tensors, after all reads of a run."},
    {0, "Others", "Each has its own kernel."},
};

enum { GROUPS = sizeof groups / sizeof *groups };

static int group_of(const wf_op *op)
{
    int i = 0;
    while (groups[i].trait && !(op->traits & groups[i].trait)) i++;
    return i;
}

/* A formula as code; a bar would end the cell of the table. */
static void print_formula(const char *text)
{
    printf("`");
    for (; *text; text++) printf(*text == '|' ? "\\|" : "%c", *text);
    printf("`");
}

static void print_traits(unsigned traits)
{
    static const struct {
        unsigned trait;
        const char *name;
    } names[] = {{WF_INPLACE, "in place"},
                 {WF_STRIDED, "any strides"},
                 {WF_RANDOM, "random"},
                 {WF_ROWWISE, "row by row"}};
    const char *comma = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(traits & names[i].trait)) continue;
        printf("%s%s", comma, names[i].name);
        comma = ", ";
    }
}

static void print_op(const wf_op *op)
{
    printf("| `%s` | ", op->name);
    print_formula(op->doc);
    printf(op->arity < 0 ? " | any | " : " | %d | ", op->arity);
    printf("%s | ", op->grad ? "yes" : op->traits & WF_FLAT ? "none flows" : "");
    print_traits(op->traits);
    printf(" |\n");
}

static void print_ops(void)
{
    for (int i = 0; i < GROUPS; i++) {
        printf("\n## %s\n\n%s\n\n", groups[i].title, groups[i].text);
        printf("| op | formula | inputs | gradient | traits |\n|---|---|---|---|---|\n");
        for (const wf_op *const *op = wf_ops; *op; op++)
            if (group_of(*op) == i) print_op(*op);
    }
}

static void print_optimizers(void)
{
    static const wf_optimizer *const all[] = {
#define OPT(name) &wf_##name,
#include "optim/optlist.h"
#undef OPT
    };
    printf("\n# Optimizers\n\n| optimizer | step |\n|---|---|\n");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        printf("| `%s` | ", all[i]->name);
        print_formula(all[i]->doc);
        printf(" |\n");
    }
}

static void print_pass(const wf_pass *pass)
{
    printf("| `%s` | ", pass->name);
    print_formula(pass->doc);
    printf(" |\n");
}

static void print_passes(void)
{
    printf("\n# Passes\n\nIn the order in which they run; the first two only if a program is "
           "compiled `forward_only`,\n`averages` if it asks for them too. "
           "`WF_PASSES=-NAME,-NAME...` leaves passes out, but not `averages`,\n`inference`, "
           "`update`, `backward`, `lower` and `layout`, which programs need.\n\n| pass | "
           "rewrites |\n|---|---|\n");
    for (const wf_pass *const *const *part = wf_pipeline; *part; part++) {
        if (!part[1]) print_pass(&wf_pass_store_narrow); /* before the last fusions */
        for (const wf_pass *const *pass = *part; *pass; pass++) print_pass(*pass);
    }
    print_pass(&wf_pass_recompute);
}

int main(void)
{
    printf("<!-- Made from the descriptors by ./dev docs: edit those. -->\n\n# Ops\n\n"
           "Builders stand in `weft/weft.h`; what is not there, gradients and the compiler write.\n"
           "To differentiate through an op that has no gradient is a mistake; through some, none "
           "flows:\nthey are piecewise constant.\n");
    print_ops();
    print_optimizers();
    print_passes();
    return fflush(stdout) || ferror(stdout);
}
