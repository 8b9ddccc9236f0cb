/* The gated attention unit: golden values, identities, fused against unfused. */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gau_trial.h"

/* ---- golden values, computed in double precision from closed formulas ---- */

typedef struct golden {
    const char *norm;
    float min_len;
    int32_t length;
    double a[3], o[4], y0[4], y2[4]; /* a: row 0 */
} golden;

static const double golden_z0[] = {.41259690, .32273509, .08441659, -.11905184},
                    golden_q1[] = {.11571695, -.03649371, -.20188655, -.21804090},
                    golden_s[] = {.15121952,  .01952173, -.00655262, .02164084, .03729552,
                                  -.03235250, .00219186, -.03356071, .13356943};

static const golden goldens[] = {
    {"softmax",
     1,
     3,
     {.36621314, .32102459, .31276227},
     {-.00033958, -.00319309, -.00363013, -.00131996},
     {1.45525652, 1.20284595, .65832840, -.04465192},
     {-1.09717140, -.20351704, .73317342, 1.48904414}},
    {"softmax_plus",
     1,
     3,
     {.33902078, .33124839, .32973083},
     {-.00063564, -.00336287, -.00354515, -.00104452},
     {1.45513810, 1.20285772, .65859518, -.04425851},
     {-1.09677192, -.20245106, .73416127, 1.48899703}},
    {"softmax_plus",
     16,
     3,
     {.34777422, .32800246, .32422332},
     {-.00053971, -.00330767, -.00357245, -.00113367},
     {1.45517628, 1.20285403, .65850898, -.04438584},
     {-1.09690018, -.20279324, .73384413, 1.48901231}},
    {"relu2",
     1,
     3,
     {.00762245, .00012703, 0},
     {.00004165, -.00000173, -.00004380, -.00005272},
     {1.45225120, 1.20455974, .66195134, -.04269312},
     {-1.10251864, -.21518762, .72485803, 1.48752404}},
    {"softmax_plus",
     1,
     2,
     {.50365821, .49634179, 0},
     {.00431260, .00043431, -.00377265, -.00512454},
     {1.45608605, 1.20321415, .65542950, -.05001297},
     {-1.09162037, -.18892201, .74657482, 1.48838821}},
    {"relu2",
     1,
     2,
     {.01143367, .00019055, 0},
     {.00006247, -.00000259, -.00006569, -.00007908},
     {1.45227320, 1.20455152, .66191556, -.04273134},
     {-1.10249363, -.21510483, .72494910, 1.48751017}},
};

static void set_golden_weights(trial *t, float x[12])
{
    float *wi = wf_store_data(t->store, "wi", NULL, NULL);
    float *wo = wf_store_data(t->store, "wo", NULL, NULL);
    float *gq = wf_store_data(t->store, "gq", NULL, NULL);
    float *gk = wf_store_data(t->store, "gk", NULL, NULL);
    for (int i = 0; i < 64; i++) wi[i] = (float)(0.5 * sin(0.7 * i + 0.3));
    for (int i = 0; i < 24; i++) wo[i] = (float)(0.5 * cos(0.9 * i + 0.2));
    for (int j = 0; j < 4; j++) gq[j] = (float)(1 + 0.1 * j), gk[j] = (float)(1 - 0.05 * j);
    for (int i = 0; i < 12; i++) x[i] = (float)cos(0.5 * i + 0.1);
}

static void expect_near(const char *what, const golden *k, int n, const float *y,
                        const double *want)
{
    for (int i = 0; i < n; i++)
        cr_expect_float_eq((double)y[i], want[i], 1e-6, "%s of %s min %g length %d, %d: %.8f %.8f",
                           what, k->norm, (double)k->min_len, k->length, i, (double)y[i], want[i]);
}

/* The weights of row i by the scores above. */
static void weigh(const golden *k, int i, double a[3])
{
    double len = k->length, sum = 0, c = 1;
    if (!strcmp(k->norm, "softmax_plus")) c = log(fmax(len, (double)k->min_len)) / log(512);
    bool is_softmax = strcmp(k->norm, "relu2");
    for (int j = 0; j < 3; j++) {
        double s = golden_s[3 * i + j];
        a[j] = j >= k->length ? 0 : is_softmax ? exp(c * s) : fmax(s, 0) * fmax(s, 0);
        sum += a[j];
    }
    for (int j = 0; j < 3; j++) a[j] /= is_softmax ? sum : len;
}

static void check_weights(const golden *k, const trial *t)
{
    double a[9];
    for (int i = 0; i < 3; i++) weigh(k, i, a + 3 * i);
    expect_near("z0", k, 4, read_output(t, "z"), golden_z0);
    expect_near("q1", k, 4, read_output(t, "q") + 4, golden_q1);
    expect_near("s", k, 9, read_output(t, "s"), golden_s);
    expect_near("a", k, 3, read_output(t, "a"), k->a);
    expect_near("a", k, 9, read_output(t, "a"), a);
}

static void check_golden(const golden *k, bool show, const char *passes)
{
    gau_layer l = {.d = 4,
                   .e = 6,
                   .s = 4,
                   .norm = k->norm,
                   .min_len = k->min_len,
                   .batch = 1,
                   .time = 3,
                   .show_weights = show};
    float x[12];
    trial t = compile(&l, passes, 1);
    set_golden_weights(&t, x);
    run(&t, &l, x, &k->length);
    cr_expect_eq(is_fused(&t), !show && !*passes, "fusion with passes \"%s\"", passes);
    if (show) check_weights(k, &t);
    expect_near("o", k, 4, read_output(&t, "o"), k->o);
    expect_near("y0", k, 4, read_output(&t, "y"), k->y0);
    expect_near("y2", k, 4, read_output(&t, "y") + 8, k->y2);
    end(&t);
}

Test(gau, gives_the_golden_values_fused_and_unfused)
{
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        check_golden(&goldens[i], false, "");
        check_golden(&goldens[i], true, "-fuse_gau");
    }
}

Test(gau, causal_softmax_plus_counts_visible_keys)
{
    static const double want[9] = {1, 0,         0,         .49956515, .50043485,
                                   0, .33144084, .32936055, .33919862};
    golden k = {.norm = "softmax_plus", .min_len = 1, .length = 3};
    gau_layer l = {.d = 4,
                   .e = 6,
                   .s = 4,
                   .norm = k.norm,
                   .min_len = 1,
                   .batch = 1,
                   .time = 3,
                   .causal = true,
                   .show_weights = true};
    float x[12];
    trial t = compile(&l, "-fuse_gau", 1);
    set_golden_weights(&t, x);
    run(&t, &l, x, &k.length);
    expect_near("causal a", &k, 9, read_output(&t, "a"), want);
    end(&t);
}

/* ---- fused against unfused, values and gradients ---- */

static void compare(const gau_layer *l, const int32_t *ends, const char *what)
{
    static const char *const names[] = {"y", "dx", "dwi", "dwo", "dgq", "dgk"};
    int64_t rows = l->packed ? l->time : l->batch * l->time, w = 2 * l->e + l->s;
    int64_t sizes[] = {rows * l->d, rows * l->d, l->d * w, l->e * l->d, l->s, l->s};
    float *x = random_x(rows * l->d);
    trial fused = compile(l, "", 2), plain = compile(l, "-fuse_gau", 1);
    setenv("WF_KERNELS", "ref", 1);
    trial naive = compile(l, "", 1); /* slow: run on half of the cases */
    unsetenv("WF_KERNELS");
    run(&fused, l, x, ends);
    run(&plain, l, x, ends);
    if (!l->causal) run(&naive, l, x, ends);
    cr_expect(is_fused(&fused) && !is_fused(&plain), "%s: fusion", what);
    for (int i = 0; i < 6; i++) {
        double d = distance(read_output(&fused, names[i]), read_output(&plain, names[i]), sizes[i]);
        cr_expect(d < 1e-5, "%s: %s differs by %g", what, names[i], d);
        if (l->causal) continue;
        d = distance(read_output(&fused, names[i]), read_output(&naive, names[i]), sizes[i]);
        cr_expect(d < 1e-5, "%s: %s differs from the reference by %g", what, names[i], d);
    }
    end(&fused);
    end(&plain);
    end(&naive);
    free(x);
}

Test(gau, fused_equals_unfused_in_value_and_gradient, .timeout = 60)
{
    static const char *const norms[] = {"softmax", "softmax_plus", "relu2"};
    static const int32_t lengths[] = {70, 1, 130}, offsets[] = {0, 40, 41, 41, 170, 193};
    for (int i = 0; i < 6; i++)
        for (int causal = 0; causal < 2; causal++) {
            gau_layer l = {.d = 20,
                           .e = 72,
                           .s = 14,
                           .norm = norms[i % 3],
                           .min_len = 2,
                           .dropout = i < 3 ? 0 : 0.2f,
                           .causal = causal,
                           .differentiate = true};
            char what[60];
            snprintf(what, sizeof what, "%s dropout %g causal %d", l.norm, (double)l.dropout,
                     causal);
            l.batch = 3, l.time = 130;
            compare(&l, lengths, what);
            l.packed = true, l.batch = 5, l.time = 200;
            compare(&l, offsets, what);
        }
}

/* Their values are kept between waves, for each panel of 64 columns. */
Test(gau, sequences_of_several_waves_equal_the_unfused_ones, .timeout = 60)
{
    static const int32_t offsets[] = {0, 1200, 1290, 1300};
    gau_layer l = {.d = 8,
                   .e = 72,
                   .s = 6,
                   .norm = "softmax_plus",
                   .min_len = 2,
                   .dropout = 0.1f,
                   .packed = true,
                   .causal = true,
                   .batch = 3,
                   .time = 1300,
                   .differentiate = true};
    compare(&l, offsets, "1,200 tokens");
}

/* The backward kernel writes each column of the slab once. */
Test(gau, is_fused_only_where_u_v_and_z_are_the_whole_slab)
{
    static const int32_t lengths[] = {30, 7};
    static const char *const names[] = {"y", "dx", "dwi"};
    gau_layer l = {
        .d = 8, .e = 16, .s = 4, .norm = "softmax", .batch = 2, .time = 30, .differentiate = true};
    float *x = random_x(60 * 8);
    for (int i = 0; i < 2; i++) {
        l.spare = i == 0 ? 3 : 0;
        l.twice = i == 1;
        int64_t sizes[] = {60 * 8, 60 * 8, 8 * (36 + l.spare)};
        trial a = compile(&l, "", 1), b = compile(&l, "-fuse_gau", 1);
        run(&a, &l, x, lengths);
        run(&b, &l, x, lengths);
        cr_expect_not(is_fused(&a), "variant %d", i);
        for (int k = 0; k < 3; k++) {
            double d = distance(read_output(&a, names[k]), read_output(&b, names[k]), sizes[k]);
            cr_expect(d < 1e-5, "variant %d: %s differs by %g", i, names[k], d);
        }
        end(&a);
        end(&b);
    }
    free(x);
}

Test(gau, has_the_same_bits_for_any_number_of_threads)
{
    static const int32_t offsets[] = {0, 300, 400, 520};
    static const char *const names[] = {"y", "dx", "dwi", "dwo", "dgq", "dgk"};
    gau_layer l = {.d = 24,
                   .e = 64,
                   .s = 16,
                   .norm = "softmax_plus",
                   .min_len = 1,
                   .packed = true,
                   .batch = 3,
                   .time = 520,
                   .dropout = 0.1f,
                   .differentiate = true};
    int64_t sizes[] = {520 * 24, 520 * 24, 24 * 144, 64 * 24, 16, 16};
    float *x = random_x(520 * 24);
    trial one = compile(&l, "", 1);
    run(&one, &l, x, offsets);
    for (int threads = 2; threads <= 7; threads += threads == 2 ? 1 : 4) {
        trial many = compile(&l, "", threads);
        run(&many, &l, x, offsets);
        for (int i = 0; i < 6; i++)
            cr_expect_arr_eq(read_output(&many, names[i]), read_output(&one, names[i]),
                             (size_t)sizes[i] * 4, "%s with %d threads", names[i], threads);
        end(&many);
    }
    end(&one);
    free(x);
}

/* ---- identities ---- */

Test(gau, packed_equals_padded_and_padding_does_not_matter)
{
    enum { D = 16, N = 90 };
    static const int32_t lengths[] = {90, 33, 64}, offsets[] = {0, 90, 123, 187};
    static const char *const norms[] = {"softmax_plus", "relu2"};
    float *x = random_x(3 * N * D), *packed = malloc(187 * D * sizeof *packed);
    for (int b = 0; b < 3; b++)
        memcpy(packed + offsets[b] * D, x + b * N * D, (size_t)lengths[b] * D * sizeof *x);
    for (int i = 0; i < 2; i++) {
        gau_layer l = {
            .d = D, .e = 40, .s = 8, .norm = norms[i], .min_len = 1, .batch = 3, .time = N};
        trial a = compile(&l, "", 1);
        run(&a, &l, x, lengths);
        l.packed = true, l.time = 187;
        trial b = compile(&l, "", 1);
        run(&b, &l, packed, offsets);
        for (int k = 0; k < 3; k++) {
            double d = distance(read_output(&b, "y") + offsets[k] * D,
                                read_output(&a, "y") + k * N * D, lengths[k] * D);
            cr_expect(d < 1e-5, "%s: sequence %d differs by %g", norms[i], k, d);
        }
        end(&a);
        end(&b);
    }
    free(x);
    free(packed);
}

Test(gau, a_causal_unit_never_looks_ahead)
{
    enum { D = 16, N = 100 };
    static const int32_t length = N;
    gau_layer l = {.d = D,
                   .e = 40,
                   .s = 8,
                   .norm = "softmax_plus",
                   .min_len = 1,
                   .batch = 1,
                   .time = N,
                   .causal = true};
    float *x = random_x(N * D), before[N * D];
    trial t = compile(&l, "", 1);
    run(&t, &l, x, &length);
    memcpy(before, read_output(&t, "y"), sizeof before);
    for (int change = 1; change < N; change += 33) {
        x[change * D] += 1;
        run(&t, &l, x, &length);
        const float *y = read_output(&t, "y");
        cr_expect_arr_eq(y, before, (size_t)(change * D) * 4, "token %d changed the past", change);
        cr_expect(memcmp(y + change * D, before + change * D, D * 4), "token %d did nothing",
                  change);
        x[change * D] -= 1;
    }
    end(&t);
    free(x);
}

Test(gau, rows_that_see_nothing_are_zero)
{
    static const int32_t offsets[] = {0, 10, 12};
    gau_layer l = {.d = 8,
                   .e = 16,
                   .s = 4,
                   .norm = "softmax",
                   .packed = true,
                   .batch = 2,
                   .time = 20,
                   .differentiate = true};
    float *x = random_x(20 * 8);
    trial t = compile(&l, "", 1);
    run(&t, &l, x, offsets);
    for (int i = 12 * 8; i < 20 * 8; i++) cr_expect_eq(read_output(&t, "o")[i], 0, "%d", i);
    for (int i = 0; i < 8 * 36; i++) cr_expect(isfinite(read_output(&t, "dwi")[i]), "dwi %d", i);
    end(&t);
    free(x);
}

/* ---- costs ---- */

/* The flops of the events of one op in a trace. */
static double traced_flops(const char *path, const char *op)
{
    static char text[1 << 16];
    double sum = 0;
    char name[64];
    FILE *f = fopen(path, "r");
    cr_assert(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    snprintf(name, sizeof name, "\"name\":\"%s\"", op);
    for (const char *at = text; (at = strstr(at, name)); at++)
        sum += strtod(strstr(at, "\"flops\":") + 8, NULL);
    return sum;
}

/* A batch of room for 4 sequences and 150 tokens, which holds less. */
Test(gau, statistics_and_trace_count_the_spans_of_the_batch_that_ran)
{
    static const int32_t batch[2][5] = {{0, 100, 110, 110, 110}, {0, 150, 150, 150, 150}};
    static const double pairs[2] = {100 * 100 + 10 * 10, 150 * 150};
    gau_layer l = {.d = 6,
                   .e = 8,
                   .s = 4,
                   .norm = "softmax",
                   .packed = true,
                   .batch = 4,
                   .time = 150,
                   .differentiate = true};
    char path[] = "/tmp/weft-trace-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    float *x = random_x(l.time * l.d);
    double flops[2];
    for (int i = 0; i < 2; i++) {
        setenv("WF_TRACE", path, 1);
        trial t = compile(&l, "", 1);
        unsetenv("WF_TRACE");
        run(&t, &l, x, batch[i]);
        flops[i] = wf_program_get_stats(t.p).flops;
        end(&t);
        cr_expect_eq(traced_flops(path, "gau"), 2 * pairs[i] * 12, "batch %d", i);
        cr_expect_eq(traced_flops(path, "gau_grad"), pairs[i] * (4 * 8 + 6 * 4), "batch %d", i);
    }
    cr_expect_eq(flops[1] - flops[0], (pairs[1] - pairs[0]) * (2 * 12 + 4 * 8 + 6 * 4));
    remove(path);
    free(x);
}
