/* Every allocation of a model's whole life fails once: alone, and with all that come after it. Each
 * time the answer is "out of memory" or success, never a crash, a leak or another reason. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scratch.h"

static int left = -1; /* allocations until one fails; negative: none does */
static bool is_rest;  /* all after it fail too */
static bool has_failed;

/* Does an allocation fail that is made here? Only the library's do: its code is in this program,
 * that of others in libraries of their own. */
static bool fails(const void *caller)
{
    extern const char __executable_start, etext;
    bool is_ours = (const char *)caller >= &__executable_start && (const char *)caller < &etext;
    if (left < 0 || !is_ours) return false;
    if (left-- > 0) return false;
    left = is_rest ? 0 : -1;
    return has_failed = true;
}

/* The function that would have been called without those below. */
static void *next(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (!f) abort();
    return f;
}

#define NEXT(function) (__extension__(__typeof__(&(function))) next(#function))

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : NEXT(malloc)(size);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : NEXT(calloc)(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : NEXT(realloc)(p, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
    return fails(__builtin_return_address(0)) ? ENOMEM : NEXT(posix_memalign)(p, align, size);
}

char *strdup(const char *text)
{
    return fails(__builtin_return_address(0)) ? NULL : NEXT(strdup)(text);
}

/* ---- a life: each part gives WF_OK or what went wrong ---- */

static wf_graph *declare(void)
{
    wf_init he = {.kind = WF_INIT_NORMAL, .a = 0.1f};
    wf_graph *g = wf_graph_new();
    int64_t n = wf_size(g, "n");
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(n, 6));
    wf_push(g, "layer");
    wf_node *h = wf_dropout(wf_relu(wf_dense(x, 8, true, he, "in")), 0.1f);
    wf_pop(g);
    wf_node *both = wf_concat(2, (wf_node *[]){h, wf_softmax(h)}, 1);
    wf_node *row = wf_constants_i32(g, WF_SHAPE(2), (int32_t[2]){1, 0});
    wf_node *loss = wf_mean(wf_square(wf_gather(both, row)), WF_ALL, false);
    wf_output(wf_add(loss, wf_norm(wf_gradient(loss, x), WF_ALL, false)), "loss");
    wf_minimize(
        loss, &wf_adamw, NULL,
        &(wf_minimize_options){.clip_norm = 1, .accumulate = 2, .lookahead = 2, .ema = 0.5f});
    return g;
}

static wf_status train(const wf_graph *g, wf_store *s, wf_runtime *rt)
{
    static float x[24];
    wf_program *p = NULL;
    wf_size_value sizes[] = {{"n", 4}, {NULL, 0}};
    wf_status status = wf_compile(&p, g, s, rt, &(wf_compile_options){.sizes = sizes});
    if (status != WF_OK) return status;
    wf_bind(p, "x", x, sizeof x);
    wf_set(p, "lr", 0.1f);
    status = wf_run(p);
    free(wf_program_text(p));
    wf_program_free(p);
    return status;
}

static wf_status keep(wf_store *s)
{
    const char *path = in_folder("store.safetensors");
    wf_status status = wf_store_set_text(s, "a key", "a text");
    if (status == WF_OK) status = wf_store_save(s, path, NULL);
    wf_store *again = status == WF_OK ? wf_store_new(1) : NULL;
    if (again) status = wf_store_load(again, path);
    if (again && status == WF_OK) status = wf_store_load(s, path);
    wf_store_free(again);
    return status == WF_OK && !again ? WF_ENOMEM : status;
}

static wf_status live(wf_runtime *rt)
{
    wf_size_value sizes[] = {{"n", 4}, {NULL, 0}};
    wf_graph *g = declare();
    wf_store *s = wf_store_new(1);
    wf_status status = wf_graph_check(g);
    if (status == WF_OK && !s) status = WF_ENOMEM;
    free(status == WF_OK ? wf_graph_text(g) : NULL);
    if (status == WF_OK) status = train(g, s, rt);
    if (status == WF_OK) status = keep(s);
    if (status == WF_OK)
        status =
            wf_gradcheck(g, "loss", rt, &(wf_gradcheck_options){.sizes = sizes, .tolerance = 100});
    wf_store_free(s);
    wf_graph_free(g);
    return status;
}

/* With a runtime of its own, or on one that lives on. */
static wf_status once(wf_runtime *rt)
{
    if (rt) return live(rt);
    rt = wf_runtime_new(&(wf_runtime_options){.threads = 2, .no_pinning = true});
    wf_status status = rt ? WF_OK : WF_ENOMEM;
    wf_runtime_free(rt);
    return status;
}

static void fail_each(wf_runtime *rt)
{
    int from = 0;
    for (is_rest = false;; is_rest = true) {
        for (from = 0;; from++) {
            left = from;
            has_failed = false;
            wf_status status = once(rt);
            left = -1;
            if (!has_failed) break;
            cr_expect(status == WF_OK || (status == WF_ENOMEM && strstr(wf_error(), "memory")),
                      "allocation %d%s: %s, \"%s\"", from, is_rest ? " and later ones" : "",
                      wf_status_name(status), wf_error());
        }
        if (is_rest) break;
    }
    cr_expect_gt(from, rt ? 100 : 3, "%d allocations", from);
}

Test(out_of_memory, is_told_wherever_it_happens, .timeout = 120)
{
    make_folder();
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    cr_assert(rt, "%s", wf_error());
    cr_assert_eq(live(rt), WF_OK, "%s", wf_error());
    fail_each(rt);
    fail_each(NULL);
    wf_runtime_free(rt);
    cr_expect_eq(files_in_folder(), 1, "nothing is left beside the store");
    remove_folder();
}
