/*
 * CPU quotas of control groups: how many processors' worth of time this process may use.
 *
 * /proc/self/cgroup names the process's group in each hierarchy, /proc/self/mountinfo tells where
 * the hierarchies are mounted. Inside a container the mount shows only a part of the hierarchy, so
 * the mount's own root is taken off the group's path. Every group from there up to the mount may
 * hold a quota; the smallest counts. See cgroups(7) and the kernel's cgroup-v2 documentation.
 */
#define _POSIX_C_SOURCE 200809L
#include "runtime/topo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 4096 };

typedef struct mount {
    bool is_v2;
    char root[PATH], point[PATH];
} mount;

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n) {
        bool starts = p == list || p[-1] == ',';
        if (starts && (p[n] == ',' || !p[n])) return true;
    }
    return false;
}

/* "36 35 0:30 /root /point options... - cgroup source super,options" */
static bool parse_mount(const char *line, mount *m)
{
    char type[32], super[1024];
    const char *rest = strstr(line, " - ");
    if (!rest || sscanf(rest, " - %31s %*s %1023s", type, super) != 2) return false;
    m->is_v2 = !strcmp(type, "cgroup2");
    if (!m->is_v2 && (strcmp(type, "cgroup") != 0 || !has_word(super, "cpu"))) return false;
    return sscanf(line, "%*s %*s %*s %4095s %4095s", m->root, m->point) == 2;
}

/* The process's group in the hierarchy of m: "0::/path" for v2, "4:cpu,cpuacct:/path" for v1. */
static bool find_group(const char *root, const mount *m, char group[PATH])
{
    char line[2 * PATH], path[PATH];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "r");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':');
        char *name = list ? strchr(list + 1, ':') : NULL;
        if (!name) continue;
        *name++ = 0;
        name[strcspn(name, "\n")] = 0;
        found = m->is_v2 ? !list[1] : has_word(list + 1, "cpu");
        if (found) snprintf(group, PATH, "%s", name);
    }
    if (f) fclose(f);
    return found;
}

/* Up to two numbers from a file; "max" and whatever else is no number end the list. */
static int read_numbers(const char *dir, const char *file, double number[2])
{
    char path[4 * PATH];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "r");
    int n = f ? fscanf(f, "%lf %lf", &number[0], &number[1]) : 0;
    if (f) fclose(f);
    return n > 0 ? n : 0;
}

/* Processors that the group at dir may use; 0: as many as there are. */
static double group_quota(const char *dir, bool is_v2)
{
    double q[2] = {0, 0};
    if (is_v2) {
        if (read_numbers(dir, "cpu.max", q) != 2) return 0;
    } else {
        double period[2];
        if (read_numbers(dir, "cpu.cfs_quota_us", q) < 1) return 0;
        if (read_numbers(dir, "cpu.cfs_period_us", period) < 1) return 0;
        q[1] = period[0];
    }
    return q[0] > 0 && q[1] > 0 ? q[0] / q[1] : 0;
}

static double tighter(double a, double b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* The smallest quota from the process's group up to the mount point. */
static double mount_quota(const char *root, const mount *m)
{
    char group[PATH], dir[3 * PATH];
    if (!find_group(root, m, group)) return 0;
    size_t n = strcmp(m->root, "/") != 0 ? strlen(m->root) : 0;
    bool is_mounted = !strncmp(group, m->root, n) && (group[n] == '/' || !group[n]);
    const char *inside = is_mounted && !strstr(group, "/..") ? group + n : "";
    size_t base = strlen(root) + strlen(m->point);
    size_t end = (size_t)snprintf(dir, sizeof dir, "%s%s%s", root, m->point, inside);
    if (end >= sizeof dir) return 0;
    double quota = 0;
    for (;;) {
        quota = tighter(quota, group_quota(dir, m->is_v2));
        while (end > base && dir[end - 1] != '/') end--;
        if (end <= base) return quota;
        dir[--end] = 0;
    }
}

int wf_cpu_quota(const char *root)
{
    char *line = malloc(3 * PATH);
    mount *m = malloc(sizeof *m);
    double quota = 0;
    if (line && m) {
        snprintf(line, PATH, "%s/proc/self/mountinfo", root);
        FILE *f = fopen(line, "r");
        while (f && fgets(line, 3 * PATH, f))
            if (parse_mount(line, m)) quota = tighter(quota, mount_quota(root, m));
        if (f) fclose(f);
    }
    free(line);
    free(m);
    if (quota > 1e6) return 0;
    int whole = (int)quota;
    return whole < quota ? whole + 1 : whole;
}
