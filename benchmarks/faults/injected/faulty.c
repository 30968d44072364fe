/* A library to be preloaded: one operation on the files of a folder fails, and the clock is another.

   FAULT_FOLDER  files below it are counted          FAULT_AT      the number of the operation that fails, from 1
   FAULT_ERRNO   with what it fails                  FAULT_SPAN    how many fail from there on (1 by default, 0: all)
   FAULT_COUNT   file that gets the number of operations when the process ends
   CLOCK_SHIFT   seconds by which the clock is wrong CLOCK_STEP    seconds that it jumps, CLOCK_AFTER seconds after the
                                                                   start of the process
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define FILES 65536
void faulty_begin(void);
void faulty_end(void);
static const char *folder;
static long at, span = 1, shift, step, after;
static int code;
static atomic_long operations;
static atomic_char ours[FILES];
static time_t began;

#define real(name) ({ static void *found; found ? found : (found = dlsym(RTLD_NEXT, name)); })

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

/* Also called by a process that was forked, after it has changed its environment. */
__attribute__((constructor)) void faulty_begin(void) {
    struct timespec now;
    int (*clock)(clockid_t, struct timespec *) = real("clock_gettime");
    clock(CLOCK_MONOTONIC, &now);
    began = now.tv_sec;
    at = number("FAULT_AT", 0);
    span = number("FAULT_SPAN", 1);
    code = (int)number("FAULT_ERRNO", EIO);
    shift = number("CLOCK_SHIFT", 0);
    step = number("CLOCK_STEP", 0);
    after = number("CLOCK_AFTER", 0);
    folder = getenv("FAULT_FOLDER");
    operations = 0;
}

__attribute__((destructor)) void faulty_end(void) {
    const char *path = getenv("FAULT_COUNT");
    if (folder && path) {
        FILE *file = fopen(path, "w");
        if (file) {
            fprintf(file, "%ld\n", (long)operations);
            fclose(file);
        }
    }
}

static int below(const char *path) { return folder && path && strncmp(path, folder, strlen(folder)) == 0; }

static int fails(int counted) {
    if (!counted) return 0;
    long now = atomic_fetch_add(&operations, 1) + 1;
    if (at && now >= at && (span == 0 || now < at + span)) {
        errno = code;
        return 1;
    }
    return 0;
}

static int known(int fd) { return fd >= 0 && fd < FILES && ours[fd]; }

static int opened(int fd, int counted) {
    if (fd >= 0 && fd < FILES) ours[fd] = (char)counted;
    return fd;
}

#define OPENING(name)                                                              \
    int name(const char *path, int flags, ...) {                                   \
        va_list list;                                                              \
        va_start(list, flags);                                                     \
        mode_t mode = va_arg(list, mode_t);                                        \
        va_end(list);                                                              \
        if (fails(below(path))) return -1;                                         \
        int (*next)(const char *, int, mode_t) = real(#name);                      \
        return opened(next(path, flags, mode), below(path));                       \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name)                                                           \
    int name(int base, const char *path, int flags, ...) {                         \
        va_list list;                                                              \
        va_start(list, flags);                                                     \
        mode_t mode = va_arg(list, mode_t);                                        \
        va_end(list);                                                              \
        if (fails(below(path))) return -1;                                         \
        int (*next)(int, const char *, int, mode_t) = real(#name);                 \
        return opened(next(base, path, flags, mode), below(path));                 \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

#define ON_FILE(type, name, parameters, arguments)                                 \
    type name parameters {                                                         \
        if (fails(known(fd))) return -1;                                           \
        type(*next) parameters = real(#name);                                      \
        return next arguments;                                                     \
    }
ON_FILE(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
ON_FILE(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t place), (fd, data, size, place))
ON_FILE(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t place), (fd, data, size, place))
ON_FILE(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
ON_FILE(ssize_t, pread, (int fd, void *data, size_t size, off_t place), (fd, data, size, place))
ON_FILE(ssize_t, pread64, (int fd, void *data, size_t size, off64_t place), (fd, data, size, place))
ON_FILE(int, fsync, (int fd), (fd))
ON_FILE(int, fdatasync, (int fd), (fd))
ON_FILE(int, ftruncate, (int fd, off_t size), (fd, size))
ON_FILE(int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_FILE(int, flock, (int fd, int operation), (fd, operation))

int close(int fd) {
    int (*next)(int) = real("close");
    if (known(fd)) ours[fd] = 0;
    return next(fd);
}

#define ON_PATH(name, parameters, path, arguments)                                 \
    int name parameters {                                                          \
        if (fails(below(path))) return -1;                                         \
        int(*next) parameters = real(#name);                                       \
        return next arguments;                                                     \
    }
ON_PATH(rename, (const char *from, const char *to), from, (from, to))
ON_PATH(renameat, (int a, const char *from, int b, const char *to), from, (a, from, b, to))
ON_PATH(unlink, (const char *path), path, (path))
ON_PATH(unlinkat, (int base, const char *path, int flags), path, (base, path, flags))
ON_PATH(mkdir, (const char *path, mode_t mode), path, (path, mode))
ON_PATH(utimensat, (int base, const char *path, const struct timespec times[2], int flags), path,
        (base, path, times, flags))

static long wrong_by(void) {
    struct timespec now;
    if (!shift && !step) return 0;
    int (*clock)(clockid_t, struct timespec *) = real("clock_gettime");
    clock(CLOCK_MONOTONIC, &now);
    return shift + (now.tv_sec - began >= after ? step : 0);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int (*next)(clockid_t, struct timespec *) = real("clock_gettime");
    int result = next(which, now);
    if (result == 0 && which == CLOCK_REALTIME) now->tv_sec += wrong_by();
    return result;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    int (*next)(struct timeval *, void *) = real("gettimeofday");
    int result = next(now, zone);
    if (result == 0) now->tv_sec += wrong_by();
    return result;
}
