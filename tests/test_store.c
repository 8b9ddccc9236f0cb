/* Stores and their files: round trips, hostile files, failed saves, random damage. */
#define _GNU_SOURCE
#include "graph/base.h"
#include "runtime/store.h"
#include <weft/op.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WF_TEST_ASAN /* it ends the program where malloc would return NULL */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WF_TEST_ASAN
#endif
#endif

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/weft_store_XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    char path[400];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.') remove(path);
    }
    if (d) closedir(d);
    remove(folder);
}

TestSuite(store, .init = make_folder, .fini = remove_folder, .timeout = 150);

static const char *in_folder(const char *name)
{
    static char path[8][200];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void write_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
}

static unsigned char *read_bytes(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*bytes + 1);
    cr_assert(data && fread(data, 1, *bytes, f) == *bytes);
    fclose(f);
    return data;
}

/* A file of this header, padded like a good one, and "bytes" bytes 0, 1, 2, ... of data. */
static void write_st(const char *path, const char *header, size_t bytes)
{
    unsigned char raw[8] = {0};
    size_t n = strlen(header);
    raw[0] = (unsigned char)n;
    raw[1] = (unsigned char)(n >> 8);
    FILE *f = fopen(path, "wb");
    cr_assert(f && n < 65536);
    fwrite(raw, 1, 8, f);
    fwrite(header, 1, n, f);
    for (size_t i = 0; i < bytes; i++) fputc((int)(i & 255), f);
    fclose(f);
}

static const uint32_t odd_bits[6] = {0x7fc01234, 0xff800000, 0x80000000, 1, 0x3f800001, 0x7f7fffff};

static wf_store *sample(void)
{
    wf_store *s = wf_store_new(0xfedcba9876543210u);
    int32_t ids[3] = {-1, INT32_MAX, INT32_MIN};
    uint8_t mask[5] = {0, 1, 255, 7, 8};
    float scalar = -0.5f;
    cr_assert_eq(wf_store_put(s, "mask", WF_U8, WF_SHAPE(5), mask), WF_OK);
    cr_assert_eq(wf_store_put(s, "gau0/value/w", WF_F32, WF_SHAPE(2, 3), odd_bits), WF_OK);
    cr_assert_eq(wf_store_put(s, "ids", WF_I32, WF_SHAPE(3), ids), WF_OK);
    cr_assert_eq(wf_store_put(s, "opt/lion/gau0/value/w/momentum", WF_F32, WF_SCALAR, &scalar),
                 WF_OK);
    cr_assert_eq(wf_store_put(s, "empty \xe7\xbb\xb4 \"\\", WF_F32, WF_SHAPE(4, 0), NULL), WF_OK);
    cr_assert_eq(wf_store_set_text(s, "recipe", "line one\nline \"two\" \xc3\xa9"), WF_OK);
    *wf_store_step(s) = INT64_MAX - 1;
    return s;
}

static void expect_same(const wf_store *a, const wf_store *b)
{
    cr_assert_eq(wf_store_count(a), wf_store_count(b));
    for (int i = 0; i < a->n_tensors; i++) {
        const wf_stored *x = &a->tensors[i], *y = &b->tensors[i];
        cr_assert_str_eq(x->name, y->name);
        cr_assert_eq(x->dtype, y->dtype);
        cr_assert_eq(wf_stored_bytes(x), wf_stored_bytes(y));
        cr_assert(wf_shape_equal(&x->shape, &y->shape), "%s", x->name);
        cr_assert(!memcmp(x->data, y->data, wf_stored_bytes(x)), "%s", x->name);
        cr_assert_eq((uintptr_t)y->data % 64, 0);
    }
    cr_assert_eq(a->seed, b->seed);
    cr_assert_eq(a->step, b->step);
    cr_assert_eq(a->n_notes, b->n_notes);
    for (int i = 0; i < a->n_notes; i++)
        cr_assert_str_eq(a->notes[i].text, wf_store_text(b, a->notes[i].key));
}

Test(store, keeps_tensors_by_name_in_order_and_in_place)
{
    wf_store *s = wf_store_new(7);
    void *data[3000];
    char name[40];
    bool created;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "block%d/w", i * 7919 % 3000);
        data[i] = wf_store_require(s, name, WF_F32, WF_SHAPE(1 + i % 5, 3), &created);
        cr_assert(data[i] && created && (uintptr_t)data[i] % 64 == 0);
        cr_assert_eq(*(float *)data[i], 0);
    }
    for (int i = 0; i < 3000; i++) {
        wf_dtype dtype;
        wf_shape shape;
        snprintf(name, sizeof name, "block%d/w", i * 7919 % 3000);
        cr_assert_str_eq(wf_store_name(s, i), name);
        cr_assert_eq(wf_store_data(s, name, &dtype, &shape), data[i]);
        cr_assert(dtype == WF_F32 && shape.rank == 2 && shape.dim[0] == 1 + i % 5);
        cr_assert_eq(wf_store_require(s, name, WF_F32, shape, &created), data[i]);
        cr_assert(!created);
    }
    cr_expect_eq(wf_store_count(s), 3000);
    cr_expect_null(wf_store_name(s, 3000));
    cr_expect_null(wf_store_name(s, -1));
    cr_expect_null(wf_store_data(s, "block3000/w", NULL, NULL));
    cr_expect_eq(wf_store_seed(s), 7);
    cr_expect_null(wf_store_require(s, "block0/w", WF_F32, WF_SHAPE(9), &created));
    cr_expect(strstr(wf_error(), "block0/w") && strstr(wf_error(), "[1,3]") &&
                  strstr(wf_error(), "[9]"),
              "%s", wf_error());
    wf_store_free(s);
    wf_store_free(NULL);
}

Test(store, refuses_what_it_cannot_hold)
{
    wf_store *s = wf_store_new(0);
    float x[4] = {1, 2, 3, 4};
    wf_shape huge = WF_SHAPE(INT64_MAX / 2, 2, 8), negative = WF_SHAPE(2, -1), deep = {.rank = 7};
    struct {
        const char *name;
        wf_dtype dtype;
        wf_shape shape;
        const char *word;
    } bad[] = {
        {"", WF_F32, WF_SHAPE(4), "name"},
        {"a\nb", WF_F32, WF_SHAPE(4), "name"},
        {"a\x7f", WF_F32, WF_SHAPE(4), "name"},
        {"\xff\xfe", WF_F32, WF_SHAPE(4), "name"},
        {"__metadata__", WF_F32, WF_SHAPE(4), "name"},
        {"odd", (wf_dtype)77, WF_SHAPE(4), "unknown"},
        {"huge", WF_F32, huge, "shape"},
        {"negative", WF_F32, negative, "shape"},
        {"deep", WF_F32, deep, "rank"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(wf_store_put(s, bad[i].name, bad[i].dtype, bad[i].shape, x), WF_EMODEL);
        cr_expect(strstr(wf_error(), bad[i].word), "%zu: %s", i, wf_error());
    }
    cr_expect_eq(wf_store_put(s, "x", WF_F32, WF_SHAPE(4), x), WF_OK);
    cr_expect_eq(wf_store_put(s, "x", WF_I32, WF_SHAPE(4), x), WF_EMODEL);
    cr_expect_eq(wf_store_put(s, "x", WF_F32, WF_SHAPE(2, 2), x), WF_EMODEL);
    cr_expect_eq(wf_store_put(s, "x", WF_F32, deep, x), WF_EMODEL);
#ifndef WF_TEST_ASAN
    wf_shape most = WF_SHAPE((int64_t)1 << 50, 64);
    cr_expect_eq(wf_store_put(s, "most", WF_F32, most, x), WF_ENOMEM);
    cr_expect(strstr(wf_error(), "most") && strstr(wf_error(), "memory"), "%s", wf_error());
#endif
    cr_expect_eq(wf_store_set_text(s, "weft.seed", "1"), WF_EMODEL);
    cr_expect_eq(wf_store_set_text(s, "k", "\xc3"), WF_EMODEL);
    cr_expect_eq(wf_store_set_text(s, "k", "one"), WF_OK);
    cr_expect_eq(wf_store_set_text(s, "k", "two"), WF_OK);
    cr_expect_str_eq(wf_store_text(s, "k"), "two");
    cr_expect_null(wf_store_text(s, "j"));
    cr_expect_eq(wf_store_count(s), 1);
    wf_store_free(s);
}

Test(store, a_file_brings_everything_back_bit_by_bit)
{
    wf_store *a = sample(), *b = wf_store_new(1);
    cr_assert_eq(wf_store_save(a, in_folder("x.st"), NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_store_load(b, in_folder("x.st")), WF_OK, "%s", wf_error());
    expect_same(a, b);
    cr_assert_eq(wf_store_save(b, in_folder("y.st"), NULL), WF_OK);
    size_t n, m;
    unsigned char *x = read_bytes(in_folder("x.st"), &n), *y = read_bytes(in_folder("y.st"), &m);
    cr_expect(n == m && !memcmp(x, y, n));
    cr_expect_eq((8 + x[0] + 256u * x[1]) % 8, 0);
    cr_expect_eq(x[8], '{');

    float *w = wf_store_data(b, "gau0/value/w", NULL, NULL); /* once more, over what is there */
    memset(w, 0, 24);
    *wf_store_step(b) = 3;
    cr_assert_eq(wf_store_load(b, in_folder("x.st")), WF_OK);
    cr_expect_eq(wf_store_data(b, "gau0/value/w", NULL, NULL), w);
    expect_same(a, b);
    cr_expect_eq(files_in_folder(), 2);
    free(x);
    free(y);
    wf_store_free(a);
    wf_store_free(b);
}

Test(store, an_empty_store_and_chosen_names_are_saved)
{
    wf_store *a = wf_store_new(5), *b = wf_store_new(6);
    cr_assert_eq(wf_store_save(a, in_folder("e.st"), NULL), WF_OK);
    cr_assert_eq(wf_store_load(b, in_folder("e.st")), WF_OK, "%s", wf_error());
    expect_same(a, b);
    wf_store_free(a);
    a = sample();
    struct {
        const char *prefix;
        int count;
        const char *with, *without;
    } cases[] = {{"gau0/", 1, "gau0/value/w", "mask"},
                 {"!opt/", 4, "mask", "opt/lion/gau0/value/w/momentum"},
                 {"opt/", 1, "opt/lion/gau0/value/w/momentum", "ids"},
                 {"", 5, "mask", "nothing"},
                 {"zzz", 0, NULL, "mask"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_store *c = wf_store_new(0);
        cr_assert_eq(wf_store_save(a, in_folder("p.st"), cases[i].prefix), WF_OK);
        cr_assert_eq(wf_store_load(c, in_folder("p.st")), WF_OK, "%s", wf_error());
        cr_expect_eq(wf_store_count(c), cases[i].count, "%s", cases[i].prefix);
        cr_expect(!cases[i].with || wf_store_data(c, cases[i].with, NULL, NULL));
        cr_expect_null(wf_store_data(c, cases[i].without, NULL, NULL));
        cr_expect_str_eq(wf_store_text(c, "recipe"), wf_store_text(a, "recipe"));
        wf_store_free(c);
    }
    wf_store_free(a);
    wf_store_free(b);
}

Test(store, other_element_types_are_converted)
{
    static const char header[] =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[10],\"data_offsets\":[0,20]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[20,24]},"
        "\"d\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[24,40]},"
        "\"i\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[40,56]}}";
    uint16_t half[12] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x83ff, 0x0400,
                         0x8000, 0x7c00, 0xfc00, 0x7e01, 0x3f80, 0xc2f7};
    double d[2] = {0.1, -1e300};
    static const float zeros[10];
    int64_t i[2] = {INT32_MIN, INT32_MAX};
    unsigned char file[512];
    size_t n = strlen(header);
    memset(file, 0, sizeof file);
    memcpy(file, &n, 8);
    memcpy(file + 8, header, n);
    memcpy(file + 8 + n, half, 24);
    memcpy(file + 32 + n, d, 16);
    memcpy(file + 48 + n, i, 16);
    write_bytes(in_folder("c.st"), file, 8 + n + 56);
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, in_folder("c.st")), WF_OK, "%s", wf_error());
    cr_expect(!memcmp(wf_store_data(s, "h", NULL, NULL), half, 20), "F16 is kept as it is");
    cr_expect(!memcmp(wf_store_data(s, "b", NULL, NULL), half + 10, 4), "and BF16");
    wf_store_free(s);
    s = wf_store_new(0);
    wf_store_put(s, "h", WF_F32, WF_SHAPE(10), zeros); /* unless it is float32 here */
    wf_store_put(s, "b", WF_F32, WF_SHAPE(2), zeros);
    cr_assert_eq(wf_store_load(s, in_folder("c.st")), WF_OK, "%s", wf_error());
    const float *h = wf_store_data(s, "h", NULL, NULL), *b = wf_store_data(s, "b", NULL, NULL);
    const float *f = wf_store_data(s, "d", NULL, NULL);
    const int32_t *k = wf_store_data(s, "i", NULL, NULL);
    const float expected[9] = {1,        -2,    65504,    0x1p-24f, -0x1.ff8p-15f,
                               0x1p-14f, -0.0f, INFINITY, -INFINITY};
    for (int j = 0; j < 9; j++)
        cr_expect(h[j] == expected[j] && !signbit(h[j]) == !signbit(expected[j]), "%d: %a", j,
                  (double)h[j]);
    cr_expect(isnan(h[9]));
    cr_expect(b[0] == 1.0f && b[1] == -123.5f);
    cr_expect(f[0] == 0.1f && f[1] == -INFINITY);
    cr_expect(k[0] == INT32_MIN && k[1] == INT32_MAX);

    i[1]++; /* one too large, and the store stays as it is */
    memcpy(file + 48 + n, i, 16);
    file[8 + n] = 1;
    write_bytes(in_folder("c.st"), file, 8 + n + 56);
    cr_expect_eq(wf_store_load(s, in_folder("c.st")), WF_EFORMAT);
    cr_expect(strstr(wf_error(), "c.st") && strstr(wf_error(), "I64"), "%s", wf_error());
    cr_expect(k[1] == INT32_MAX && h[0] == 1);
    wf_store_free(s);
}

Test(store, numbers_take_the_type_of_the_tensor_that_is_there)
{
    static const float x[3] = {1, 1.00390625f, -70000}; /* the second is halfway, the third above */
    static const wf_dtype types[] = {WF_F32, WF_F16, WF_BF16};
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++) {
            wf_store *a = wf_store_new(0), *b = wf_store_new(0), *c = wf_store_new(0);
            static const float zeros[3];
            wf_dtype dtype;
            wf_store_put(a, "x", types[from], WF_SHAPE(3), zeros);
            wf_store_put(b, "x", types[to], WF_SHAPE(3), zeros);
            cr_assert_eq(wf_store_put(a, "x", WF_F32, WF_SHAPE(3), x), WF_OK);
            cr_assert_eq(wf_store_save(a, in_folder("t.st"), NULL), WF_OK, "%s", wf_error());
            cr_assert_eq(wf_store_load(b, in_folder("t.st")), WF_OK, "%s", wf_error());
            wf_store_put(c, "x", WF_F32, WF_SHAPE(3), zeros);
            const void *there = wf_store_data(b, "x", &dtype, NULL);
            cr_expect_eq(dtype, types[to]);
            wf_store_put(c, "x", dtype, WF_SHAPE(3), there);
            const float *y = wf_store_data(c, "x", NULL, NULL);
            bool f16 = from == 1 || to == 1, bf16 = from == 2 || to == 2;
            cr_expect(y[0] == 1 && y[1] == (bf16 ? 1 : x[1]), "%d to %d: %g", from, to,
                      (double)y[1]);
            cr_expect(y[2] == (f16    ? -INFINITY
                               : bf16 ? -70144
                                      : x[2]),
                      "%d to %d: %g", from, to, (double)y[2]);
            wf_store_free(a), wf_store_free(b), wf_store_free(c);
        }
}

Test(store, large_tensors_are_converted_in_pieces)
{
    enum { N = 700001 }; /* more than two pieces, and no multiple of one */
    const char *format = "{\"x\":{\"dtype\":\"I64\",\"shape\":[%d],\"data_offsets\":[0,%d]}}";
    unsigned char *file = calloc(1, 200 + 8 * (size_t)N);
    int n = snprintf((char *)file + 8, 190, format, N, 8 * N);
    file[0] = (unsigned char)n;
    for (int64_t i = 0; i < N; i++) memcpy(file + 8 + n + 8 * i, &(int64_t){i * 3 - 5}, 8);
    write_bytes(in_folder("l.st"), file, 8 + (size_t)n + 8 * (size_t)N);
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, in_folder("l.st")), WF_OK, "%s", wf_error());
    const int32_t *x = wf_store_data(s, "x", NULL, NULL);
    for (int i = 0; i < N; i++) cr_assert_eq(x[i], i * 3 - 5);
    wf_store_free(s);
    free(file);
}

#define GOOD        "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define ONE(fields) "{\"bad\":{" fields "}}"

static const struct {
    const char *header;
    size_t bytes;
    const char *word;
} hostile[] = {
    {"{ ", 0, "header at byte"},
    {"x", 0, "header of 1 bytes"},
    {"[]", 0, "JSON object"},
    {" {}", 0, "JSON object"},
    {"nul", 0, "JSON object"},
    {"{} {}", 0, "header at byte"},
    {"{" GOOD "," GOOD "}", 8, "duplicate"},
    {"{" GOOD, 8, "header at byte"},
    {"{\"a\\u0000b\":1}", 0, "header at byte"},
    {"{\"\xff\":1}", 0, "header at byte"},
    {"{\"bad\":1}", 0, "bad: expected an object"},
    {"{\"bad\":{}}", 0, "bad: dtype"},
    {"{\"\":{}}", 0, "name"},
    {"{\"a\\u0007\":{}}", 0, "\"a?\""},
    {"{\"a\\n\":{}}", 0, "name"},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"{\"__metadata__\":null}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "k is not a string"},
    {"{\"__metadata__\":{\"weft.seed\":\"x\"}}", 0, "weft.seed"},
    {"{\"__metadata__\":{\"weft.seed\":\"18446744073709551616\"}}", 0, "weft.seed"},
    {"{\"__metadata__\":{\"weft.step\":\"-1\"}}", 0, "weft.step"},
    {"{\"__metadata__\":{\"weft.step\":\"9223372036854775808\"}}", 0, "weft.step"},
    {"{\"__metadata__\":{\"weft.step\":\"\"}}", 0, "weft.step"},
    {ONE("\"dtype\":\"F8\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, "dtype F8"},
    {ONE("\"dtype\":\"BOOL\",\"shape\":[8],\"data_offsets\":[0,8]"), 8, "bad: dtype"},
    {ONE("\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]"), 8, "bad: dtype"},
    {ONE("\"dtype\":\"F32\",\"data_offsets\":[0,8]"), 8, "bad: shape"},
    {ONE("\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]"), 8, "bad: shape"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]"), 8, "bad: shape"},
    {ONE("\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]"), 8, "bad: shape"},
    {ONE("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]"), 8, "bad: shape"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,2],\"data_offsets\":[0,8]"), 8, "bad: rank 7"},
    {ONE("\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]"), 8,
     "header at byte"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2]"), 8, "bad: data_offsets"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]"), 8, "bad: data_offsets"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]"), 8, "bad: data_offsets"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.0]"), 8, "bad: data_offsets"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{}"), 8, "bad: data_offsets"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]"), 8, "outside"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]"), 8, "outside"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,16]"), 8, "outside"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]"), 8, "outside"},
    {ONE("\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]"), 8, "do not make F32 [3]"},
    {ONE("\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,8]"), 8, "do not make"},
    {ONE("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8]"), 8, "do not make F32 []"},
    {ONE("\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]"), 0,
     "do not make"},
    {ONE("\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]"), 0,
     "do not make"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1"), 8, "unknown keys"},
    {"{" GOOD ",\"bad\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 8, "overlap"},
    {"{" GOOD ",\"bad\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8, "overlap"},
    {"{" GOOD ",\"bad\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9,10]}}", 10, "hole"},
    {ONE("\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]"), 8, "hole"},
    {"{" GOOD "}", 9, "1 bytes at the end"},
    {"{}", 3, "3 bytes at the end"},
    {"{" GOOD "}", 7, "a: data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}", 8, "a: F32 [1,2]"},
    {"{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "expected f32 [2]"},
};

static wf_store *two_floats(void)
{
    wf_store *s = wf_store_new(9);
    cr_assert_eq(wf_store_put(s, "a", WF_F32, WF_SHAPE(2), (float[]){1, 2}), WF_OK);
    cr_assert_eq(wf_store_set_text(s, "k", "old"), WF_OK);
    return s;
}

static void expect_untouched(const wf_store *s, const char *what)
{
    const float *a = wf_store_data(s, "a", NULL, NULL);
    cr_expect(a && a[0] == 1 && a[1] == 2 && s->seed == 9 && s->step == 0, "%s", what);
    cr_expect(s->n_tensors == 1 && s->n_notes == 1 && !strcmp(s->notes[0].text, "old"), "%s", what);
}

Test(store, hostile_headers_are_refused_with_a_reason)
{
    wf_store *s = two_floats();
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        write_st(in_folder("bad.st"), hostile[i].header, hostile[i].bytes);
        cr_expect_eq(wf_store_load(s, in_folder("bad.st")), WF_EFORMAT, "%s", hostile[i].header);
        cr_expect(strstr(wf_error(), hostile[i].word) && strstr(wf_error(), "bad.st"), "%s: %s",
                  hostile[i].header, wf_error());
        expect_untouched(s, hostile[i].header);
    }
    wf_store_free(s);
}

Test(store, truncated_and_missing_files_are_refused)
{
    wf_store *s = two_floats(), *full = sample();
    size_t n;
    cr_assert_eq(wf_store_save(full, in_folder("ok.st"), NULL), WF_OK);
    unsigned char *file = read_bytes(in_folder("ok.st"), &n);
    for (size_t m = 0; m < n; m++) {
        write_bytes(in_folder("cut.st"), file, m);
        cr_expect_eq(wf_store_load(s, in_folder("cut.st")), WF_EFORMAT, "%zu", m);
        cr_expect(strstr(wf_error(), "cut.st"), "%s", wf_error());
    }
    static const unsigned char sizes[][8] = {{0},
                                             {1},
                                             {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                             {0, 0, 0, 0, 0, 0, 0, 0x80},
                                             {0x01, 0xe1, 0xf5, 0x05},
                                             {0xff, 0xff, 0xff}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(file, sizes[i], 8);
        write_bytes(in_folder("size.st"), file, n);
        cr_expect_eq(wf_store_load(s, in_folder("size.st")), WF_EFORMAT);
        cr_expect(strstr(wf_error(), "header of"), "%s", wf_error());
    }
    mkfifo(in_folder("pipe"), 0600);
    const char *nothing[] = {in_folder("none.st"), folder, in_folder("pipe"), "/dev/zero", ""};
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(wf_store_load(s, nothing[i]), WF_EIO);
        cr_expect(strstr(wf_error(), nothing[i]), "%s", wf_error());
    }
    expect_untouched(s, "truncated");
    free(file);
    wf_store_free(full);
    wf_store_free(s);
}

Test(store, a_failed_save_leaves_the_old_file)
{
    wf_store *old = two_floats(), *s = sample(), *back = wf_store_new(0);
    const char *path = in_folder("keep.st");
    bool created;
    cr_assert(wf_store_require(s, "big", WF_F32, WF_SHAPE(100000), &created));
    cr_assert_eq(wf_store_save(old, path, NULL), WF_OK);

    struct rlimit before, limit; /* a disk that is full after 64 kB */
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 65536;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_expect_eq(wf_store_save(s, path, NULL), WF_EIO);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_expect(strstr(wf_error(), "keep.st") && strstr(wf_error(), "large"), "%s", wf_error());
    cr_expect_eq(files_in_folder(), 1);
    cr_assert_eq(wf_store_load(back, path), WF_OK, "%s", wf_error());
    expect_untouched(back, "after a full disk");

    char under[300], away[300], long_path[400];
    snprintf(under, sizeof under, "%s/x.st", path);
    snprintf(away, sizeof away, "%s/nowhere/x.st", folder);
    memset(long_path, 'n', sizeof long_path);
    memcpy(long_path, folder, strlen(folder));
    long_path[strlen(folder)] = '/';
    long_path[300] = 0;
    const char *bad[] = {under, away, long_path, folder, "/dev/null", "/dev/full", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(wf_store_save(s, bad[i], NULL), WF_EIO, "%s", bad[i]);
        size_t n = strlen(bad[i]);
        cr_expect(strstr(wf_error(), bad[i] + (n > 90 ? n - 90 : 0)), "%s", wf_error());
    }
    struct stat st;
    cr_expect(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    cr_expect_eq(files_in_folder(), 1);
    wf_store_free(old);
    wf_store_free(s);
    wf_store_free(back);
}

Test(store, what_is_lent_is_saved_from_where_it_lies)
{
    wf_shape shape = WF_SHAPE(2, 3);
    float *data = wf_aligned_alloc(sizeof(float[6]));
    for (int i = 0; i < 6; i++) data[i] = (float)i;
    wf_store *s = wf_store_new(7), *back = wf_store_new(0);
    cr_assert_eq(wf_store_lend(s, "w", WF_F32, shape, data), WF_OK, "%s", wf_error());
    cr_expect_eq(wf_store_lend(s, "", WF_F32, shape, data), WF_EMODEL);
    cr_expect_eq(wf_store_lend(s, "w", WF_F32, shape, data), WF_EMODEL);
    cr_expect_eq(wf_store_data(s, "w", NULL, NULL), data);
    data[5] = 50;
    cr_assert_eq(wf_store_save(s, in_folder("lent.st"), NULL), WF_OK, "%s", wf_error());
    wf_store_free(s);
    cr_assert_eq(wf_store_load(back, in_folder("lent.st")), WF_OK, "%s", wf_error());
    cr_expect(!memcmp(wf_store_data(back, "w", NULL, NULL), data, sizeof(float[6])));
    wf_store_free(back);
    free(data); /* it is ours still */
}

Test(store, a_save_follows_links_and_keeps_permissions)
{
    wf_store *s = sample(), *back = wf_store_new(0);
    struct stat st;
    write_bytes(in_folder("real.st"), "old", 3);
    chmod(in_folder("real.st"), 0640);
    cr_assert_eq(symlink("real.st", in_folder("link.st")), 0);
    cr_assert_eq(wf_store_save(s, in_folder("link.st"), NULL), WF_OK, "%s", wf_error());
    cr_assert(lstat(in_folder("link.st"), &st) == 0 && S_ISLNK(st.st_mode));
    cr_assert(stat(in_folder("real.st"), &st) == 0 && (st.st_mode & 0777) == 0640);
    cr_assert_eq(wf_store_load(back, in_folder("real.st")), WF_OK);
    expect_same(s, back);
    cr_assert_eq(chdir(folder), 0); /* a path without a folder */
    cr_assert_eq(wf_store_save(s, "plain.st", NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_store_load(back, "plain.st"), WF_OK);
    cr_expect_eq(files_in_folder(), 3);
    wf_store_free(s);
    wf_store_free(back);
}

/* xorshift64* (Vigna 2016) */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

/* Change, delete, repeat or swap a few bytes, mostly of the header. */
static size_t damage(unsigned char *file, size_t n, uint64_t *state)
{
    for (int k = 1 + (int)(draw(state) % 4); k > 0; k--) {
        size_t at = draw(state) % (draw(state) % 8 ? n - 20 : 8), to = draw(state) % (n - 20);
        static const char likely[] = "{}[]:,\"0123456789-.eFIU\\ ";
        switch (draw(state) % 5) {
        case 0:
            file[at] = (unsigned char)draw(state);
            break;
        case 1:
            file[at] = (unsigned char)likely[draw(state) % (sizeof likely - 1)];
            break;
        case 2:
            file[at] ^= (unsigned char)(1u << draw(state) % 8);
            break;
        case 3:
            memmove(file + to, file + at, 1 + draw(state) % 16);
            break;
        default:
            n -= n > 60 ? draw(state) % 2 : 0;
            break;
        }
    }
    return n;
}

Test(store, random_damage_never_harms)
{
    enum { ROUNDS = 5000 };
    uint64_t state = 20240607;
    wf_store *full = sample();
    size_t n;
    cr_assert_eq(wf_store_save(full, in_folder("ok.st"), NULL), WF_OK);
    unsigned char *file = read_bytes(in_folder("ok.st"), &n), *copy = malloc(n);
    int good = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t seed = state;
        memcpy(copy, file, n);
        write_bytes(in_folder("fuzz.st"), copy, damage(copy, n, &state));
        wf_store *s = i % 2 ? two_floats() : sample();
        wf_status status = wf_store_load(s, in_folder("fuzz.st"));
        cr_assert(status == WF_OK || status == WF_EFORMAT, "seed %llu: %d %s",
                  (unsigned long long)seed, status, wf_error());
        if (status != WF_OK) {
            cr_assert(strstr(wf_error(), "fuzz.st"), "%s", wf_error());
            if (i % 2) expect_untouched(s, wf_error());
        }
        good += status == WF_OK;
        wf_store_free(s);
    }
    cr_expect(good > 0 && good < ROUNDS / 2, "%d of %d files were still good", good, ROUNDS);
    free(file);
    free(copy);
    wf_store_free(full);
}
