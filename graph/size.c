/*
 * Symbolic sizes. A handle is -(1000 + index) of a monomial: coefficient times atoms, sorted, so
 * that equal products have equal handles. An atom is a named size or a sum that does not simplify.
 */
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ATOMS = 64, MAX_MONOMIALS = 512, MAX_FACTORS = 8 };

struct atom {
    const char *name; /* NULL: the sum a + b */
    int64_t a, b, value;
};

struct monomial {
    int64_t factor;
    int n, atom[MAX_FACTORS];
};

struct wf_sizes {
    struct atom atoms[MAX_ATOMS];
    struct monomial monomials[MAX_MONOMIALS];
    int n_atoms, n_monomials;
};

static struct wf_sizes *sizes_of(wf_graph *g)
{
    if (!g->sizes) g->sizes = wf_graph_alloc(g, sizeof *g->sizes);
    return g->sizes;
}

struct wf_sizes *wf_sizes_copy(wf_graph *to, const struct wf_sizes *from)
{
    if (!from) return NULL;
    struct wf_sizes *s = wf_graph_alloc(to, sizeof *s);
    if (s) *s = *from;
    return s;
}

static int64_t intern(wf_graph *g, const struct monomial *m)
{
    struct wf_sizes *s = g->sizes;
    if (m->n == 0) return m->factor;
    int i = 0;
    for (; i < s->n_monomials; i++) {
        const struct monomial *o = &s->monomials[i];
        if (o->factor == m->factor && o->n == m->n &&
            !memcmp(o->atom, m->atom, (size_t)m->n * sizeof *m->atom))
            return -1000 - i;
    }
    if (i == MAX_MONOMIALS) {
        wf_graph_fail(g, WF_EMODEL, "more than %d symbolic sizes", MAX_MONOMIALS);
        return 1;
    }
    s->monomials[s->n_monomials++] = *m;
    return -1000 - i;
}

static struct monomial monomial_of(const wf_graph *g, int64_t size)
{
    if (!wf_is_symbol(size)) return (struct monomial){.factor = size};
    int64_t i = -1000 - size;
    bool known = g->sizes && i < g->sizes->n_monomials;
    return known ? g->sizes->monomials[i] : (struct monomial){0}; /* a size that went wrong is 0 */
}

static int64_t atom_handle(wf_graph *g, struct atom a)
{
    struct wf_sizes *s = g->sizes;
    int i = 0;
    for (; i < s->n_atoms; i++) {
        struct atom *o = &s->atoms[i];
        bool same =
            a.name ? o->name && !strcmp(a.name, o->name) : !o->name && o->a == a.a && o->b == a.b;
        if (same) break;
    }
    if (i == MAX_ATOMS) {
        wf_graph_fail(g, WF_EMODEL, "more than %d symbolic sizes", MAX_ATOMS);
        return 1;
    }
    if (i == s->n_atoms) s->atoms[s->n_atoms++] = a;
    return intern(g, &(struct monomial){.factor = 1, .n = 1, .atom = {i}});
}

int64_t wf_size(wf_graph *g, const char *name)
{
    size_t bytes = strlen(name) + 1;
    char *copy = wf_graph_alloc(g, bytes);
    if (!sizes_of(g) || !copy) return 1;
    memcpy(copy, name, bytes);
    return atom_handle(g, (struct atom){.name = copy});
}

static int64_t overflows(wf_graph *g, const char *what)
{
    wf_graph_fail(g, WF_EMODEL, "%s%sa %s of sizes overflows", g->scope, *g->scope ? ": " : "",
                  what);
    return 1;
}

int64_t wf_size_mul(wf_graph *g, int64_t a, int64_t b)
{
    if (!wf_is_symbol(a) && !wf_is_symbol(b)) {
        int64_t y;
        return __builtin_mul_overflow(a, b, &y) ? overflows(g, "product") : y;
    }
    struct monomial x = monomial_of(g, a), z = monomial_of(g, b);
    if (x.n + z.n > MAX_FACTORS) {
        wf_graph_fail(g, WF_EMODEL, "a product of more than %d symbolic sizes", MAX_FACTORS);
        return 1;
    }
    if (__builtin_mul_overflow(x.factor, z.factor, &x.factor)) return overflows(g, "product");
    if (x.factor == 0) return 0;
    for (int i = 0; i < z.n; i++) { /* insertion keeps the atoms sorted */
        int j = x.n++;
        for (; j > 0 && x.atom[j - 1] > z.atom[i]; j--) x.atom[j] = x.atom[j - 1];
        x.atom[j] = z.atom[i];
    }
    return intern(g, &x);
}

int64_t wf_size_add(wf_graph *g, int64_t a, int64_t b)
{
    int64_t y;
    if (!wf_is_symbol(a) && !wf_is_symbol(b))
        return __builtin_add_overflow(a, b, &y) ? overflows(g, "sum") : y;
    if (a == 0) return b;
    if (b == 0) return a;
    struct monomial x = monomial_of(g, a), z = monomial_of(g, b);
    if (x.n == z.n && !memcmp(x.atom, z.atom, (size_t)x.n * sizeof *x.atom)) {
        if (__builtin_add_overflow(x.factor, z.factor, &x.factor)) return overflows(g, "sum");
        return x.factor == 0 ? 0 : intern(g, &x);
    }
    return atom_handle(g, (struct atom){.a = wf_max_i64(a, b), .b = wf_min_i64(a, b)});
}

int64_t wf_size_div(wf_graph *g, int64_t a, int64_t b)
{
    if (b == 0) return 0;
    if (!wf_is_symbol(a) && !wf_is_symbol(b)) return a % b == 0 ? a / b : 0;
    struct monomial x = monomial_of(g, a), z = monomial_of(g, b), y = {0};
    if (z.factor == 0 || x.factor % z.factor != 0) return 0;
    y.factor = x.factor / z.factor;
    int j = 0;
    for (int i = 0; i < x.n; i++) {
        if (j < z.n && z.atom[j] == x.atom[i])
            j++;
        else
            y.atom[y.n++] = x.atom[i];
    }
    return j == z.n ? intern(g, &y) : 0;
}

bool wf_size_set(wf_graph *g, const char *name, int64_t value)
{
    if (!g->sizes || value <= 0) return false;
    for (int i = 0; i < g->sizes->n_atoms; i++) {
        struct atom *a = &g->sizes->atoms[i];
        if (a->name && !strcmp(a->name, name)) {
            a->value = value;
            return true;
        }
    }
    return false;
}

const char *wf_size_unknown(const wf_graph *g)
{
    for (int i = 0; g->sizes && i < g->sizes->n_atoms; i++)
        if (g->sizes->atoms[i].name && g->sizes->atoms[i].value == 0)
            return g->sizes->atoms[i].name;
    return NULL;
}

int64_t wf_size_now(const wf_graph *g, int64_t size)
{
    if (!wf_is_symbol(size)) return size;
    struct monomial m = monomial_of(g, size);
    int64_t y = m.factor;
    for (int i = 0; i < m.n; i++) {
        const struct atom *a = &g->sizes->atoms[m.atom[i]];
        int64_t v = a->value;
        if (!a->name) { /* a sum is known when both sides are; its sides are older atoms */
            int64_t l = wf_size_now(g, a->a), r = wf_size_now(g, a->b);
            if (wf_is_symbol(l) || wf_is_symbol(r) || __builtin_add_overflow(l, r, &v)) v = 0;
        }
        if (v == 0 || __builtin_mul_overflow(y, v, &y)) return size;
    }
    return y;
}

int wf_size_text(const wf_graph *g, int64_t size, char *text, size_t room)
{
    if (!wf_is_symbol(size)) return snprintf(text, room, "%lld", (long long)size);
    struct monomial m = monomial_of(g, size);
    int n = m.factor == 1 ? 0 : snprintf(text, room, "%lld*", (long long)m.factor);
    for (int i = 0; i < m.n && n >= 0 && (size_t)n < room; i++) {
        const struct atom *a = &g->sizes->atoms[m.atom[i]];
        n += snprintf(text + n, room - (size_t)n, "%s%s", i ? "*" : "", a->name ? a->name : "sum");
    }
    return n;
}
