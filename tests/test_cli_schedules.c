/* Schedules and recipes on the command line. */
#define _GNU_SOURCE
#include "tests/cli.h"

TestSuite(cli_schedules, .init = setup, .fini = teardown, .timeout = 60);

Test(cli_schedules, all_are_listed_with_their_numbers)
{
    outcome o = weft("schedule");
    cr_expect_eq(o.code, 0, "%s", o.err);
    const char *says[] = {"\nconstant: ",    "\nlinear: ",
                          "\ncosine: ",      "\nrestarts: ",
                          "\npolynomial: ",  "\ninverse-sqrt:",
                          "\nexponential",   "\nstep: ",
                          "\none-cycle: ",   "\npiecewise: ",
                          "  peak=0.3   ",   "  power=2   ",
                          "  end=4e-06  ",   "  warmup=--warmup        steps over",
                          "  total=--steps "};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(o.out, says[i]), "'%s' in %s", says[i], o.out);
}

Test(cli_schedules, some_are_tabled_and_drawn)
{
    outcome o =
        weft("schedule cosine,end=0.1 50:1,100:0 --steps 101 --warmup 0 --lr 2 --out a.png");
    cr_expect_eq(o.code, 0, "%s", o.err);
    cr_expect_str_eq(o.out,
                     "        step  cosine,end=0.1    50:1,100:0\n"
                     "           0               2             0\n"
                     "          10         1.95681           0.4\n"
                     "          20         1.83139           0.8\n"
                     "          30         1.63578           1.2\n"
                     "          40         1.38874           1.6\n"
                     "          50           1.114             2\n"
                     "          60        0.837907           1.6\n"
                     "          70        0.586971           1.2\n"
                     "          80        0.385273           0.8\n"
                     "          90        0.252169           0.4\n"
                     "         100        0.200435             0\n",
                     "%s", o.out);
    static char png[1 << 20];
    size_t n = load("a.png", png, sizeof png);
    cr_expect(n > 1000 && !memcmp(png + 1, "PNG", 3), "%zu bytes", n);
    o = weft("schedule step --steps 1");
    cr_expect_str_eq(o.out, "        step          step\n           0             0\n", "%s",
                     o.out);
}

Test(cli_schedules, wrong_ones_are_one_line)
{
    const wrong cases[] = {
        {"schedule sine", 2, "weft schedule: there is no schedule 'sine' (see weft schedule)\n"},
        {"schedule cosine,begin=1", 2, "weft schedule: cosine has no begin (see weft schedule)\n"},
        {"schedule --out out", 2, "--out: expected a schedule to draw"},
        {"schedule cosine --steps 0", 2, "--steps"},
        {"schedule cosine --lr 0", 2, "--lr"},
        {"schedule step step step step step step step step step", 2, "at most 8 schedules, got 9"},
        {"schedule step --out out/none/a.png", 1, "out/none/a.png"},
        {"recipe --lr 1", 2, "--decay is missing"},
        {"recipe --decay 1", 2, "--lr is missing"},
        {"recipe --from lion --lr 1 --decay 1", 2, "--to: expected another optimizer than --from"},
        {"recipe --to lamb --lr 1 --decay 1", 2, "--to: expected adamw|lion|tiger, got 'lamb'"},
        {"recipe --lr 1 --decay 1 --ratio 11", 2, "--ratio: expected a number >= 3 and <= 10"},
        {"recipe --lr 1 --decay 1 --schedule sine", 2, "--schedule: there is no schedule 'sine'"},
        {"recipe --lr 1 --decay nan", 2, "--decay"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
}

/* The rate in the log is the schedule's, and with it --steps are the run's. */
Test(cli_schedules, a_run_follows_its_schedule)
{
    outcome o =
        weft(TRAIN "--text text.txt --steps 4 --warmup 2 --lr 0.002 --schedule linear,end=0.5 "
                   "--show-every 1 --log log.jsonl");
    cr_assert_eq(o.code, 0, "%s", o.err);
    static char log[1 << 16];
    log[load("log.jsonl", log, sizeof log - 1)] = 0;
    const char *rates[] = {"\"lr\": 0,", "\"lr\": 0.001,", "\"lr\": 0.002,", "\"lr\": 0.0015,"};
    const char *p = log;
    for (int i = 0; i < 4 && p; i++) {
        p = strstr(p, rates[i]);
        cr_expect(p, "step %d: no %s in %s", i + 1, rates[i], log);
    }
    o = weft(TRAIN
             "--text text.txt --steps 6 --warmup 2 --lr 0.002 --schedule linear,end=0.5 --resume");
    cr_expect_eq(o.code, 1);
    cr_expect(is_one_line(o.err) && strstr(o.err, ": --steps was 4, is 6\n"), "%s", o.err);
    o = weft(TRAIN "--text text.txt --steps 6 --warmup 2 --lr 0.002 --schedule linear --resume");
    cr_expect(strstr(o.err, ": --schedule was linear,end=0.5, is linear\n"), "%s", o.err);
}

/* Longer than 255 bytes, and other in the last one. */
Test(cli_schedules, long_ones_are_compared_to_their_end)
{
    char pairs[400] = "", line[800];
    for (int i = 1; i <= 16; i++)
        snprintf(pairs + strlen(pairs), 32, "%d:0.123456789012,", 100000 + i);
    pairs[strlen(pairs) - 1] = 0;
    snprintf(line, sizeof line, TRAIN "--text text.txt --steps 1 --schedule %s", pairs);
    outcome o = weft(line);
    cr_assert_eq(o.code, 0, "%s", o.err);
    line[strlen(line) - 1] = '9';
    strcat(line, " --resume");
    o = weft(line);
    cr_expect(o.code == 1 && strstr(o.err, "--schedule was"), "%d %s", o.code, o.err);
}

/* ---- recipes ---- */

Test(cli_schedules, a_recipe_keeps_rate_times_decay)
{
    static const struct {
        const char *line, *options;
    } cases[] = {
        /* what the authors of lion did to AdamW at 1e-3 and 1, 3e-4 and 0.01 */
        {"--lr 1e-3 --decay 1 --ratio 10 --task vision",
         "--optimizer lion --lr 0.0001 --decay 10 --beta1 0.9 --beta2 0.99\n"},
        {"--lr 3e-4 --decay 0.01 --ratio 10 --schedule cosine,end=0.1",
         "--optimizer lion --lr 3e-05 --decay 0.1 --beta1 0.95 --beta2 0.98 --schedule "
         "cosine,end=0.1\n"},
        {"--lr 1e-3 --decay 0.01", "--optimizer lion --lr 0.0002 --decay 0.05 --beta1"},
        {"--lr 3e-4 --decay 0.01 --to tiger", "--lr 0.00167 --decay 0.0499 --beta 0.965\n"},
        {"--lr 1e-3 --decay 0.01 --to tiger", "--lr 0.002 --decay 0.139 --beta 0.965\n"},
        {"--lr 1e-5 --decay 0.01 --to tiger --task vision",
         "--lr 0.001 --decay 0.00278 --beta 0.945\n"},
        {"--from lamb --lr 0.00176 --decay 0.01 --to tiger",
         "--optimizer tiger --lr 0.00176 --decay 0.01 --beta"},
        {"--from tiger --lr 0.001 --decay 0.01 --rms 0.1", "--lr 0.0001 --decay 0.01 --beta1"},
        {"--from lion --lr 1e-4 --decay 0.1 --to tiger --rms 0.05", "--lr 0.002 --decay 0.1 --"},
        {"--from lion --lr 1e-4 --decay 0.1 --to adamw",
         "--optimizer adamw --lr 0.0005 --decay 0.02"},
        {"--from tiger --lr 1e-3 --decay 0 --to adamw --rms 0.1", "--lr 0.0005 --decay 0 --beta1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[200];
        snprintf(line, sizeof line, "recipe %s", cases[i].line);
        outcome o = weft(line);
        cr_expect_eq(o.code, 0, "%s: %s", line, o.err);
        o.out[strcspn(o.out, "\n") + 1] = 0;
        cr_expect(strstr(o.out, cases[i].options), "%s: '%s' in %s", line, cases[i].options, o.out);
    }
}

Test(cli_schedules, a_recipe_warns_where_it_must)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"--lr 1e-3 --decay 1", NULL},
        {"--lr 1e-3 --decay 1 --batch 64", NULL},
        {"--lr 1e-3 --decay 1 --batch 63", "less than 64 examples a step lion is behind adamw"},
        {"--lr 1e-3 --decay 1 --to tiger --batch 8", "tiger is behind adamw"},
        {"--lr 1e-3 --decay 1 --schedule 100:1", NULL},
        {"--lr 1e-3 --decay 1 --schedule 0:1", "begins at 1: the first step"},
        {"--from lion --lr 1e-4 --decay 1 --to adamw --batch 8", "not interchangeable"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[200];
        snprintf(line, sizeof line, "recipe %s", cases[i].line);
        outcome o = weft(line);
        cr_expect_eq(o.code, 0, "%s: %s", line, o.err);
        if (cases[i].says)
            cr_expect(is_one_line(o.err) && strstr(o.err, "weft recipe: warning: ") == o.err &&
                          strstr(o.err, cases[i].says),
                      "%s: %s", line, o.err);
        else
            cr_expect_str_eq(o.err, "", "%s: %s", line, o.err);
    }
    outcome o = weft("recipe --lr 1e-3 --decay 1 --schedule cosine --batch 100");
    const char *says[] = {"\n--lr 0.0002: 0.001 / 5, since",
                          "\n--decay 5: weights still shrink by 0.001 of",
                          "\n--beta1 0.95 --beta2 0.98: published for language",
                          "\n--schedule cosine: unchanged", "\nA batch of 100 is fine"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(o.out, says[i]), "'%s' in %s", says[i], o.out);
}
