/*
 * Where numbers stop being finite: a run again, step by step, with a look at every value.
 *
 * A first pass notes which values hold NaN or infinities. Outputs and effects that do so are
 * followed back to what they came from; the first such value has only finite inputs. Infinities
 * that led to nothing (a mask before its softmax) are not met on this way, and constants of the
 * graph were meant. A second pass stops at that step, with its inputs still there. Stored tensors
 * are put back after each.
 */
#include "runtime/program.h"

#include "graph/notes.h"
#include "ops/narrow.h"
#include "ops/pointwise.h"
#include "runtime/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 60 };

/* What a tensor holds. */
typedef struct look {
    int64_t n, bad;          /* elements, those that are not finite */
    int64_t at[WF_MAX_RANK]; /* of the first of those, ... */
    float value;             /* ... what it is */
    float most;              /* the largest finite |x| */
} look;

static look look_at(const wf_tensor *t)
{
    look l = {.n = wf_is_real(t->dtype) && t->data ? wf_elements(&t->shape) : 0};
    int64_t at[WF_MAX_RANK] = {0};
    for (int64_t i = 0; i < l.n; i++) {
        int64_t offset = 0;
        for (int k = 0; k < t->shape.rank; k++) offset += at[k] * t->stride[k];
        float x = wf_read_number(t->dtype, t->data, offset);
        if (isfinite(x)) {
            l.most = fmaxf(l.most, fabsf(x));
        } else if (l.bad++ == 0) {
            l.value = x;
            memcpy(l.at, at, sizeof at);
        }
        for (int k = t->shape.rank - 1; k >= 0 && ++at[k] == t->shape.dim[k]; k--) at[k] = 0;
    }
    return l;
}

/* ---- stored tensors ---- */

static size_t bytes_of(const wf_value *v)
{
    return (size_t)wf_elements(&v->tensor.shape) * wf_dtype_bytes(v->tensor.dtype);
}

/* Copy all stored tensors to kept, or back from it. */
static void copy_stored(const wf_program *p, char *kept, bool back)
{
    for (int v = 0; v < p->n_values; v++) {
        const wf_value *x = &p->values[v];
        if (x->place != WF_IN_STORE) continue;
        memcpy(back ? x->base : kept, back ? kept : x->base, bytes_of(x));
        kept += bytes_of(x);
    }
}

/* ---- the first pass ---- */

static bool is_leaf(const wf_value *v)
{
    return v->place == WF_IN_STORE || v->place == WF_IN_INPUT;
}

static bool is_bad(const wf_value *v)
{
    return v->place != WF_IN_GRAPH && look_at(&v->tensor).bad > 0;
}

/* Run all steps; bad[v]: value v was not finite when it was made. */
static void run_all(const wf_program *p, int64_t count, char *bad)
{
    for (int v = 0; v < p->n_values; v++) bad[v] = is_leaf(&p->values[v]) && is_bad(&p->values[v]);
    for (int i = 0; i < p->n_steps; i++) {
        const wf_step *s = &p->steps[i];
        const int *in = wf_step_inputs(p, s);
        for (int j = 0; j < s->call.n_in; j++)
            if (p->values[in[j]].place == WF_IN_VIEW) bad[in[j]] = is_bad(&p->values[in[j]]);
        wf_program_step(p, s, count);
        if (!(s->node->op->traits & WF_EFFECT)) {
            bad[s->value] = is_bad(&p->values[s->value]);
            continue;
        }
        for (int j = 0; j < s->call.n_in; j++) /* an effect has no value but what it stores */
            if (p->values[in[j]].place == WF_IN_STORE) bad[s->value] |= is_bad(&p->values[in[j]]);
    }
}

static void mark(const wf_program *p, int v, const char *bad, char *led)
{
    if (!bad[v]) return;
    led[v] = 1;
    if (p->values[v].place == WF_IN_VIEW) mark(p, p->values[v].origin, bad, led);
}

/* led[v]: value v led to an output or an effect that is not finite. */
static void follow(const wf_program *p, char *bad, char *led)
{
    for (int o = 0; o < p->g->n_outputs; o++)
        for (int v = 0; v < p->n_values; v++) {
            if (p->values[v].node != p->g->outputs[o].node) continue;
            if (p->values[v].place == WF_IN_VIEW) bad[v] = is_bad(&p->values[v]);
            mark(p, v, bad, led);
        }
    for (int i = p->n_steps - 1; i >= 0; i--) {
        const wf_step *s = &p->steps[i];
        const int *in = wf_step_inputs(p, s);
        if (s->node->op->traits & WF_EFFECT) mark(p, s->value, bad, led);
        for (int j = 0; led[s->value] && j < s->call.n_in; j++) mark(p, in[j], bad, led);
    }
}

/* ---- what is said ---- */

/* An elementwise kernel is called after all that it does: "mul+exp". */
static const char *op_name(const wf_node *n, char text[NAME])
{
    bool is_program = n->op == &wf_op_pointwise || n->op == &wf_op_pointwise_store;
    if (!is_program) return n->op->name;
    const wf_pw *p = n->attr;
    size_t at = 0;
    for (int i = 0; i < p->n_instr && at < NAME; i++)
        at += (size_t)snprintf(text + at, NAME - at, "%s%s", i ? "+" : "", p->instr[i].op->name);
    return text;
}

/* "3 of 8 values are not finite, the first is inf at [1,2]" */
static void put_bad(char *text, size_t size, const look *l, int rank)
{
    size_t n = (size_t)snprintf(text, size, "%lld of %lld values %s not finite, the first is %g",
                                (long long)l->bad, (long long)l->n, l->bad == 1 ? "is" : "are",
                                (double)l->value);
    for (int k = 0; k < rank && n < size; k++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld%s", k ? "," : " at [",
                              (long long)l->at[k], k == rank - 1 ? "]" : "");
}

static wf_status tell_leaf(const wf_value *v)
{
    char text[160];
    look l = look_at(&v->tensor);
    put_bad(text, sizeof text, &l, v->tensor.shape.rank);
    return wf_error_set(WF_ENONFINITE, "%s %s: %s", v->node->op->name, v->node->name, text);
}

/* Run up to step s, which gave the first value that is not finite. */
static wf_status tell_step(const wf_program *p, const wf_step *s, int64_t count)
{
    char out[160], in[160] = "", name[NAME];
    size_t n = 0;
    for (const wf_step *before = p->steps; before < s; before++) wf_program_step(p, before, count);
    for (int j = 0; j < s->call.n_in && n < sizeof in; j++) {
        const wf_value *v = &p->values[wf_step_inputs(p, s)[j]];
        look l = look_at(&v->tensor);
        if (l.n == 0) continue; /* integers */
        const char *what = v->node->name ? v->node->name : op_name(v->node, name);
        n += (size_t)snprintf(in + n, sizeof in - n, "%s%s up to %.3g", n ? ", " : "; of finite ",
                              what, (double)l.most);
    }
    wf_program_step(p, s, count);
    bool is_effect = s->node->op->traits & WF_EFFECT;
    look l = is_effect ? (look){0} : look_at(&p->values[s->value].tensor);
    put_bad(out, sizeof out, &l, p->values[s->value].tensor.shape.rank);
    return wf_error_set(WF_ENONFINITE, "%s: %s: %s%s", wf_path_of(s->node), op_name(s->node, name),
                        is_effect ? "what it stores is not finite" : out, in);
}

static wf_status tell(const wf_program *p, const char *led, int64_t count)
{
    for (int v = 0; v < p->n_values; v++)
        if (led[v] && is_leaf(&p->values[v])) return tell_leaf(&p->values[v]);
    for (int i = 0; i < p->n_steps; i++)
        if (led[p->steps[i].value]) return tell_step(p, &p->steps[i], count);
    return WF_OK;
}

wf_status wf_program_check(wf_program *p)
{
    wf_status s = wf_program_settle(p);
    if (s != WF_OK) return s;
    int64_t count = wf_max_i64(0, *wf_store_step(p->store) + p->runs - 1);
    char *bad = calloc((size_t)p->n_values + 1, 1), *led = calloc((size_t)p->n_values + 1, 1);
    char *kept = malloc(p->stats.store_bytes + 1);
    if (bad && led && kept) {
        copy_stored(p, kept, false);
        run_all(p, count, bad);
        follow(p, bad, led);
        copy_stored(p, kept, true);
        s = tell(p, led, count);
        copy_stored(p, kept, true);
    } else {
        s = wf_error_set(WF_ENOMEM, "out of memory while looking at a program's values");
    }
    free(bad);
    free(led);
    free(kept);
    return s;
}
