/*
 * The command line: whatever is wrong with it, or with the files that it names, gives one line on
 * stderr, the right exit code, and nothing written. Commands run in a child process.
 */
#define _GNU_SOURCE
#include "ops/gemm.h"
#include "ops/vec.h"
#include "tests/cli.h"

TestSuite(cli, .init = setup, .fini = teardown, .timeout = 60);

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
        {TRAIN "--text text.txt --key 7", 2, "--key: expected an even number, got 7"},
        {TRAIN "--text text.txt --norm hard", 2, "--norm: expected softmax_plus|softmax|relu2"},
        {TRAIN "--text text.txt --optimizer tiger --beta1 0.9", 2,
         "--beta1: tiger has none (see weft optimizers)"},
        {TRAIN "--text text.txt --optimizer lion --beta 0.9", 2, "--beta: lion has none"},
        {TRAIN "--text text.txt --hyper amsgrad=yes", 2, "--hyper: tiger has no amsgrad (see"},
        {TRAIN "--text text.txt --hyper accumulate", 2,
         "--hyper: accumulate: expected a whole number, got ''"},
        {TRAIN "--text text.txt --hyper accumulate=2.5", 2, "got '2.5'"},
        {TRAIN "--text text.txt --hyper accumulate=99999999999", 2, "got '99999999999'"},
        {TRAIN "--text text.txt --hyper accumulate=-1", 2, "--hyper: tiger: accumulate must"},
        {TRAIN "--text text.txt --hyper rms_floor=much", 2, "rms_floor: expected a number"},
        {TRAIN "--text text.txt --hyper rms_floor=1e999", 2, "rms_floor: expected a number"},
        {TRAIN "--text text.txt --hyper nonfinite=some", 2,
         "nonfinite: expected none|nan|nan_or_inf, got 'some'"},
        {TRAIN "--text text.txt --optimizer adam --hyper amsgrad=1", 2, "expected yes|no, got '1'"},
        {TRAIN "--text text.txt --clip 1 --hyper accumulate=2", 2, "--clip: not together"},
        {TRAIN "--text text.txt --clip norm=1,norm=2", 2, "each once, got 'norm=2'"},
        {TRAIN "--text text.txt --clip 1,value=1,norm=2", 2, "each once, got 'norm=2'"},
        {TRAIN "--text text.txt --schedule 10:1,5:0", 2, "--schedule: piecewise: steps must rise"},
        {TRAIN "--text text.txt --schedule sine", 2, "--schedule: there is no schedule 'sine'"},
        {TRAIN "--text text.txt --schedule cosine --minutes 1", 2,
         "--schedule: cosine: total is missing"},
        {TRAIN "--text text.txt --schedule cosine --steps 100", 2,
         "--schedule: cosine: warmup must be less than total"},
        {TRAIN "--text text.txt --max-len 500", 2, "--max-len"},
        {TRAIN "--text text.txt --threads 1025", 2, "--threads: expected a whole number"},
        {TRAIN, 2, "--text is missing (see --help)"},
        {"gau pretrain --text text.txt --out out", 2, "--vocab is missing"},
        {"gau pretrain --text text.txt --vocab vocab.txt", 2, "--out is missing"},
        {"gau pretrain --text text.txt --vocab vocab.txt --out=", 2, "--out is missing"},
        {"gau fill a[MASK]", 2, "--model is missing"},
        {"gau fill --model out --products f16 a[MASK]", 2, "--products: expected f32|bf16"},
        {"gau fill --model out", 2, "sentence"},
        {"graph gau --dump sideways", 2, "--dump"},
        {TRAIN "--text text.txt --products f16", 2, "--products: expected f32|bf16"},
        {TRAIN "--text text.txt --weights i8", 2, "--weights: expected f32|f16|bf16"},
        {TRAIN "--text text.txt --states 16", 2, "--states: expected f32|f16|bf16"},
        {TRAIN "--text text.txt --activations f", 2, "--activations: expected f32|f16|bf16"},
        {"graph gau extra", 2, "'extra'"},
        {"graph gau --memory 1", 2, "--memory: needs --dump after, --explain or --html"},
        {"graph gau --memory 1 --dump dot", 2, "--memory: needs"},
        {"graph gau --explain --dump before", 2, "--dump: not together with --explain"},
        {"graph gau --html out --dump after", 2, "--dump: not together with --html"},
        {"graph gau --tokens 100 --rows 101", 2, "--rows: expected at most --tokens (100)"},
        {"graph gau --tokens 100 --picks 101", 2, "--picks: expected at most --tokens (100)"},
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
        {TRAIN "--text text.txt --held-out 201", 1,
         "needs at least 201 documents, the text has 200"},
        {TRAIN "--text text.txt --trace missing/t.json", 1, "No such file or directory"},
        {TRAIN "--text text.txt --log missing/l.json --out text.txt", 1, "text.txt"},
        {TRAIN "--text text.txt --log missing/l.json", 1,
         "--log: missing/l.json cannot be written: No"},
        {TRAIN "--text text.txt --log .", 1, "--log: . cannot be written: Is a directory"},
        {TRAIN "--text text.txt --explain missing/x.html", 1, "--explain: missing/x.html cannot"},
        {TRAIN "--text text.txt --explain text.txt/x", 1, "text.txt/x cannot be written: Not"},
        {TRAIN "--text text.txt --tensorboard text.txt", 1,
         "--tensorboard: text.txt cannot be written: Not a directory"},
        {"gau fill --model missing a[MASK]", 1, "missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
}

Test(cli, a_bad_environment_is_one_line)
{
    const char *wrongs[][2] = {
        {"WF_ISA", "bogus"},         {"WF_KERNELS", "fast"},  {"WF_THREADS", "0"},
        {"WF_DUMP", "befor"},        {"WF_DUMP", "fuse"},     {"WF_PASSES", "cse"},
        {"WF_PASSES", "-cse,-cs"},   {"WF_PASSES", "-lower"}, {"WF_PASSES", "-cse,,-cse"},
        {"WF_PASSES", "-inference"}, {"WF_PASSES", "-cse,"}};
    for (int i = 0; i < (int)(sizeof wrongs / sizeof *wrongs); i++) {
        setenv(wrongs[i][0], wrongs[i][1], 1);
        expect_wrong(&(wrong){TRAIN "--text text.txt --threads 0", 1, wrongs[i][0]});
        unsetenv(wrongs[i][0]);
    }
}

Test(cli, a_bad_environment_is_told_what_there_is)
{
    const char *best = NULL;
    for (int i = 0; i < 3 && wf_vec_select((const char *[]){"base", "avx2", "avx512"}[i]); i++)
        best = wf_vec_get()->isa;
    char isa[100];
    snprintf(isa, sizeof isa, "expected avx512, avx2 or base; this processor has up to %s", best);
    const char *wrongs[][3] = {
        {"WF_ISA", "bogus", isa},
        {"WF_PASSES", "-cs", "WF_PASSES: '-cs': expected -NAME of a pass of docs/ops.md"},
        {"WF_DUMP", "cs", "expected before, after or a pass of docs/ops.md"},
    };
    for (int i = 0; i < 3; i++) {
        setenv(wrongs[i][0], wrongs[i][1], 1);
        expect_wrong(&(wrong){"graph gau --dump after", 1, wrongs[i][2]});
        unsetenv(wrongs[i][0]);
    }
}

Test(cli, an_empty_variable_of_the_environment_is_as_none)
{
    const char *names[] = {"WF_ISA",  "WF_KERNELS", "WF_THREADS",
                           "WF_DUMP", "WF_PASSES",  "WF_TRACE"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        setenv(names[i], "", 1);
        outcome o =
            weft("graph gau --explain --layers 1 --width 16 --expand 32 --key 8 --vocab 50");
        unsetenv(names[i]);
        cr_expect_eq(o.code, 0, "%s: code %d", names[i], o.code);
        cr_expect_str_eq(o.err, "", "%s: got: %s", names[i], o.err);
    }
}

Test(cli, help_and_version_are_exit_0)
{
    const wrong cases[] = {
        {"--help", 0, "weft gau pretrain"},  {"--version", 0, "weft "},
        {"gau --help", 0, "weft gau fill"},  {"gau pretrain --help", 0, "(default: 2048)"},
        {"gau fill --help", 0, "--top"},     {"graph gau --help", 0, "--dump"},
        {"graph gau --help", 0, "repeated"}, /* the end of the longest text */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o = weft(cases[i].line);
        cr_expect_eq(o.code, 0, "%s: code %d", cases[i].line, o.code);
        cr_expect(strstr(o.out, cases[i].says), "%s: got: %s", cases[i].line, o.out);
        cr_expect_str_eq(o.err, "", "%s: got: %s", cases[i].line, o.err);
    }
}

Test(cli, help_is_80_columns_wide)
{
    const char *lines[] = {"gau pretrain --help", "gau fill --help", "graph gau --help",
                           "vocab --help",        "schedule --help", "recipe --help"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        outcome o = weft(lines[i]);
        cr_expect_eq(o.code, 0, "%s: code %d", lines[i], o.code);
        for (char *at = o.out; *at; at += strspn(at, "\n")) {
            size_t n = strcspn(at, "\n");
            cr_expect(n <= 80, "%s: %zu columns: %.*s", lines[i], n, (int)n, at);
            at += n;
        }
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

Test(cli, graph_shows_products_in_bf16)
{
    const char *line =
        "graph gau --dump after --layers 1 --width 16 --expand 32 --key 8 --vocab 50 "
        "--products";
    for (int i = 0; i < 2; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s %s", line, i ? "bf16" : "f32");
        outcome o = weft(text);
        cr_expect_eq(o.code, 0, "%s: code %d, %s", text, o.code, o.err);
        cr_expect_eq(strstr(o.out, "bf16") != NULL, i, "%s: got: %s", text, o.out);
    }
}

Test(cli, a_limit_of_memory_is_met_or_refused_in_one_line)
{
    static const struct {
        const char *memory, *says;
        int code;
    } rows[] = {
        {"1GiB", "", 0},
        {"0.5GiB", "", 0},
        {"1500KiB", "", 0},
        {"0.001TiB", "", 0},
        {"1e9", "", 0},
        {"1.5KiB", "weft graph gau: memory: the limit is 1536 bytes, the least that was found", 1},
        {"12MB",
         "--memory: expected bytes, KiB, MiB, GiB or TiB, such as 1.5GiB, less than 2^62 bytes, "
         "got '12MB'",
         2},
        {"0x10", "--memory: expected bytes", 2},
        {"0x10GiB", "--memory: expected bytes", 2},
        {"\t1GiB", "--memory: expected bytes", 2},
        {"4194304TiB", "--memory: expected bytes", 2},
        {"-1", "--memory: expected bytes", 2},
        {"nan", "--memory: expected bytes", 2},
        {"9e99GiB", "--memory: expected bytes", 2},
        {"", "--memory: expected bytes", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[200];
        snprintf(line, sizeof line,
                 "graph gau --layers 8 --width 32 --expand 64 --key 16 --vocab 50 --tokens 96 "
                 "--picks 24 --dump after --memory=%s",
                 rows[i].memory);
        outcome o = weft(line);
        cr_expect_eq(o.code, rows[i].code, "%s: code %d, %s", line, o.code, o.err);
        cr_expect(strstr(o.err, rows[i].says) && o.code ? is_one_line(o.err) : !*o.err, "%s: %s",
                  line, o.err);
    }
}

Test(cli, a_graph_is_printed_without_making_its_weights)
{
    const char *dumps[] = {"before", "after", "dot"};
    for (int i = 0; i < 3; i++) {
        char line[200];
        snprintf(line, sizeof line,
                 "graph gau --dump %s --layers 24 --width 65536 --expand 262144 --vocab 9000000 "
                 "--tokens 1000000",
                 dumps[i]); /* 14 TB of weights */
        outcome o = weft(line);
        cr_expect_eq(o.code, 0, "%s: code %d, %s", line, o.code, o.err);
    }
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
        {"gau fill --model old a[MASK] --top 0", 2, "--top"},
        {"gau fill --model old a b", 2, "[MASK]"},
        {"gau fill --model old \xe9[MASK]", 1, "UTF-8"},
        {"gau fill --model other a[MASK]", 1, "other/vocab.txt"},
        {"gau fill --model text.txt a[MASK]", 1, "text.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    outcome o = weft("gau fill --model old --top 2 a [MASK] c");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    cr_expect(strstr(o.out, "[MASK] 1\n") && strstr(o.out, "a ["), "got: %s", o.out);
    cr_expect_str_eq(o.err, "");
}

/* The numbers differ in few digits, so that a larger step of training shows them. */
Test(cli, fill_takes_products_in_bf16)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 30 --warmup 1 --lr 0.05 --out old").code, 0);
    outcome a = weft("gau fill --model old --top 9 a [MASK] c");
    outcome b = weft("gau fill --model old --top 9 --products bf16 a [MASK] c");
    cr_expect(a.code == 0 && b.code == 0, "codes %d, %d: %s", a.code, b.code, b.err);
    cr_expect(strcmp(a.out, b.out) != 0, "both: %s", a.out);
    if (wf_gemm_has_bf16())
        cr_expect_str_eq(b.err, "");
    else
        cr_expect_str_eq(b.err, "weft gau fill: warning: --products bf16 is not faster on this "
                                "processor\n");
}
