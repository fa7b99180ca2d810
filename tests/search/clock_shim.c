/* Loaded before the C library of a server: its wall clock is what the test wrote into a file, its other clocks are real.

   The file, mapped by both, holds three 64-bit numbers: the instant that the test set (us), the monotonic instant at
   which it did (us), and whether the clock goes on from there (1) or stands still (0).

   The kernel is asked by a system call: the C library's function is the one that is replaced here. Valkey counts the
   processor's cycles and looks at the wall clock once in a millisecond, unless it finds no /proc/cpuinfo: so it finds
   none, and sees a change at once. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *set;

__attribute__((constructor)) static void begin(void) {
  /* A search that is killed leaves no servers behind. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char *path = getenv("SEARCH_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) set = mapped;
}

static int64_t now_us(void) {
  struct timespec real;
  if (set && !set[2]) return set[0];
  syscall(SYS_clock_gettime, set ? CLOCK_MONOTONIC : CLOCK_REALTIME, &real);
  int64_t now = real.tv_sec * 1000000LL + real.tv_nsec / 1000;
  return set ? set[0] + now - set[1] : now;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
  (void)zone;
  int64_t now = now_us();
  tv->tv_sec = now / 1000000;
  tv->tv_usec = now % 1000000;
  return 0;
}

time_t time(time_t *out) {
  time_t now = now_us() / 1000000;
  if (out) *out = now;
  return now;
}

int clock_gettime(clockid_t id, struct timespec *out) {
  if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) return syscall(SYS_clock_gettime, id, out);
  int64_t now = now_us();
  out->tv_sec = now / 1000000;
  out->tv_nsec = now % 1000000 * 1000;
  return 0;
}

FILE *fopen64(const char *restrict path, const char *restrict mode) {
  FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen64");
  return strcmp(path, "/proc/cpuinfo") == 0 ? NULL : real(path, mode);
}

FILE *fopen(const char *restrict path, const char *restrict mode) { return fopen64(path, mode); }
