/* The gated attention unit and its language model against double precision: values, and gradients
 * against central differences, which in double precision are good to ten digits. */
#define _GNU_SOURCE
#include "gau_double.h"
#include "gau_model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { LEAVES = 16 };

/* What a loss depends on, in double precision. */
typedef struct leaves {
    int n;
    const char *name[LEAVES];
    double *w[LEAVES];
    int64_t size[LEAVES];
} leaves;

typedef double (*loss_function)(const void *of, const leaves *l);

static void add_leaf(leaves *l, const char *name, const float *w, int64_t size)
{
    l->name[l->n] = name;
    l->size[l->n] = size;
    l->w[l->n] = malloc((size_t)size * sizeof **l->w);
    for (int64_t i = 0; i < size; i++) l->w[l->n][i] = (double)w[i];
    l->n++;
}

static void free_leaves(leaves *l)
{
    for (int i = 0; i < l->n; i++) free(l->w[i]);
}

/* The gradient of leaf k against differences, relative to its largest element. */
static void check_gradient(const leaves *l, int k, const float *gradient, loss_function loss,
                           const void *of, const char *what)
{
    const double step = 1e-5;
    double worst = 0, most = 0;
    for (int64_t i = 0; i < l->size[k]; i++) {
        double *w = &l->w[k][i], was = *w;
        *w = was + step;
        double up = loss(of, l);
        *w = was - step;
        double slope = (up - loss(of, l)) / (2 * step);
        *w = was;
        cr_assert(isfinite(gradient[i]), "%s: %s[%d]", what, l->name[k], (int)i);
        worst = fmax(worst, fabs((double)gradient[i] - slope));
        most = fmax(most, fabs(slope));
    }
    cr_expect_leq(worst, 1e-5 * most + 1e-9, "%s: gradient of %s is off by %g of %g", what,
                  l->name[k], worst, most);
}

/* ---- one layer ---- */

static double layer_loss(const void *of, const leaves *l)
{
    const gau_double *g = of;
    const double *w[] = {l->w[1], l->w[2], l->w[3], l->w[4]};
    double sum = 0, *x = malloc((size_t)(g->tokens * g->d) * sizeof *x);
    memcpy(x, l->w[0], (size_t)(g->tokens * g->d) * sizeof *x);
    double_layer(g, w, x);
    for (int64_t i = 0; i < g->tokens * g->d; i++) sum += x[i] * cos(1.3 * (double)(i % g->d));
    free(x);
    return sum;
}

static void check_layer(const gau_layer *l, const int32_t *ends, const char *what)
{
    static const char *const names[] = {"dx", "dwi", "dwo", "dgq", "dgk"};
    gau_double g = {.d = l->d,
                    .e = l->e,
                    .s = l->s,
                    .tokens = l->packed ? l->time : l->batch * l->time,
                    .norm = l->norm,
                    .min_len = (double)l->min_len};
    double_spans(&g, !l->packed, l->causal, l->batch, l->time, ends);
    float *x = random_x(g.tokens * g.d);
    trial t = compile(l, "", 2);
    float *gq = wf_store_data(t.store, "gq", NULL, NULL);
    for (int64_t i = 0; i < l->s; i++) gq[i] += 0.1f * (float)i;
    run(&t, l, x, ends);
    leaves w = {0};
    add_leaf(&w, "x", x, g.tokens * g.d);
    add_leaf(&w, "wi", wf_store_data(t.store, "wi", NULL, NULL), g.d * (2 * g.e + g.s));
    add_leaf(&w, "wo", wf_store_data(t.store, "wo", NULL, NULL), g.e * g.d);
    add_leaf(&w, "gq", gq, g.s);
    add_leaf(&w, "gk", wf_store_data(t.store, "gk", NULL, NULL), g.s);
    for (int k = 0; k < w.n; k++)
        check_gradient(&w, k, read_output(&t, names[k]), layer_loss, &g, what);
    free_leaves(&w);
    end(&t);
    free(x);
}

Test(gau_double, gradients_of_a_layer_are_those_of_differences, .timeout = 60)
{
    static const struct {
        const char *what;
        bool packed, causal;
        int32_t ends[4];
    } masks[] = {{"no mask", false, false, {7, 7, 7}},
                 {"padding", false, false, {7, 1, 4}},
                 {"padding, causal", false, true, {7, 1, 4}},
                 {"packed", true, false, {0, 6, 7, 7}}};
    static const char *const norms[] = {"softmax", "softmax_plus", "relu2"};
    for (size_t i = 0; i < COUNT(masks) * COUNT(norms); i++) {
        size_t m = i / COUNT(norms);
        gau_layer l = {.d = 6,
                       .e = 9,
                       .s = 4,
                       .norm = norms[i % COUNT(norms)],
                       .min_len = 2,
                       .packed = masks[m].packed,
                       .causal = masks[m].causal,
                       .batch = 3,
                       .time = masks[m].packed ? 10 : 7,
                       .differentiate = true};
        char what[60];
        snprintf(what, sizeof what, "%s, %s", l.norm, masks[m].what);
        check_layer(&l, masks[m].ends, what);
    }
}

/* ---- the language model ---- */

typedef struct model {
    gau_double g;
    const wf_gau_config *c;
    const model_batch *b;
    double *x; /* hidden states of the last evaluation */
} model;

static const double *leaf(const leaves *l, const char *format, int layer)
{
    char name[100];
    snprintf(name, sizeof name, format, layer);
    int i = 0;
    while (i < l->n && strcmp(l->name[i], name)) i++;
    cr_assert(i < l->n, "no parameter %s", name);
    return l->w[i];
}

static void encode(const model *m, const leaves *l)
{
    const double *words = leaf(l, "embeddings/word_embeddings", 0);
    const double *segment = leaf(l, "embeddings/token_type_embeddings", 0);
    int64_t d = m->g.d;
    for (int64_t i = 0; i < m->g.tokens * d; i++)
        m->x[i] = words[m->b->ids[i / d] * d + i % d] + segment[i % d];
    double_rms(m->g.tokens, d, m->x);
    for (int i = 0; i < m->c->layers; i++) {
        const double *w[] = {leaf(l, "layer_%d/gau/i_dense/kernel", i),
                             leaf(l, "layer_%d/gau/o_dense/kernel", i),
                             leaf(l, "layer_%d/gau/q_scaleoffset/gamma", i),
                             leaf(l, "layer_%d/gau/k_scaleoffset/gamma", i)};
        double_layer(&m->g, w, m->x);
    }
}

static double model_loss(const void *of, const leaves *l)
{
    const model *m = of;
    const model_batch *b = m->b;
    const double *words = leaf(l, "embeddings/word_embeddings", 0);
    double sum = 0, counted = 0;
    encode(m, l);
    for (int64_t i = 0; i < b->picked; i++) {
        const double *x = m->x + b->picks[i] * m->g.d;
        double all = 0, right = 0;
        for (int64_t v = 0; v < m->c->vocab && b->labels[i] >= 0; v++) {
            double logit = 0;
            for (int64_t j = 0; j < m->g.d; j++) logit += x[j] * words[v * m->g.d + j];
            all += exp(logit);
            if (v == b->labels[i]) right = logit;
        }
        if (b->labels[i] >= 0) sum += log(all) - right, counted++;
    }
    return sum / counted;
}

static void check_model(const wf_gau_config *c, const model_batch *b, const char *what)
{
    model m = {.c = c,
               .b = b,
               .g = {.d = c->width,
                     .e = c->expand,
                     .s = c->key,
                     .tokens = b->tokens,
                     .norm = wf_gau_norm_name(c->norm),
                     .min_len = (double)c->min_len}};
    double_spans(&m.g, b->padded, c->causal, b->rows, b->time, b->ends);
    m.x = malloc((size_t)(b->tokens * c->width) * sizeof *m.x);
    trial t = model_start(c, b, false, 5);
    leaves w = {0};
    const char *name;
    int64_t n;
    for (int i = 0; (name = model_parameter(&t, i, &n)); i++)
        add_leaf(&w, name, wf_store_data(t.store, name, NULL, NULL), n);
    model_run(&t, b);
    double loss = model_loss(&m, &w);
    cr_expect_float_eq((double)wf_scalar(t.p, "loss"), loss, 1e-5 * loss, "%s: loss", what);
    for (int64_t i = 0; i < b->tokens * c->width; i++)
        cr_expect_float_eq((double)read_output(&t, "x")[i], m.x[i], 1e-5, "%s: token %d", what,
                           (int)(i / c->width));
    for (int k = 0; k < w.n; k++)
        check_gradient(&w, k, model_gradient(&t, w.name[k]), model_loss, &m, what);
    free_leaves(&w);
    free(m.x);
    end(&t);
}

/* Above all of the word table, which words come in and go out by. */
Test(gau_double, a_packed_and_a_padded_model_give_its_states_loss_and_gradients, .timeout = 60)
{
    static const int32_t lengths[] = {6, 1, 4};
    for (int i = 0; i < 12; i++) {
        wf_gau_config c = {.layers = 2,
                           .width = 6,
                           .expand = 9,
                           .key = 4,
                           .vocab = 13,
                           .norm = (wf_gau_norm)(i / 4),
                           .min_len = 2,
                           .eps = 1e-12f,
                           .causal = i % 4 / 2};
        model_batch b = batch_of(3, lengths, i % 2, 2, 13, 0);
        char what[60];
        snprintf(what, sizeof what, "%s, %s, causal %d", wf_gau_norm_name(c.norm),
                 b.padded ? "padded" : "packed", c.causal);
        check_model(&c, &b, what);
    }
}
