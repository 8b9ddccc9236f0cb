/* Mistakes in models: each is told in one line with the path, the op and the shapes; nothing
 * aborts. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/op.h>

static wf_runtime *rt;
static wf_graph *g; /* the model with the mistake, inside the scope "net/layer" */
static const wf_role kernel = {.kind = WF_KERNEL};
static const wf_init zeros;

static void begin(void)
{
    g = wf_graph_new();
    wf_push(g, "net");
    wf_push(g, "layer");
}

static void begin_test(void)
{
    rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    begin();
}

static void end_test(void)
{
    wf_graph_free(g);
    wf_runtime_free(rt);
}

static wf_node *input(const char *name, wf_dtype dtype, wf_shape shape)
{
    return wf_input(g, name, dtype, shape);
}

/* A new float input, a new integer input. */
#define F(...) input("f" #__VA_ARGS__, WF_F32, WF_SHAPE(__VA_ARGS__))
#define I(...) input("i" #__VA_ARGS__, WF_I32, WF_SHAPE(__VA_ARGS__))

/* The model is refused with a line that has all three; what y is after it can still be used. Then
 * the next model begins. */
static void expect(wf_node *y, const char *op, const char *what)
{
    wf_store *s = wf_store_new(0);
    wf_program *p = (wf_program *)1;
    if (y) {
        y = wf_mul(wf_sum(wf_add(y, y), WF_ALL, true), wf_softmax(y));
        cr_expect_eq(wf_dim(y, -1), 1, "%s, %s: poison has a size of 1", op, what);
        cr_expect_eq(wf_dim(y, 5), 1, "%s, %s: poison has a size of 1", op, what);
        wf_output(y, "y");
    }
    cr_expect_eq(wf_graph_check(g), WF_EMODEL, "%s, %s: not refused", op, what);
    cr_expect(strstr(wf_error(), "net/layer") && strstr(wf_error(), op) && strstr(wf_error(), what),
              "\"%s\" should tell net/layer, %s and %s", wf_error(), op, what);
    cr_expect_not(strchr(wf_error(), '\n'));
    cr_expect_eq(wf_compile(&p, g, s, rt, NULL), WF_EMODEL, "%s, %s: compiled", op, what);
    cr_expect(strstr(wf_error(), what), "compiling says \"%s\", not %s", wf_error(), what);
    cr_expect_null(p);
    free(wf_graph_text(g));
    wf_store_free(s);
    wf_graph_free(g);
    begin();
}

TestSuite(shapes, .init = begin_test, .fini = end_test);

Test(shapes, products)
{
    expect(wf_matmul(F(3, 4), F(5, 6)), "matmul", "inner sizes differ, [3,4] x [5,6]");
    expect(wf_matmul_t(F(3, 4), F(4, 5)), "matmul", "[3,4] x [4,5]^T");
    expect(wf_t_matmul(F(3, 4), F(4, 5)), "matmul", "[3,4]^T x [4,5]");
    expect(wf_matmul(F(4), F(4, 5)), "matmul", "[4] x [4,5]");
    expect(wf_matmul(F(2, 3, 4), F(3, 4, 5)), "matmul", "[2,3,4] x [3,4,5]");
    expect(wf_matmul(F(3, 4), I(4, 5)), "matmul", "float32");
    expect(wf_linear(F(3, 4), F(4, 5), F(4)), "add", "[3,5] and [4]");
    expect(wf_linear(F(3, 4), F(3, 5), NULL), "matmul", "[3,4] x [3,5]");
}

Test(shapes, elementwise)
{
    expect(wf_add(F(2, 3), F(2, 4)), "add", "[2,3] and [2,4]");
    expect(wf_where(F(2), F(3), F(3)), "where", "[2] and [3]");
    expect(wf_mul(I(3), F(3)), "mul", "float32");
    expect(wf_exp(I(3)), "exp", "float32");
    expect(wf_lerp(F(2), F(3), 0.5f), "axpby", "[2] and [3]");
    expect(wf_clamp(F(3), 1, -1), "clamp", "1 and -1");
    expect(wf_clamp(F(3), NAN, 1), "clamp", "nan and 1");
    expect(wf_cast(F(3), WF_U8), "cast", "uint8");
    expect(wf_cast(F(3), WF_F16), "cast", "float32 or int32");
}

Test(shapes, reductions_and_rows)
{
    expect(wf_sum(F(2, 3), WF_AXES(2), false), "sum", "[2,3]");
    expect(wf_mean(F(2, 3), WF_AXES(-3), false), "mean", "[2,3]");
    expect(wf_max_over(F(2, 3), WF_AXES(1, -1), false), "max_over", "[2,3]");
    expect(wf_logsumexp(I(2, 3), WF_ALL, false), "logsumexp", "float32");
    expect(wf_cumsum(F(2, 3), 2), "cumsum", "axis 2");
    expect(wf_cumsum(I(2, 3), 1), "cumsum", "float32");
    expect(wf_softmax(wf_constant(g, 1)), "softmax", "axis");
    expect(wf_log_softmax(I(2, 3)), "log_softmax", "float32");
    expect(wf_rms_norm(F(2, 3), -1e-6f), "rms_norm", "eps must not be negative, got -1e-06");
    expect(wf_layer_norm(F(2, 3), NAN), "layer_norm", "eps");
    expect(wf_layer_norm(wf_constant(g, 1), 0), "layer_norm", "axis");
    expect(wf_dropout(F(2, 3), 1), "dropout", "[0, 1), got 1");
    expect(wf_dropout(F(2, 3), -0.1f), "dropout", "got -0.1");
    expect(wf_dropout(F(2, 3), NAN), "dropout", "got nan");
    expect(wf_dropout(I(2, 3), 0.5f), "dropout", "float32");
}

Test(shapes, views)
{
    int64_t sizes[] = {1, 3};
    wf_node *parts[2];
    expect(wf_reshape(F(2, 3), WF_SHAPE(4, 2)), "reshape", "[2,3] to [4,2]");
    expect(wf_reshape(F(2, 3), WF_SHAPE(-1, 4)), "reshape", "[2,3]");
    expect(wf_reshape(F(2, 3), WF_SHAPE(-1, -1)), "reshape",
           "more than one size is open, [2,3] to [-1,-1]");
    expect(wf_reshape(F(2, 3), WF_SHAPE(-1, 0)), "reshape", "[2,3]");
    expect(wf_reshape(F(2, 3), WF_SHAPE(-2, -3)), "reshape", "[-2,-3]");
    expect(wf_transpose(F(2, 3), WF_AXES(0, 0)), "transpose", "each axis of [2,3]");
    expect(wf_transpose(F(2, 3), WF_AXES(0, 2)), "transpose", "no axis 2 in [2,3]");
    expect(wf_transpose(F(2, 3, 4), WF_AXES(1, 0)), "transpose", "axes");
    expect(wf_broadcast(F(2, 3), WF_SHAPE(2, 4)), "broadcast", "[2,3] does not broadcast to [2,4]");
    expect(wf_broadcast(F(2, 3), WF_SHAPE(3)), "broadcast", "[2,3] does not broadcast to [3]");
    expect(wf_slice(F(2, 3), 1, 1, 3), "slice", "[2,3]");
    expect(wf_slice(F(2, 3), 1, -1, 2), "slice", "from -1");
    expect(wf_slice(F(2, 3), 1, INT64_MAX, 2), "slice", "[2,3]");
    expect(wf_slice(F(2, 3), 1, 1, INT64_MAX), "slice", "[2,3]");
    expect(wf_slice(F(2, 3), 0, 1, 0), "slice", "0 elements");
    expect(wf_slice(F(2, 3), 2, 0, 1), "slice", "axis 2");
    wf_split(F(2, 3), 1, 2, sizes, parts);
    expect(parts[1], "slice", "[2,3]");
    sizes[1] = 1;
    wf_split(F(2, 3), 1, 2, sizes, parts);
    expect(parts[1], "split", "2 of 3");
}

Test(shapes, joins)
{
    expect(wf_concat(2, (wf_node *[]){F(2, 3), F(2, 4)}, 0), "concat", "[2,3] and [2,4]");
    expect(wf_concat(2, (wf_node *[]){F(2, 3), F(2)}, 0), "concat", "[2,3] and [2]");
    expect(wf_concat(2, (wf_node *[]){F(2), F(2, 3)}, 0), "concat", "[2] and [2,3]");
    expect(wf_concat(2, (wf_node *[]){F(2, 3), I(2, 3)}, 0), "concat", "[2,3]");
    expect(wf_concat(2, (wf_node *[]){F(2, 3), F(2, 3)}, 2), "concat", "axis 2");
    expect(wf_gather(F(5, 3), F(2)), "gather", "int32");
    expect(wf_gather(I(5, 3), I(2)), "gather", "float32");
    expect(wf_gather(wf_constant(g, 1), I(2)), "gather", "axis");
    expect(wf_gather(F(1, 1, 1, 1), I(1, 1, 1, 1)), "gather", "too many axes");
    expect(wf_one_hot(F(2), 3), "one_hot", "int32");
    expect(wf_one_hot(I(1, 1, 1, 1, 1, 1), 3), "one_hot", "too many axes");
    expect(wf_extent(F(2, 3), 2), "extent", "axis 2");
}

Test(shapes, sequences_and_losses)
{
    expect(wf_rope(F(4, 5), I(4), 10000), "rope", "even, got 5");
    expect(wf_rope(F(4, 6), I(5), 10000), "rope", "positions");
    expect(wf_rope(F(4, 6), F(4), 10000), "rope", "positions");
    expect(wf_rope(F(6), I(6), 10000), "rope", "two axes");
    expect(wf_span_packed(F(3), 8, false), "span_packed", "int32");
    expect(wf_positions(I(2, 3), 8), "positions", "[sequences + 1]");
    expect(wf_span_padded(F(3), 8, false), "span_padded", "int32");
    expect(wf_mask_span(F(4, 5), I(3, 2), 0), "mask_span", "shape");
    expect(wf_mask_span(F(4, 5), I(4, 3), 0), "mask_span", "[..., n, 2]");
    expect(wf_mask_span(F(5), I(5, 2), 0), "mask_span", "shape");
    expect(wf_span_length(F(4, 2), 0), "span_length", "int32");
    expect(wf_cross_entropy(F(4, 5), I(5), -1), "cross_entropy",
           "labels [5] do not fit logits [4,5]");
    expect(wf_cross_entropy(F(4, 5), F(4), -1), "cross_entropy", "int32");
    expect(wf_cross_entropy(I(4, 5), I(4), -1), "cross_entropy", "float32");
    expect(wf_hits(F(4), I(4), -1), "hits", "labels [4] do not fit logits [4]");
    expect(wf_mse(F(4), F(5)), "mse", "shapes must be equal, or one a scalar: [4] and [5]");
    expect(wf_mse(F(4), F(4, 1)), "mse", "[4] and [4,1]");
    expect(wf_mse(F(4, 3), F(3)), "mse", "[4,3] and [3]");
    expect(wf_cross_entropy_rows(F(4, 3), wf_input(g, "column", WF_I32, WF_SHAPE(4, 1)), -1),
           "cross_entropy_rows", "[4,1]");
    cr_expect_eq(wf_rank(wf_mse(F(4, 3), wf_constant(g, 1))), 0, "a scalar is compared to all");
    cr_expect_eq(wf_graph_check(g), WF_OK, "%s", wf_error());
}

Test(shapes, names)
{
    wf_param(g, "w", WF_SHAPE(2, 3), kernel, zeros);
    expect(wf_param(g, "w", WF_SHAPE(3, 2), kernel, zeros), "layer/w",
           "as f32 [2,3] and as param f32 [3,2]");
    wf_input(g, "x", WF_F32, WF_SHAPE(2));
    expect(wf_input(g, "x", WF_I32, WF_SHAPE(2)), "layer/x", "declared twice");
    wf_input(g, "x", WF_F32, WF_SHAPE(2));
    expect(wf_param(g, "x", WF_SHAPE(2), kernel, zeros), "layer/x", "declared twice");
    wf_output(wf_exp(F(2)), "y");
    expect(wf_output(wf_exp(F(2)), "y"), "exp", "two outputs named \"y\"");
    expect(wf_name(F(2), "other"), "f2", "already has its name");
}

Test(shapes, sizes_of_zero)
{
    static const float none[1];
    expect(F(0), "input", "[0]");
    expect(F(2, -5), "input", "[2,-5]");
    expect(F(2, -5000), "input", "[2,0]"); /* no such symbolic size either */
    expect(wf_reshape(F(6), WF_SHAPE(-2000, 2)), "reshape", "[6]");
    expect(wf_param(g, "w", WF_SHAPE(3, 0), kernel, zeros), "param", "[3,0]");
    expect(wf_full(g, WF_SHAPE(0, 3), 1), "constant", "[0,3]");
    expect(wf_constants(g, WF_SHAPE(0), none), "constant", "[0]");
    expect(wf_constants(g, WF_SHAPE(-1), none), "constant", "[-1]");
    expect(wf_iota(g, 0), "iota", "[0]");
    expect(wf_uniform(g, WF_SHAPE(2, 0)), "uniform", "[2,0]");
    expect(wf_normal(g, WF_SHAPE(-2)), "normal", "[-2]");
    expect(wf_broadcast(F(1), WF_SHAPE(0)), "broadcast", "[0]");
    expect(wf_one_hot(I(3), 0), "one_hot", "0");
    expect(wf_span_packed(I(3), 0, false), "span_packed", "0");
    expect(wf_span_padded(I(3), 0, false), "span_padded", "0");
    expect(wf_positions(I(3), 0), "positions", "0");
    expect(wf_dense(F(2, 3), 0, true, zeros, "fc"), "param", "[3,0]");
}

/* ---- training ---- */

static void expect_error(wf_status s, wf_status want, const char *a, const char *b)
{
    cr_expect_eq(s, want, "%s, %s: %s", a, b, wf_status_name(s));
    cr_expect(strstr(wf_error(), a) && strstr(wf_error(), b), "\"%s\" should tell %s and %s",
              wf_error(), a, b);
}

Test(shapes, gradients_that_do_not_exist)
{
    wf_node *x = F(2, 3), *loss = wf_sum(wf_exp(F(3)), WF_ALL, false);
    expect(wf_gradient(wf_exp(x), x), "gradient", "one value");
    x = F(2, 3), loss = wf_sum(wf_exp(F(3)), WF_ALL, false);
    expect(wf_gradient(loss, x), "gradient", "does not depend on net/layer/f2, 3");
    x = F(2, 3);
    expect(wf_gradient(wf_sum(wf_less(x, wf_neg(x)), WF_ALL, false), x), "gradient", "less");
    x = F(2, 3);
    expect(wf_gradient(wf_sum(wf_stop_gradient(x), WF_ALL, false), x), "gradient", "stop_gradient");
    x = I(3);
    loss = wf_sum(wf_gather(F(5, 2), x), WF_ALL, false);
    expect(wf_gradient(loss, x), "gradient", "float32");
    x = F(3);
    loss = wf_sum(wf_gather(F(5, 2), wf_cast(x, WF_I32)), WF_ALL, false);
    expect(wf_gradient(loss, x), "gradient", "cast");
}

static wf_node *loss_of_w(void)
{
    return wf_sum(wf_square(wf_param(g, "w", WF_SHAPE(2), kernel, zeros)), WF_ALL, false);
}

Test(shapes, assignments)
{
    wf_assign(F(2), wf_constant(g, 1));
    expect(NULL, "assign", "input");
    wf_assign(wf_exp(F(2)), wf_exp(F(2)));
    expect(NULL, "assign", "exp");
    wf_assign(wf_param(g, "w", WF_SHAPE(2, 3), kernel, zeros), F(3, 2));
    expect(NULL, "assign", "net/layer/w is [2,3], its new value [3,2]");
    wf_assign(wf_param(g, "w", WF_SHAPE(2), kernel, zeros), I(2));
    expect(NULL, "assign", "net/layer/w");
}

static void minimize(const wf_optimizer *o, const void *hyper, const char *what)
{
    wf_minimize(loss_of_w(), o, hyper, NULL);
    expect(NULL, "minimize", what);
}

Test(shapes, optimizers)
{
    minimize(&wf_sgd, &(wf_sgd_hyper){.momentum = 1}, "sgd: momentum");
    minimize(&wf_sgd, &(wf_sgd_hyper){.decay = -1}, "sgd: decay");
    minimize(&wf_sgd, &(wf_sgd_hyper){.momentum = NAN}, "sgd: momentum");
    minimize(&wf_adamw, &(wf_adamw_hyper){.beta1 = 1, .beta2 = 0.999f, .eps = 1e-8f},
             "adamw: beta1");
    minimize(&wf_adamw, &(wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 2, .eps = 1e-8f}, "adamw: beta2");
    minimize(&wf_adamw, &(wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.999f}, "adamw: eps");
    minimize(&wf_adamw,
             &(wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = NAN},
             "adamw: decay");
    minimize(&wf_lion, &(wf_lion_hyper){.beta1 = -0.1f, .beta2 = 0.99f}, "lion: beta1");
    minimize(&wf_lion, &(wf_lion_hyper){.beta1 = 0.9f, .beta2 = 1}, "lion: beta2");
    minimize(&wf_tiger, &(wf_tiger_hyper){.beta = 1}, "tiger: beta");
    minimize(&wf_tiger, &(wf_tiger_hyper){.beta = 0.9f, .rms_floor = -1}, "tiger: rms_floor");
    minimize(&wf_sgd, &(wf_sgd_hyper){.decay = INFINITY},
             "sgd: decay must be finite and at least 0, got inf");
    minimize(&wf_tiger, &(wf_tiger_hyper){.beta = 0.9f, .accumulate = -1},
             "tiger: accumulate must lie in 0..16777216, got -1");
    wf_minimize(loss_of_w(), &wf_sgd, NULL, &(wf_minimize_options){.clip_norm = -1});
    expect(NULL, "minimize", "clip_norm");
    wf_minimize(
        loss_of_w(), &wf_sgd, NULL,
        &(wf_minimize_options){.groups = &(wf_param_group){.rate = INFINITY}, .n_groups = 1});
    expect(NULL, "minimize", "group 0: rate and decay must be finite, got inf and 0");
    wf_minimize(wf_param(g, "w", WF_SHAPE(2), kernel, zeros), &wf_sgd, NULL, NULL);
    expect(NULL, "minimize", "one float32 value");
    wf_input(g, "rate", WF_F32, WF_SHAPE(2));
    wf_minimize(loss_of_w(), &wf_sgd, NULL, &(wf_minimize_options){.lr_name = "rate"});
    expect(NULL, "rate", "[2]");
}

Test(shapes, a_learning_rate_is_finite_and_not_negative)
{
    static const float wrong[] = {-1e-3f, NAN, INFINITY, -INFINITY};
    wf_program *p;
    wf_store *s = wf_store_new(0);
    wf_node *w = wf_param(g, "w", WF_SHAPE(2), kernel, zeros);
    wf_node *x = wf_input(g, "x", WF_F32, WF_SCALAR);
    wf_minimize(wf_mul(wf_sum(w, WF_ALL, false), x), &wf_sgd, NULL,
                &(wf_minimize_options){.lr_name = "rate"});
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    for (int i = 0; i < 4; i++) {
        char says[40];
        snprintf(says, sizeof says, "at least 0, got %g", (double)wrong[i]);
        expect_error(wf_set(p, "net/layer/rate", wrong[i]), WF_EMODEL,
                     "input \"net/layer/rate\" is a learning rate", says);
        cr_expect_eq(wf_set(p, "net/layer/x", wrong[i]), WF_OK, "%g", (double)wrong[i]);
    }
    cr_expect_eq(wf_set(p, "net/layer/rate", 0), WF_OK);
    wf_program_free(p);
    wf_store_free(s);
}

/* Only compiling finds out: parameters may be declared, and assigned to, after the request. */
Test(shapes, a_loss_without_parameters)
{
    wf_program *p;
    wf_store *s = wf_store_new(0);
    wf_minimize(wf_sum(F(2), WF_ALL, false), &wf_sgd, NULL, NULL);
    expect_error(wf_compile(&p, g, s, rt, NULL), WF_EMODEL, "net/layer: minimize",
                 "the loss depends on no parameter");
    wf_store_free(s);
}

/* ---- poison and graphs ---- */

Test(shapes, the_first_mistake_wins_and_poison_flows_through_every_builder)
{
    wf_node *p = wf_add(F(2, 3), F(2, 4)), *parts[2];
    wf_node *nodes[] = {wf_exp(p),
                        wf_scale(p, 2),
                        wf_clamp(p, 1, -1),
                        wf_cast(p, WF_U8),
                        wf_dropout(p, 2),
                        wf_sum(p, WF_AXES(9), true),
                        wf_norm(p, WF_ALL, false),
                        wf_cumsum(p, 3),
                        wf_matmul(p, F(9)),
                        wf_matmul_t(F(9), p),
                        wf_linear(p, p, p),
                        wf_reshape(p, WF_SHAPE(-1, 7)),
                        wf_transpose(p, WF_AXES(4, 5)),
                        wf_broadcast(p, WF_SHAPE(5)),
                        wf_slice(p, 7, -1, 0),
                        wf_concat(2, (wf_node *[]){p, p}, 3),
                        wf_concat(2, (wf_node *[]){F(2), p}, 0),
                        wf_gather(p, I(3)),
                        wf_one_hot(p, 0),
                        wf_softmax(p),
                        wf_rms_norm(p, -1),
                        wf_extent(p, 8),
                        wf_dense(p, 5, true, zeros, "fc"),
                        wf_span_packed(p, 4, true),
                        wf_mask_span(F(2), p, 0),
                        wf_rope(p, p, 10),
                        wf_cross_entropy(p, p, 0),
                        wf_mse(p, p),
                        wf_gradient(p, p),
                        wf_gradient(wf_constant(g, 1), p),
                        wf_state(p, "m"),
                        wf_name(p, "n"),
                        wf_output(p, "o"),
                        wf_iota(g, 3),
                        wf_uniform(g, WF_SHAPE(2)),
                        wf_constant(g, 1)};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        cr_expect(nodes[i] && wf_dim(nodes[i], 0) == 1 && wf_dim(nodes[i], -1) == 1, "builder %zu",
                  i);
        cr_expect_eq(wf_rank(nodes[i]), 0, "builder %zu", i);
        cr_expect_eq(wf_graph_of(nodes[i]), g, "builder %zu", i);
    }
    wf_split(p, 3, 2, (int64_t[]){1, 2}, parts);
    cr_expect_eq(parts[1], parts[0]);
    wf_assign(p, p);
    wf_minimize(p, &wf_adamw, NULL, NULL);
    expect(p, "add", "[2,3] and [2,4]");
}

Test(shapes, nodes_of_two_graphs_do_not_mix)
{
    wf_graph *other = wf_graph_new();
    wf_node *x = wf_input(other, "x", WF_F32, WF_SHAPE(2));
    expect(wf_add(F(2), x), "add", "another graph");
    expect(wf_matmul(F(2, 2), x), "matmul", "another graph");
    expect(wf_concat(2, (wf_node *[]){F(2), x}, 0), "concat", "another graph");
    cr_expect_eq(wf_graph_check(other), WF_OK, "the other graph is none the worse");
    wf_graph_free(other);
}

/* ---- compile, bind, run ---- */

static wf_status compile(wf_program **p, wf_store *s, const char *name, int64_t n)
{
    wf_size_value sizes[] = {{name, n}, {NULL, 0}};
    return wf_compile(p, g, s, rt, &(wf_compile_options){.sizes = sizes});
}

Test(shapes, symbolic_sizes_are_checked_when_they_are_known)
{
    wf_store *s = wf_store_new(0);
    wf_program *p;
    int64_t n = wf_size(g, "n");
    wf_output(wf_slice(wf_input(g, "x", WF_F32, WF_SHAPE(n, 2)), 0, 1, 2), "y");
    expect_error(wf_compile(&p, g, s, rt, NULL), WF_EMODEL, "size \"n\"", "not given a value");
    expect_error(compile(&p, s, "n", 2), WF_EMODEL, "net/layer: slice", "[2,2]");
    expect_error(compile(&p, s, "n", 0), WF_EMODEL, "\"n\"", "0 is not positive");
    expect_error(compile(&p, s, "m", 3), WF_EMODEL, "\"m\"", "no size");
    cr_expect_eq(compile(&p, s, "n", 3), WF_OK, "%s", wf_error());
    wf_program_free(p);
    wf_store_free(s);
}

Test(shapes, what_is_bound_and_read_is_checked)
{
    wf_store *s = wf_store_new(0);
    wf_program *p;
    float x[6] = {1, 2, 3, 4, 5, 6};
    int32_t three = 3;
    wf_output(wf_sum(wf_mul(F(6), wf_input(g, "factor", WF_F32, WF_SCALAR)), WF_ALL, false), "y");
    wf_output(wf_input(g, "count", WF_I32, WF_SCALAR), "count");
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    expect_error(wf_run(p), WF_EUNBOUND, "net/layer/", "not bound");
    expect_error(wf_bind(p, "net/layer/f6", x, 20), WF_EMODEL, "\"net/layer/f6\"",
                 "24 bytes, got 20");
    expect_error(wf_bind(p, "f6", x, 24), WF_EMODEL, "\"f6\"", "no input");
    expect_error(wf_set(p, "lr", 1), WF_EMODEL, "\"lr\"", "no input");
    expect_error(wf_set(p, "net/layer/f6", 1), WF_EMODEL, "\"net/layer/f6\"", "24 bytes");
    expect_error(wf_set(p, "net/layer/count", 1), WF_EMODEL, "\"net/layer/count\"", "one float32");
    cr_expect_eq(wf_bind(p, "net/layer/count", &three, sizeof three), WF_OK);
    cr_expect_eq(wf_set(p, "net/layer/factor", 2), WF_OK);
    expect_error(wf_run(p), WF_EUNBOUND, "net/layer/f6", "not bound");
    cr_expect_eq(wf_bind(p, "net/layer/f6", x, sizeof x), WF_OK);
    cr_expect_eq(wf_run(p), WF_OK);
    cr_expect_eq(wf_scalar(p, "y"), 42);
    cr_expect_eq(wf_scalar(p, "count"), 3);
    cr_expect_null(wf_read(p, "z", NULL));
    cr_expect(isnan(wf_scalar(p, "z")));
    wf_program_free(p);
    wf_store_free(s);
}

Test(shapes, a_store_that_holds_another_shape_is_told)
{
    wf_store *s = wf_store_new(0);
    wf_program *p;
    float w[6] = {0};
    cr_expect_eq(wf_store_put(s, "net/layer/w", WF_F32, WF_SHAPE(3, 2), w), WF_OK);
    wf_output(wf_exp(wf_param(g, "w", WF_SHAPE(2, 3), kernel, zeros)), "y");
    expect_error(wf_compile(&p, g, s, rt, NULL), WF_EMODEL, "net/layer/w", "[3,2]");
    wf_store_free(s);
}
