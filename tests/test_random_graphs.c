/*
 * Random graphs of 5 to 30 nodes: the optimized program on vector kernels and two threads gives
 * what the plain one gives on reference kernels without any pass: values, gradients (now and then
 * of a gradient), and three updates of the parameters. The seed of a failure is printed;
 * RANDOM_SEED=n replays it alone, RANDOM_GRAPHS=m with it tries the m seeds from n on.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/narrow.h"
#include "tests/op_trial.h"

enum { GRAPHS = 300, MOST = 40, LARGEST = 1500, STEPS = 3 };

typedef struct draw {
    wf_graph *g;
    uint32_t state;
    wf_node *node[MOST];
    int n;
    wf_node *leaf[MOST]; /* parameters and inputs */
    int n_leaves;
} draw;

static int next(draw *d, int below)
{
    d->state = d->state * 1664525u + 1013904223u;
    return (int)((d->state >> 8) % (uint32_t)below);
}

static wf_node *any(draw *d)
{
    return d->node[next(d, d->n)];
}

static int64_t elements(const wf_node *x)
{
    wf_shape s = wf_shape_of(x);
    return wf_elements(&s);
}

static wf_node *param(draw *d, wf_shape s)
{
    char name[16];
    snprintf(name, sizeof name, "p%d", d->n_leaves);
    wf_role role = {.kind = (wf_role_kind)next(d, 4)};
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.6f};
    return d->leaf[d->n_leaves++] = wf_param(d->g, name, s, role, init);
}

static wf_shape random_shape(draw *d)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 8};
    wf_shape s = {.rank = next(d, 5)};
    for (int i = 0; i < s.rank; i++) s.dim[i] = sizes[next(d, 6)];
    return s;
}

/* ---- one more node ---- */

static wf_node *unary(draw *d, wf_node *x)
{
    switch (next(d, 20)) {
    case 15:
        return wf_mul(wf_abs(x), wf_sign(wf_shift(x, 0.1f)));
    case 16:
        return wf_clamp(x, -0.7f, 0.9f);
    case 17:
        return wf_add(x, wf_stop_gradient(wf_tanh(x)));
    case 18:
        return wf_mul(x, wf_uniform(d->g, wf_shape_of(x)));
    case 0:
        return wf_tanh(x);
    case 1:
        return wf_sigmoid(x);
    case 2:
        return wf_silu(x);
    case 3:
        return wf_sin(x);
    case 4:
        return wf_cos(x);
    case 5:
        return wf_softplus(x);
    case 6:
        return wf_gelu(x);
    case 7:
        return wf_gelu_tanh(x);
    case 8:
        return wf_erf(x);
    case 9:
        return wf_relu2(wf_tanh(x));
    case 10:
        return wf_scale(x, -0.5f);
    case 11:
        return wf_shift(wf_neg(x), 0.3f);
    case 12:
        return wf_exp(wf_neg(wf_square(x)));
    case 13:
        return wf_log(wf_shift(wf_square(x), 0.5f));
    case 14:
        return wf_rsqrt(wf_shift(wf_square(x), 0.5f));
    default:
        return wf_dropout(x, 0.25f);
    }
}

/* A view of a that broadcasts with it: what may not be overwritten while it is read. */
static wf_node *view_of(draw *d, wf_node *a)
{
    wf_axes order = {.n = wf_rank(a)};
    int last = order.n - 1, axis = next(d, order.n);
    for (int i = 0; i < order.n; i++) order.axis[i] = i;
    if (last > 0 && wf_dim(a, last) == wf_dim(a, last - 1)) {
        order.axis[last] = last - 1;
        order.axis[last - 1] = last;
        return wf_transpose(a, order);
    }
    return wf_slice(a, axis, next(d, (int)wf_dim(a, axis)), 1);
}

/* b as it is if it broadcasts with a, else a mean of a along an axis, else a new parameter. */
static wf_node *partner(draw *d, wf_node *a)
{
    wf_node *b = any(d);
    wf_shape s = wf_shape_of(a), t = wf_shape_of(b), both;
    if (s.rank > 0 && !next(d, 4)) return view_of(d, a);
    if (wf_shape_broadcast(&s, &t, &both) && wf_elements(&both) <= LARGEST) return b;
    if (s.rank > 0 && next(d, 2)) return wf_mean(a, WF_AXES(next(d, s.rank)), true);
    t = (wf_shape){.rank = s.rank ? next(d, s.rank) + 1 : 0};
    for (int i = 0; i < t.rank; i++) t.dim[i] = next(d, 3) ? s.dim[s.rank - t.rank + i] : 1;
    return d->n_leaves < MOST / 2 ? param(d, t) : a;
}

static wf_node *binary(draw *d, wf_node *a)
{
    wf_node *b = partner(d, a);
    switch (next(d, 10)) {
    case 6:
        return wf_max(wf_shift(a, 0.01f), b);
    case 7:
        return wf_min(a, wf_scale(b, 1.1f));
    case 8:
        return wf_pow(wf_shift(wf_softplus(a), 0.5f), wf_tanh(b));
    case 0:
        return wf_add(a, b);
    case 1:
        return wf_sub(b, a);
    case 2:
        return wf_mul(a, b);
    case 3:
        return wf_div(a, wf_shift(wf_softplus(b), 0.5f));
    case 4:
        return wf_lerp(a, b, 0.7f);
    case 5:
        return wf_where(wf_less(a, wf_constant(d->g, 20)), b, a);
    default:
        return wf_mul(wf_add(a, b), wf_sigmoid(b));
    }
}

static wf_node *reduction(draw *d, wf_node *x)
{
    wf_axes axes = {0};
    for (int i = 0; i < wf_rank(x); i++)
        if (next(d, 2)) axes.axis[axes.n++] = next(d, 2) ? i : i - wf_rank(x);
    bool keep = next(d, 2);
    switch (next(d, 5)) {
    case 3:
        return wf_max_over(x, axes, keep);
    case 0:
        return wf_scale(wf_sum(x, axes, keep), 0.2f);
    case 1:
        return wf_mean(x, axes, keep);
    case 2:
        return wf_logsumexp(x, axes, keep);
    default:
        return wf_norm(wf_shift(wf_square(x), 0.5f), axes, keep);
    }
}

static wf_node *along_rows(draw *d, wf_node *x)
{
    if (wf_rank(x) == 0) return unary(d, x);
    switch (next(d, 5)) {
    case 0:
        return wf_softmax(x);
    case 1:
        return wf_log_softmax(x);
    case 2:
        return wf_rms_norm(x, 0.1f);
    case 3:
        return wf_layer_norm(x, 0.1f);
    default:
        return wf_scale(wf_cumsum(x, next(d, wf_rank(x))), 0.5f);
    }
}

static wf_node *shuffled(draw *d, wf_node *x)
{
    wf_axes order = {.n = wf_rank(x)};
    for (int i = 0; i < order.n; i++) {
        int j = next(d, i + 1);
        order.axis[i] = order.axis[j];
        order.axis[j] = i;
    }
    return wf_transpose(x, order);
}

static wf_node *reshaped(draw *d, wf_node *x)
{
    wf_shape s = wf_shape_of(x);
    int at = s.rank ? next(d, s.rank) : 0;
    if (s.rank > 0 && s.dim[at] % 2 == 0 && s.rank < 5) { /* split an axis */
        for (int i = s.rank++; i > at + 1; i--) s.dim[i] = s.dim[i - 1];
        s.dim[at + 1] = s.dim[at] / 2;
        s.dim[at] = 2;
        return wf_reshape(x, s);
    }
    return s.rank > 2 ? wf_reshape(x, WF_SHAPE(s.dim[0], -1)) : wf_reshape(x, WF_SHAPE(-1));
}

static wf_node *view(draw *d, wf_node *x)
{
    wf_shape s = wf_shape_of(x), wide = s;
    int axis = s.rank ? next(d, s.rank) : 0;
    switch (s.rank ? next(d, 6) : 3) {
    case 4: { /* the two halves trade places */
        wf_node *part[2];
        int64_t left = s.dim[axis] / 2;
        if (left == 0) return wf_neg(x);
        wf_split(x, axis, 2, (int64_t[]){left, s.dim[axis] - left}, part);
        return wf_concat(2, (wf_node *[]){part[1], part[0]}, axis);
    }
    case 0:
        return shuffled(d, x);
    case 1:
        return reshaped(d, x);
    case 2: {
        int64_t start = next(d, (int)s.dim[axis]);
        return wf_slice(x, axis, start, 1 + next(d, (int)(s.dim[axis] - start)));
    }
    case 3:
        if (s.rank > 3 || elements(x) > LARGEST / 3) return wf_neg(x);
        for (int i = wide.rank++; i > 0; i--) wide.dim[i] = wide.dim[i - 1];
        wide.dim[0] = 1 + next(d, 3);
        return wf_broadcast(x, wide);
    default: {
        wf_node *parts[] = {x, wf_slice(unary(d, x), axis, 0, 1), x};
        return elements(x) > LARGEST / 3 ? x : wf_concat(2 + next(d, 2), parts, axis);
    }
    }
}

static wf_node *product(draw *d, wf_node *x)
{
    wf_shape s = wf_shape_of(x);
    if (s.rank < 2) return binary(d, x);
    int64_t k = s.dim[s.rank - 1], m = s.dim[s.rank - 2], n = 1 + next(d, 6);
    wf_node *y = any(d);
    bool fits = wf_rank(y) == 2 && wf_dim(y, 0) == k && wf_dim(y, 1) <= 16;
    if (d->n_leaves >= MOST / 2 || elements(x) / k * wf_max_i64(m, 8) > LARGEST) return wf_tanh(x);
    switch (next(d, 5)) {
    case 0:
        return wf_scale(wf_matmul_t(x, x), 0.3f);
    case 1:
        return wf_scale(wf_t_matmul(x, unary(d, x)), 0.3f);
    case 2:
        return wf_tanh(wf_linear(x, param(d, WF_SHAPE(k, n)), param(d, WF_SHAPE(n))));
    case 3:
        return wf_matmul_t(x, param(d, WF_SHAPE(n, k)));
    default:
        return wf_matmul(x, fits ? y : param(d, WF_SHAPE(k, n)));
    }
}

static wf_node *by_integers(draw *d, wf_node *x)
{
    static const int32_t ids[6] = {0, 3, -1, 1, 0, 7};
    wf_shape s = wf_shape_of(x), rows = s;
    if (s.rank < 2 || s.dim[0] == 1) return unary(d, x);
    rows.rank--;
    int64_t n = s.dim[s.rank - 2];
    switch (next(d, 7)) {
    case 6: { /* few of the rows of what nobody else may read */
        wf_node *y = next(d, 2) ? binary(d, x) : along_rows(d, x);
        if (!next(d, 4)) y = wf_reshape(y, WF_SHAPE(wf_elements(&y->shape)));
        wf_shape few = {.rank = 1, .dim = {1 + next(d, 2)}};
        return wf_gather(y, wf_constants_i32(d->g, few, ids + next(d, 3)));
    }
    case 3:
        return wf_mul(x, wf_cast(wf_reshape(wf_iota(d->g, n), WF_SHAPE(n, 1)), WF_F32));
    case 4: {
        wf_node *lengths = wf_constants_i32(d->g, WF_SHAPE(1), ids + 1);
        wf_node *span = wf_reshape(wf_span_padded(lengths, n, true), WF_SHAPE(n, 2));
        return wf_div(x, wf_span_length(span, 1));
    }
    case 0:
        if (elements(x) / s.dim[0] * 6 > LARGEST || s.rank > 4) return wf_neg(x);
        return wf_gather(x, wf_constants_i32(d->g, WF_SHAPE(2, 3), ids));
    case 1:
        if (s.dim[s.rank - 1] % 2) return wf_sin(x);
        return wf_rope(x, wf_iota(d->g, n), 100);
    case 2: {
        wf_node *length = wf_constants_i32(d->g, WF_SHAPE(1), ids + 1);
        wf_node *span = wf_reshape(wf_span_padded(length, n, next(d, 2)), WF_SHAPE(n, 2));
        return wf_mask_span(x, span, 0.5f);
    }
    default: {
        int32_t labels[LARGEST];
        for (int64_t i = 0; i < wf_elements(&rows); i++)
            labels[i] = (int32_t)(i % (s.dim[s.rank - 1] + 1));
        return wf_cross_entropy_rows(x, wf_constants_i32(d->g, rows, labels), 1);
    }
    }
}

static wf_node *grow(draw *d)
{
    wf_node *x = any(d);
    switch (next(d, 10)) {
    case 0:
    case 1:
        return unary(d, x);
    case 2:
    case 3:
        return binary(d, x);
    case 4:
        return reduction(d, x);
    case 5:
        return along_rows(d, x);
    case 6:
    case 7:
        return view(d, x);
    case 8:
        return product(d, x);
    default:
        return by_integers(d, x);
    }
}

/* ---- a whole model ---- */

/* Two tensors besides the loss that are stored anew from each other's old values. */
static void add_trade(draw *d)
{
    wf_role role = {.kind = WF_CUSTOM, .rate = 1};
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.6f};
    wf_node *s = wf_param(d->g, "s", WF_SHAPE(4, 6), role, init);
    wf_node *t = wf_param(d->g, "t", WF_SHAPE(4, 6), role, init);
    wf_node *turned = wf_reshape(wf_transpose(s, WF_ALL), WF_SHAPE(4, 6));
    wf_node *y = next(d, 2) ? t : wf_lerp(t, d->node[0], 0.3f);
    wf_assign(s, next(d, 2) ? y : wf_tanh(y));
    switch (next(d, 4)) {
    case 0:
        wf_assign(t, wf_slice(s, 0, 0, 4));
        break;
    case 1:
        wf_assign(t, wf_add(turned, t));
        break;
    case 2:
        wf_assign(t, wf_add(wf_broadcast(wf_slice(s, 0, next(d, 4), 1), WF_SHAPE(4, 6)), y));
        break;
    default:
        wf_assign(t, wf_scale(wf_matmul(wf_matmul_t(s, t), s), 0.1f));
    }
}

static wf_node *loss_of(draw *d)
{
    wf_node *loss = wf_constant(d->g, 0);
    for (int i = 0; i < d->n; i++)
        if (i == d->n - 1 || next(d, 2))
            loss = wf_add(loss, wf_mean(wf_tanh(d->node[i]), WF_ALL, false));
    for (int i = 0; i < d->n_leaves; i++) /* so that each has a gradient */
        loss = wf_add(loss, wf_scale(wf_mean(wf_square(d->leaf[i]), WF_ALL, false), 0.1f));
    if (next(d, 4)) return loss;
    wf_node *by = next(d, 2) ? d->leaf[next(d, d->n_leaves)] : any(d); /* or one in the middle */
    loss = wf_add(loss, wf_mean(wf_tanh(by), WF_ALL, false));
    wf_node *slope = wf_gradient(loss, by);
    return wf_add(loss, wf_mean(wf_square(slope), WF_ALL, false));
}

static void declare(draw *d, uint32_t seed)
{
    static const wf_adamw_hyper adamw = {.beta1 = 0.9f,
                                         .beta2 = 0.99f,
                                         .eps = 1e-2f, /* no sign of a rounding */
                                         .decay = 0.01f};
    static const wf_sgd_hyper sgd = {.momentum = 0.9f, .decay = 0.01f};
    *d = (draw){.g = wf_graph_new(), .state = seed * 7919u};
    d->leaf[d->n_leaves++] = d->node[d->n++] = wf_input(d->g, "x", WF_F32, WF_SHAPE(4, 6));
    for (int i = next(d, 3); i >= 0; i--) d->node[d->n++] = param(d, random_shape(d));
    for (int more = 4 + next(d, 22); more > 0; more--) {
        wf_node *x = grow(d); /* before n counts it */
        d->node[d->n++] = x;
        cr_assert_eq(wf_graph_check(d->g), WF_OK, "RANDOM_SEED=%u: %s", seed, wf_error());
    }
    wf_node *loss = loss_of(d);
    wf_output(loss, "loss");
    wf_output(d->node[d->n - 1], "last");
    wf_output(any(d), "some");
    for (int i = 0; i < d->n_leaves; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        wf_output(wf_gradient(loss, d->leaf[i]), name);
    }
    if (next(d, 2)) add_trade(d);
    wf_minimize_options o = {.clip_norm = next(d, 2) ? 0 : 0.5f,
                             .accumulate = (int)next(d, 3),
                             .lookahead = (int)next(d, 3),
                             .ema = next(d, 2) ? 0 : 0.5f};
    if (next(d, 2))
        wf_minimize(loss, &wf_adamw, &adamw, &o);
    else
        wf_minimize(loss, &wf_sgd, &sgd, &o);
}

/* Bytes of all outputs of the first run are kept: later ones build on updates. */
typedef struct result {
    wf_store *store;
    wf_program *p;
    float *output[MOST];
    wf_shape shape[MOST];
} result;

static void output_name(int i, char name[16])
{
    static const char *const first[] = {"loss", "last", "some"};
    if (i < 3)
        snprintf(name, 16, "%s", first[i]);
    else
        snprintf(name, 16, "d%d", i - 3);
}

static bool train(result *r, const draw *d, wf_runtime *rt, const float *x, size_t limit)
{
    *r = (result){.store = wf_store_new(d->state)};
    wf_compile_options how = {.memory_limit = limit};
    if (wf_compile(&r->p, d->g, r->store, rt, &how) != WF_OK) return false;
    wf_bind(r->p, "x", x, 24 * sizeof *x);
    wf_set(r->p, "lr", 0.05f);
    for (int t = 0; t < STEPS; t++) {
        if (wf_run(r->p) != WF_OK) return false;
        for (int i = 0; t == 0 && i < d->n_leaves + 3; i++) {
            char name[16];
            output_name(i, name);
            const float *y = wf_read(r->p, name, &r->shape[i]);
            size_t bytes = (size_t)wf_elements(&r->shape[i]) * sizeof *y;
            r->output[i] = malloc(bytes);
            if (r->output[i] && y) memcpy(r->output[i], y, bytes);
        }
    }
    return true;
}

static void result_free(result *r)
{
    for (int i = 0; i < MOST; i++) free(r->output[i]);
    wf_program_free(r->p);
    wf_store_free(r->store);
}

static bool expect_close(const float *a, const float *b, int64_t n, uint32_t seed, const char *what)
{
    int64_t at = op_differs(WF_F32, n, a, b, 3e-4);
    if (at < 0) return true;
    cr_expect(false, "RANDOM_SEED=%u: %s[%lld of %lld] is %.8g, plain %.8g", seed, what,
              (long long)at, (long long)n, (double)a[at], (double)b[at]);
    return false;
}

static void compare(const result *a, const result *b, const draw *d, uint32_t seed)
{
    for (int i = 0; i < d->n_leaves + 3; i++) {
        char name[16];
        output_name(i, name);
        cr_expect(wf_shape_equal(&a->shape[i], &b->shape[i]), "RANDOM_SEED=%u: %s", seed, name);
        if (!expect_close(a->output[i], b->output[i], wf_elements(&a->shape[i]), seed, name))
            return;
    }
    for (int i = 0; i < wf_store_count(b->store); i++) {
        wf_shape s;
        const char *name = wf_store_name(b->store, i);
        const float *want = wf_store_data(b->store, name, NULL, &s);
        const float *got = wf_store_data(a->store, name, NULL, NULL);
        cr_assert(got, "RANDOM_SEED=%u: no %s", seed, name);
        if (!expect_close(got, want, wf_elements(&s), seed, name)) return;
    }
}

/* A number from the environment. */
static uint32_t number(const char *name, uint32_t otherwise)
{
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

Test(random_graphs, the_optimized_program_gives_what_the_plain_one_gives, .timeout = 150)
{
    float x[24];
    wf_runtime *fast = op_runtime(2, "", ""), *slow = op_runtime(1, "ref", OP_NO_PASSES);
    cr_assert(fast && slow, "%s", wf_error());
    for (int i = 0; i < 24; i++) x[i] = (float)sin(1.3 * i);
    uint32_t first = number("RANDOM_SEED", 1);
    uint32_t graphs = number("RANDOM_GRAPHS", getenv("RANDOM_SEED") ? 1 : GRAPHS);
    for (uint32_t seed = first; seed < first + graphs; seed++) {
        draw d;
        result a, b;
        declare(&d, seed);
        bool ok = train(&a, &d, fast, x, 0);
        cr_expect(ok, "RANDOM_SEED=%u: %s", seed, wf_error());
        bool also = train(&b, &d, slow, x, 0);
        cr_expect(also, "RANDOM_SEED=%u: %s", seed, wf_error());
        if (ok && also) compare(&a, &b, &d, seed);
        result_free(&a);
        result_free(&b);
        wf_graph_free(d.g);
    }
    wf_runtime_free(fast);
    wf_runtime_free(slow);
}

/* The least that was found for a limit that nothing meets. */
static size_t least_memory(const draw *d, wf_runtime *rt)
{
    wf_program *p = NULL;
    size_t limit, least = 0;
    wf_store *s = wf_store_new(0);
    wf_compile_options how = {.memory_limit = 1, .look_only = true};
    cr_expect_eq(wf_compile(&p, d->g, s, rt, &how), WF_ELIMIT);
    wf_store_free(s);
    cr_expect_eq(sscanf(wf_error(),
                        "memory: the limit is %zu bytes, the least that was found is %zu", &limit,
                        &least),
                 2, "%s", wf_error());
    return least;
}

static void expect_same_bits(const result *a, const result *b, const draw *d, uint32_t seed)
{
    for (int i = 0; i < d->n_leaves + 3; i++) {
        size_t bytes = (size_t)wf_elements(&a->shape[i]) * sizeof(float);
        cr_expect(!memcmp(a->output[i], b->output[i], bytes), "RANDOM_SEED=%u: output %d", seed, i);
    }
    for (int i = 0; i < wf_store_count(a->store); i++) {
        wf_shape s;
        const char *name = wf_store_name(a->store, i);
        const void *x = wf_store_data(a->store, name, NULL, &s);
        const void *y = wf_store_data(b->store, name, NULL, NULL);
        size_t bytes = (size_t)wf_elements(&s) * sizeof(float);
        cr_expect(y && !memcmp(x, y, bytes), "RANDOM_SEED=%u: %s", seed, name);
    }
}

Test(random_graphs, the_least_memory_gives_the_same_bits, .timeout = 150)
{
    float x[24];
    int recomputed = 0;
    wf_runtime *rt = op_runtime(2, "", "");
    cr_assert(rt, "%s", wf_error());
    for (int i = 0; i < 24; i++) x[i] = (float)sin(1.3 * i);
    uint32_t first = number("RANDOM_SEED", 1);
    uint32_t graphs = number("RANDOM_GRAPHS", getenv("RANDOM_SEED") ? 1 : GRAPHS);
    for (uint32_t seed = first; seed < first + graphs; seed++) {
        draw d;
        result a, b;
        declare(&d, seed);
        size_t limit = least_memory(&d, rt);
        bool ok = train(&a, &d, rt, x, 0), also = train(&b, &d, rt, x, limit);
        cr_expect(ok && also, "RANDOM_SEED=%u: %s", seed, wf_error());
        if (ok && also) {
            expect_same_bits(&a, &b, &d, seed);
            cr_expect_leq(wf_program_get_stats(b.p).memory_bytes, limit, "RANDOM_SEED=%u", seed);
            recomputed += wf_program_get_stats(b.p).recomputed;
        }
        result_free(&a);
        result_free(&b);
        wf_graph_free(d.g);
    }
    if (graphs == GRAPHS) cr_expect_gt(recomputed, GRAPHS, "%d kernels", recomputed);
    wf_runtime_free(rt);
}

/* ---- storage in 16 bits ---- */

static wf_program *compile_for(const draw *d, wf_store *s, wf_runtime *rt, const float *x,
                               wf_dtype type)
{
    wf_program *p;
    wf_compile_options how = {.weights = type, .states = type};
    if (wf_compile(&p, d->g, s, rt, &how) != WF_OK) return NULL;
    wf_bind(p, "x", x, 24 * sizeof *x);
    wf_set(p, "lr", 0.05f);
    return p;
}

/* All that narrow has, as it is in the other store. */
static void widen_into(wf_store *wide, const wf_store *narrow)
{
    for (int i = 0; i < wf_store_count(narrow); i++) {
        wf_dtype type;
        wf_shape s;
        const char *name = wf_store_name(narrow, i);
        const void *x = wf_store_data(narrow, name, &type, &s);
        cr_assert_eq(wf_store_put(wide, name, type, s, x), WF_OK, "%s", wf_error());
    }
}

/* Are tensors those of the float32 program, rounded with the draws of this step? */
static bool are_rounded(const wf_store *narrow, const wf_store *wide, uint32_t seed, int step)
{
    bool ok = true;
    for (int i = 0; ok && i < wf_store_count(narrow); i++) {
        wf_dtype type;
        wf_shape s;
        uint16_t rounded[LARGEST * 2];
        const char *name = wf_store_name(narrow, i);
        const void *got = wf_store_data(narrow, name, &type, &s);
        const void *want = wf_store_data(wide, name, NULL, NULL);
        int64_t n = wf_elements(&s);
        wf_draws d = wf_draws_of(seed, (uint32_t)wf_hash(name) | 1, step);
        if (type != WF_F32) wf_narrow(type, n, rounded, want, &d, 0, true);
        ok = !memcmp(got, type == WF_F32 ? want : rounded, (size_t)n * wf_dtype_bytes(type));
        cr_expect(ok, "RANDOM_SEED=%u: step %d: %s", seed, step, name);
    }
    return ok;
}

Test(random_graphs, what_is_stored_in_16_bits_is_rounded_after_float32, .timeout = 150)
{
    float x[24];
    wf_runtime *rt = op_runtime(1, "", "");
    cr_assert(rt, "%s", wf_error());
    for (int i = 0; i < 24; i++) x[i] = (float)sin(1.3 * i);
    uint32_t first = number("RANDOM_SEED", 1);
    uint32_t graphs = number("RANDOM_GRAPHS", getenv("RANDOM_SEED") ? 1 : GRAPHS);
    for (uint32_t seed = first; seed < first + graphs; seed++) {
        draw d;
        declare(&d, seed);
        wf_store *narrow = wf_store_new(seed), *wide = wf_store_new(seed);
        wf_program *p = compile_for(&d, narrow, rt, x, seed % 2 ? WF_BF16 : WF_F16);
        wf_program *q = compile_for(&d, wide, rt, x, WF_F32);
        cr_expect(p && q, "RANDOM_SEED=%u: %s", seed, wf_error());
        bool ok = p && q;
        for (int t = 0; ok && t < STEPS; t++) {
            widen_into(wide, narrow);
            ok = wf_run(p) == WF_OK && wf_run(q) == WF_OK;
            cr_expect(ok, "RANDOM_SEED=%u: %s", seed, wf_error());
            ok = ok && are_rounded(narrow, wide, seed, t);
        }
        wf_program_free(p), wf_program_free(q);
        wf_store_free(narrow), wf_store_free(wide);
        wf_graph_free(d.g);
    }
    wf_runtime_free(rt);
}
