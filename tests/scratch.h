/* A folder for the files of one test, and what tests of readers and writers ask. */
#ifndef WF_TESTS_SCRATCH_H
#define WF_TESTS_SCRATCH_H

#include <weft/weft.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char folder[64];

static inline void make_folder(void)
{
    strcpy(folder, "/tmp/weft_scratch_XXXXXX");
    cr_assert(mkdtemp(folder));
}

static inline const char *in_folder(const char *name)
{
    static char path[4][400];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static inline int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static inline void remove_folder(void)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') remove(in_folder(e->d_name));
    if (d) closedir(d);
    remove(folder);
}

typedef struct bytes {
    const char *data;
    size_t size;
} bytes;

#define BYTES(literal) ((bytes){literal, sizeof(literal) - 1})

static inline const char *put(const char *name, bytes b)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(b.data, 1, b.size, f) == b.size && fclose(f) == 0, "%s", path);
    return path;
}

static inline void expect_content(const char *path, const char *want)
{
    char got[4096];
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    got[fread(got, 1, sizeof got - 1, f)] = 0;
    fclose(f);
    cr_expect_str_eq(got, want);
}

static inline void expect_error(wf_status got, wf_status want, const char *says)
{
    cr_expect_eq(got, want, "%s: status %d, %s", says, got, wf_error());
    cr_expect(strstr(wf_error(), says), "expected '%s', got '%s'", says, wf_error());
    cr_expect(!strchr(wf_error(), '\n'), "%s", wf_error());
}

#endif
