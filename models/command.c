/* The command weft: finds the driver of one or two words and leaves the rest to it. */
#include "models/args.h"
#include "models/drivers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

static const struct driver {
    const char *group, *name, *doc; /* name "": the group is the driver */
    int (*run)(int argc, char **argv);
} drivers[] = {
    {"gau", "pretrain", "train a masked language model on text files", wf_gau_pretrain_main},
    {"gau", "fill", "fill the [MASK]s of a sentence with a trained model", wf_gau_fill_main},
    {"vocab", "", "make a vocabulary from text files", wf_vocab_main},
    {"graph", "gau", "print the graph of a model before or after compiling", wf_graph_gau_main},
    {"optimizers", "", "list the optimizers with their formulas and numbers", wf_optimizers_main},
    {"schedule", "", "list or draw schedules of the learning rate", wf_schedule_main},
    {"recipe", "", "convert learning rate and decay from AdamW to Lion or Tiger", wf_recipe_main},
};

enum { DRIVERS = sizeof drivers / sizeof *drivers, NAMES = 14 /* columns of both names */ };

static int help(void)
{
    printf("usage: weft COMMAND [OPTION...]\n\n");
    for (int i = 0; i < DRIVERS; i++)
        printf("  weft %s %*s %s\n", drivers[i].group, (int)strlen(drivers[i].group) - NAMES,
               drivers[i].name, drivers[i].doc); /* a negative width: to the left */
    printf("\n  weft COMMAND --help    options and defaults of a command\n"
           "  weft --version\n\n"
           "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
    return WF_DONE;
}

static int unknown(const char *group, const char *name)
{
    bool is_group = false;
    for (int i = 0; i < DRIVERS; i++) is_group |= !strcmp(drivers[i].group, group);
    if (!is_group)
        fprintf(stderr, "weft: unknown command '%s' (see weft --help)\n", group);
    else if (!name)
        fprintf(stderr, "weft: %s what? (see weft --help)\n", group);
    else
        fprintf(stderr, "weft: unknown command '%s %s' (see weft --help)\n", group, name);
    return WF_USAGE;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "weft: expected a command (see weft --help)\n");
        return WF_USAGE;
    }
    const char *group = argv[1], *name = argc > 2 ? argv[2] : NULL;
    if (!strcmp(group, "--help") || !strcmp(group, "-h")) return help();
    if (!strcmp(group, "--version")) {
        printf("weft %s\n", WF_VERSION);
        return WF_DONE;
    }
    for (int i = 0; i < DRIVERS; i++) {
        const struct driver *d = &drivers[i];
        if (strcmp(d->group, group) != 0) continue;
        if (!*d->name) return d->run(argc - 1, argv + 1);
        if (name && !strcmp(d->name, name)) return d->run(argc - 2, argv + 2);
    }
    if (name && !strcmp(name, "--help")) return help();
    return unknown(group, name);
}

/* What was printed may still fail to arrive. */
static bool has_printed(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    /* Why a write failed long ago is not known any more; mostly one more fails too. */
    if (!errno && putchar('\n') != EOF) fflush(stdout);
    fprintf(stderr, "weft: standard output cannot be written: %s\n",
            errno ? strerror(errno) : "a line is missing");
    return false;
}

int wf_command_main(int argc, char **argv)
{
    int code = run(argc, argv);
    return code == WF_DONE && !has_printed() ? WF_FAILED : code;
}
