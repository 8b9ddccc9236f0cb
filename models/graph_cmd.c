/* weft graph gau: the graph of a GAU, as declared, as Graphviz, or after the compiler, and
 * what that did. */
#include "models/common.h"
#include "models/drivers.h"
#include "models/gau_options.h"

#include <stdlib.h>

static const char command_name[] = "weft graph gau";

typedef struct options {
    wf_gau_options model;
    wf_train_options training;
    int dump;
    bool forward, explain;
    const char *html;
    int64_t vocab, tokens, rows, picks;
} options;

enum { NOT_GIVEN = -1, BEFORE, AFTER, DOT };

#define AT(field) offsetof(options, field)

static const wf_arg args[] = {
    {"dump", WF_ARG_CHOICE, AT(dump), NULL, "before|after|dot", 0, 0, 0, false,
     "The declared graph, the compiled one, or the declared one for Graphviz (default: before)"},
    {"explain", WF_ARG_FLAG, AT(explain), NULL, NULL, 0, 0, 0, false,
     "Instead: what the compiler did, what it nearly did, the plan of memory, the kernels' cost"},
    {"html", WF_ARG_TEXT, AT(html), NULL, "FILE", 0, 0, 0, false,
     "Write the same as a page for a browser, with the graphs and a drawing of the memory"},
    {"forward", WF_ARG_FLAG, AT(forward), NULL, NULL, 0, 0, 0, false, "Without the training step"},
    {"vocab", WF_ARG_INT, AT(vocab), "5000", "N", 1, 10000000, 0, false, "Words"},
    {"tokens", WF_ARG_INT, AT(tokens), "512", "N", 1, 1000000, 0, false,
     "Tokens of a packed batch"},
    {"rows", WF_ARG_INT, AT(rows), "8", "N", 1, 1000000, 0, false, "Sequences in it"},
    {"picks", WF_ARG_INT, AT(picks), "76", "N", 1, 1000000, 0, false, "Masked tokens in it"},
};

static wf_command command(void)
{
    return (wf_command){
        .name = command_name,
        .doc = "Print the graph of a GAU: one line a node, or Graphviz.",
        .groups = {{args, (int)(sizeof args / sizeof *args), 0},
                   wf_gau_arg_group(offsetof(options, model)),
                   wf_train_arg_group(offsetof(options, training))},
    };
}

static bool is_compiled(const options *o)
{
    return o->dump == AFTER || o->explain || o->html;
}

/* What was asked for of the compiled program; NULL: wf_error(). */
static char *tell(const wf_program *p, const options *o)
{
    if (o->html && wf_explain_to(p, o->html) != WF_OK) return NULL;
    if (o->explain) return wf_program_explain(p, NULL);
    return o->html ? calloc(1, 1) : wf_program_text(p);
}

/* malloc'ed text about the compiled program; NULL: wf_error(). */
static char *compiled(const wf_graph *g, const options *o, const wf_training *t)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1, .no_pinning = true});
    wf_store *store = wf_store_new(0);
    wf_program *p = NULL;
    char *text = NULL;
    wf_size_value sizes[] = {{"tokens", o->tokens}, {"rows", o->rows}, {"picks", o->picks}, {0}};
    wf_compile_options how = {.sizes = sizes,
                              .forward_only = o->forward,
                              .look_only = true,
                              .memory_limit = (size_t)o->training.memory,
                              .explain = o->explain || o->html};
    wf_training_compile(t, &how);
    if (rt && wf_compile(&p, g, store, rt, &how) == WF_OK) text = tell(p, o);
    wf_program_free(p);
    wf_store_free(store);
    wf_runtime_free(rt);
    return text;
}

/* A sequence has a token at least, and a token is picked once. */
static bool check(const options *o)
{
    if (o->dump != NOT_GIVEN && (o->explain || o->html))
        return wf_complain(command_name, "--dump: not together with --%s",
                           o->explain ? "explain" : "html");
    if (o->training.memory && !is_compiled(o))
        return wf_complain(command_name, "--memory: needs --dump after, --explain or --html");
    if (o->rows > o->tokens)
        return wf_complain(command_name, "--rows: expected at most --tokens (%lld), got %lld",
                           (long long)o->tokens, (long long)o->rows);
    return o->picks <= o->tokens ||
           wf_complain(command_name, "--picks: expected at most --tokens (%lld), got %lld",
                       (long long)o->tokens, (long long)o->picks);
}

int wf_graph_gau_main(int argc, char **argv)
{
    options o = {.dump = NOT_GIVEN};
    wf_command c = command();
    int code = wf_args_parse(&c, argc, argv, &o);
    if (code >= 0) return code;
    wf_gau_config config;
    wf_training training;
    if (!check(&o) || !wf_gau_config_make(&config, command_name, &o.model, o.vocab) ||
        !wf_training_make(&training, command_name, &o.training))
        return WF_USAGE;

    wf_graph *g = wf_graph_new();
    wf_node *loss = wf_gau_mlm(g, &config);
    if (!o.forward) wf_minimize(loss, training.optimizer, &training.hyper, &training.minimize);
    char *text = NULL;
    if (wf_graph_check(g) == WF_OK)
        text = is_compiled(&o) ? compiled(g, &o, &training)
               : o.dump == DOT ? wf_graph_dot(g)
                               : wf_graph_text(g);
    if (text)
        fputs(text, stdout);
    else
        wf_complain(command_name, "%s", wf_error());
    code = text ? WF_DONE : WF_FAILED;
    free(text);
    wf_graph_free(g);
    return code;
}
