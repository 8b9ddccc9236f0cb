/* What compiling asks of elementwise programs: see pointwise.h. */
#include "ops/matmul.h"

#include <stdio.h>

/* Is the old value of the tensor that store s writes wanted after this instruction? */
static bool is_wanted(const wf_pw *p, int s, int instr)
{
    int old = p->store[s].input;
    for (int t = 0; t < p->n_stores; t++)
        if (p->store[t].value == old) return true;
    for (int i = instr + 1; i < p->n_instr; i++)
        for (int j = 0; j < p->instr[i].n_in; j++)
            if (p->instr[i].in[j] == old) return true;
    return false;
}

/* Results live in as few slots as can be: one that is read for the last time makes room for what
 * is made of it. */
static void place_results(wf_pw *p)
{
    int last[WF_PW_IN + WF_PW_INSTR] = {0};
    bool is_taken[WF_PW_INSTR + 1] = {false};
    for (int i = 0; i < p->n_instr; i++)
        for (int j = 0; j < p->instr[i].n_in; j++) last[p->instr[i].in[j]] = i;
    for (int s = 0; s < p->n_stores; s++) last[p->store[s].value] = p->n_instr;
    last[p->n_in + p->n_instr - 1] = p->n_instr;
    p->n_slots = 0;
    for (int i = 0; i < p->n_instr; i++) {
        wf_pw_instr *k = &p->instr[i];
        for (int j = 0; j < k->n_in; j++)
            if (k->in[j] >= p->n_in && last[k->in[j]] == i)
                is_taken[p->instr[k->in[j] - p->n_in].slot] = false;
        for (k->slot = 0; is_taken[k->slot];) k->slot++;
        is_taken[k->slot] = last[p->n_in + i] > i;
        if (k->slot >= p->n_slots) p->n_slots = k->slot + 1;
    }
}

void wf_pw_settle(wf_pw *p)
{
    place_results(p);
    for (int i = 0; i < p->n_instr; i++) {
        p->instr[i].store = 0;
        for (int s = 0; s < p->n_stores; s++)
            if (p->store[s].value == p->n_in + i && !is_wanted(p, s, i)) p->instr[i].store = s + 1;
    }
}

/* Is x one number along the last axis of y that is not 1? Axes that merge with it go the same way.
 */
static bool is_number(const wf_shape *x, const wf_shape *y)
{
    int a = y->rank - 1;
    while (a >= 0 && y->dim[a] == 1) a--;
    int own = a - (y->rank - x->rank);
    return own < 0 || x->dim[own] == 1;
}

void wf_pw_prepare(const wf_node *y)
{
    int shift = y->op == &wf_op_linear || y->op == &wf_op_linear_store; /* input 0: the product */
    wf_pw *p = shift ? &((wf_linear_attr *)y->attr)->program : y->attr;
    unsigned numbers = 0;
    for (int i = shift; i < p->n_in; i++)
        if (is_number(&y->in[i + shift]->shape, &y->shape)) numbers |= 1u << i;
    p->code = wf_jit_get(p, numbers);
}

wf_pw wf_pw_single(const wf_node *n, wf_node *in[4])
{
    wf_pw p = {.n_instr = 1};
    p.instr[0] = (wf_pw_instr){.op = n->op, .attr = n->attr, .n_in = n->n_in};
    for (int i = 0; i < n->n_in && i < 4; i++) {
        int at = 0;
        while (at < p.n_in && in[at] != n->in[i]) at++;
        if (at == p.n_in) in[p.n_in++] = n->in[i];
        p.instr[0].in[i] = at;
    }
    return p;
}

const wf_pw *wf_stores_of(const wf_node *n)
{
    if (n->op == &wf_op_linear_store) return &((const wf_linear_attr *)n->attr)->program;
    return n->op == &wf_op_pointwise_store ? n->attr : NULL;
}

int wf_store_input(const wf_node *n, int i)
{
    int input = wf_stores_of(n)->store[i].input;
    return n->op == &wf_op_linear_store ? input + 1 : input;
}

double wf_store_bytes(const wf_node *n)
{
    double bytes = 0;
    for (int s = 0; s < wf_stores_of(n)->n_stores; s++)
        bytes += (double)wf_dtype_bytes(n->in[wf_store_input(n, s)]->dtype);
    return bytes * (double)wf_elements(&n->shape);
}

int wf_pw_print(const wf_pw *p, char *text, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < p->n_instr && n < size; i++) {
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? "; " : "", p->instr[i].op->name);
        for (int j = 0; j < p->instr[i].n_in && n < size; j++)
            n += (size_t)snprintf(text + n, size - n, " %d", p->instr[i].in[j]);
    }
    for (int s = 0; s < p->n_stores && n < size; s++)
        n += (size_t)snprintf(text + n, size - n, "; %d -> %d", p->store[s].value,
                              p->store[s].input);
    return (int)n;
}
