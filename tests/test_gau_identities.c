/* What must hold for the gated attention unit whatever its weights are. */
#define _GNU_SOURCE
#include "gau_trial.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const norms[] = {"softmax", "softmax_plus", "relu2"};
static const char *const passes[] = {"", "-fuse_gau"};
static const char *const gradients[] = {"dx", "dwi", "dwo", "dgq", "dgk"};

/* y and the gradients of two trials of one shape. */
static void expect_equal(const trial *a, const trial *b, const gau_layer *l, double tolerance,
                         const char *what)
{
    int64_t rows = l->packed ? l->time : l->batch * l->time;
    int64_t sizes[] = {rows * l->d, l->d * (2 * l->e + l->s), l->e * l->d, l->s, l->s};
    double d = distance(read_output(a, "y"), read_output(b, "y"), rows * l->d);
    cr_expect_leq(d, tolerance, "%s: y differs by %g", what, d);
    for (int i = 0; i < 5 && l->differentiate; i++) {
        d = distance(read_output(a, gradients[i]), read_output(b, gradients[i]), sizes[i]);
        cr_expect_leq(d, tolerance, "%s: %s differs by %g", what, gradients[i], d);
    }
}

/* ---- weights ---- */

Test(gau_identities, a_shift_of_all_positions_changes_nothing)
{
    static const int32_t offsets[] = {0, 50, 51, 90};
    float *x = random_x(100 * 12);
    for (size_t i = 0; i < COUNT(norms) * 2; i++) {
        gau_layer l = {.d = 12,
                       .e = 20,
                       .s = 8,
                       .norm = norms[i / 2],
                       .min_len = 1,
                       .packed = true,
                       .batch = 3,
                       .time = 100,
                       .differentiate = true};
        trial a = compile(&l, passes[i % 2], 1);
        run(&a, &l, x, offsets);
        cr_expect_eq(is_fused(&a), i % 2 == 0, "%s", l.norm);
        l.shift = 1000;
        trial b = compile(&l, passes[i % 2], 1);
        run(&b, &l, x, offsets);
        expect_equal(&b, &a, &l, 1e-5, l.norm);
        end(&a);
        end(&b);
    }
    free(x);
}

Test(gau_identities, softmax_plus_of_512_keys_is_softmax)
{
    static const int32_t length = 512;
    gau_layer l = {.d = 12, .e = 16, .s = 8, .batch = 1, .time = 512, .differentiate = true};
    float *x = random_x(512 * 12);
    for (size_t i = 0; i < COUNT(passes); i++) {
        l.norm = "softmax", l.min_len = 1;
        trial a = compile(&l, passes[i], 1);
        l.norm = "softmax_plus";
        trial b = compile(&l, passes[i], 1);
        run(&a, &l, x, &length);
        run(&b, &l, x, &length);
        expect_equal(&b, &a, &l, 2e-6, *passes[i] ? "unfused" : "fused");
        end(&a);
        end(&b);
    }
    free(x);
}

/* Weights that let a unit tell its own attention: u is 1 and v the identity matrix in each
 * sequence, because x is [1, one-hot of the place, noise], and Wo copies. So o = a. silu(1.2784...)
 * is 1 and silu(0) is 0, exactly. */
static void tell_weights(const trial *t, const gau_layer *l, float *x)
{
    const float one = 1.2784645427610738f;
    int64_t n = l->e, w = 2 * l->e + l->s, rows = l->packed ? n : l->batch * n;
    float *wi = wf_store_data(t->store, "wi", NULL, NULL);
    float *wo = wf_store_data(t->store, "wo", NULL, NULL);
    for (int64_t r = 0; r < l->d; r++)
        for (int64_t c = 0; c < 2 * n; c++)
            wi[r * w + c] = c < n ? (r == 0) * one : (r == 1 + c - n) * one;
    for (int64_t i = 0; i < n * l->d; i++) wo[i] = i / l->d == i % l->d;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j <= n; j++) x[i * l->d + j] = j == 0 || j == 1 + i % n;
}

static void expect_weights(const float *a, int64_t stride, const gau_layer *l, const int32_t *ends,
                           const char *what)
{
    int64_t n = l->time, rows = l->packed ? n : l->batch * n;
    bool is_softmax = strcmp(l->norm, "relu2");
    for (int64_t i = 0, sequence = 0; i < rows; i++, a += stride) {
        while (l->packed && sequence < l->batch && i >= ends[sequence + 1]) sequence++;
        bool in_none = l->packed && sequence == l->batch;
        int64_t row = i % n, from = l->packed ? ends[sequence] : 0;
        int64_t to = in_none ? from : l->packed ? ends[sequence + 1] : ends[i / n];
        if (l->causal && row + 1 < to) to = row + 1;
        double sum = 0;
        for (int64_t j = 0; j < n; j++) {
            bool sees = j >= from && j < to;
            cr_expect(sees ? a[j] >= 0 : a[j] == 0, "%s: row %d, key %d: %g", what, (int)i, (int)j,
                      (double)a[j]);
            cr_expect(!sees || !is_softmax || a[j] > 0, "%s: row %d loses key %d", what, (int)i,
                      (int)j);
            sum += (double)a[j];
        }
        if (is_softmax)
            cr_expect_float_eq(sum, from < to, 1e-6, "%s: row %d sums to %.8f", what, (int)i, sum);
    }
}

/* One unit, fused and unfused. */
static void check_weights(gau_layer l, const int32_t *ends)
{
    int64_t rows = l.packed ? l.time : l.batch * l.time;
    float *x = random_x(rows * l.d);
    char what[80];
    snprintf(what, sizeof what, "%s%s%s", l.norm, l.packed ? " packed" : " padded",
             l.causal ? " causal" : "");
    trial fused = compile(&l, "", 2);
    l.show_weights = true;
    trial plain = compile(&l, "-fuse_gau", 1);
    tell_weights(&fused, &l, x);
    tell_weights(&plain, &l, x);
    run(&fused, &l, x, ends);
    run(&plain, &l, x, ends);
    cr_expect(is_fused(&fused), "%s", what);
    expect_weights(read_output(&plain, "a"), l.time, &l, ends, what);
    expect_weights(read_output(&fused, "o"), l.d, &l, ends, what);
    for (int64_t i = 0; i < rows; i++) {
        double d = distance(read_output(&fused, "o") + i * l.d,
                            read_output(&plain, "a") + i * l.time, l.time);
        cr_expect_leq(d, 1e-5, "%s: row %d of the fused weights differs by %g", what, (int)i, d);
    }
    end(&fused);
    end(&plain);
    free(x);
}

Test(gau_identities, weights_of_visible_keys_sum_to_1_and_others_are_0)
{
    enum { TIME = 70, NOISE = 5 };
    static const int32_t lengths[] = {70, 1, 33, 0}, offsets[] = {0, 30, 31, 31, 66};
    for (size_t i = 0; i < COUNT(norms) * 4; i++) {
        gau_layer l = {.d = 1 + TIME + NOISE,
                       .e = TIME,
                       .s = 6,
                       .norm = norms[i / 4],
                       .min_len = 1,
                       .packed = i % 2,
                       .causal = i % 4 / 2,
                       .batch = 4,
                       .time = TIME};
        check_weights(l, l.packed ? offsets : lengths);
    }
}

/* ---- the two things that it is made of ---- */

/* Tokens that are alone in their sequences see themselves. */
Test(gau_identities, attention_to_oneself_leaves_a_gated_linear_unit)
{
    enum { TIME = 20, D = 12 };
    int32_t offsets[TIME + 1];
    float *x = random_x(TIME * D);
    for (int i = 0; i <= TIME; i++) offsets[i] = i;
    for (int i = 0; i < 2; i++) {
        gau_layer l = {.d = D,
                       .e = 18,
                       .s = 6,
                       .norm = norms[i],
                       .min_len = 16,
                       .packed = true,
                       .batch = TIME,
                       .time = TIME,
                       .differentiate = true};
        trial unit = compile(&l, "", 1);
        run(&unit, &l, x, offsets);
        l.is_glu = true;
        trial glu = compile(&l, "", 1);
        run(&glu, &l, x, offsets);
        cr_expect(is_fused(&unit) && !is_fused(&glu), "%s", l.norm);
        int64_t sizes[] = {TIME * D, D * (2 * l.e + l.s), l.e * D};
        for (int k = -1; k < 3; k++) {
            const char *name = k < 0 ? "y" : gradients[k];
            double d =
                distance(read_output(&unit, name), read_output(&glu, name), sizes[k < 0 ? 0 : k]);
            cr_expect_leq(d, 1e-5, "%s: %s differs by %g", l.norm, name, d);
        }
        for (int k = 0; k < 2 * l.s; k++)
            cr_expect_float_eq(read_output(&unit, gradients[3 + k / l.s])[k % l.s], 0, 1e-7f,
                               "%s: %s", l.norm, gradients[3 + k / l.s]);
        end(&unit);
        end(&glu);
    }
    free(x);
}

/* The first column of x is 1 and alone has weights to u: u = silu(1.2784...) = 1. */
Test(gau_identities, an_open_gate_leaves_attention_with_one_head)
{
    enum { TIME = 50, D = 12, E = 18, W = 2 * E + 6 };
    static const int32_t lengths[] = {50, 17};
    static const int sizes[] = {0, 0, E * D, 6, 6};
    float *x = random_x(2 * TIME * D);
    for (int i = 0; i < 2 * TIME; i++) x[i * D] = 1;
    for (size_t i = 0; i < COUNT(norms); i++) {
        gau_layer l = {.d = D,
                       .e = E,
                       .s = 6,
                       .norm = norms[i],
                       .min_len = 1,
                       .batch = 2,
                       .time = TIME,
                       .differentiate = true};
        trial unit = compile(&l, "", 1);
        l.is_ungated = true;
        trial head = compile(&l, "", 1);
        float *wi = wf_store_data(unit.store, "wi", NULL, NULL);
        for (int k = 0; k < D * W; k++)
            if (k % W < E) wi[k] = k < E ? 1.2784645427610738f : 0;
        run(&unit, &l, x, lengths);
        run(&head, &l, x, lengths);
        cr_expect(is_fused(&unit) && !is_fused(&head), "%s", l.norm);
        double d = distance(read_output(&unit, "y"), read_output(&head, "y"), 2 * TIME * D);
        cr_expect_leq(d, 1e-5, "%s: y differs by %g", l.norm, d);
        for (int k = 2; k < 5; k++) {
            d = distance(read_output(&unit, gradients[k]), read_output(&head, gradients[k]),
                         sizes[k]);
            cr_expect_leq(d, 1e-5, "%s: %s differs by %g", l.norm, gradients[k], d);
        }
        for (int row = 0; row < D; row++) { /* of v and z */
            d = distance(read_output(&unit, "dwi") + row * W + E,
                         read_output(&head, "dwi") + row * W + E, W - E);
            cr_expect_leq(d, 1e-5, "%s: row %d of dwi differs by %g", l.norm, row, d);
        }
        end(&unit);
        end(&head);
    }
    free(x);
}

/* ---- the scale of the weights ---- */

static void scale(const trial *t, const gau_layer *l, float factor)
{
    float *wi = wf_store_data(t->store, "wi", NULL, NULL);
    float *wo = wf_store_data(t->store, "wo", NULL, NULL);
    for (int64_t i = 0; i < l->d * (2 * l->e + l->s); i++) wi[i] *= factor;
    for (int64_t i = 0; i < l->e * l->d; i++) wo[i] *= factor;
}

/* How far o of doubled weights is from 2^7 o. */
static double off_the_law(trial *t, const gau_layer *l, const float *x, int32_t length)
{
    int64_t n = l->time * l->d;
    float *before = malloc((size_t)n * sizeof *before);
    run(t, l, x, &length);
    for (int64_t i = 0; i < n; i++) before[i] = 128 * read_output(t, "o")[i];
    scale(t, l, 2);
    run(t, l, x, &length);
    double d = distance(read_output(t, "o"), before, n);
    free(before);
    return d;
}

/* Three factors in u, v and Wo, four in the squared product of q and k. */
Test(gau_identities, relu2_grows_with_the_seventh_power_of_the_weights)
{
    gau_layer l = {.d = 12, .e = 20, .s = 8, .norm = "relu2", .batch = 1, .time = 40};
    float *x = random_x(l.time * l.d);
    l.is_relu = true;
    trial exact = compile(&l, "", 1);
    cr_expect_eq(off_the_law(&exact, &l, x, 40), 0, "doubling is exact");
    l.is_relu = false;
    trial silu = compile(&l, "", 1);
    cr_expect(is_fused(&silu));
    double apart = off_the_law(&silu, &l, x, 40), last = 1;
    cr_expect_geq(apart, 0.1, "SiLU is not homogeneous near 0, but off by %g", apart);
    for (int size = 16; size <= 4096; size *= 16, last = apart) {
        scale(&silu, &l, 8); /* and 2 below */
        apart = off_the_law(&silu, &l, x, 40);
        cr_expect_leq(apart, 0.1 * last, "weights of size %d are off by %g, before by %g", size,
                      apart, last);
    }
    end(&exact);
    end(&silu);
    free(x);
}
