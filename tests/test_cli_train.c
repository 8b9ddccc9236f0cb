/* What a training run keeps and logs, and how it ends, on the command line. */
#define _GNU_SOURCE
#include "tests/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <weft/op.h>

TestSuite(cli_train, .init = setup, .fini = teardown, .timeout = 120);

Test(cli_train, wrong_options_of_the_loop_are_named)
{
    const wrong cases[] = {
        {TRAIN "--text text.txt --best speed", 2,
         "--best: expected loss, accuracy, none, got 'spe"},
        {TRAIN "--text text.txt --patience -1", 2, "--patience"},
        {TRAIN "--text text.txt --nonfinite maybe", 2, "--nonfinite: expected off|skip|stop"},
        {TRAIN "--text text.txt --nonfinite-limit 0", 2, "--nonfinite-limit"},
        {TRAIN "--text text.txt --spike=-1", 2, "--spike"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --tensorboard text.txt").code, 1);
}

/* A rate that ruins the model makes the first evaluation the best one. */
Test(cli_train, the_best_weights_are_kept_and_a_run_ends_early)
{
    outcome o = weft(TRAIN "--text text.txt --steps 60 --warmup 1 --lr 1 --patience 3 --log log");
    cr_assert_eq(o.code, 0, "code %d: %s", o.code, o.err);
    const char *says =
        strstr(o.out, "ends early: 3 evaluations without a better loss; the best was ");
    long long best = 0, step = 0;
    cr_assert(says, "%s", o.out);
    cr_expect_eq(sscanf(strstr(says, "after step"), "after step %lld", &best), 1);
    cr_expect_eq(sscanf(strstr(o.out, "Saved in out"), "Saved in out after step %lld", &step), 1);
    cr_expect(best >= 4 && step == best + 12, "best %lld, ends %lld: %s", best, step, o.out);
    char line[300];
    snprintf(line, sizeof line, ", best.safetensors (of step %lld)", best);
    cr_expect(strstr(o.out, line), "%s", o.out);
    snprintf(line, sizeof line, "to try it    %s gau fill --model out", program_invocation_name);
    cr_expect(strstr(o.out, line), "%s", o.out);
    snprintf(line, sizeof line,
             TRAIN "--text text.txt --warmup 1 --lr 1 --steps %lld --out to_best", best);
    cr_expect_eq(weft(line).code, 0);
    expect_same_file("to_best/model.safetensors", "out/best.safetensors");
    snprintf(line, sizeof line,
             TRAIN "--text text.txt --warmup 1 --lr 1 --steps 60 --patience 3 "
                   "--resume");
    o = weft(line);
    cr_expect(o.code == 0 && strstr(o.out, "ends early"), "%s", o.out);
    o = weft(TRAIN "--text text.txt --steps 1 --overwrite --best none");
    cr_expect(o.code == 0 && !strstr(o.out, "best.safetensors"), "%s", o.out);
    cr_expect(!exists("out/best.safetensors"), "it was another run's");
}

/* The numbers behind "step": of all lines of an event. */
static int steps_of(const char *name, const char *event, long long step[], int room)
{
    char line[2000], key[64];
    int n = 0;
    FILE *f = fopen(path_of(name), "rb");
    cr_assert(f, "%s", name);
    snprintf(key, sizeof key, "{\"event\": \"%s\", \"step\": ", event);
    while (fgets(line, sizeof line, f)) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert(object, "not JSON: %s", line);
        json_decref(object);
        if (!strncmp(line, key, strlen(key)) && n < room)
            step[n++] = strtoll(line + strlen(key), NULL, 10);
    }
    fclose(f);
    return n;
}

/* As after a kill: lines behind the checkpoint, or one that is half written. */
Test(cli_train, a_resumed_log_has_every_step_once)
{
    const char *left[] = {"{\"event\": \"step\", \"step\": 14, \"loss\": 1}\n", "{\"event\": \"sp"};
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 12 --show-every 2 --log log --out a").code, 0);
    for (int i = 0; i < 2; i++) {
        char line[300];
        FILE *f = fopen(path_of("log"), "ab");
        fputs(left[i], f);
        fclose(f);
        snprintf(line, sizeof line,
                 TRAIN "--text text.txt --steps %d --show-every 2 --log log --out a --resume",
                 16 + 4 * i);
        outcome o = weft(line);
        cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    }
    long long step[50];
    int n = steps_of("log", "step", step, 50);
    cr_expect_eq(n, 10, "%d steps", n);
    for (int i = 0; i < n; i++) cr_expect_eq(step[i], 2 * (i + 1), "%lld", step[i]);
    n = steps_of("log", "evaluation", step, 50);
    cr_expect_eq(n, 6, "%d evaluations", n);
    for (int i = 0; i < n; i++) cr_expect_eq(step[i], 4 * i, "%lld", step[i]);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 2 --show-every 2 --log log --out b").code, 0);
    cr_expect_eq(steps_of("log", "step", step, 50), 1, "a new run starts a new log");
    outcome o = weft(TRAIN "--text text.txt --steps 22 --log /dev/null --out a --resume");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

static int count_of(const char *data, size_t n, const char *text)
{
    int times = 0;
    for (const char *at = data; (at = memmem(at, n - (size_t)(at - data), text, strlen(text)));
         at++)
        times++;
    return times;
}

Test(cli_train, tensorboard_gets_a_file_a_run)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 10 --show-every 1 --tensorboard tb/run").code,
                 0);
    cr_expect_eq(
        weft(TRAIN "--text text.txt --steps 12 --show-every 1 --tensorboard tb/run --resume").code,
        0);
    static char data[1 << 16];
    int n_files = 0, losses = 0, held_out = 0, others = 0;
    DIR *d = opendir(path_of("tb/run"));
    cr_assert(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (!strstr(e->d_name, "tfevents")) continue;
        char name[200];
        snprintf(name, sizeof name, "tb/run/%.180s", e->d_name);
        size_t n = load(name, data, sizeof data);
        n_files++;
        losses += count_of(data, n, "train/loss");
        held_out += count_of(data, n, "held_out/loss");
        others += count_of(data, n, "train/accuracy") + count_of(data, n, "train/lr") +
                  count_of(data, n, "train/tokens_per_second") +
                  count_of(data, n, "held_out/accuracy");
    }
    closedir(d);
    cr_expect_eq(n_files, 2, "%d files", n_files);
    cr_expect_eq(losses, 12);
    cr_expect_eq(held_out, 5); /* 0 4 8 10, 12 */
    cr_expect_eq(others, 3 * 12 + 5);
}

/* In whatever order they lie in the files. */
static void expect_same_tensors(const char *a, const char *b)
{
    wf_store *s = wf_store_new(0), *t = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, path_of(a)), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_store_load(t, path_of(b)), WF_OK, "%s", wf_error());
    cr_expect_eq(wf_store_count(s), wf_store_count(t));
    for (int i = 0; i < wf_store_count(s); i++) {
        wf_dtype dtype;
        wf_shape shape;
        const char *name = wf_store_name(s, i);
        const void *x = wf_store_data(s, name, &dtype, &shape),
                   *y = wf_store_data(t, name, NULL, NULL);
        cr_expect(y && !memcmp(x, y, (size_t)wf_elements(&shape) * wf_dtype_bytes(dtype)),
                  "%s, %s: %s", a, b, name);
    }
    wf_store_free(s);
    wf_store_free(t);
}

Test(cli_train, skipping_costs_no_bit_while_all_is_finite)
{
    const char *optimizers[] = {"tiger", "adamw --clip 1", "sgd"};
    for (int i = 0; i < 3; i++) {
        char line[400];
        const char *how = TRAIN "--text text.txt --overwrite --steps 12 --optimizer";
        snprintf(line, sizeof line, "%s %s --out off", how, optimizers[i]);
        cr_expect_eq(weft(line).code, 0, "%s", line);
        snprintf(line, sizeof line, "%s %s --out skip --nonfinite skip", how, optimizers[i]);
        cr_expect_eq(weft(line).code, 0, "%s", line);
        expect_same_tensors("off/checkpoint.safetensors", "skip/checkpoint.safetensors");
    }
}

/* The first step makes weights so large that products of them are infinite. */
Test(cli_train, a_model_that_overflows_is_told_the_op)
{
    const char *wild = TRAIN "--text text.txt --steps 30 --optimizer sgd --lr 1e30 --warmup 1 "
                             "--dropout 0 --eval-every 100";
    char line[400];
    snprintf(line, sizeof line, "%s --nonfinite stop", wild);
    outcome o = weft(line);
    cr_expect_eq(o.code, 1, "code %d: %s", o.code, o.err);
    cr_expect(is_one_line(o.err) && strstr(o.err, "not finite, the first is") &&
                  strstr(o.err, "; of finite "),
              "%s", o.err);
    cr_expect(!exists("out/model.safetensors"));
    snprintf(line, sizeof line, "%s --nonfinite skip --nonfinite-limit 4", wild);
    o = weft(line);
    cr_expect_eq(o.code, 1, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.out, "no update, 3 of at most 4 in a row"), "%s", o.out);
    cr_expect(is_one_line(o.err) && strstr(o.err, "not finite, the first is"), "%s", o.err);
}

/* The program that trains adds to a product in one op, "linear"; the one that looks for the cause
 * has the product and the "add" apart. */
Test(cli_train, what_overflows_is_told_in_single_ops)
{
    outcome o = weft(TRAIN "--text text.txt --steps 30 --optimizer sgd --lr 1e37 --warmup 1 "
                           "--dropout 0 --eval-every 100 --nonfinite stop");
    cr_expect_eq(o.code, 1, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.err, "rms_norm_grad: ") && strstr(o.err, "; of finite add up to "), "%s",
              o.err);
}
