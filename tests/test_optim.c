/*
 * Lion and Tiger with their momentum against numbers: four steps on gradients that do not depend on
 * the parameter, computed beforehand in double precision (the others: test_optimizers.c); what all
 * do with gradients, parameters and rows.
 */
#define _GNU_SOURCE
#include "optim_trial.h"

#include <stdio.h>
#include <string.h>

typedef struct row {
    const char *name;
    const wf_optimizer *optimizer;
    const void *hyper;
    wf_role role;
    float lr;
    double want[6];
    const char *state; /* also compared, if not NULL */
    double state_want[6];
} row;

static const wf_sgd_hyper plain, decayed = {.decay = 0.01f}, heavy = {.momentum = 0.9f};
static const wf_adamw_hyper adamw = {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 0.1f};
static const wf_lion_hyper lion = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.1f},
                           lion_one_beta = {.beta1 = 0.95f, .beta2 = 0.95f, .decay = 0.1f};
static const wf_tiger_hyper tiger = {.beta = 0.965f, .decay = 0.01f};

#define TIGER_M                                                                                    \
    "momentum",                                                                                    \
    {                                                                                              \
        -.049775796606, -.073711540703, -.062979595433, -.099934766641, -.044388345146,            \
            .032034608658                                                                          \
    }

static const row rows[] = {
    {"lion",
     &wf_lion,
     &lion,
     {0},
     .01f,
     {.518002978010, -.956065956011, 2.011952031992, .039940039990, 1.513949033992, -.249041459010},
     "momentum",
     {-.014113230793, -.021714625076, -.019103291885, -.030163038324, -.014310691342,
      .008272197389}},
    {"lion with one beta",
     &wf_lion,
     &lion_one_beta,
     {0},
     .01f,
     {.498042958011, -.956065956011, 2.031952031992, .039940039990, 1.533949033992, -.229061459010},
     NULL,
     {0}},
    {"tiger, kernel",
     &wf_tiger,
     &tiger,
     {.kind = WF_KERNEL},
     .01f,
     {.499913635737, -.954458532304, 2.044188750833, .045090562075, 1.544414203644, -.227459326952},
     TIGER_M},
    {"tiger, embedding",
     &wf_tiger,
     &tiger,
     {.kind = WF_EMBEDDING},
     .01f,
     {.499840852931, -.946435039065, 2.051973922491, .035365026417, 1.534834551020, -.232358590106},
     TIGER_M},
    {"tiger, bias",
     &wf_tiger,
     &tiger,
     {.kind = WF_BIAS},
     .01f,
     {.5, -.98, 2.02, .02, 1.52, -.24},
     TIGER_M},
    {"tiger, scale",
     &wf_tiger,
     &tiger,
     {.kind = WF_SCALE},
     .01f,
     {.5, -.98, 2.02, .02, 1.52, -.24},
     TIGER_M},
    {"tiger, custom",
     &wf_tiger,
     &tiger,
     {WF_CUSTOM, .rate = 0.5f, .decay = 0},
     .01f,
     {.5, -.98, 2.02, .02, 1.52, -.24},
     TIGER_M},
};

Test(optim, four_steps_of_lion_and_tiger_give_the_numbers_of_its_formula)
{
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        trial t = begin();
        char state[64];
        wf_minimize(w_times_gradient(&t, rows[r].role), rows[r].optimizer, rows[r].hyper, NULL);
        compile(&t, rows[r].lr);
        for (int k = 1; k <= STEPS; k++) run(&t, k);
        expect_tensor(&t, "w", rows[r].want, rows[r].name);
        snprintf(state, sizeof state, "opt/%s/w/%s", rows[r].optimizer->name,
                 rows[r].state ? rows[r].state : "");
        if (rows[r].state) expect_tensor(&t, state, rows[r].state_want, rows[r].name);
        end(&t);
    }
}

/* The norm of the first gradient is 2.353939359451. */
static const double clipped[6] = {.264072097568,  -.012404529360, -.283047112305,
                                  -.375010213126, -.618723087812, -.571440826485};

Test(optim, gradients_are_clipped_to_their_norm)
{
    trial t = begin();
    wf_minimize(w_times_gradient(&t, (wf_role){0}), &wf_sgd, NULL,
                &(wf_minimize_options){.clip_norm = 1});
    compile(&t, 1);
    run(&t, 1);
    double want[6];
    for (int i = 0; i < 6; i++) want[i] = (double)start[i] - clipped[i];
    expect_tensor(&t, "w", want, "clipped");
    end(&t);
}

Test(optim, the_norm_is_that_of_all_gradients_together_and_small_ones_stay)
{
    for (int large = 0; large < 2; large++) {
        trial t = begin();
        wf_node *dw = wf_input(t.g, "gradient", WF_F32, WF_SHAPE(2, 3)),
                *loss = wf_constant(t.g, 0);
        for (int i = 0; i < 2; i++) {
            wf_node *w = wf_param(t.g, i ? "b" : "a", WF_SHAPE(1, 3), (wf_role){0}, (wf_init){0});
            loss = wf_add(loss, wf_sum(wf_mul(w, wf_slice(dw, 0, i, 1)), WF_ALL, false));
        }
        wf_minimize(loss, &wf_sgd, NULL, &(wf_minimize_options){.clip_norm = large ? 1 : 2.354f});
        compile(&t, 1);
        run(&t, 1);
        for (int i = 0; i < 6; i++) {
            const float *w = wf_store_data(t.store, i < 3 ? "a" : "b", NULL, NULL);
            double want = large ? clipped[i] : (double)t.gradient[i];
            cr_expect_float_eq((double)-w[i % 3], want, 1e-6, "%d of clip %d", i, large);
        }
        end(&t);
    }
}

Test(optim, tiger_leaves_zero_kernels_alone_unless_there_is_a_floor)
{
    for (int floor = 0; floor < 2; floor++) {
        trial t = begin();
        wf_tiger_hyper h = {.beta = 0.9f, .rms_floor = floor ? 1e-3f : 0};
        wf_node *loss = w_times_gradient(&t, (wf_role){.kind = WF_KERNEL});
        wf_minimize(loss, &wf_tiger, &h, NULL);
        float *w = wf_store_data(t.store, "w", NULL, NULL);
        memset(w, 0, sizeof start);
        compile(&t, 0.5f);
        run(&t, 1);
        for (int i = 0; i < 6; i++)
            cr_expect_float_eq((double)fabsf(w[i]), floor ? 5e-4 : 0, 1e-9, "floor %d: %g", floor,
                               (double)w[i]);
        end(&t);
    }
}

Test(optim, a_parameter_that_the_loss_does_not_see_stays_as_it_is)
{
    trial t = begin();
    wf_node *v = wf_param(t.g, "v", WF_SHAPE(2, 3), (wf_role){0}, (wf_init){0});
    wf_store_put(t.store, "v", WF_F32, WF_SHAPE(2, 3), start);
    wf_output(wf_exp(v), "e");
    wf_minimize(w_times_gradient(&t, (wf_role){0}), &wf_adamw, &adamw, NULL);
    compile(&t, 0.1f);
    run(&t, 1);
    cr_expect_arr_eq(wf_store_data(t.store, "v", NULL, NULL), start, sizeof start);
    cr_expect_null(wf_store_data(t.store, "opt/adamw/v/m", NULL, NULL));
    end(&t);
}

/* ---- an embedding ---- */

enum { ROWS = 200, WIDTH = 5, PICKS = 9 };

static bool is_picked(const int32_t *ids, int r)
{
    for (int i = 0; i < PICKS; i++)
        if (ids[i] == r) return true;
    return false;
}

/* Three steps on sum(w row^2); whether only the rows of ids are touched. */
static bool train_rows(const wf_optimizer *o, const void *hyper, float clip, float table[])
{
    static const int32_t ids[PICKS] = {3, 199, 3, 64, -1, 3, 200, 63, 64};
    float w[PICKS * WIDTH];
    trial t = begin();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 1};
    wf_node *p = wf_param(t.g, "p", WF_SHAPE(ROWS, WIDTH), (wf_role){WF_EMBEDDING, 0, 0, 0}, init);
    wf_node *x = wf_gather(p, wf_input(t.g, "ids", WF_I32, WF_SHAPE(PICKS)));
    wf_node *weights = wf_input(t.g, "w", WF_F32, WF_SHAPE(PICKS, WIDTH));
    wf_minimize(wf_sum(wf_mul(wf_square(x), weights), WF_ALL, false), o, hyper,
                &(wf_minimize_options){.clip_norm = clip});
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_set(t.p, "lr", 0.1f), WF_OK, "%s", wf_error());
    for (int i = 0; i < PICKS * WIDTH; i++) w[i] = (float)cos(i);
    cr_assert_eq(wf_bind(t.p, "ids", ids, sizeof ids), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t.p, "w", w, sizeof w), WF_OK, "%s", wf_error());
    const float *now = wf_store_data(t.store, "p", NULL, NULL);
    float before[ROWS * WIDTH];
    memcpy(before, now, sizeof before);
    for (int i = 0; i < 3; i++) cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
    memcpy(table, now, sizeof before);
    for (int r = 0; r < ROWS; r++) {
        bool changed = memcmp(before + (ptrdiff_t)r * WIDTH, now + (ptrdiff_t)r * WIDTH,
                              WIDTH * sizeof *now) != 0;
        cr_expect_eq(changed, is_picked(ids, r) || (o == &wf_sgd && hyper == &decayed),
                     "%s, row %d", o->name, r);
    }
    char *text = wf_program_text(t.p);
    bool sparse = strstr(text, "scatter_store") && !strstr(text, "scatter_rows");
    free(text);
    end(&t);
    return sparse;
}

Test(optim, plain_sgd_touches_only_the_rows_of_an_embedding_that_were_read)
{
    static float sparse[ROWS * WIDTH], dense[ROWS * WIDTH], other[ROWS * WIDTH];
    cr_expect(train_rows(&wf_sgd, &plain, 0, sparse));
    setenv("WF_PASSES", "-simplify", 1);
    cr_expect(!train_rows(&wf_sgd, &plain, 0, dense));
    unsetenv("WF_PASSES");
    for (int i = 0; i < ROWS * WIDTH; i++)
        cr_expect_float_eq(sparse[i], dense[i], 1e-6f * (1 + fabsf(dense[i])), "%d: %g, %g", i,
                           (double)sparse[i], (double)dense[i]);
    cr_expect(!train_rows(&wf_sgd, &heavy, 0, other));
    cr_expect(!train_rows(&wf_sgd, &decayed, 0, other));
    cr_expect(!train_rows(&wf_sgd, &plain, 100, other)); /* the norm needs the gradient */
}

/* The other reader comes later by its depth, and must not see the new table; v is trained beside
 * it. */
Test(optim, an_update_of_rows_waits_for_all_readers_of_the_table)
{
    static const int32_t ids[2] = {1, 1};
    wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1};
    trial t = begin();
    wf_node *p = wf_param(t.g, "p", WF_SHAPE(3, 2), (wf_role){0}, one), *deep = p;
    wf_node *v = wf_param(t.g, "v", WF_SHAPE(2, 2), (wf_role){0}, one);
    wf_node *x = wf_gather(p, wf_input(t.g, "ids", WF_I32, WF_SHAPE(2)));
    for (int i = 0; i < 30; i++) deep = wf_transpose(wf_cumsum(deep, 0), (wf_axes){0});
    wf_assign(wf_state(p, "deep"), wf_sub(deep, wf_scale(p, 2)));
    wf_minimize(wf_sum(wf_mul(x, v), WF_ALL, false), &wf_sgd, NULL, NULL);
    setenv("WF_PASSES", "-simplify", 1);
    wf_runtime *dense = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    unsetenv("WF_PASSES");
    float got[2][6], v_got[2][4];
    for (int i = 0; i < 2; i++) {
        wf_store *s = wf_store_new(0);
        cr_assert_eq(wf_compile(&t.p, t.g, s, i ? dense : t.rt, NULL), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_bind(t.p, "ids", ids, sizeof ids), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_set(t.p, "lr", 0.5f), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
        const float *now = wf_store_data(s, "p", NULL, NULL);
        for (int k = 0; k < 6; k++)
            cr_expect_eq(now[k], k / 2 == 1 ? 0 : 1, "p[%d] is %g", k, (double)now[k]);
        memcpy(got[i], wf_store_data(s, "opt/none/p/deep", NULL, NULL), sizeof got[i]);
        memcpy(v_got[i], wf_store_data(s, "v", NULL, NULL), sizeof v_got[i]);
        wf_program_free(t.p);
        wf_store_free(s);
    }
    t.p = NULL;
    cr_expect_arr_eq(got[0], got[1], sizeof got[0], "the deep reader saw the new table");
    cr_expect_arr_eq(v_got[0], v_got[1], sizeof v_got[0]);
    wf_runtime_free(dense);
    end(&t);
}

Test(optim, optimizers_are_found_by_name)
{
    cr_expect_eq(wf_optimizer_find("sgd"), &wf_sgd);
    cr_expect_eq(wf_optimizer_find("adamw"), &wf_adamw);
    cr_expect_eq(wf_optimizer_find("lion"), &wf_lion);
    cr_expect_eq(wf_optimizer_find("tiger"), &wf_tiger);
    cr_expect_null(wf_optimizer_find("lam"));
}
