/* The folder of a run: made, locked, and cleared of what a killed run has left. */
#define _GNU_SOURCE
#include "models/common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir -p; returns 0 or errno. Ends in "/.": an existing file of that name is an error too. */
static int make_folders(char *path)
{
    for (char *p = path; *p; p++) {
        if (p == path || *p != '/') continue;
        *p = 0;
        if (mkdir(path, 0777) && errno != EEXIST) return errno;
        *p = '/';
    }
    return access(path, W_OK | X_OK) ? errno : 0;
}

bool wf_make_folder(const char *command, const char *path)
{
    char *inside = *path ? wf_path_join(path, ".") : NULL;
    int error = inside ? make_folders(inside) : *path ? ENOMEM : ENOENT;
    free(inside);
    if (error) wf_complain(command, "%s: cannot write here: %s", path, strerror(error));
    return error == 0;
}

/* Files are written under such names first: NAME.PID.N.tmp and NAME.PID.part. */
static bool is_half_written(const char *name, const char *const *files)
{
    for (; *files; files++) {
        size_t n = strlen(*files);
        if (strncmp(name, *files, n) != 0 || name[n] != '.') continue;
        const char *end = name + n + strspn(name + n, ".0123456789");
        if (!strcmp(end, "tmp") || !strcmp(end, "part")) return true;
    }
    return false;
}

static void remove_half_written(const char *path, const char *const *files)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (is_half_written(e->d_name, files)) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
}

bool wf_lock_folder(const char *command, const char *path, const char *const *files, int *lock)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return errno == ENOENT ||
               wf_complain(command, "%s: cannot write here: %s", path, strerror(errno));
    if (access(path, W_OK | X_OK) != 0)
        return wf_complain(command, "%s: cannot write here: %s", path, strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return wf_complain(command, "--out: another run is at work in %s", path);
    remove_half_written(path, files); /* some network folders know no lock: then without */
    return true;
}

char *wf_path_join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}
