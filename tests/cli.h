/* Commands in a child process, in a folder of the test's own, and what they left. */
#ifndef WF_TESTS_CLI_H
#define WF_TESTS_CLI_H

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
#include <weft/weft.h>

enum { WORDS = 48, TEXT = 16384 };

static char folder[] = "/tmp/weft-cli-XXXXXX";

typedef struct outcome {
    int code; /* exit code, or -1 after a signal */
    char out[TEXT], err[TEXT];
} outcome;

/* Start "weft <line>" in a child; %s words in the line stand for the test's folder. */
static inline pid_t start(const char *line, int out, int err)
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

static inline void read_back(FILE *f, char *text)
{
    rewind(f);
    text[fread(text, 1, TEXT - 1, f)] = 0;
    fclose(f);
}

static inline outcome weft(const char *line)
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

static inline char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static inline void put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "wb");
    cr_assert(f, "%s", name);
    fputs(text, f);
    fclose(f);
}

/* Documents over a few letters, and vocabularies, good and bad. */
static inline void setup(void)
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

static inline void teardown(void)
{
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_expect(system(line) == 0);
}

#define TRAIN                                                                                      \
    "gau pretrain --vocab vocab.txt --out out --layers 1 --width 16 --expand 32 --key 8 "          \
    "--batch 128 --max-len 32 --threads 1 --eval-every 4 "

static inline bool is_one_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end && end > text && end[1] == 0;
}

typedef struct wrong {
    const char *line;
    int code;
    const char *says;
} wrong;

static inline void expect_wrong(const wrong *w)
{
    outcome o = weft(w->line);
    cr_expect_eq(o.code, w->code, "%s: code %d", w->line, o.code);
    cr_expect(is_one_line(o.err), "%s: one line, got: %s", w->line, o.err);
    cr_expect(strstr(o.err, w->says), "%s: says '%s', got: %s", w->line, w->says, o.err);
    cr_expect_str_eq(o.out, "", "%s: nothing on stdout, got: %s", w->line, o.out);
    cr_expect(!exists("out"), "%s: wrote something", w->line);
}

static inline size_t load(const char *name, char *data, size_t room)
{
    FILE *f = fopen(path_of(name), "rb");
    if (!f) return 0;
    size_t n = fread(data, 1, room, f);
    fclose(f);
    return n;
}

static inline void expect_same_file(const char *a, const char *b)
{
    static char x[1 << 20], y[1 << 20];
    size_t n = load(a, x, sizeof x), m = load(b, y, sizeof y);
    cr_expect(n > 0 && n == m && !memcmp(x, y, n), "%s (%zu bytes) and %s (%zu bytes)", a, n, b, m);
}

#endif
