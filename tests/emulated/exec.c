/*
 * Programs that an emulated program starts are emulated too: preloaded (LD_PRELOAD), this puts the
 * words of WF_EMULATOR, a path first, before every command. User-mode emulation leaves the start of
 * a program to the kernel, and Criterion starts each test as a process of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

enum { WORDS = 256 };

PUBLIC int execve(const char *path, char *const argv[], char *const envp[])
{
    char *words[WORDS], *save = NULL;
    const char *emulator = getenv("WF_EMULATOR");
    char *line = emulator ? strdup(emulator) : NULL;
    int n = 0;
    for (char *w = line ? strtok_r(line, " ", &save) : NULL; w && n < WORDS;
         w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    if (n) {
        if (n < WORDS) words[n++] = (char *)path;
        for (int i = 1; n < WORDS && argv[0] && argv[i]; i++) words[n++] = argv[i];
        if (n == WORDS) {
            free(line);
            errno = E2BIG;
            return -1;
        }
        words[n] = NULL;
        argv = words;
        path = words[0];
    }
    long code = syscall(SYS_execve, path, argv, envp);
    free(line);
    return (int)code;
}

PUBLIC int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

/* What is looked up in PATH is a tool, not a program of ours. */
PUBLIC int execvp(const char *file, char *const argv[])
{
    return strchr(file, '/') ? execve(file, argv, environ) : execvpe(file, argv, environ);
}
