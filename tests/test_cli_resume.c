/*
 * A run that was stopped, by whatever, goes on to the bits of one that was not, and only as the
 * same run.
 */
#define _GNU_SOURCE
#include "tests/cli.h"

#include <fcntl.h>

TestSuite(cli_resume, .init = setup, .fini = teardown, .timeout = 120);

Test(cli_resume, a_resumed_run_has_the_bits_of_one_without_a_break)
{
    outcome o = weft(TRAIN "--text text.txt --steps 12 --out whole");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    const char *files[] = {"checkpoint.safetensors", "model.safetensors", "config.json",
                           "vocab.txt", "loss.png"};
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "whole/%s", files[i]);
        cr_expect(exists(name), "%s", name);
    }
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 5 --out parts").code, 0);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 12 --out parts --resume").code, 0);
    expect_same_file("whole/model.safetensors", "parts/model.safetensors");
    o = weft("gau fill --model whole a[MASK]c --top 3");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

/* Whoever resumes may have less memory. */
Test(cli_resume, a_limit_of_memory_changes_no_bit)
{
    const char *deep = TRAIN "--text text.txt --layers 6 --steps 4 --out";
    char line[400];
    long long limit = 0, least = 0;
    snprintf(line, sizeof line, "%s free", deep);
    cr_expect_eq(weft(line).code, 0);
    snprintf(line, sizeof line, "%s none --memory 1", deep);
    outcome o = weft(line);
    cr_expect(o.code == 1 && is_one_line(o.err) && !exists("none"), "code %d: %s", o.code, o.err);
    int n = sscanf(o.err,
                   "weft gau pretrain: memory: the limit is %lld bytes, the least that was "
                   "found is %lld",
                   &limit, &least);
    cr_expect_eq(n, 2, "%s", o.err);
    snprintf(line, sizeof line, "%s tight --log log.jsonl --memory %lld", deep, least);
    o = weft(line);
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.out, "kernels that compute again"), "%s", o.out);
    expect_same_file("free/model.safetensors", "tight/model.safetensors");
    expect_same_file("free/config.json", "tight/config.json");
    char log[TEXT] = "";
    load("log.jsonl", log, sizeof log - 1);
    const char *own = strstr(log, "\"memory_bytes\": ");
    cr_expect(own && strtoll(own + 16, NULL, 10) < least - 4 * 128 * 32, /* its evaluation counts */
              "%lld: %s", least, log);
    snprintf(line, sizeof line, "%s tight --overwrite --memory %lld", deep, least - 1);
    cr_expect_eq(weft(line).code, 1);
}

/* Start a run, and send it a signal when it has printed "until". The pipe is so short that the run
 * cannot be far ahead of its reader. Returns waitpid's status. */
static int interrupt(const char *line, const char *until, int signal_number)
{
    static char text[1 << 16];
    int out[2], status = 0;
    FILE *err = tmpfile();
    cr_assert(pipe2(out, O_CLOEXEC) == 0 && err && fcntl(out[1], F_SETPIPE_SZ, 4096) > 0);
    pid_t child = start(line, out[1], fileno(err));
    close(out[1]);
    size_t n = 0;
    ssize_t got = 1;
    text[0] = 0;
    while (got > 0 && n < sizeof text - 1 && !strstr(text, until)) {
        got = read(out[0], text + n, sizeof text - 1 - n);
        if (got > 0) n += (size_t)got;
        text[n] = 0;
    }
    cr_expect(strstr(text, until), "%s: no '%s' in: %s", line, until, text);
    kill(child, signal_number);
    while (read(out[0], text, sizeof text) > 0) continue;
    waitpid(child, &status, 0);
    close(out[0]);
    fclose(err);
    return status;
}

Test(cli_resume, whatever_stops_a_run_changes_nothing_in_the_end)
{
#define LONG                                                                                       \
    TRAIN "--text text.txt --steps 300 --eval-every 50 --save-every 40 --show-every 1 --out "
    const struct {
        int number;
        const char *name;
    } signals[] = {{SIGKILL, "kill"}, {SIGINT, "int"}, {SIGTERM, "term"}, {SIGHUP, "hup"}};
    cr_expect_eq(weft(LONG "whole").code, 0);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        char line[300], file[64];
        snprintf(line, sizeof line, "%s%s", LONG, signals[i].name);
        int status = interrupt(line, "step 130/", signals[i].number);
        if (signals[i].number == SIGKILL)
            cr_expect(WIFSIGNALED(status), "status %d", status);
        else
            cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %d",
                      signals[i].name, status);
        snprintf(line, sizeof line, "%s%s --resume", LONG, signals[i].name);
        outcome o = weft(line);
        cr_expect(strstr(o.out, "goes on after step 1"), "%s: got: %s", signals[i].name, o.out);
        snprintf(file, sizeof file, "%s/checkpoint.safetensors", signals[i].name);
        expect_same_file("whole/checkpoint.safetensors", file);
        snprintf(file, sizeof file, "%s/model.safetensors", signals[i].name);
        expect_same_file("whole/model.safetensors", file);
    }
#undef LONG
}

Test(cli_resume, resume_names_what_differs_and_writes_nothing)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 2 --out old").code, 0);
    put("upper.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
    const wrong cases[] = {
        {TRAIN "--text text.txt --steps 4 --out old --resume --width 32", 1,
         "--width was 16, is 32"},
        {TRAIN "--text text.txt --steps 4 --out old --resume --lr 0.5", 1, "--lr"},
        {TRAIN "--text text.txt --steps 4 --out old --resume --products bf16", 1,
         "--products was f32, is bf16\n"},
        {TRAIN "--text text.txt --steps 4 --out old --resume --lr 0.5 --optimizer lion --width 32",
         1,
         "--width was 16, is 32; --optimizer was tiger, is lion; --lr was 0.00176, is 0.5; "
         "--beta was 0.965, is not given; --beta1 was not given, is 0.9; "
         "--beta2 was not given, is 0.99; --decay was 0.01, is 0\n"},
        {TRAIN "--text text.txt text.txt --steps 4 --out old --resume", 1,
         "--text has other content"},
        {TRAIN "--text text.txt text.txt --steps 4 --out old --resume --seed 2 --vocab upper.txt",
         1, "--seed was 1, is 2; --vocab has other content; --text has other content"},
        {TRAIN "--text text.txt --steps 4 --out old --resume --schedule cosine --warmup 2", 1,
         "--schedule was constant, is cosine; --warmup was 100, is 2\n"},
        {TRAIN "--text text.txt --steps 4 --out old", 1, "--resume"},
    };
    static char before[1 << 20], after[1 << 20];
    size_t n = load("old/checkpoint.safetensors", before, sizeof before);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    size_t m = load("old/checkpoint.safetensors", after, sizeof after);
    cr_expect(n > 0 && n == m && !memcmp(before, after, n), "the checkpoint changed");
}

static bool weights_differ(const char *a, const char *b)
{
    wf_store *s = wf_store_new(0), *t = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, path_of(a)), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_store_load(t, path_of(b)), WF_OK, "%s", wf_error());
    wf_shape shape;
    const char *name = "layer_0/gau/i_dense/kernel";
    const float *x = wf_store_data(s, name, NULL, &shape), *y = wf_store_data(t, name, NULL, NULL);
    cr_assert(x && y);
    bool differs = memcmp(x, y, (size_t)(shape.dim[0] * shape.dim[1]) * sizeof *x) != 0;
    wf_store_free(s);
    wf_store_free(t);
    return differs;
}

/* One line tells where the choice brings no speed. */
Test(cli_resume, products_in_bf16_go_on_to_the_same_bits)
{
    wf_runtime *rt = wf_runtime_new(NULL);
    bool is_fast = wf_runtime_has_bf16(rt);
    wf_runtime_free(rt);
    outcome o = weft(TRAIN "--text text.txt --steps 12 --out whole --products bf16");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.out, ", products in bf16\n"), "got: %s", o.out);
    cr_expect(is_fast ? !o.err[0] : is_one_line(o.err) && strstr(o.err, "bf16 is not faster"),
              "got: %s", o.err);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 5 --out parts --products bf16").code, 0);
    o = weft(TRAIN "--text text.txt --steps 12 --out parts --products bf16 --resume");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    expect_same_file("whole/model.safetensors", "parts/model.safetensors");
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 12 --out exact").code, 0);
    cr_expect(weights_differ("exact/model.safetensors", "whole/model.safetensors"),
              "nothing was rounded");
    o = weft(TRAIN "--text text.txt --steps 13 --out parts --resume");
    cr_expect(strstr(o.err, "--products was bf16, is f32\n"), "got: %s", o.err);
}

Test(cli_resume, what_is_stored_in_16_bits_goes_on_to_the_same_bits)
{
#define NARROW                                                                                     \
    TRAIN "--text text.txt --optimizer lion --weights bf16 --states f16 --activations bf16 "       \
          "--show-every 1 --out "
    outcome o = weft(NARROW "whole --steps 12");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.out, "weights as bf16, states as f16, activations as bf16\n"), "got: %s",
              o.out);
    cr_expect_eq(weft(NARROW "parts --steps 5").code, 0);
    o = weft(NARROW "parts --steps 12 --resume");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    expect_same_file("whole/model.safetensors", "parts/model.safetensors");
    wf_store *s = wf_store_new(0);
    wf_dtype type = WF_U8;
    cr_assert_eq(wf_store_load(s, path_of("whole/model.safetensors")), WF_OK, "%s", wf_error());
    wf_store_data(s, "embeddings/word_embeddings", &type, NULL);
    cr_expect_eq(type, WF_BF16);
    wf_store_free(s);
    o = weft("gau fill --model whole a[MASK]c --top 3");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    o = weft(TRAIN "--text text.txt --steps 2 --out wide --init whole/model.safetensors");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    o = weft(TRAIN "--text text.txt --optimizer lion --steps 13 --out parts --resume");
    cr_expect(strstr(o.err, "--weights was bf16, is f32; --states was f16, is f32; "
                            "--activations was bf16, is f32\n"),
              "got: %s", o.err);
#undef NARROW
}

Test(cli_resume, a_default_that_is_typed_is_no_difference)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 2 --out old").code, 0);
    outcome o = weft(TRAIN "--text text.txt --steps 3 --out old --resume --lr 1.76e-3 --decay 0.01 "
                           "--beta 0.965 --eps 0.000000000001");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

/* As versions before this one wrote them: "nan" of either sign for what was not given. */
Test(cli_resume, what_an_old_checkpoint_lacks_is_the_default)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 2 --out old").code, 0);
    const char *path = path_of("old/checkpoint.safetensors");
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, path), WF_OK, "%s", wf_error());
    wf_store_set_text(s, "config/lr", "nan");
    wf_store_set_text(s, "config/decay", "-nan");
    wf_store_set_text(s, "config/eps", "9.9999999999999998e-13");
    cr_assert_eq(wf_store_save(s, path, NULL), WF_OK, "%s", wf_error());
    wf_store_free(s);
    outcome o = weft(TRAIN "--text text.txt --steps 3 --out old --resume");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

Test(cli_resume, the_configuration_has_numbers_as_they_are_typed)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out old --optimizer lion").code, 0);
    char text[TEXT] = "";
    load("old/config.json", text, sizeof text - 1);
    const char *says[] = {"\"eps\": 1e-12",  "\"lr\": 0.0003", "\"beta\": null",
                          "\"beta2\": 0.99", "\"width\": 16",  "\"schedule\": \"constant\""};
    for (int i = 0; i < 6; i++) cr_expect(strstr(text, says[i]), "%s in %s", says[i], text);
}
