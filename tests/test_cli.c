/*
 * The command line: whatever is wrong with it, or with the files that it names, gives one line on
 * stderr, the right exit code, and nothing written. Commands run in a child process.
 */
#define _GNU_SOURCE
#include "models/args.h"
#include "models/drivers.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 48, TEXT = 4096 };

static char folder[] = "/tmp/weft-cli-XXXXXX";

typedef struct outcome {
    int code; /* exit code, or -1 after a signal */
    char out[TEXT], err[TEXT];
} outcome;

/* Start "weft <line>" in a child; %s words in the line stand for the test's folder. */
static pid_t start(const char *line, int out, int err)
{
    fflush(NULL);
    pid_t child = fork();
    if (child) return child;
    char *copy = NULL, *argv[WORDS] = {"weft"}, *save = NULL;
    int argc = 1;
    if (asprintf(&copy, "%s", line) < 0) _exit(99);
    for (char *w = strtok_r(copy, " ", &save); w && argc < WORDS - 1;
         w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    if (chdir(folder)) _exit(99);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    int code = wf_command_main(argc, argv);
    fflush(NULL);
    free(copy);
    _exit(code);
}

static void read_back(FILE *f, char *text)
{
    rewind(f);
    text[fread(text, 1, TEXT - 1, f)] = 0;
    fclose(f);
}

static outcome weft(const char *line)
{
    outcome o = {.code = -1};
    FILE *out = tmpfile(), *err = tmpfile();
    int status = 0;
    waitpid(start(line, fileno(out), fileno(err)), &status, 0);
    if (WIFEXITED(status)) o.code = WEXITSTATUS(status);
    read_back(out, o.out);
    read_back(err, o.err);
    return o;
}

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "wb");
    cr_assert(f, "%s", name);
    fputs(text, f);
    fclose(f);
}

/* Documents over a few letters, and vocabularies, good and bad. */
static void setup(void)
{
    cr_assert(mkdtemp(folder));
    FILE *f = fopen(path_of("text.txt"), "wb");
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < 20 + i % 7; j++) fputc('a' + (i + j) % 10, f), fputc(' ', f);
        fputc('\n', f);
    }
    fclose(f);
    const char *words = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
    char vocab[128];
    snprintf(vocab, sizeof vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n%s", words);
    put("vocab.txt", vocab);
    snprintf(vocab, sizeof vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n%s", words);
    put("no_mask.txt", vocab);
    put("empty.txt", "");
    put("latin1.txt", "a b c\nd \xe9 f\n");
}

static void teardown(void)
{
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_expect(system(line) == 0);
}

TestSuite(cli, .init = setup, .fini = teardown, .timeout = 60);

#define TRAIN                                                                                      \
    "gau pretrain --vocab vocab.txt --out out --layers 1 --width 16 --expand 32 --key 8 "          \
    "--batch 128 --max-len 32 --threads 1 --eval-every 4 "

static bool is_one_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end && end > text && end[1] == 0;
}

typedef struct wrong {
    const char *line;
    int code;
    const char *says;
} wrong;

static void expect_wrong(const wrong *w)
{
    outcome o = weft(w->line);
    cr_expect_eq(o.code, w->code, "%s: code %d", w->line, o.code);
    cr_expect(is_one_line(o.err), "%s: one line, got: %s", w->line, o.err);
    cr_expect(strstr(o.err, w->says), "%s: says '%s', got: %s", w->line, w->says, o.err);
    cr_expect_str_eq(o.out, "", "%s: nothing on stdout, got: %s", w->line, o.out);
    cr_expect(!exists("out"), "%s: wrote something", w->line);
}

Test(cli, wrong_usage_is_one_line_and_exit_2)
{
    const wrong cases[] = {
        {"", 2, "expected a command"},
        {"knit", 2, "'knit'"},
        {"gau", 2, "gau"},
        {"gau purl", 2, "'gau purl'"},
        {TRAIN "--text text.txt --colour red", 2, "'--colour'"},
        {TRAIN "--text text.txt --lr", 2, "--lr: expected a value"},
        {TRAIN "--text text.txt --layers 0", 2, "--layers: expected a whole number"},
        {TRAIN "--text text.txt --layers 2x", 2, "'2x'"},
        {TRAIN "--text text.txt --layers 99999999999999999999", 2, "--layers"},
        {TRAIN "--text text.txt --lr -1", 2, "--lr: expected a number > 0"},
        {TRAIN "--text text.txt --lr nan", 2, "--lr"},
        {TRAIN "--text text.txt --dropout 1", 2, "--dropout"},
        {TRAIN "--text text.txt --key 7", 2, "key must be even"},
        {TRAIN "--text text.txt --norm hard", 2, "--norm: expected softmax_plus|softmax|relu2"},
        {TRAIN "--text text.txt --optimizer tiger --beta1 0.9", 2, "--beta1"},
        {TRAIN "--text text.txt --schedule 10:1,5:0", 2, "--schedule"},
        {TRAIN "--text text.txt --anneal cosine", 2, "--steps"},
        {TRAIN "--text text.txt --max-len 500", 2, "--max-len"},
        {TRAIN, 2, "--text"},
        {"gau fill --model out", 2, "sentence"},
        {"graph gau --dump sideways", 2, "--dump"},
        {"graph gau extra", 2, "'extra'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
}

Test(cli, bad_files_are_one_line_and_exit_1)
{
    const wrong cases[] = {
        {TRAIN "--text missing.txt", 1, "missing.txt"},
        {TRAIN "--text empty.txt", 1, "empty.txt"},
        {TRAIN "--text latin1.txt", 1, "latin1.txt"},
        {TRAIN "--text text.txt --vocab missing.txt", 1, "missing.txt"},
        {TRAIN "--text text.txt --vocab no_mask.txt", 1, "[MASK]"},
        {TRAIN "--text text.txt --vocab empty.txt", 1, "empty.txt"},
        {TRAIN "--text text.txt --out text.txt/out", 1, "text.txt/out"},
        {TRAIN "--text text.txt --out text.txt", 1, "text.txt"},
        {TRAIN "--text text.txt --init missing.safetensors", 1, "missing.safetensors"},
        {TRAIN "--text text.txt --init text.txt", 1, "text.txt"},
        {TRAIN "--text text.txt --resume", 1, "checkpoint.safetensors"},
        {"gau fill --model missing a", 1, "missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
}

Test(cli, a_bad_environment_is_one_line)
{
    const char *wrongs[][2] = {{"WF_ISA", "bogus"}, {"WF_KERNELS", "fast"}, {"WF_THREADS", "0"}};
    for (int i = 0; i < 3; i++) {
        setenv(wrongs[i][0], wrongs[i][1], 1);
        expect_wrong(&(wrong){TRAIN "--text text.txt --threads 0", 1, wrongs[i][0]});
        unsetenv(wrongs[i][0]);
    }
}

Test(cli, help_and_version_are_exit_0)
{
    const wrong cases[] = {
        {"--help", 0, "weft gau pretrain"}, {"--version", 0, "weft "},
        {"gau --help", 0, "weft gau fill"}, {"gau pretrain --help", 0, "(default: 2048)"},
        {"gau fill --help", 0, "--top"},    {"graph gau --help", 0, "--dump"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o = weft(cases[i].line);
        cr_expect_eq(o.code, 0, "%s: code %d", cases[i].line, o.code);
        cr_expect(strstr(o.out, cases[i].says), "%s: got: %s", cases[i].line, o.out);
        cr_expect_str_eq(o.err, "", "%s: got: %s", cases[i].line, o.err);
    }
}

Test(cli, graph_prints_before_after_and_dot)
{
    const char *says[] = {"before", "softmax", "after", "gau_", "dot", "digraph"};
    for (size_t i = 0; i < 6; i += 2) {
        char line[200];
        snprintf(line, sizeof line,
                 "graph gau --dump %s --layers 1 --width 16 --expand 32 --key 8 --vocab 50",
                 says[i]);
        outcome o = weft(line);
        cr_expect_eq(o.code, 0, "%s: code %d, %s", line, o.code, o.err);
        cr_expect(strstr(o.out, says[i + 1]), "%s: got: %s", line, o.out);
    }
}

static size_t load(const char *name, char *data, size_t room)
{
    FILE *f = fopen(path_of(name), "rb");
    if (!f) return 0;
    size_t n = fread(data, 1, room, f);
    fclose(f);
    return n;
}

static void expect_same_file(const char *a, const char *b)
{
    static char x[1 << 20], y[1 << 20];
    size_t n = load(a, x, sizeof x), m = load(b, y, sizeof y);
    cr_expect(n > 0 && n == m && !memcmp(x, y, n), "%s (%zu bytes) and %s (%zu bytes)", a, n, b, m);
}

Test(cli, a_resumed_run_has_the_bits_of_one_without_a_break)
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

Test(cli, resume_names_what_differs_and_writes_nothing)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 2 --out old").code, 0);
    const wrong cases[] = {
        {TRAIN "--text text.txt --steps 4 --out old --resume --width 32", 1, "--width"},
        {TRAIN "--text text.txt --steps 4 --out old --resume --lr 0.5", 1, "--lr"},
        {TRAIN "--text text.txt --steps 4 --out old --resume --optimizer lion", 1, "--optimizer"},
        {TRAIN "--text text.txt text.txt --steps 4 --out old --resume", 1, "text"},
        {TRAIN "--text text.txt --steps 4 --out old", 1, "--resume"},
    };
    static char before[1 << 20], after[1 << 20];
    size_t n = load("old/checkpoint.safetensors", before, sizeof before);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    size_t m = load("old/checkpoint.safetensors", after, sizeof after);
    cr_expect(n > 0 && n == m && !memcmp(before, after, n), "the checkpoint changed");
}

Test(cli, a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint)
{
#define WILD TRAIN "--text text.txt --out wild --optimizer sgd --warmup 0 --save-every 2 --clip 0 "
    static char before[1 << 20], after[1 << 20];
    outcome o = weft(WILD "--lr 1e30 --steps 20");
    cr_expect_eq(o.code, 1, "code %d", o.code);
    cr_expect(is_one_line(o.err) && strstr(o.err, "step "), "got: %s", o.err);

    cr_expect_eq(weft(WILD "--lr 1e-3 --steps 2 --overwrite --out tame").code, 0);
    size_t n = load("tame/checkpoint.safetensors", before, sizeof before);
    o = weft(WILD "--lr 1e30 --steps 20 --overwrite --out tame --save-every 1000");
    cr_expect_eq(o.code, 1, "code %d", o.code);
    size_t m = load("tame/checkpoint.safetensors", after, sizeof after);
    cr_expect(n > 0 && n == m && !memcmp(before, after, n), "the checkpoint changed");
#undef WILD
}

Test(cli, a_trained_model_knows_the_alphabet)
{
    outcome o = weft(TRAIN "--text text.txt --out abc --width 32 --expand 64 --key 16 --batch 256 "
                           "--warmup 10 --lr 0.01 --dropout 0 --steps 400 --eval-every 400 "
                           "--show-every 400");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    o = weft("gau fill --model abc --top 1 a b c [MASK] e f g h [MASK] j");
    cr_expect(strstr(o.out, "a b c [d] e f g h [i] j"), "got: %s", o.out);
}

Test(cli, fill_refuses_what_it_cannot_fill)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out old").code, 0);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out other").code, 0);
    put("other/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
    const wrong cases[] = {
        {"gau fill a[MASK]", 2, "--model"},
        {"gau fill --model old a[MASK] --top 0", 2, "--top"},
        {"gau fill --model old a b", 1, "[MASK]"},
        {"gau fill --model old \xe9[MASK]", 1, "UTF-8"},
        {"gau fill --model other a[MASK]", 1, "other/vocab.txt"},
        {"gau fill --model text.txt a[MASK]", 1, "text.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    outcome o = weft("gau fill --model old --top 2 a [MASK] c");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.out, "[MASK] 1\n") && strstr(o.out, "a ["), "got: %s", o.out);
}

Test(cli, a_signal_finishes_the_step_saves_and_exits_0)
{
    int out[2];
    FILE *err = tmpfile();
    cr_assert(pipe(out) == 0 && err);
    pid_t child =
        start(TRAIN "--text text.txt --steps 1000000 --show-every 1", out[1], fileno(err));
    close(out[1]);
    char text[TEXT];
    cr_assert(read(out[0], text, sizeof text) > 0); /* it has begun */
    sleep(1);
    kill(child, SIGTERM);
    while (read(out[0], text, sizeof text) > 0) continue;
    int status = 0;
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    cr_expect(exists("out/checkpoint.safetensors"));
    close(out[0]);
    fclose(err);
}
