/* The gradient check finds wrong gradients, and checks the model that is meant. */
#include <criterion/criterion.h>

#include <string.h>

#include "models/gau.h"
#include <weft/op.h>

enum { N = 50 };

/* ---- a custom op y = x^2 whose gradient is wrong ---- */

static void square_lane(const void *attr, int64_t n, float *y, const float *const x[])
{
    (void)attr;
    for (int64_t i = 0; i < n; i++) y[i] = x[0][i] * x[0][i];
}

static void right(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_mul(dy, wf_scale(y->in[0], 2));
}

static void too_large(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_mul(dy, wf_scale(y->in[0], 2.1f));
}

static void none(wf_node *y, wf_node *dy, wf_node *dx[])
{
    (void)y, (void)dy, (void)dx;
}

/* What a kernel that forgets its last element would give. */
static void without_the_last(wf_node *y, wf_node *dy, wf_node *dx[])
{
    float keep[N];
    for (int i = 0; i < N; i++) keep[i] = i + 1 < N;
    right(y, dy, dx);
    dx[0] = wf_mul(dx[0], wf_constants(wf_graph_of(y), WF_SHAPE(N), keep));
}

#define SQUARE(GRAD)                                                                               \
    {                                                                                              \
        .name = #GRAD, .doc = "x^2", .arity = 1, .traits = WF_ELEMENTWISE, .infer = wf_infer_same, \
        .grad = GRAD, .lane = square_lane                                                          \
    }

static const wf_op squares[] = {SQUARE(right), SQUARE(too_large), SQUARE(none),
                                SQUARE(without_the_last)};

static wf_runtime *one_thread(void)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    cr_assert(rt, "%s", wf_error());
    return rt;
}

/* sum(op(x)) by an input or a parameter x. */
static wf_status check_square(const wf_op *op, wf_runtime *rt, bool param, uint64_t seed)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_UNIFORM, .a = 0.5f, .b = 2};
    wf_node *x = param ? wf_param(g, "x", WF_SHAPE(N), (wf_role){0}, init)
                       : wf_input(g, "x", WF_F32, WF_SHAPE(N));
    wf_output(wf_sum(wf_apply(op, NULL, 1, &x), WF_ALL, false), "loss");
    wf_status s = wf_gradcheck(g, "loss", rt, &(wf_gradcheck_options){.seed = seed});
    wf_graph_free(g);
    return s;
}

Test(gradcheck, finds_a_wrong_gradient_of_a_custom_op)
{
    wf_runtime *rt = one_thread();
    for (size_t k = 0; k < sizeof squares / sizeof *squares; k++)
        for (int i = 0; i < 20; i++) {
            wf_status s = check_square(&squares[k], rt, i % 2, (uint64_t)i);
            cr_expect_eq(s, k == 0 ? WF_OK : WF_EMODEL, "%s, seed %d: %s", squares[k].name, i,
                         wf_error());
            if (k > 0) cr_expect(strstr(wf_error(), "x: gradient gives"), "%s", wf_error());
        }
    wf_runtime_free(rt);
}

/* ---- inputs ---- */

static const wf_size_value sizes[] = {{"tokens", 11}, {"rows", 3}, {"picks", 4}, {NULL, 0}};
static const int32_t ids[11] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, offsets[4] = {0, 4, 9, 11};
static const int32_t picks[4] = {0, 3, 7, 10}, labels[4] = {7, -1, 2, 8};
static const wf_input_data inputs[] = {{"ids", ids, sizeof ids},
                                       {"offsets", offsets, sizeof offsets},
                                       {"picks", picks, sizeof picks},
                                       {"labels", labels, sizeof labels},
                                       {NULL, NULL, 0}};

static wf_graph *masked_model(wf_gau_norm norm)
{
    wf_gau_config c = {.layers = 2,
                       .width = 8,
                       .expand = 12,
                       .key = 4,
                       .vocab = 10,
                       .norm = norm,
                       .min_len = 1,
                       .eps = 1e-12f,
                       .dropout = {0.1f, 0.2f, 0.1f, 0.1f}};
    wf_graph *g = wf_graph_new();
    wf_gau_mlm(g, &c);
    return g;
}

Test(gradcheck, a_packed_model_with_its_offsets)
{
    wf_runtime *rt = one_thread();
    for (wf_gau_norm norm = WF_GAU_SOFTMAX_PLUS; norm <= WF_GAU_RELU2; norm++) {
        wf_graph *g = masked_model(norm);
        wf_gradcheck_options o = {.sizes = sizes, .inputs = inputs, .step = 4e-3};
        cr_expect_eq(wf_gradcheck(g, "loss", rt, &o), WF_OK, "%s: %s", wf_gau_norm_name(norm),
                     wf_error());
        wf_graph_free(g);
    }
    wf_runtime_free(rt);
}

/* sum(length x^2) with a wrong gradient: nothing is wrong where sequences are empty. */
Test(gradcheck, uses_the_data_that_it_is_given)
{
    static const int32_t empty[4] = {0};
    wf_runtime *rt = one_thread();
    for (int full = 0; full < 2; full++) {
        wf_graph *g = wf_graph_new();
        wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(11, 1));
        wf_node *ends = wf_input(g, "offsets", WF_I32, WF_SHAPE(4));
        wf_node *length = wf_span_length(wf_span_packed(ends, 11, false), 0);
        wf_node *y = wf_mul(wf_apply(&squares[1], NULL, 1, &x), length);
        wf_output(wf_sum(y, WF_ALL, false), "loss");
        float ones[11];
        for (int i = 0; i < 11; i++) ones[i] = 1;
        wf_input_data given[] = {{"offsets", full ? offsets : empty, sizeof empty},
                                 {"x", ones, sizeof ones},
                                 {NULL, NULL, 0}};
        wf_gradcheck_options o = {.inputs = given};
        cr_expect_eq(wf_gradcheck(g, "loss", rt, &o), full ? WF_EMODEL : WF_OK, "%s", wf_error());
        for (int i = 0; i < 11; i++) cr_expect_eq(ones[i], 1, "the caller's data was changed");
        wf_graph_free(g);
    }
    wf_runtime_free(rt);
}

/* A run that trains would move the parameters between the two losses of a difference. */
Test(gradcheck, a_model_that_is_trained_stays_where_it_is)
{
    wf_runtime *rt = one_thread();
    wf_init init = {.kind = WF_INIT_UNIFORM, .a = 0.5f, .b = 2};
    for (int assigns = 0; assigns < 2; assigns++) {
        wf_graph *g = wf_graph_new();
        wf_node *x = wf_param(g, "x", WF_SHAPE(N), (wf_role){0}, init);
        wf_node *y = wf_param(g, "y", WF_SHAPE(N), (wf_role){0}, init);
        wf_node *loss = wf_output(wf_sum(wf_mul(x, wf_square(y)), WF_ALL, false), "loss");
        if (assigns)
            wf_assign(x, wf_scale(x, 0.5f));
        else
            wf_minimize(loss, &wf_sgd, NULL, NULL);
        cr_expect_eq(wf_gradcheck(g, "loss", rt, NULL), WF_OK, "%s", wf_error());
        wf_graph_free(g);
    }
    wf_runtime_free(rt);
}

static void refuses(wf_graph *g, wf_runtime *rt, const wf_input_data *given, const char *text)
{
    wf_gradcheck_options o = {.sizes = sizes, .inputs = given};
    cr_expect_eq(wf_gradcheck(g, "loss", rt, &o), WF_EMODEL, "not refused: %s", text);
    cr_expect(strstr(wf_error(), text), "says \"%s\", not %s", wf_error(), text);
}

Test(gradcheck, refuses_integers_that_it_is_not_given_and_inputs_that_do_not_fit)
{
    wf_runtime *rt = one_thread();
    wf_graph *g = masked_model(WF_GAU_SOFTMAX);
    wf_input_data given[5];
    memcpy(given, inputs, sizeof given);
    given[3] = inputs[4]; /* no labels */
    refuses(g, rt, given, "input \"labels\" is not float32");
    refuses(g, rt, NULL, "is not float32: give its data");
    given[3] = (wf_input_data){"labels", labels, 12};
    refuses(g, rt, given, "input \"labels\" takes 16 bytes, got 12");
    given[3].name = "label";
    refuses(g, rt, given, "there is no input \"label\"");
    wf_graph_free(g);
    wf_runtime_free(rt);
}
