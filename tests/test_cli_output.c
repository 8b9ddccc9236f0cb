/* What a command writes beside its results: standard output, --log, --trace; and where they cannot
 * be written. */
#define _GNU_SOURCE
#include "tests/cli.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/resource.h>

TestSuite(cli_output, .init = setup, .fini = teardown, .timeout = 60);

/* Run with this as standard output, which is closed after. */
static outcome weft_into(const char *line, int out)
{
    outcome o = {.code = -1};
    FILE *err = tmpfile();
    int status = 0;
    waitpid(start(line, out, fileno(err)), &status, 0);
    if (WIFEXITED(status)) o.code = WEXITSTATUS(status);
    read_back(err, o.err);
    close(out);
    return o;
}

Test(cli_output, a_full_disk_is_one_line_and_exit_1)
{
    const struct {
        const char *line, *says;
        bool is_full; /* standard output, too */
    } cases[] = {
        {"--help", "standard output", true},
        {"gau fill --help", "standard output", true},
        {"graph gau --layers 1", "standard output", true},
        {"graph gau --layers 20", "standard output", true},
        {"gau pretrain --help", "standard output", true},
        {TRAIN "--text text.txt --steps 30 --show-every 1 --out a", "standard output", true},
        {TRAIN "--text text.txt --steps 30 --show-every 1 --out b --log /dev/full",
         "--log: /dev/full", false},
        {TRAIN "--text text.txt --steps 30 --out c --trace /dev/full", "/dev/full: the trace",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o =
            weft_into(cases[i].line, open(cases[i].is_full ? "/dev/full" : "/dev/null", O_WRONLY));
        cr_expect_eq(o.code, 1, "%s: code %d", cases[i].line, o.code);
        cr_expect(is_one_line(o.err), "%s: got: %s", cases[i].line, o.err);
        cr_expect(strstr(o.err, cases[i].says) && strstr(o.err, "No space left"), "%s: got: %s",
                  cases[i].line, o.err);
    }
    cr_expect(exists("a/model.safetensors") && exists("b/model.safetensors") &&
                  exists("c/model.safetensors"),
              "a run was lost");
}

Test(cli_output, a_reader_that_goes_away_does_not_lose_the_run)
{
    int out[2];
    cr_assert(pipe(out) == 0);
    close(out[0]);
    outcome o = weft_into(TRAIN "--text text.txt --steps 30 --show-every 1", out[1]);
    cr_expect_eq(o.code, 1, "code %d", o.code);
    cr_expect(is_one_line(o.err) && strstr(o.err, "Broken pipe"), "got: %s", o.err);
    cr_expect(exists("out/checkpoint.safetensors") && exists("out/model.safetensors"));
}

/* A limit of the size of files is like a full disk, but for other files. */
Test(cli_output, a_trace_that_cannot_be_written_whole_leaves_the_old_one)
{
    const struct rlimit small = {200000, 200000};
    put("t.json", "old");
    cr_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &small) == 0);
    for (int i = 0; i < 2; i++) {
        outcome o = weft(i ? TRAIN "--text text.txt --steps 100 --out b --trace new.json"
                           : TRAIN "--text text.txt --steps 100 --out a --trace t.json");
        cr_expect_eq(o.code, 1, "code %d", o.code);
        cr_expect(is_one_line(o.err) && strstr(o.err, "File too large"), "got: %s", o.err);
    }
    char text[8] = "", line[64];
    cr_expect(load("t.json", text, sizeof text) == 3 && !strcmp(text, "old"), "got: %s", text);
    cr_expect(!exists("new.json"));
    FILE *f = popen(strcat(strcat(strcpy(line, "ls "), folder), " | grep -c part"), "r");
    cr_expect(f && fgetc(f) == '0', "a part of a trace was left");
    if (f) pclose(f);
}

static double number(const json_t *object, const char *key)
{
    json_t *n = json_object_get(object, key);
    cr_expect(json_is_number(n), "no number '%s'", key);
    return json_number_value(n);
}

Test(cli_output, the_log_has_an_object_a_line)
{
    outcome o =
        weft(TRAIN "--text text.txt --steps 25 --show-every 5 --eval-every 10 --log log.jsonl");
    cr_assert_eq(o.code, 0, "code %d: %s", o.code, o.err);
    FILE *f = fopen(path_of("log.jsonl"), "rb");
    cr_assert(f);
    char line[1000], names[500] = "";
    int steps = 0;
    while (fgets(line, sizeof line, f)) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert(object, "not JSON: %s", line);
        const char *event = json_string_value(json_object_get(object, "event"));
        cr_assert(event, "no event: %s", line);
        strncat(names, event, 2);
        if (!strcmp(event, "step")) {
            cr_expect_eq(number(object, "step"), 5 * ++steps);
            cr_expect(number(object, "loss") > 0.5 && number(object, "loss") < 5, "%s", line);
            cr_expect(number(object, "accuracy") >= 0 && number(object, "accuracy") <= 1, "%s",
                      line);
            cr_expect(number(object, "tokens") > 100 * 5 * steps, "%s", line);
            cr_expect(number(object, "tokens_per_second") > 0 && number(object, "lr") > 0, "%s",
                      line);
        }
        json_decref(object);
    }
    fclose(f);
    cr_expect_eq(steps, 5);
    cr_expect_str_eq(names, "costevststevststevstevsacoen"); /* events by two letters, in order */
}

/* Every kernel of every run: a step has many, and its products' FLOPs are those of the model. */
Test(cli_output, the_trace_tells_flops_and_bytes_of_every_kernel)
{
    outcome o = weft(TRAIN "--text text.txt --steps 3 --trace trace.json");
    cr_assert_eq(o.code, 0, "code %d: %s", o.code, o.err);
    json_t *events = json_load_file(path_of("trace.json"), 0, NULL);
    cr_assert(json_is_array(events), "not a JSON array");
    cr_expect(json_array_size(events) > 3 * 10, "%zu events", json_array_size(events));
    double flops = 0, end = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *e = json_array_get(events, i), *args = json_object_get(e, "args");
        cr_expect_str_eq(json_string_value(json_object_get(e, "ph")), "X");
        cr_expect(json_string_length(json_object_get(e, "name")) > 0);
        cr_expect(number(e, "ts") >= end && number(e, "dur") > 0, "event %zu", i);
        cr_expect(number(args, "bytes") >= 0 && number(args, "flops") >= 0, "event %zu", i);
        flops += number(args, "flops");
        end = number(e, "ts");
    }
    /* forward of 128 tokens through the 16 x 72 slab and back, three times with their gradients */
    cr_expect(flops > 3 * 3 * 2.0 * 128 * 16 * (72 + 32), "%g FLOPs", flops);
    json_decref(events);
}
