/* Derivatives against closed forms, also second and third ones; several users; symbolic sizes. */
#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include <weft/op.h>

enum { N = 6 };

static const float points[N] = {-1.3f, -0.7f, -0.1f, 0.2f, 0.9f, 1.6f};

typedef struct model {
    wf_graph *g;
    wf_store *store;
    wf_runtime *rt;
    wf_program *p;
} model;

static model begin(void)
{
    model m = {.g = wf_graph_new(),
               .store = wf_store_new(3),
               .rt = wf_runtime_new(&(wf_runtime_options){.threads = 1})};
    cr_assert(m.rt, "%s", wf_error());
    return m;
}

static void compile(model *m)
{
    cr_assert_eq(wf_compile(&m->p, m->g, m->store, m->rt, NULL), WF_OK, "%s", wf_error());
}

static void bind(model *m, const char *name, const void *data, size_t bytes)
{
    cr_assert_eq(wf_bind(m->p, name, data, bytes), WF_OK, "%s", wf_error());
}

static void run(model *m)
{
    cr_assert_eq(wf_run(m->p), WF_OK, "%s", wf_error());
}

static void end(model *m)
{
    wf_program_free(m->p);
    wf_store_free(m->store);
    wf_runtime_free(m->rt);
    wf_graph_free(m->g);
}

static wf_node *sum(wf_node *x)
{
    return wf_sum(x, WF_ALL, false);
}

static void expect_near(const char *what, const model *m, const char *output, int n,
                        const double want[])
{
    const float *y = wf_read(m->p, output, NULL);
    cr_assert(y, "%s: no output %s", what, output);
    for (int i = 0; i < n; i++)
        cr_expect_float_eq((double)y[i], want[i], 5e-6 * (1 + fabs(want[i])),
                           "%s: %s[%d] is %.8g, closed form %.8g", what, output, i, (double)y[i],
                           want[i]);
}

/* ---- functions of one number ---- */

typedef struct function {
    const char *name;
    wf_node *(*build)(wf_node *x);
    void (*derivatives)(double x, double d[3]); /* first, second, third */
} function;

static wf_node *cube(wf_node *x)
{
    return wf_mul(wf_square(x), x);
}

static void cube_derivatives(double x, double d[3])
{
    d[0] = 3 * x * x, d[1] = 6 * x, d[2] = 6;
}

static void exp_derivatives(double x, double d[3])
{
    d[0] = d[1] = d[2] = exp(x);
}

static void tanh_derivatives(double x, double d[3])
{
    double t = tanh(x), s = 1 - t * t;
    d[0] = s, d[1] = -2 * t * s, d[2] = -2 * s * (1 - 3 * t * t);
}

static void sin_derivatives(double x, double d[3])
{
    d[0] = cos(x), d[1] = -sin(x), d[2] = -cos(x);
}

static void sigmoid_derivatives(double x, double d[3])
{
    double s = 1 / (1 + exp(-x)), slope = s * (1 - s);
    d[0] = slope, d[1] = slope * (1 - 2 * s), d[2] = slope * (1 - 6 * s + 6 * s * s);
}

/* ln(1 + x^2) */
static wf_node *witch(wf_node *x)
{
    return wf_log1p(wf_square(x));
}

static void witch_derivatives(double x, double d[3])
{
    double q = 1 + x * x;
    d[0] = 2 * x / q, d[1] = (2 - 2 * x * x) / (q * q),
    d[2] = (4 * x * x * x - 12 * x) / (q * q * q);
}

Test(autograd, three_derivatives_of_functions_of_one_number)
{
    static const function all[] = {{"cube", cube, cube_derivatives},
                                   {"exp", wf_exp, exp_derivatives},
                                   {"tanh", wf_tanh, tanh_derivatives},
                                   {"sin", wf_sin, sin_derivatives},
                                   {"sigmoid", wf_sigmoid, sigmoid_derivatives},
                                   {"ln(1 + x^2)", witch, witch_derivatives}};
    for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
        model m = begin();
        wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N));
        wf_node *d1 = wf_gradient(sum(all[f].build(x)), x);
        wf_node *d2 = wf_gradient(sum(d1), x);
        wf_output(d1, "d1");
        wf_output(d2, "d2");
        wf_output(wf_gradient(sum(d2), x), "d3");
        compile(&m);
        bind(&m, "x", points, sizeof points);
        run(&m);
        double want[3][N], d[3];
        for (int i = 0; i < N; i++) {
            all[f].derivatives((double)points[i], d);
            for (int k = 0; k < 3; k++) want[k][i] = d[k];
        }
        expect_near(all[f].name, &m, "d1", N, want[0]);
        expect_near(all[f].name, &m, "d2", N, want[1]);
        expect_near(all[f].name, &m, "d3", N, want[2]);
        end(&m);
    }
}

/* ---- Hessians: h = d/dx <d loss / d x, v> ---- */

static const float weights[N] = {0.5f, -1, 2, 0.3f, -0.2f, 1.1f};
static const float along[N] = {1, -0.4f, 0.3f, 2, -1, 0.7f};

static void softmax_of(const float *x, double s[N])
{
    double total = 0;
    for (int i = 0; i < N; i++) total += s[i] = exp((double)x[i]);
    for (int i = 0; i < N; i++) s[i] /= total;
}

static void check_hessian(const char *name, wf_node *(*loss)(wf_node *x), const double slope[N],
                          double hessian[N][N])
{
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N));
    wf_node *d = wf_output(wf_gradient(loss(x), x), "d");
    wf_node *v = wf_input(m.g, "v", WF_F32, WF_SHAPE(N));
    wf_output(wf_gradient(sum(wf_mul(d, v)), x), "h");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    bind(&m, "v", along, sizeof along);
    run(&m);
    double want[N] = {0};
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) want[i] += hessian[i][j] * (double)along[j];
    expect_near(name, &m, "d", N, slope);
    expect_near(name, &m, "h", N, want);
    end(&m);
}

static wf_node *weighted_softmax(wf_node *x)
{
    return sum(wf_mul(wf_softmax(x), wf_constants(wf_graph_of(x), WF_SHAPE(N), weights)));
}

/* With g_i = s_i (w_i - sum(w s)): the slope is g, the Hessian diag(g) - g s^T - s g^T. */
Test(autograd, second_derivatives_of_softmax)
{
    double s[N], g[N], h[N][N], mean = 0;
    softmax_of(points, s);
    for (int i = 0; i < N; i++) mean += (double)weights[i] * s[i];
    for (int i = 0; i < N; i++) g[i] = s[i] * ((double)weights[i] - mean);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) h[i][j] = (i == j ? g[i] : 0) - g[i] * s[j] - s[i] * g[j];
    check_hessian("softmax", weighted_softmax, g, h);
}

static wf_node *logsumexp(wf_node *x)
{
    return wf_logsumexp(x, WF_ALL, false);
}

static wf_node *cross_entropy(wf_node *x)
{
    static const int32_t label[] = {4};
    wf_node *y = wf_constants_i32(wf_graph_of(x), WF_SHAPE(1), label);
    return wf_cross_entropy(wf_reshape(x, WF_SHAPE(1, N)), y, -1);
}

static wf_node *log_softmax(wf_node *x)
{
    return wf_neg(sum(wf_slice(wf_log_softmax(x), 0, 4, 1)));
}

/* All three have the Hessian diag(s) - s s^T; the label takes 1 from its slope. */
Test(autograd, second_derivatives_of_logsumexp_and_cross_entropy)
{
    double s[N], h[N][N];
    softmax_of(points, s);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) h[i][j] = (i == j ? s[i] : 0) - s[i] * s[j];
    check_hessian("logsumexp", logsumexp, s, h);
    s[4] -= 1;
    check_hessian("cross entropy", cross_entropy, s, h);
    check_hessian("log softmax", log_softmax, s, h);
}

/* loss = |A B|^2 / 2: dA = A B B^T, and <dA, V> has the gradients V B B^T and (A^T V + V^T A) B. */
Test(autograd, second_derivatives_of_a_product)
{
    static const float a[6] = {1, 2, -1, 0.5f, 0, 3}, b[6] = {2, -1, 1, 0.5f, -2, 1};
    static const float v[6] = {1, 0, 2, -1, 1, 0.5f};
    model m = begin();
    wf_node *x = wf_input(m.g, "a", WF_F32, WF_SHAPE(2, 3));
    wf_node *y = wf_input(m.g, "b", WF_F32, WF_SHAPE(3, 2));
    wf_node *d = wf_gradient(wf_scale(sum(wf_square(wf_matmul(x, y))), 0.5f), x);
    wf_node *along_v = sum(wf_mul(d, wf_input(m.g, "v", WF_F32, WF_SHAPE(2, 3))));
    wf_output(d, "d");
    wf_output(wf_gradient(along_v, x), "by a");
    wf_output(wf_gradient(along_v, y), "by b");
    compile(&m);
    bind(&m, "a", a, sizeof a);
    bind(&m, "b", b, sizeof b);
    bind(&m, "v", v, sizeof v);
    run(&m);
    double bb[3][3] = {{0}}, av[3][3] = {{0}}, by_a[6] = {0}, by_b[6] = {0}, want[6] = {0};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++) {
                bb[i][j] += (double)b[2 * i + k] * (double)b[2 * j + k];
                av[i][j] += (double)a[3 * k + i] * (double)v[3 * k + j] +
                            (double)v[3 * k + i] * (double)a[3 * k + j];
            }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 3; k++) {
                want[3 * i + j] += (double)a[3 * i + k] * bb[k][j];
                by_a[3 * i + j] += (double)v[3 * i + k] * bb[k][j];
                by_b[2 * j + i] += av[j][k] * (double)b[2 * k + i];
            }
    expect_near("product", &m, "d", 6, want);
    expect_near("product", &m, "by a", 6, by_a);
    expect_near("product", &m, "by b", 6, by_b);
    end(&m);
}

/* ---- the way gradients flow ---- */

Test(autograd, a_value_with_many_users_collects_all_their_gradients)
{
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N)), *y = wf_mul(wf_exp(x), x);
    for (int i = 0; i < 100; i++) y = wf_add(y, wf_scale(x, (float)i));
    wf_node *loss = sum(wf_add(y, wf_mul(x, x)));
    wf_output(wf_gradient(loss, x), "d");
    wf_output(wf_gradient(loss, x), "again");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    run(&m);
    double want[N];
    for (int i = 0; i < N; i++)
        want[i] = exp((double)points[i]) * (1 + (double)points[i]) + 4950 + 2 * (double)points[i];
    expect_near("users", &m, "d", N, want);
    expect_near("users", &m, "again", N, want);
    end(&m);
}

Test(autograd, stop_gradient_makes_a_constant)
{
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N));
    wf_output(wf_gradient(sum(wf_mul(x, wf_stop_gradient(wf_square(x)))), x), "d");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    run(&m);
    double want[N];
    for (int i = 0; i < N; i++) want[i] = (double)points[i] * (double)points[i];
    expect_near("stop_gradient", &m, "d", N, want);
    end(&m);
}

Test(autograd, gradients_by_values_in_the_middle)
{
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N)), *h = wf_sin(x), *loss = sum(cube(h));
    wf_output(wf_gradient(loss, h), "by h");
    wf_output(wf_gradient(loss, x), "by x");
    wf_output(wf_gradient(loss, loss), "by loss");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    run(&m);
    double by_h[N], by_x[N], one = 1;
    for (int i = 0; i < N; i++) {
        double s = sin((double)points[i]);
        by_h[i] = 3 * s * s, by_x[i] = by_h[i] * cos((double)points[i]);
    }
    expect_near("middle", &m, "by h", N, by_h);
    expect_near("middle", &m, "by x", N, by_x);
    expect_near("middle", &m, "by loss", 1, &one);
    end(&m);
}

/* A gradient is a value like others: here a penalty on its size is trained on. */
Test(autograd, a_gradient_inside_a_loss_trains_parameters)
{
    model m = begin();
    wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1};
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N));
    wf_node *w = wf_param(m.g, "w", WF_SHAPE(N), (wf_role){0}, one);
    wf_node *slope = wf_gradient(sum(wf_mul(w, wf_square(x))), x); /* 2 w x */
    wf_minimize(sum(wf_square(slope)), &wf_sgd, NULL, NULL);       /* by w: 8 w x^2 */
    compile(&m);
    bind(&m, "x", points, sizeof points);
    cr_assert_eq(wf_set(m.p, "lr", 0.01f), WF_OK);
    run(&m);
    const float *now = wf_store_data(m.store, "w", NULL, NULL);
    for (int i = 0; i < N; i++)
        cr_expect_float_eq((double)now[i], 1 - 0.08 * (double)points[i] * (double)points[i], 1e-6);
    end(&m);
}

/* ---- symbolic sizes ---- */

static void declare(wf_graph *g, int64_t n)
{
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.5f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(n, 4));
    wf_node *y = wf_input(g, "y", WF_I32, WF_SHAPE(n));
    wf_node *h = wf_dropout(wf_tanh(wf_dense(x, 8, true, init, "hidden")), 0.2f);
    wf_node *loss = wf_cross_entropy(wf_dense(wf_layer_norm(h, 1e-5f), 3, true, init, "out"), y, 1);
    loss = wf_add(loss, wf_scale(wf_mean(wf_square(h), WF_AXES(0, 1), false), 0.1f));
    wf_output(wf_add(loss, wf_div(sum(h), wf_extent(h, 0))), "loss");
    wf_minimize(loss, &wf_adamw, NULL, &(wf_minimize_options){.clip_norm = 0.5f});
}

static wf_program *program_for(model *m, int64_t n, bool symbolic)
{
    wf_size_value sizes[] = {{"n", n}, {NULL, 0}};
    wf_program *p;
    wf_graph *g = m->g;
    if (!symbolic) declare(g = wf_graph_new(), n);
    wf_compile_options o = {.sizes = symbolic ? sizes : NULL};
    cr_assert_eq(wf_compile(&p, g, m->store, m->rt, &o), WF_OK, "%s", wf_error());
    if (!symbolic) wf_graph_free(g);
    return p;
}

static void train(model *m, bool symbolic, float loss[8])
{
    float x[7 * 4];
    int32_t y[7];
    for (int i = 0; i < 28; i++) x[i] = (float)sin(1.7 * i);
    for (int i = 0; i < 7; i++) y[i] = i % 3;
    wf_program *p[] = {program_for(m, 3, symbolic), program_for(m, 7, symbolic)};
    for (int t = 0; t < 8; t++) {
        size_t n = t % 2 ? 7 : 3;
        cr_assert_eq(wf_bind(p[t % 2], "x", x, n * 16), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_bind(p[t % 2], "y", y, n * 4), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_set(p[t % 2], "lr", 0.01f), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_run(p[t % 2]), WF_OK, "%s", wf_error());
        loss[t] = wf_scalar(p[t % 2], "loss");
    }
    wf_program_free(p[0]);
    wf_program_free(p[1]);
}

Test(autograd, one_graph_for_two_sizes_equals_two_graphs)
{
    float loss[2][8];
    model a = begin(), b = begin();
    declare(a.g, wf_size(a.g, "n"));
    train(&a, true, loss[0]);
    train(&b, false, loss[1]);
    cr_expect_arr_eq(loss[0], loss[1], sizeof loss[0], "losses differ");
    cr_expect_gt(wf_store_count(a.store), 8);
    cr_expect_eq(wf_store_count(a.store), wf_store_count(b.store));
    for (int i = 0; i < wf_store_count(a.store); i++) {
        const char *name = wf_store_name(a.store, i);
        wf_shape s;
        const void *x = wf_store_data(a.store, name, NULL, &s);
        const void *y = wf_store_data(b.store, name, NULL, NULL);
        size_t bytes = 4;
        for (int k = 0; k < s.rank; k++) bytes *= (size_t)s.dim[k];
        cr_expect(y && !memcmp(x, y, bytes), "%s differs", name);
    }
    end(&a);
    end(&b);
}

/* Passes merge and drop values in the middle; a gradient by one of them is met before. */
Test(autograd, a_gradient_by_a_value_in_the_middle_is_that_of_the_declared_graph)
{
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N));
    wf_node *a = wf_exp(x), *b = wf_exp(x), *c = wf_scale(x, 1), *d = wf_neg(x);
    wf_node *loss = sum(wf_add(wf_add(wf_scale(a, 2), wf_scale(b, 3)),
                               wf_add(wf_add(c, wf_scale(x, 3)), wf_scale(wf_neg(d), 2))));
    wf_output(loss, "loss");
    wf_output(wf_gradient(loss, a), "a");
    wf_output(wf_gradient(loss, c), "c");
    wf_output(wf_gradient(loss, d), "d");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    run(&m);
    expect_near("one of two equal values", &m, "a", N, (const double[N]){2, 2, 2, 2, 2, 2});
    expect_near("a value that is its input", &m, "c", N, (const double[N]){1, 1, 1, 1, 1, 1});
    expect_near("inside a double negation", &m, "d", N, (const double[N]){-2, -2, -2, -2, -2, -2});
    end(&m);
}

Test(autograd, a_blocked_gradient_names_the_op_in_the_way)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(N));
    wf_less(x, wf_constant(g, 0)); /* leads nowhere */
    wf_gradient(sum(wf_equal(x, wf_constant(g, 1))), x);
    cr_expect_eq(wf_graph_check(g), WF_EMODEL);
    cr_expect(strstr(wf_error(), "equal has no gradient"), "%s", wf_error());
    wf_graph_free(g);
}

Test(autograd, a_leaf_is_assigned_once)
{
    wf_graph *g = wf_graph_new();
    wf_node *p = wf_param(g, "p", WF_SHAPE(2), (wf_role){0}, (wf_init){0});
    wf_assign(p, wf_shift(p, 1));
    wf_assign(p, wf_shift(p, 2));
    cr_expect_eq(wf_graph_check(g), WF_EMODEL);
    cr_expect(strstr(wf_error(), "assigned twice"), "%s", wf_error());
    wf_graph_free(g);
}

Test(autograd, what_the_model_assigns_is_not_trained_too)
{
    wf_graph *g = wf_graph_new();
    wf_node *p = wf_param(g, "p", WF_SHAPE(2), (wf_role){0}, (wf_init){0});
    wf_assign(p, wf_shift(p, 1));
    wf_minimize(wf_sum(p, WF_ALL, false), &wf_sgd, NULL, NULL);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(1);
    wf_program *compiled;
    cr_expect_eq(wf_compile(&compiled, g, s, rt, NULL), WF_EMODEL);
    cr_expect(strstr(wf_error(), "p is assigned twice"), "%s", wf_error());
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
}

/* ---- ops without a gradient ---- */

static void identity_lane(const void *attr, int64_t n, float *y, const float *const x[])
{
    (void)attr;
    memcpy(y, x[0], (size_t)n * sizeof *y);
}

static const wf_op opaque = {.name = "opaque",
                             .doc = "x, but nobody wrote its gradient",
                             .arity = 1,
                             .traits = WF_ELEMENTWISE,
                             .infer = wf_infer_same,
                             .lane = identity_lane};

/* sum(x^2) + sum(opaque(exp(x))): a part of the gradient would be missing. */
static wf_node *half_opaque(wf_node *x)
{
    wf_node *h = wf_exp(x), *y = wf_apply(&opaque, NULL, 1, &h);
    return wf_add(sum(wf_square(x)), sum(wf_name(y, "black box")));
}

static void expect_opaque(model *m)
{
    cr_expect_eq(wf_compile(&m->p, m->g, m->store, m->rt, NULL), WF_EMODEL, "compiled");
    cr_expect(strstr(wf_error(), "black box: opaque: has no gradient"), "%s", wf_error());
    end(m);
}

Test(autograd, an_op_without_a_gradient_on_one_of_two_paths_is_a_mistake)
{
    model a = begin(), b = begin(), c = begin();
    wf_node *x = wf_input(a.g, "x", WF_F32, WF_SHAPE(N));
    wf_output(wf_gradient(half_opaque(x), x), "d");
    expect_opaque(&a);
    x = wf_param(b.g, "w", WF_SHAPE(N), (wf_role){0}, (wf_init){0});
    wf_minimize(half_opaque(x), &wf_sgd, NULL, NULL);
    expect_opaque(&b);
    x = wf_param(c.g, "w", WF_SHAPE(N), (wf_role){0}, (wf_init){0}); /* no other path to w */
    wf_node *v = wf_param(c.g, "v", WF_SHAPE(N), (wf_role){0}, (wf_init){0});
    wf_node *y = wf_name(wf_apply(&opaque, NULL, 1, &x), "black box");
    wf_minimize(sum(wf_mul(y, v)), &wf_sgd, NULL, NULL);
    expect_opaque(&c);
}

/* One that does not stand between the loss and x is none of its business. */
Test(autograd, an_op_without_a_gradient_elsewhere_does_no_harm)
{
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N)), *c = wf_full(m.g, WF_SHAPE(N), 3);
    wf_node *h = wf_exp(x), *y = wf_apply(&opaque, NULL, 1, &c),
            *z = wf_apply(&opaque, NULL, 1, &h);
    wf_output(wf_gradient(sum(wf_mul(y, x)), x), "d");
    wf_output(wf_gradient(sum(wf_scale(z, 2)), z), "by z");
    wf_output(wf_gradient(sum(wf_mul(x, wf_stop_gradient(z))), x), "stopped");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    run(&m);
    double three[N], two[N], want[N];
    for (int i = 0; i < N; i++) three[i] = 3, two[i] = 2, want[i] = exp((double)points[i]);
    expect_near("a constant", &m, "d", N, three);
    expect_near("a value in the middle", &m, "by z", N, two);
    expect_near("behind stop_gradient", &m, "stopped", N, want);
    end(&m);
}

/* sum(3 x) and all that is piecewise constant in x. */
Test(autograd, nothing_flows_through_what_is_piecewise_constant)
{
    static const int32_t label[] = {2};
    model m = begin();
    wf_node *x = wf_input(m.g, "x", WF_F32, WF_SHAPE(N)), *zero = wf_constant(m.g, 0);
    wf_node *row = wf_reshape(x, WF_SHAPE(1, N)), *y = wf_scale(x, 3);
    wf_node *whole = wf_cast(wf_scale(x, 10), WF_I32);
    wf_node *flat[] = {wf_sign(x),
                       wf_less(x, zero),
                       wf_less_equal(x, zero),
                       wf_equal(x, zero),
                       wf_cast(whole, WF_F32),
                       wf_sum(wf_one_hot(whole, 5), WF_AXES(1), false),
                       wf_hits(row, wf_constants_i32(m.g, WF_SHAPE(1), label), -1),
                       wf_stop_gradient(x),
                       wf_extent(x, 0)};
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++) y = wf_add(y, flat[i]);
    wf_node *loss = wf_output(sum(y), "loss");
    wf_output(wf_gradient(loss, x), "d");
    compile(&m);
    bind(&m, "x", points, sizeof points);
    run(&m);
    double three[N];
    for (int i = 0; i < N; i++) three[i] = 3;
    expect_near("piecewise constant", &m, "d", N, three);
    end(&m);
}

Test(autograd, a_parameter_is_trained_by_one_request)
{
    wf_graph *g = wf_graph_new();
    wf_node *a = wf_param(g, "a", WF_SHAPE(N), (wf_role){0}, (wf_init){0});
    wf_node *b = wf_param(g, "b", WF_SHAPE(N), (wf_role){0}, (wf_init){0});
    wf_minimize(sum(wf_square(a)), &wf_sgd, NULL, NULL);
    wf_minimize(sum(wf_mul(b, wf_stop_gradient(a))), &wf_lion, NULL, NULL);
    cr_expect_eq(wf_graph_check(g), WF_OK, "%s", wf_error());
    wf_minimize(sum(wf_exp(b)), &wf_adamw, NULL, NULL);
    cr_expect_eq(wf_graph_check(g), WF_EMODEL);
    cr_expect(strstr(wf_error(), "minimize: b is trained by another wf_minimize"), "%s",
              wf_error());
    wf_graph_free(g);
}
