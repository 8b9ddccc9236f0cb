/* Optimizers on the command line: the list of them, their numbers, and that drivers use them. */
#define _GNU_SOURCE
#include "tests/cli.h"

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
