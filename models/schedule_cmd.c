/* weft schedule: lists the schedules, or tables and draws some of them. */
#include "io/plot.h"
#include "models/common.h"
#include "models/drivers.h"

#include <string.h>
#include <weft/op.h>

static const char command_name[] = "weft schedule";

enum { MOST = 8 /* lines of a plot */, POINTS = 1000, ROWS = 10 };

typedef struct options {
    wf_arg_list names;
    int64_t steps, warmup;
    double lr;
    const char *out;
} options;

#define AT(field) offsetof(options, field)

static const wf_arg args[] = {
    {"steps", WF_ARG_INT, AT(steps), "1000", "N", 1, 1e12, 0, false,
     "Steps of the run; total of schedules that have one"},
    {"warmup", WF_ARG_INT, AT(warmup), "100", "N", 0, 1e12, 0, false,
     "Steps over which the rate rises from zero, for schedules that have a warmup"},
    {"lr", WF_ARG_REAL, AT(lr), "1", "X", 0, 0, WF_ARG_ABOVE, false, "Learning rate"},
    {"out", WF_ARG_TEXT, AT(out), NULL, "FILE", 0, 0, 0, false, "Draw them into this PNG file"},
};

static wf_command command(void)
{
    return (wf_command){
        .name = command_name,
        .usage = "[SCHEDULE...]",
        .doc = "List the schedules of the learning rate with their numbers and defaults, or show "
               "what some make of it, such as cosine,end=0.1 or 400:1,1000:0.",
        .groups = {{args, (int)(sizeof args / sizeof *args), 0}},
        .rest = "schedules",
        .rest_offset = AT(names),
    };
}

bool wf_schedule_option(wf_schedule *s, const char *command, const char *text, int64_t warmup,
                        int64_t total)
{
    return wf_schedule_read(s, text, warmup, total == INT64_MAX ? 0 : total) == WF_OK ||
           wf_complain(command, "--schedule: %s", wf_error());
}

static void list(void)
{
    const wf_schedule_kind *k;
    printf("t: steps behind warmup\n");
    for (int i = 0; (k = wf_schedule_kind_at(i)); i++) {
        printf("\n%s: %s\n", k->name, k->doc);
        for (const wf_schedule_number *x = k->numbers; x->name; x++) {
            char setting[64];
            if (x->initial == WF_RUN_WARMUP)
                snprintf(setting, sizeof setting, "%s=--warmup", x->name);
            else if (x->initial == WF_RUN_TOTAL)
                snprintf(setting, sizeof setting, "%s=--steps", x->name);
            else
                snprintf(setting, sizeof setting, "%s=%g", x->name, x->initial);
            printf("  %-22s %s\n", setting, x->doc);
        }
    }
}

/* The i-th of n steps from the first to the last of the run. */
static int64_t step_of(const options *o, int i, int n)
{
    return (int64_t)((double)(o->steps - 1) * i / (n - 1) + 0.5);
}

static double rate(const options *o, const wf_schedule *s, int64_t step)
{
    return o->lr * wf_schedule_at(s, step);
}

static void table(const options *o, const wf_schedule s[])
{
    printf("%12s", "step");
    for (int k = 0; k < o->names.n; k++) printf("  %12s", o->names.item[k]);
    printf("\n");
    int64_t before = -1;
    for (int i = 0; i <= ROWS; i++) {
        int64_t step = step_of(o, i, ROWS + 1);
        if (step == before) continue;
        before = step;
        printf("%12lld", (long long)step);
        for (int k = 0; k < o->names.n; k++) {
            size_t n = strlen(o->names.item[k]);
            printf("  %*.6g", n > 12 ? (int)n : 12, rate(o, &s[k], step));
        }
        printf("\n");
    }
}

static bool draw(const options *o, const wf_schedule s[])
{
    static float x[POINTS], y[MOST][POINTS];
    wf_plot_line lines[MOST];
    for (int i = 0; i < POINTS; i++) {
        int64_t step = step_of(o, i, POINTS);
        x[i] = (float)step;
        for (int k = 0; k < o->names.n; k++) y[k][i] = (float)rate(o, &s[k], step);
    }
    for (int k = 0; k < o->names.n; k++)
        lines[k] = (wf_plot_line){o->names.item[k], POINTS, x, y[k]};
    const wf_plot p = {.title = "learning rate",
                       .x_name = "step",
                       .y_name = "rate",
                       .n_lines = o->names.n,
                       .lines = lines};
    return wf_plot_save(&p, o->out) == WF_OK || wf_complain(command_name, "%s", wf_error());
}

int wf_schedule_main(int argc, char **argv)
{
    options o = {0};
    wf_schedule s[MOST];
    wf_command c = command();
    int code = wf_args_parse(&c, argc, argv, &o);
    if (code >= 0) return code;
    if (o.out && o.names.n == 0) {
        wf_complain(command_name, "--out: expected a schedule to draw");
        return WF_USAGE;
    }
    if (o.names.n > MOST) {
        wf_complain(command_name, "expected at most %d schedules, got %d", MOST, o.names.n);
        return WF_USAGE;
    }
    for (int k = 0; k < o.names.n; k++)
        if (wf_schedule_read(&s[k], o.names.item[k], o.warmup, o.steps) != WF_OK) {
            wf_complain(command_name, "%s", wf_error());
            return WF_USAGE;
        }
    if (o.names.n == 0) {
        list();
        return WF_DONE;
    }
    if (o.out && !draw(&o, s)) return WF_FAILED;
    table(&o, s);
    return WF_DONE;
}
