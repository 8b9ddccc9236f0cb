/* Readers and writers: good files, every kind of bad one, and what is left after a failure. */
#define _GNU_SOURCE
#include "io/file.h"
#include "io/plot.h"
#include "io/text.h"
#include "tests/scratch.h"

#include <math.h>
#include <png.h>
#include <unistd.h>

TestSuite(io, .init = make_folder, .fini = remove_folder, .timeout = 60);

/* ---- errors and files ---- */

Test(io, an_error_names_the_end_of_a_long_path_and_is_one_line)
{
    char path[500] = "";
    for (int i = 0; i < 100; i++) strcat(path, i == 0 ? "a" : "\xe6\x9c\x88");
    strcat(path, "/end");
    wf_file_error(WF_EFORMAT, path, 7, "odd\n\x1b%s", "thing");
    cr_expect(strstr(wf_error(), "/end:7: odd??thing"), "%s", wf_error());
    cr_expect(!strncmp(wf_error(), "...\xe6\x9c\x88", 6), "a whole character: %s", wf_error());
    char text[600] = "";
    for (int i = 0; i < 190; i++) strcat(text, "\xe6\x9c\x88");
    wf_file_error(WF_EFORMAT, "p", 0, "%s", text);
    cr_expect_eq((strlen(wf_error()) - 3) % 3, 0, "whole characters: %s", wf_error());
    wf_file_error(WF_EFORMAT, NULL, 0, "no file");
    cr_expect_str_eq(wf_error(), "no file");
}

Test(io, a_file_is_replaced_as_a_whole_or_not_at_all)
{
    const char *path = put("f", BYTES("old"));
    wf_out o;
    cr_assert_eq(wf_out_open(&o, path), WF_OK);
    fputs("new", o.file);
    fflush(o.file);
    expect_content(path, "old");
    wf_out_abandon(&o);
    expect_content(path, "old");
    cr_assert_eq(wf_out_open(&o, path), WF_OK);
    fputs("new", o.file);
    cr_assert_eq(wf_out_commit(&o), WF_OK);
    expect_content(path, "new");
    cr_expect_eq(files_in_folder(), 1, "nothing else is left");
}

Test(io, a_file_that_cannot_be_written_is_an_error)
{
    const char *bad[] = {in_folder("none/f"), in_folder("f/f"), folder};
    put("f", BYTES(""));
    wf_out o;
    for (size_t i = 0; i < COUNT(bad); i++) {
        expect_error(wf_out_open(&o, bad[i]), WF_EIO, "cannot be written");
        cr_expect(strstr(wf_error(), bad[i]), "%s", wf_error());
    }
    cr_assert_eq(wf_out_open(&o, "/dev/full"), WF_OK);
    fputs("text", o.file);
    expect_error(wf_out_commit(&o), WF_EIO, "/dev/full: cannot be written: No space left");
    cr_expect_eq(files_in_folder(), 1);
}

/* ---- lines ---- */

Test(io, lines_end_in_lf_or_crlf_or_with_the_file)
{
    const char *path = put("f", BYTES("\xef\xbb\xbf\xe6\x9c\x88\r\n\n\xef\xbb\xbf-b\rc\nend"));
    const char *want[] = {"\xe6\x9c\x88", "", "\xef\xbb\xbf-b\rc", "end"};
    wf_lines l;
    cr_assert_eq(wf_lines_open(&l, path), WF_OK);
    for (size_t i = 0; i < COUNT(want); i++) {
        cr_assert_eq(wf_lines_next(&l), WF_OK);
        cr_assert(l.line && l.size == strlen(want[i]), "line %zu", i + 1);
        cr_expect(!memcmp(l.line, want[i], l.size), "line %zu", i + 1);
        cr_expect_eq(l.number, (int64_t)i + 1);
    }
    for (int i = 0; i < 2; i++) cr_expect(wf_lines_next(&l) == WF_OK && !l.line);
    wf_lines_close(&l);
}

Test(io, lines_may_be_longer_than_the_buffer_up_to_the_limit)
{
    enum { LONG = 1000003 };
    const char *path = in_folder("f");
    FILE *f = fopen(path, "wb");
    for (int i = 0; i < LONG; i++) fputc('a' + i % 26, f);
    fputs("\nshort\n", f);
    fclose(f);
    wf_lines l;
    cr_assert_eq(wf_lines_open(&l, path), WF_OK);
    cr_assert_eq(wf_lines_next(&l), WF_OK);
    cr_assert_eq(l.size, LONG);
    for (int i = 0; i < LONG; i++) cr_assert_eq(l.line[i], 'a' + i % 26);
    cr_expect(wf_lines_next(&l) == WF_OK && l.size == 5);
    wf_lines_close(&l);
    cr_assert_eq(truncate(path, 2 * (off_t)WF_LINE_LIMIT), 0);
    cr_assert_eq(wf_lines_open(&l, path), WF_OK);
    for (int i = 0; i < 2; i++) cr_assert_eq(wf_lines_next(&l), WF_OK);
    expect_error(wf_lines_next(&l), WF_EFORMAT, "f:3: expected a line of at most");
    wf_lines_close(&l);
}

Test(io, lines_that_are_not_text_are_errors_with_their_place)
{
    const struct {
        bytes content;
        const char *says;
    } bad[] = {
        {BYTES("a\nb \xe9 c\n"), "f:2: expected UTF-8, byte 3 of the line (0xe9)"},
        {BYTES("a\n\xe6\x9c"), "f:2: expected UTF-8, byte 1"},
        {BYTES("\xed\xa0\x80\n"), "f:1: expected UTF-8, byte 1"},
        {BYTES("\xc0\x80\n"), "f:1: expected UTF-8, byte 1"},
        {BYTES("a\n\nb\0c\n"), "f:3: expected text, byte 2 is NUL"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        wf_lines l;
        cr_assert_eq(wf_lines_open(&l, put("f", bad[i].content)), WF_OK);
        wf_status s = WF_OK;
        do s = wf_lines_next(&l);
        while (s == WF_OK && l.line);
        expect_error(s, WF_EFORMAT, bad[i].says);
        cr_expect_null(l.line);
        wf_lines_close(&l);
    }
    wf_lines l;
    expect_error(wf_lines_open(&l, in_folder("none")), WF_EIO, "none: cannot be read: No such");
    wf_lines_close(&l);
    if (wf_lines_open(&l, folder) == WF_OK) (void)wf_lines_next(&l);
    cr_expect(strstr(wf_error(), "cannot be read: Is a directory"), "%s", wf_error());
    wf_lines_close(&l);
}

/* ---- texts ---- */

/* All texts of a file with '|' behind each; the status that ended it. */
static wf_status read_texts(bytes content, int64_t max_chars, char *all)
{
    wf_texts t;
    *all = 0;
    wf_status s = wf_texts_open(&t, put("f", content), max_chars);
    while (s == WF_OK && (s = wf_texts_next(&t)) == WF_OK && t.text) {
        strncat(all, t.text, t.size);
        strcat(all, "|");
    }
    wf_texts_close(&t);
    return s;
}

Test(io, texts_are_plain_lines_or_json_lines)
{
    const struct {
        bytes content;
        int64_t max_chars;
        const char *want;
    } good[] = {
        {BYTES("one\n\n \t\r\ntwo \n{\"content\": 3}\n"), 0, "one|two |{\"content\": 3}|"},
        {BYTES("\xef\xbb\xbf\n {\"content\": \"a\\u6708\", \"x\": 1}\n\n{\"content\":\"b\\nc\"}"),
         0, "a\xe6\x9c\x88|b\nc|"},
        {BYTES("{\"content\":\"\"}\r\n{\"content\":\" \\t\\n\"}\r\n{\"content\":\"x\"}\r\n"), 0,
         "x|"},
        {BYTES("\xe6\x9c\x88\xf0\x9f\x98\x80z\nab\nabc"), 2, "\xe6\x9c\x88\xf0\x9f\x98\x80|ab|ab|"},
        {BYTES("{\"content\":\"\xe6\x9c\x88\xe5\x85\x89\"}"), 1, "\xe6\x9c\x88|"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        char all[256];
        cr_expect_eq(read_texts(good[i].content, good[i].max_chars, all), WF_OK, "%s", wf_error());
        cr_expect_str_eq(all, good[i].want);
    }
}

Test(io, bad_texts_are_errors_with_their_line)
{
    const struct {
        bytes content;
        const char *says;
    } bad[] = {
        {BYTES(""), "f: expected text, there is none"},
        {BYTES("\n \r\n\t\n"), "f: expected text, there is none"},
        {BYTES("{\"content\": \" \"}\n"), "f: expected text, there is none"},
        {BYTES("{\"content\": \"a\"}\n{\"content\": \n"),
         "f:2: expected a JSON object in one line"},
        {BYTES("{\"content\": \"a\"}\n\nplain\n"), "f:3: expected a JSON object in one line"},
        {BYTES("{\"content\": \"a\"} x\n"), "f:1: expected a JSON object in one line"},
        {BYTES("{\"content\": \"a\"}\n[\"content\"]\n"), "f:2: expected a JSON object with a text"},
        {BYTES("{\"text\": \"a\"}\n"), "f:1: expected a JSON object with a text 'content'"},
        {BYTES("{\"content\": [1]}\n"), "'content', it is not a text"},
        {BYTES("{\"content\": \"a\\u0000b\"}\n"), "f:1: expected a JSON object in one line"},
        {BYTES("{\"content\": \"\xff\"}\n"), "f:1: expected UTF-8"},
        {BYTES("plain\na\0b\n"), "f:2: expected text, byte 2 is NUL"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char all[256];
        expect_error(read_texts(bad[i].content, 0, all), WF_EFORMAT, bad[i].says);
    }
    wf_texts t;
    expect_error(wf_texts_open(&t, in_folder("none"), 0), WF_EIO, "none: cannot be read");
    wf_texts_close(&t);
}

/* ---- plots ---- */

static void expect_png(const char *path, unsigned width, unsigned height, bool is_coloured)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    cr_assert(png_image_begin_read_from_file(&image, path), "%s: %s", path, image.message);
    cr_expect(image.width == width && image.height == height, "%u x %u", image.width, image.height);
    image.format = PNG_FORMAT_RGB;
    unsigned char *rgb = malloc(PNG_IMAGE_SIZE(image));
    cr_assert(rgb && png_image_finish_read(&image, NULL, rgb, 0, NULL), "%s", image.message);
    int coloured = 0;
    for (size_t i = 0; i < (size_t)width * height; i++)
        coloured += rgb[3 * i] != rgb[3 * i + 1] || rgb[3 * i] != rgb[3 * i + 2];
    cr_expect_eq(coloured > 0, is_coloured, "%s: %d coloured pixels", path, coloured);
    free(rgb);
}

Test(io, a_plot_of_any_points_is_a_picture)
{
    float up[] = {0, 1, 2, 3}, nan[] = {NAN, INFINITY, -INFINITY, NAN}, gap[] = {1, NAN, 3, 2};
    float huge[] = {-3e38f, 3e38f, 0, 1}, tiny[] = {1e-40f, 2e-40f, 0, 0},
          near[] = {1e6f, 1e6f + 1};
    const struct {
        const char *name;
        wf_plot_line line;
        bool is_coloured;
    } cases[] = {
        {"points", {"up", 4, up, up}, true},
        {"gap", {"gap", 4, up, gap}, true},
        {"not finite", {"nan", 4, up, nan}, false},
        {"no x", {"nan", 4, nan, up}, false},
        {"none", {"none", 0, NULL, NULL}, false},
        {"one", {"one", 1, up, up}, true},
        {"huge", {"huge", 4, huge, huge}, true},
        {"tiny", {"tiny", 4, tiny, tiny}, true},
        {"near", {"near", 2, near, near}, true},
        {"no name", {NULL, 4, up, up}, true},
        {"odd name", {"\xe6\x9c\x88", 4, up, up}, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wf_plot p = {"title", "x", "y", 320, 200, 1, &cases[i].line};
        cr_expect_eq(wf_plot_save(&p, in_folder("p.png")), WF_OK, "%s: %s", cases[i].name,
                     wf_error());
        expect_png(in_folder("p.png"), 320, 200, cases[i].is_coloured);
    }
    wf_plot_line eight[8];
    for (int i = 0; i < 8; i++) eight[i] = (wf_plot_line){"line", 4, up, up};
    cr_expect_eq(wf_plot_save(&(wf_plot){.n_lines = 8, .lines = eight}, in_folder("p.png")), WF_OK);
    expect_png(in_folder("p.png"), 960, 600, true);
    for (int side = 1; side < 100; side += 7) {
        wf_plot p = {"title", "x", "y", side, 100 - side, 8, eight};
        cr_expect_eq(wf_plot_save(&p, in_folder("p.png")), WF_OK, "%d: %s", side, wf_error());
    }
    cr_expect_eq(files_in_folder(), 1);
}

Test(io, a_plot_that_cannot_be_written_is_an_error)
{
    wf_plot p = {.title = "title"};
    expect_error(wf_plot_save(&p, in_folder("none/p.png")), WF_EIO,
                 "none/p.png: cannot be written");
    expect_error(wf_plot_save(&p, "/dev/full"), WF_EIO, "/dev/full: cannot be written: No space");
    cr_expect_eq(files_in_folder(), 0);
}
