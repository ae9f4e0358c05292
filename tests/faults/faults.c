/* Preloaded into the process under test: lets chosen system calls below one folder fail, as a disk
 * does that is full, broken or read-only, or a process that has too many files open. Armed from
 * Python through ctypes; all calls of the process count, also those of SQLite. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPENS = 1, WRITES = 2, NAMES = 4, REMOVALS = 8, SYNCS = 16, MAKES = 32 };

static char root[4096];
static size_t root_size;
static volatile long left;   /* calls until one fails; 0: nothing is armed */
static volatile int error, kinds, is_sticky;
static volatile long fired;

void fault_root(const char *path) {
    strncpy(root, path, sizeof root - 1);
    root_size = strlen(root);
}

void fault_arm(long nth, int number, int which, int sticky) {
    error = number;
    kinds = which;
    is_sticky = sticky;
    fired = 0;
    __atomic_store_n(&left, nth, __ATOMIC_SEQ_CST);
}

long fault_disarm(void) {
    __atomic_store_n(&left, 0, __ATOMIC_SEQ_CST);
    return fired;
}

static int fails(void) {
    long now = __atomic_load_n(&left, __ATOMIC_SEQ_CST);
    if (now <= 0) return 0;
    if (now > 1) {
        __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    if (!is_sticky) __atomic_store_n(&left, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&fired, 1, __ATOMIC_SEQ_CST);
    errno = error;
    return 1;
}

static int at_path(const char *path, int kind) {
    if (left <= 0 || !(kinds & kind) || path == NULL || strncmp(path, root, root_size)) return 0;
    return fails();
}

static int at_fd(int fd, int kind) {
    char link[64], path[4096];
    int kept = errno;
    if (left <= 0 || !(kinds & kind)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (size < 0) return 0;
    path[size] = 0;
    return at_path(path, kind);
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)
#define FD(result, name, kind, parameters, ...)                        \
    result name parameters {                                           \
        return at_fd(fd, kind) ? (result)-1 : REAL(name, __VA_ARGS__); \
    }
#define PATH(name, kind, parameters, ...)                        \
    int name parameters {                                        \
        return at_path(path, kind) ? -1 : REAL(name, __VA_ARGS__); \
    }

FD(ssize_t, write, WRITES, (int fd, const void *data, size_t size), fd, data, size)
FD(ssize_t, pwrite, WRITES, (int fd, const void *data, size_t size, off_t at), fd, data, size, at)
FD(ssize_t, pwrite64, WRITES, (int fd, const void *data, size_t size, off64_t at), fd, data, size, at)
FD(int, ftruncate, WRITES, (int fd, off_t size), fd, size)
FD(int, ftruncate64, WRITES, (int fd, off64_t size), fd, size)
FD(int, fsync, SYNCS, (int fd), fd)
FD(int, fdatasync, SYNCS, (int fd), fd)
FD(int, syncfs, SYNCS, (int fd), fd)
FD(int, futimens, WRITES, (int fd, const struct timespec times[2]), fd, times)
PATH(rename, NAMES, (const char *path, const char *target), path, target)
PATH(link, NAMES, (const char *path, const char *target), path, target)
PATH(unlink, REMOVALS, (const char *path), path)
PATH(rmdir, REMOVALS, (const char *path), path)
PATH(mkdir, MAKES, (const char *path, mode_t mode), path, mode)

static int opens(const char *path, int flags) {
    return at_path(path, OPENS) || (flags & O_CREAT && at_path(path, MAKES));
}

#define OPEN(name)                                                  \
    int name(const char *path, int flags, ...) {                    \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                               \
        return opens(path, flags) ? -1 : REAL(name, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                \
    int name(int at, const char *path, int flags, ...) {            \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                               \
        return opens(path, flags) ? -1 : REAL(name, at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)
