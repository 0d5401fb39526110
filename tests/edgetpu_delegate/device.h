#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench.h"

typedef struct {
  char name[32]; /* usb0, pci0, ...: the file's name */
  Bench *bench;
  int fd, users;
  uint64_t resets, plugs; /* at its opening: afterwards what was opened is of no use any more */
  pthread_mutex_t lock;
} Device;

/* All but the first set *why where they fail. */
bool device_is_present(const char *name);
Device *device_open(const char *name, const char **why);
void device_close(Device *device);
bool device_run(Device *device, uint32_t model, const char **why);
