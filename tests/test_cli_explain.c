/* What the command tells of the compiler: as text, as a page, before and after a run. */
#define _GNU_SOURCE
#include "cli.h"

TestSuite(cli_explain, .init = setup, .fini = teardown, .timeout = 120);

#define GRAPH "graph gau --layers 2 --width 16 --expand 32 --key 8 --vocab 30 "

static const char *page(void)
{
    static char text[1 << 20];
    text[load("page.html", text, sizeof text - 1)] = 0;
    return text;
}

Test(cli_explain, a_graph_is_explained_as_text_and_as_a_page)
{
    outcome o = weft(GRAPH "--explain");
    cr_expect_eq(o.code, WF_DONE, "%s", o.err);
    cr_expect(strstr(o.out, "What the compiler did\n"), "%s", o.out);
    cr_expect(strstr(o.out, "mul -> gau_gated"), "%s", o.out);
    o = weft(GRAPH "--html page.html");
    cr_expect_eq(o.code, WF_DONE, "%s", o.err);
    cr_expect_str_eq(o.out, "");
    cr_expect(strstr(page(), "mul -&gt; gau_gated") && strstr(page(), "</html>"), "%s", page());
}

Test(cli_explain, a_run_leaves_a_page_with_its_times)
{
    outcome o = weft(TRAIN "--text text.txt --steps 3 --explain page.html");
    cr_expect_eq(o.code, WF_DONE, "%s", o.err);
    cr_expect(strstr(page(), "the fastest of 3 runs on 1 thread;"), "%.3000s", page());
    cr_expect(strstr(page(), "mul -&gt; gau_gated"));
    cr_expect(strstr(page(), "layer_0"));
}

Test(cli_explain, a_page_that_cannot_be_written_is_told_before_the_first_step)
{
    static const char *const lines[] = {
        GRAPH "--html no/page.html",
        TRAIN "--text text.txt --steps 3 --explain no/page.html",
    };
    for (int i = 0; i < 2; i++) {
        outcome o = weft(lines[i]);
        cr_expect_eq(o.code, WF_FAILED, "%s: code %d", lines[i], o.code);
        cr_expect(is_one_line(o.err) && strstr(o.err, "no/page.html"), "%s: %s", lines[i], o.err);
        cr_expect_str_eq(o.out, "", "%s: %s", lines[i], o.out);
        cr_expect(!exists("out/checkpoint.safetensors"));
    }
}
