/* Simulated devices: found in the folder EDGETPU_BENCH, opened by one process at a time, with the faults that the tests have ordered. */
#define _GNU_SOURCE
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16 };

static Device devices[MOST]; /* of this process: delegates share a device that is open already, as those of libedgetpu do */
static pthread_mutex_t devices_lock = PTHREAD_MUTEX_INITIALIZER;

static void sleep_us(uint64_t us) {
  struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

static void be_deaf(void) { /* as a process in a kernel call is, but for SIGKILL */
  for (int number = 1; number < NSIG; number++) signal(number, SIG_IGN);
}

static bool is_cured(Fault *f, Bench *b) {
  switch (f->cure) {
    case TIMES: return f->times == 0;
    case DELEGATE: return b->opens != f->struck_opens;
    case PROCESS: return f->struck_pid != (uint32_t)getpid();
    case RESET: return b->resets != f->struck_resets || b->plugs != f->struck_plugs;
    case REPLUG: return b->plugs != f->struck_plugs;
    default: return false;
  }
}

static bool strikes(Fault *f, Bench *b, enum Stage stage, uint64_t number) {
  if (f->kind == NONE || f->stage != stage || number < f->from) return false;
  if (f->struck && is_cured(f, b)) {
    f->kind = NONE;
    return false;
  }
  if (!f->struck) {
    f->struck_pid = (uint32_t)getpid();
    f->struck_opens = b->opens;
    f->struck_resets = b->resets;
    f->struck_plugs = b->plugs;
    f->struck = 1;
  }
  if (f->cure == TIMES && f->times) f->times--;
  return true;
}

/* Do what was ordered for this invocation or opening; false if it has failed. */
static bool survive(Bench *b, enum Stage stage, uint64_t number, const char **why) {
  for (int i = 0; i < FAULTS; i++) {
    Fault *f = &b->faults[i];
    enum Kind kind = f->kind;
    if (!strikes(f, b, stage, number)) continue;
    if (kind == HANG) be_deaf();
    b->strikes[kind]++;
    switch (kind) {
      case SLOW: sleep_us(f->slow_us); break;
      case HANG: for (;;) pause();
      case SPIN: for (volatile uint64_t n = 0;; n++) {}
      case CRASH: signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); break;
      case ABORT: signal(SIGABRT, SIG_DFL); abort();
      case VANISH:
        b->present = 0;
        if (*b->on_bus) rename(b->on_bus, b->off_bus);
        *why = "the device went away"; return false;
      default: *why = "the transfer failed"; return false;
    }
  }
  return true;
}

static bool map(Device *d, const char *name) {
  const char *folder = getenv("EDGETPU_BENCH");
  char path[4096];
  if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return false;
  d->fd = open(path, O_RDWR | O_CLOEXEC);
  if (d->fd < 0) return false;
  void *at = mmap(NULL, sizeof(Bench), PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
  if (at == MAP_FAILED) {
    close(d->fd);
    return false;
  }
  d->bench = at;
  return true;
}

static void unmap(Device *d) {
  munmap(d->bench, sizeof(Bench));
  close(d->fd); /* and the lock with it */
  d->bench = NULL;
}

bool device_is_present(const char *name) {
  Device d;
  if (!map(&d, name)) return false;
  bool present = d.bench->present;
  unmap(&d);
  return present;
}

static Device *opened_here(const char *name) {
  for (int i = 0; i < MOST; i++)
    if (devices[i].users && !strcmp(devices[i].name, name)) {
      Bench *b = devices[i].bench;
      if (b->present && b->resets == devices[i].resets && b->plugs == devices[i].plugs) return &devices[i];
    }
  return NULL;
}

/* By a lock on the byte of this life of the device: who has it open from before a reset or replug does not stand in the way. */
static bool take(Device *d) {
  struct flock life = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(d->resets + d->plugs), .l_len = 1};
  return !fcntl(d->fd, F_OFD_SETLK, &life);
}

static Device *opened_anew(const char *name, const char **why) {
  Device *d = devices;
  while (d < devices + MOST && d->users) d++;
  *why = "no such device";
  if (d == devices + MOST || !map(d, name)) return NULL;
  Bench *b = d->bench;
  if (!b->present) {
    unmap(d);
    return NULL;
  }
  uint64_t number = b->opens + b->refusals + 1;
  d->resets = b->resets;
  d->plugs = b->plugs;
  if (!take(d)) {
    b->refusals++;
    *why = "another process has it";
    unmap(d);
    return NULL;
  }
  if (!survive(b, OPEN, number, why)) {
    b->refusals++;
    unmap(d);
    return NULL;
  }
  b->opens++;
  b->owner = (uint32_t)getpid();
  b->loaded = 1;
  snprintf(d->name, sizeof d->name, "%s", name);
  pthread_mutex_init(&d->lock, NULL);
  return d;
}

Device *device_open(const char *name, const char **why) {
  pthread_mutex_lock(&devices_lock);
  Device *d = opened_here(name);
  if (d) d->bench->opens++;
  else d = opened_anew(name, why);
  if (d) d->users++;
  pthread_mutex_unlock(&devices_lock);
  return d;
}

void device_close(Device *d) {
  pthread_mutex_lock(&devices_lock);
  if (--d->users == 0) unmap(d);
  pthread_mutex_unlock(&devices_lock);
}

static bool run_locked(Device *d, uint32_t model, const char **why) {
  Bench *b = d->bench;
  uint64_t number = ++b->invocations;
  if (!survive(b, RUN, number, why)) return false;
  if (!b->present || b->resets != d->resets || b->plugs != d->plugs) {
    *why = "the device went away";
    return false;
  }
  if (b->resident != model) {
    if (b->resident) b->swaps++;
    b->resident = model;
    sleep_us(b->swap_us);
  }
  if (b->run_us) sleep_us(b->run_us);
  b->done++;
  return true;
}

bool device_run(Device *d, uint32_t model, const char **why) {
  pthread_mutex_lock(&d->lock);
  bool ran = run_locked(d, model, why);
  pthread_mutex_unlock(&d->lock);
  return ran;
}
