/* TensorBoard's event files, against bytes that its own writer made (tests/golden/events.py). */
#define _GNU_SOURCE
#include "io/events.h"
#include "tests/golden/events.h"
#include "tests/scratch.h"

TestSuite(events, .init = make_folder, .fini = remove_folder, .timeout = 60);

/* RFC 3720, B.4, and the check value of the catalogue of CRCs */
Test(events, crc_32c_has_its_published_values)
{
    uint8_t zero[32] = {0}, ones[32], up[32], down[32];
    for (int i = 0; i < 32; i++) ones[i] = 255, up[i] = (uint8_t)i, down[i] = (uint8_t)(31 - i);
    cr_expect_eq(wf_crc32c("123456789", 9), 0xe3069283u);
    cr_expect_eq(wf_crc32c(zero, 32), 0x8a9136aau);
    cr_expect_eq(wf_crc32c(ones, 32), 0x62a8ab43u);
    cr_expect_eq(wf_crc32c(up, 32), 0x46dd794eu);
    cr_expect_eq(wf_crc32c(down, 32), 0x113fdb5cu);
    cr_expect_eq(wf_crc32c("", 0), 0u);
}

static double now;

static double ticks(void)
{
    return now += 0.5;
}

static void expect_bytes(const char *path, const unsigned char *want, size_t size)
{
    unsigned char got[1000];
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    size_t n = fread(got, 1, sizeof got, f);
    fclose(f);
    cr_expect_eq(n, size, "%zu bytes, not %zu", n, size);
    for (size_t i = 0; i < n && i < size; i++)
        if (got[i] != want[i]) {
            cr_expect(false, "byte %zu is %02x, not %02x", i, got[i], want[i]);
            break;
        }
}

/* Read while the file is still open: what a killed run leaves is whole. */
Test(events, a_file_has_the_bytes_of_tensorboards_own_writer)
{
    wf_events e;
    now = 1700000000;
    cr_assert_eq(wf_events_open(&e, folder, 0, ticks), WF_OK, "%s", wf_error());
    wf_events_add(&e, 0, "train/loss", 3.25);
    wf_events_add(&e, 300, "held_out/accuracy", -0.1);
    wf_events_add(&e, 5000000000, "x", 1e30);
    expect_bytes(e.path, events_golden, sizeof events_golden);
    cr_expect_eq(wf_events_close(&e), WF_OK);
}

Test(events, a_resumed_run_starts_a_file_behind_the_older_one)
{
    wf_events a, b;
    now = 1700000000;
    cr_assert_eq(wf_events_open(&a, folder, 0, ticks), WF_OK, "%s", wf_error());
    now = 1700000000;
    cr_assert_eq(wf_events_open(&b, folder, 121, ticks), WF_EIO, "two runs in one file");
    now = 1700000010;
    cr_assert_eq(wf_events_open(&b, folder, 121, ticks), WF_OK, "%s", wf_error());
    cr_expect(strcmp(a.path, b.path) < 0, "%s, %s", a.path, b.path);
    wf_events_add(&b, 121, "train/loss", 2);
    expect_bytes(b.path, events_golden_resumed, sizeof events_golden_resumed);
    cr_expect(wf_events_close(&a) == WF_OK && wf_events_close(&b) == WF_OK);
}

Test(events, what_cannot_be_written_is_an_error)
{
    wf_events e;
    expect_error(wf_events_open(&e, in_folder("none"), 0, NULL), WF_EIO, "none/events.out.tfev");
    cr_expect_null(e.file);
    cr_assert_eq(wf_events_open(&e, folder, 0, NULL), WF_OK);
    fclose(e.file);
    e.file = fopen("/dev/full", "wb");
    wf_events_add(&e, 1, "loss", 1);
    expect_error(wf_events_close(&e), WF_EIO, "cannot be written");
    cr_expect_eq(wf_events_close(&e), WF_OK, "closed already");
}
