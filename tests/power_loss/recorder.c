/* Preloaded into the process under test: writes down each change to files of one file system, in
 * the order in which it happened, into the log named by POWER_LOG (which lies on that file system).
 * Calls are made one at a time; syncs are written down and not made, as nothing real depends on
 * them. A log record is `struct record`, two names and data; recording.py reads it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct __attribute__((packed)) record {
    char kind;
    uint64_t inode, parent, parent2;
    int64_t offset, mtime, mtime2;
    uint32_t name_size, name2_size, data_size;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static dev_t device;

__attribute__((constructor)) static void start(void) {
    struct stat found;
    const char *path = getenv("POWER_LOG");
    if (path == NULL) return;
    log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || fstat(log_fd, &found) != 0) abort();
    device = found.st_dev;
}

static void emit(struct record r, const char *name, const char *name2, const void *data) {
    int kept = errno;
    r.name_size = name == NULL ? 0 : strlen(name);
    r.name2_size = name2 == NULL ? 0 : strlen(name2);
    struct iovec parts[4] = {{&r, sizeof r}, {(void *)name, r.name_size},
                             {(void *)name2, r.name2_size}, {(void *)data, r.data_size}};
    ssize_t size = sizeof r + r.name_size + r.name2_size + r.data_size;
    if (syscall(SYS_writev, log_fd, parts, 4) != size) abort();
    errno = kept;
}

static int64_t mtime_of(const struct stat *s) {
    return (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec;
}

/* The folder that holds `path`, as it is now, and the last name of `path`. */
static const char *split(int at, const char *path, struct stat *folder) {
    char head[4096];
    int kept = errno;
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (size >= sizeof head) abort();
    memcpy(head, path, size);
    head[size] = 0;
    memset(folder, 0, sizeof *folder);
    if (size == 0 ? (at == AT_FDCWD ? stat(".", folder) : fstat(at, folder))
                  : fstatat(at, head, folder, 0))
        memset(folder, 0, sizeof *folder);
    errno = kept;
    return slash == NULL ? path : slash + 1;
}

/* A name that came (`inode`) or went (0) in one folder. */
static void entry(char kind, int at, const char *path, uint64_t inode) {
    struct stat folder, self;
    const char *name = split(at, path, &folder);
    struct record r = {.kind = kind, .inode = inode, .parent = folder.st_ino,
                       .mtime = mtime_of(&folder)};
    if (folder.st_dev != device) return;
    if (kind == 'M' && fstatat(at, path, &self, AT_SYMLINK_NOFOLLOW) == 0) r.mtime2 = mtime_of(&self);
    emit(r, name, NULL, NULL);
}

static int tracked(int fd, struct stat *s) {
    int kept = errno;
    int is = log_fd >= 0 && fstat(fd, s) == 0 && s->st_dev == device &&
             (S_ISREG(s->st_mode) || S_ISDIR(s->st_mode));
    errno = kept;
    return is;
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    struct stat s;
    int makes = (flags & O_CREAT) || ((flags & O_TRUNC) && !(flags & O_PATH));
    if (log_fd < 0 || !makes || (flags & O_TMPFILE) == O_TMPFILE)
        return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&turn);
    int kept = errno;
    int existed = fstatat(at, path, &s, 0) == 0;
    errno = kept;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && tracked(fd, &s) && S_ISREG(s.st_mode)) {
        if (!existed) entry('C', at, path, s.st_ino);
        else if (flags & O_TRUNC) emit((struct record){.kind = 'T', .inode = s.st_ino}, NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&turn);
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list rest; va_start(rest, last); mode = va_arg(rest, mode_t); va_end(rest); \
    }
int open(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_at(at, path, flags, mode); }

static void written(int fd, const void *data, ssize_t size, off_t offset) {
    struct stat s;
    if (size <= 0 || !tracked(fd, &s)) return;
    if (offset < 0) offset = lseek(fd, 0, SEEK_CUR) - size;
    emit((struct record){.kind = 'W', .inode = s.st_ino, .offset = offset, .data_size = size}, NULL, NULL, data);
}

ssize_t write(int fd, const void *data, size_t size) {
    struct stat s;
    if (!tracked(fd, &s)) return syscall(SYS_write, fd, data, size); /* a pipe may block */
    pthread_mutex_lock(&turn);
    ssize_t done = syscall(SYS_write, fd, data, size);
    written(fd, data, done, -1);
    pthread_mutex_unlock(&turn);
    return done;
}

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset) {
    pthread_mutex_lock(&turn);
    ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset);
    written(fd, data, done, offset);
    pthread_mutex_unlock(&turn);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return write_at(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return write_at(fd, data, size, offset); }

static int resize(int fd, off_t size) {
    struct stat s;
    pthread_mutex_lock(&turn);
    int failed = syscall(SYS_ftruncate, fd, size);
    if (!failed && tracked(fd, &s))
        emit((struct record){.kind = 'T', .inode = s.st_ino, .offset = size}, NULL, NULL, NULL);
    pthread_mutex_unlock(&turn);
    return failed;
}
int ftruncate(int fd, off_t size) { return resize(fd, size); }
int ftruncate64(int fd, off_t size) { return resize(fd, size); }

static int synced(int fd, char kind) {
    struct stat s;
    if (!tracked(fd, &s)) return syscall(kind == 'S' ? SYS_fsync : SYS_fdatasync, fd);
    pthread_mutex_lock(&turn);
    emit((struct record){.kind = kind, .inode = s.st_ino}, NULL, NULL, NULL);
    pthread_mutex_unlock(&turn);
    return 0;
}
int fsync(int fd) { return synced(fd, 'S'); }
int fdatasync(int fd) { return synced(fd, 'D'); }

/* Of the whole file system. */
int syncfs(int fd) {
    struct stat s;
    if (!tracked(fd, &s)) return syscall(SYS_syncfs, fd);
    pthread_mutex_lock(&turn);
    emit((struct record){.kind = 'F', .inode = s.st_ino}, NULL, NULL, NULL);
    pthread_mutex_unlock(&turn);
    return 0;
}

static int move(int at, const char *path, int at2, const char *path2) {
    struct stat s, folder, folder2;
    pthread_mutex_lock(&turn);
    int kept = errno;
    int is_there = log_fd >= 0 && fstatat(at, path, &s, AT_SYMLINK_NOFOLLOW) == 0;
    errno = kept;
    int failed = syscall(SYS_renameat2, at, path, at2, path2, 0);
    if (!failed && is_there && s.st_dev == device) {
        const char *name = split(at, path, &folder), *name2 = split(at2, path2, &folder2);
        emit((struct record){.kind = 'R', .inode = s.st_ino, .parent = folder.st_ino,
                             .parent2 = folder2.st_ino, .mtime = mtime_of(&folder),
                             .mtime2 = mtime_of(&folder2)}, name, name2, NULL);
    }
    pthread_mutex_unlock(&turn);
    return failed;
}
int rename(const char *path, const char *path2) { return move(AT_FDCWD, path, AT_FDCWD, path2); }
int renameat(int at, const char *path, int at2, const char *path2) { return move(at, path, at2, path2); }

int linkat(int at, const char *path, int at2, const char *path2, int flags) {
    struct stat s;
    pthread_mutex_lock(&turn);
    int failed = syscall(SYS_linkat, at, path, at2, path2, flags);
    if (!failed && log_fd >= 0 && fstatat(at2, path2, &s, AT_SYMLINK_NOFOLLOW) == 0)
        entry('L', at2, path2, s.st_ino);
    pthread_mutex_unlock(&turn);
    return failed;
}
int link(const char *path, const char *path2) { return linkat(AT_FDCWD, path, AT_FDCWD, path2, 0); }

static int take_away(int at, const char *path, int flags) {
    pthread_mutex_lock(&turn);
    int failed = syscall(SYS_unlinkat, at, path, flags);
    if (!failed && log_fd >= 0) entry('U', at, path, 0);
    pthread_mutex_unlock(&turn);
    return failed;
}
int unlinkat(int at, const char *path, int flags) { return take_away(at, path, flags); }
int unlink(const char *path) { return take_away(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return take_away(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    struct stat s;
    pthread_mutex_lock(&turn);
    int failed = syscall(SYS_mkdirat, at, path, mode);
    if (!failed && log_fd >= 0 && fstatat(at, path, &s, AT_SYMLINK_NOFOLLOW) == 0)
        entry('M', at, path, s.st_ino);
    pthread_mutex_unlock(&turn);
    return failed;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static int stamp(int at, const char *path, const struct timespec times[2], int flags) {
    struct stat s;
    pthread_mutex_lock(&turn);
    int failed = syscall(SYS_utimensat, at, path, times, flags);
    if (!failed && log_fd >= 0 && (path == NULL ? fstat(at, &s) : fstatat(at, path, &s, flags)) == 0 &&
        s.st_dev == device)
        emit((struct record){.kind = 'A', .inode = s.st_ino, .mtime = mtime_of(&s)}, NULL, NULL, NULL);
    pthread_mutex_unlock(&turn);
    return failed;
}
int utimensat(int at, const char *path, const struct timespec times[2], int flags) { return stamp(at, path, times, flags); }
int futimens(int fd, const struct timespec times[2]) { return stamp(fd, NULL, times, 0); }

/* Memory that is shared with a file changes it unseen: the log says which files that may be. */
static void *map(void *where, size_t size, int protection, int flags, int fd, off_t offset) {
    struct stat s;
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && fd >= 0 && tracked(fd, &s)) {
        pthread_mutex_lock(&turn);
        emit((struct record){.kind = 'P', .inode = s.st_ino}, NULL, NULL, NULL);
        pthread_mutex_unlock(&turn);
    }
    return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset);
}
void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset) { return map(where, size, protection, flags, fd, offset); }
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off_t offset) { return map(where, size, protection, flags, fd, offset); }
