/* Optimizers on the command line: the list of them, their numbers, and that drivers use them. */
#define _GNU_SOURCE
#include "tests/cli.h"

#include <weft/op.h>

TestSuite(cli_optimizers, .init = setup, .fini = teardown, .timeout = 60);

static const char *const names[] = {"tiger", "lion",      "adamw",   "sgd",   "adam",
                                    "lamb",  "adafactor", "rmsprop", "nadam", "radam"};

Test(cli_optimizers, all_are_listed_with_formula_and_numbers)
{
    outcome o = weft("optimizers");
    cr_expect_eq(o.code, 0, "%s", o.err);
    const char *says[] = {
        "tiger: m = ",
        "  --lr 0.00176\n  beta=0.965             share",
        "  nonfinite=nan_or_inf   gradients that are skipped: none|nan|nan_or_inf\n",
        "  accumulate=0",
        "  amsgrad=no",
        "  min_dim=128",
        "  form=optax             of decay, momentum and factors: optax|hf|"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(o.out, says[i]), "'%s' in %s", says[i], o.out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[32];
        snprintf(line, sizeof line, "\n%s: ", names[i]);
        cr_expect(strstr(o.out, line) || !strncmp(o.out, line + 1, strlen(line + 1)), "%s",
                  names[i]);
    }
    cr_expect_eq(weft("optimizers all").code, 2);
}

/* The store of a run of one step with these options. */
static wf_store *trained(const char *options)
{
    char line[400];
    snprintf(line, sizeof line, TRAIN "--text text.txt --steps 1 --overwrite %s", options);
    outcome o = weft(line);
    cr_assert_eq(o.code, 0, "%s: %s", line, o.err);
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, path_of("out/checkpoint.safetensors")), WF_OK, "%s", wf_error());
    return s;
}

static bool has_state(const wf_store *s, const char *optimizer, const char *state)
{
    for (int i = 0; i < wf_store_count(s); i++) {
        const char *name = wf_store_name(s, i), *end = name + strlen(name) - strlen(state);
        if (!strncmp(name, "opt/", 4) && !strncmp(name + 4, optimizer, strlen(optimizer)) &&
            name[4 + strlen(optimizer)] == '/' && end > name && !strcmp(end, state))
            return true;
    }
    return false;
}

Test(cli_optimizers, each_trains_by_its_name)
{
    static const char *const states[] = {"/momentum", "/momentum", "/v", "/momentum", "/v",
                                         "/v",        "/step",     "/v", "/rest",     "/v"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char options[64];
        snprintf(options, sizeof options, "--optimizer %s %s", names[i],
                 strcmp(names[i], "sgd") ? "" : "--beta 0.9");
        wf_store *s = trained(options);
        cr_expect(has_state(s, names[i], states[i]), "%s: %s", names[i], states[i]);
        wf_store_free(s);
    }
}

Test(cli_optimizers, their_numbers_reach_them)
{
    static const struct {
        const char *options, *optimizer, *state;
    } cases[] = {
        {"--optimizer tiger --hyper accumulate=3,nonfinite=nan", "tiger", "/phase"},
        {"--optimizer tiger --hyper accumulate=3,nonfinite=nan", "tiger", "/skipped"},
        {"--optimizer adam --hyper amsgrad=yes", "adam", "/v_max"},
        {"--optimizer sgd --hyper momentum=0.9,dampening=0.5", "sgd", "/step"},
        {"--optimizer adafactor --beta 0.9", "adafactor", "/momentum"},
        {"--optimizer adafactor --hyper min_dim=4", "adafactor", "/rows"},
        {"--optimizer adafactor --hyper form=torch", "adafactor", "/columns"},
        {"--optimizer rmsprop --hyper centred=yes", "rmsprop", "/mean"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_store *s = trained(cases[i].options);
        cr_expect(has_state(s, cases[i].optimizer, cases[i].state), "%s: no %s", cases[i].options,
                  cases[i].state);
        wf_store_free(s);
    }
    wf_store *s = trained("--optimizer adafactor");
    cr_expect(!has_state(s, "adafactor", "/rows"), "the tables are smaller than 128");
    wf_store_free(s);
}

Test(cli_optimizers, other_numbers_are_another_run)
{
    wf_store_free(trained("--hyper rms_floor=0.001"));
    outcome o = weft(TRAIN "--text text.txt --steps 2 --resume");
    cr_expect_eq(o.code, 1);
    cr_expect(strstr(o.err, "--hyper"), "%s", o.err);
    o = weft(TRAIN "--text text.txt --steps 2 --resume --hyper rms_floor=0.001");
    cr_expect_eq(o.code, 0, "%s", o.err);
}

/* A kernel of zeros has RMS 0: published tiger never moves it. */
Test(cli_optimizers, tiger_warns_of_a_matrix_that_it_cannot_move)
{
    wf_store *s = trained("");
    const char *name = "layer_0/gau/o_dense/kernel";
    wf_shape shape;
    float *x = wf_store_data(s, name, NULL, &shape);
    memset(x, 0, (size_t)(shape.dim[0] * shape.dim[1]) * sizeof *x);
    cr_assert_eq(wf_store_save(s, path_of("zero.safetensors"), "!opt/"), WF_OK, "%s", wf_error());
    wf_store_free(s);
    static const struct {
        const char *options;
        bool warns;
    } cases[] = {{"", true}, {"--hyper rms_floor=0.001", false}, {"--optimizer lion", false}};
    for (int i = 0; i < 3; i++) {
        char line[400];
        snprintf(line, sizeof line,
                 TRAIN "--text text.txt --steps 3 --overwrite --init zero.safetensors %s",
                 cases[i].options);
        outcome o = weft(line);
        cr_expect_eq(o.code, 0, "%s: %s", line, o.err);
        cr_expect(cases[i].warns ? is_one_line(o.err) && strstr(o.err, name) : !o.err[0], "%s: %s",
                  line, o.err);
        s = wf_store_new(0);
        cr_assert_eq(wf_store_load(s, path_of("out/model.safetensors")), WF_OK, "%s", wf_error());
        x = wf_store_data(s, name, NULL, NULL);
        cr_expect_eq(x[0] == 0 && x[1] == 0, cases[i].warns, "%s", line);
        wf_store_free(s);
    }
}

/* ---- what wraps them ---- */

static const char wrapped[] =
    "--optimizer adamw --accumulate 3 --ema 0.5 --lookahead 2:0.5 "
    "--clip norm=1,value=0.5,adaptive=0.1 --group *scale*:decay=0,clip=none "
    "--group *token_type*:frozen";

Test(cli_optimizers, wrappers_reach_them_and_go_on_to_the_same_bits)
{
    char line[600];
    static const struct {
        const char *steps, *out;
    } runs[] = {{"--steps 7", "whole"}, {"--steps 3", "parts"}, {"--steps 7 --resume", "parts"}};
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, TRAIN "--text text.txt %s %s --out %s", wrapped, runs[i].steps,
                 runs[i].out);
        outcome o = weft(line);
        cr_assert_eq(o.code, 0, "%s: %s", line, o.err);
        static const char *const says[] = {"3 batches of up to 128 tokens", "sums of gradients",
                                           "weights to go back to", "averages of weights",
                                           "model_last.safetensors (the weights)"};
        for (int k = 0; k < 5; k++) cr_expect(strstr(o.out, says[k]), "%s: %s", says[k], o.out);
    }
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, path_of("whole/checkpoint.safetensors")), WF_OK);
    const float *updates = wf_store_data(s, "opt/adamw/embeddings/word_embeddings/step", 0, 0);
    cr_expect(updates && *updates == 7, "%g updates in 7 steps", updates ? (double)*updates : -1);
    wf_store_free(s);
    expect_same_file("whole/model.safetensors", "parts/model.safetensors");
    expect_same_file("whole/model_last.safetensors", "parts/model_last.safetensors");
    cr_expect_eq(weft("gau fill --model whole a[MASK]c").code, 0);
    snprintf(line, sizeof line,
             TRAIN "--text text.txt %s --out parts --steps 8 --resume --group "
                   "*word*:rate=2",
             wrapped);
    outcome o = weft(line);
    cr_expect(o.code == 1 && strstr(o.err, "--group was *scale*:decay=0,clip=none"), "%s", o.err);
}

static const float *weights(wf_store *s, const char *file, const char *name, size_t *n)
{
    wf_shape shape;
    cr_assert_eq(wf_store_load(s, path_of(file)), WF_OK, "%s", wf_error());
    const float *x = wf_store_data(s, name, NULL, &shape);
    cr_assert(x, "%s has no %s", file, name);
    *n = (size_t)wf_elements(&shape) * sizeof *x;
    return x;
}

Test(cli_optimizers, the_model_holds_averages_and_the_weights_lie_beside_it)
{
    const char *table = "embeddings/word_embeddings";
    char name[80];
    size_t n;
    wf_store *s = trained("--ema 0.5 --steps 4 --optimizer adamw --lr 0.1 --eval-every 2"),
             *model = wf_store_new(0), *last = wf_store_new(0);
    snprintf(name, sizeof name, "opt/ema/%s/average", table);
    const float *average = wf_store_data(s, name, NULL, NULL), *now = wf_store_data(s, table, 0, 0);
    cr_assert(average && now);
    const float *in_model = weights(model, "out/model.safetensors", table, &n);
    const float *beside = weights(last, "out/model_last.safetensors", table, &n);
    cr_expect_arr_eq(in_model, average, n);
    cr_expect_arr_eq(beside, now, n);
    cr_expect_arr_neq(average, now, n);
    wf_store_free(s);
    wf_store_free(model);
    wf_store_free(last);
}

/* The loss that is printed for held-out documents is that of the model that is saved. */
Test(cli_optimizers, evaluation_is_of_the_averages)
{
    const char *run = TRAIN "--text text.txt --optimizer adamw --lr 0.05 --warmup 0 --dropout 0 ";
    char line[400], held_out[2][80] = {"", ""};
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "%s%s", run,
                 i ? "--steps 1 --lr 1e-30 --decay 0 --init out/model.safetensors --out again"
                   : "--steps 4 --ema 0.8 --eval-every 4");
        outcome o = weft(line);
        cr_assert_eq(o.code, 0, "%s: %s", line, o.err);
        const char *at = strstr(o.out, i ? "step 0  held-out loss" : "step 4  held-out loss");
        cr_assert(at, "%s", o.out);
        sscanf(at + 8, "%79[^\n]", held_out[i]);
    }
    cr_expect_str_eq(held_out[0], held_out[1]);
}

Test(cli_optimizers, what_is_frozen_is_not_trained)
{
    const char *table = "embeddings/word_embeddings";
    size_t n;
    wf_store *one = trained("--group *word*:frozen --optimizer adamw"), *four = wf_store_new(0);
    cr_expect_null(wf_store_data(one, "opt/adamw/embeddings/word_embeddings/m", NULL, NULL));
    cr_expect(has_state(one, "adamw", "gamma/m"));
    cr_assert_eq(weft(TRAIN "--text text.txt --optimizer adamw --group *word*:frozen --steps 4 "
                            "--out four")
                     .code,
                 0);
    const float *x = weights(four, "four/model.safetensors", table, &n);
    cr_expect_arr_eq(wf_store_data(one, table, NULL, NULL), x, n);
    wf_store_free(one);
    wf_store_free(four);
}

Test(cli_optimizers, wrong_groups_and_wrappers_are_one_line)
{
    static const wrong cases[] = {
        {TRAIN "--text text.txt --group *gamma", 2, "expected PATTERN:SETTING"},
        {TRAIN "--text text.txt --group :frozen", 2, "expected PATTERN:SETTING"},
        {TRAIN "--text text.txt --group *gamma:", 2, "--group: *gamma: expected rate=X"},
        {TRAIN "--text text.txt --group *gamma:rate=0", 2, "got 'rate=0'"},
        {TRAIN "--text text.txt --group *gamma:rate", 2, "got 'rate'"},
        {TRAIN "--text text.txt --group *gamma:decay=-1", 2, "got 'decay=-1'"},
        {TRAIN "--text text.txt --group *gamma:decay=nan", 2, "got 'decay=nan'"},
        {TRAIN "--text text.txt --group *gamma:frozen,clip=0", 2, "got 'clip=0'"},
        {TRAIN "--text text.txt --group *gamma:clip=hard=1", 2, "got 'clip=hard=1'"},
        {TRAIN "--text text.txt --group role:gate:frozen", 2, "got 'role:gate'"},
        {TRAIN "--text text.txt --group nothing*:frozen", 1, "fits group 0, nothing*"},
        {TRAIN "--text text.txt --group *gamma:lazy --group *:frozen", 1, "fits groups 0 and 1"},
        {TRAIN "--text text.txt --clip norm", 2, "--clip: expected a number"},
        {TRAIN "--text text.txt --clip -1", 2, "got '-1'"},
        {TRAIN "--text text.txt --clip value=1,", 2, "got ''"},
        {TRAIN "--text text.txt --clip adaptive=1e999", 2, "got 'adaptive=1e999'"},
        {TRAIN "--text text.txt --lookahead 5", 2, "--lookahead: expected"},
        {TRAIN "--text text.txt --lookahead 0:0.5", 2, "--lookahead: expected"},
        {TRAIN "--text text.txt --lookahead 5:1.5", 2, "--lookahead: expected"},
        {TRAIN "--text text.txt --lookahead 5:0.5x", 2, "--lookahead: expected"},
        {TRAIN "--text text.txt --ema 1", 2, "--ema: expected a number"},
        {TRAIN "--text text.txt --ema-warmup", 2, "--ema-warmup: needs --ema"},
        {TRAIN "--text text.txt --ema-form start", 2, "--ema-form: needs --ema"},
        {TRAIN "--text text.txt --accumulate 0", 2, "--accumulate: expected a whole number"},
        {TRAIN "--text text.txt --accumulate 2 --hyper accumulate=2", 2, "--accumulate: not"},
        {TRAIN "--text text.txt --group *gamma:clip=1 --hyper accumulate=2", 2, "--clip: not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
}
