/*
 * The command line of a driver: one table of typed options. From it come the parser, --help with
 * the defaults, the range checks and the configuration that a checkpoint remembers.
 */
#ifndef WF_MODELS_ARGS_H
#define WF_MODELS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WF_DONE = 0, WF_FAILED = 1, WF_USAGE = 2 }; /* exit codes */

typedef enum wf_arg_kind {
    WF_ARG_FLAG,   /* bool */
    WF_ARG_INT,    /* int64_t */
    WF_ARG_REAL,   /* double */
    WF_ARG_BYTES,  /* int64_t: 1073741824, 1024MiB, 1GiB or 1.5GiB; from 0 on, below 2^62 */
    WF_ARG_TEXT,   /* const char *, NULL if there is no default */
    WF_ARG_CHOICE, /* int: the place in choices */
    WF_ARG_LIST,   /* wf_arg_list: the option may be repeated */
} wf_arg_kind;

typedef struct wf_arg_list {
    int n;
    const char *item[64];
} wf_arg_list;

enum { WF_ARG_ABOVE = 1, WF_ARG_BELOW = 2 }; /* lo, hi themselves are not allowed */

typedef struct wf_arg {
    const char *name; /* without the dashes */
    wf_arg_kind kind;
    size_t offset;       /* of the value in the driver's options */
    const char *initial; /* the default as it would be typed; NULL: none (numbers: 0, NAN) */
    const char *value;   /* what --help calls the value; choices: "tiger|lion|sgd" */
    double lo, hi;       /* numbers: the range; hi <= lo: no upper end */
    unsigned ends;       /* WF_ARG_ABOVE | WF_ARG_BELOW */
    bool fixed;          /* a resumed run must have the same value */
    const char *doc;
} wf_arg;

/* A table of options and where its struct lies inside the driver's. */
typedef struct wf_arg_group {
    const wf_arg *args;
    int n;
    size_t base;
} wf_arg_group;

typedef struct wf_command {
    const char *name;       /* "weft gau pretrain" */
    const char *usage;      /* what follows the options in the first line of --help, or NULL */
    const char *doc;        /* one or more lines */
    wf_arg_group groups[5]; /* unused ones: n = 0 */
    const char *rest;       /* what words without an option are; NULL: there must be none */
    size_t rest_offset;     /* their wf_arg_list */
} wf_command;

/* Fill options with defaults and argv[1..]. Returns -1 to go on, or an exit code: WF_DONE after
 * --help, WF_USAGE after one line on stderr. */
int wf_args_parse(const wf_command *c, int argc, char **argv, void *options);

/* Fill options with the defaults alone. False after one line on stderr. */
bool wf_args_defaults(const wf_command *c, void *options);

/* The value of an option in its struct as text, equal for equal values; "nan", "": not given.
 * Blanks part the items of a list, and setting that text makes one item of it. */
void wf_arg_text(const wf_arg *a, const void *values, char *text, size_t size);
/* Set one option from text; false after one line on stderr. "from" is what the line starts with. */
bool wf_arg_set(const wf_arg *a, const char *from, const char *text, void *values);

#endif
