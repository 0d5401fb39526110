/* Stands in for libedgetpu.so.1 where there is no Edge TPU: takes the operators edgetpu-custom-op, and makes of their inputs bytes that a
 * test can foretell: output j, byte i = input byte i + checksum of the operator's custom options + j, modulo 256, where "input" is all
 * inputs behind each other, begun again where the output is longer. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "tflite_abi.h"

#define API __attribute__((visibility("default")))

#ifndef CUSTOM_OPERATOR
#define CUSTOM_OPERATOR "edgetpu-custom-op"
#endif
static const char *const OPERATOR = CUSTOM_OPERATOR;

typedef struct {
  Device *device;
  uint32_t checksum;
} Kernel;

static uint32_t checksum_of(const uint8_t *bytes, size_t count) { /* FNV-1a */
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < count; i++) hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static void *kernel_init(Context *context, const char *buffer, size_t length) {
  const DelegateParams *params = (const DelegateParams *)buffer;
  Kernel *kernel = calloc(1, sizeof *kernel);
  Node *node;
  Registration *registration;
  (void)length;
  kernel->device = params->delegate->data;
  if (context->get_node_and_registration(context, params->nodes->data[0], &node, &registration) == kOk)
    kernel->checksum = checksum_of(node->custom_initial_data, (size_t)node->custom_initial_data_size);
  return kernel;
}

static void kernel_free(Context *context, void *kernel) {
  (void)context;
  free(kernel);
}

static Status kernel_prepare(Context *context, Node *node) {
  (void)context, (void)node;
  return kOk;
}

static uint8_t *inputs_of(Context *context, const Node *node, size_t *count) {
  *count = 0;
  for (int i = 0; i < node->inputs->size; i++) *count += context->tensors[node->inputs->data[i]].bytes;
  uint8_t *all = malloc(*count + 1), *at = all;
  for (int i = 0; i < node->inputs->size; i++) {
    const Tensor *tensor = &context->tensors[node->inputs->data[i]];
    at = (uint8_t *)memcpy(at, tensor->data, tensor->bytes) + tensor->bytes;
  }
  return all;
}

static Status kernel_invoke(Context *context, Node *node) {
  Kernel *kernel = node->user_data;
  const char *why = "";
  if (!device_run(kernel->device, kernel->checksum, &why)) {
    context->report_error(context, "Edge TPU: %s", why);
    return kError;
  }
  size_t count;
  uint8_t *input = inputs_of(context, node, &count);
  for (int j = 0; j < node->outputs->size; j++) {
    const Tensor *output = &context->tensors[node->outputs->data[j]];
    for (size_t i = 0; i < output->bytes; i++)
      ((uint8_t *)output->data)[i] = (uint8_t)((count ? input[i % count] : 0) + kernel->checksum + (uint32_t)j);
  }
  free(input);
  return kOk;
}

static Status delegate_prepare(Context *context, Delegate *delegate) {
  const Registration kernel = {.init = kernel_init, .free = kernel_free, .prepare = kernel_prepare, .invoke = kernel_invoke,
                               .custom_name = "EdgeTpuDelegateForCustomOp", .version = 1};
  IntArray *plan;
  if (context->get_execution_plan(context, &plan) != kOk) return kError;
  int count = plan->size, *nodes = malloc(sizeof(int) * (size_t)(count + 1)); /* the plan changes with every operator taken */
  memcpy(nodes, plan->data, sizeof(int) * (size_t)count);
  IntArray *one = malloc(sizeof(IntArray) + sizeof(int));
  one->size = 1;
  uint32_t left = ((Device *)delegate->data)->bench->unclaimed;
  Status status = kOk;
  for (int i = 0; i < count && status == kOk; i++) {
    Node *node;
    Registration *registration;
    status = context->get_node_and_registration(context, nodes[i], &node, &registration);
    if (status != kOk || !registration->custom_name || strcmp(registration->custom_name, OPERATOR)) continue;
    if (left) {
      left--;
      continue;
    }
    one->data[0] = nodes[i];
    status = context->replace_node_subsets(context, kernel, one, delegate);
  }
  free(one);
  free(nodes);
  return status;
}

static Delegate *delegate_for(const char *name, const char **why) {
  Device *device = device_open(name, why);
  if (!device) return NULL;
  Delegate *delegate = calloc(1, sizeof *delegate);
  delegate->data = device;
  delegate->prepare = delegate_prepare;
  delegate->flags = 1; /* allows dynamic tensors: else the interpreter prepares all operators before, and knows no custom ones */
  return delegate;
}

/* Devices: "" is any, "usb" any by USB, ":1" the second of all, "usb:1" the second by USB. PCI comes first, as in libedgetpu. */

typedef struct {
  int type; /* 0 PCI, 1 USB */
  const char *path;
} ListedDevice;

static int list(char names[16][8]) {
  int count = 0;
  for (int type = 0; type < 2; type++)
    for (int i = 0; i < 8; i++) {
      snprintf(names[count], sizeof names[0], "%s%d", type ? "usb" : "pci", i);
      if (device_is_present(names[count])) count++;
    }
  return count;
}

static Delegate *delegate_by(const char *wanted, const char **why) {
  char names[16][8], bus[8] = "";
  int index = -1, seen = 0, count = list(names);
  const char *colon = strchr(wanted, ':');
  if (colon) index = atoi(colon + 1);
  snprintf(bus, sizeof bus, "%.*s", (int)(colon ? colon - wanted : (long)strlen(wanted)), wanted);
  *why = "no such device";
  for (int i = 0; i < count; i++) {
    if (strncmp(names[i], bus, strlen(bus)) || (index >= 0 && seen++ != index)) continue;
    Delegate *delegate = delegate_for(names[i], why);
    if (delegate || index >= 0) return delegate;
  }
  return NULL;
}

API Delegate *tflite_plugin_create_delegate(const char *const *keys, const char *const *values, size_t count,
                                            void (*report_error)(const char *)) {
  const char *device = "", *why = "";
  (void)report_error; /* libedgetpu does not say why either */
  for (size_t i = 0; i < count; i++)
    if (!strcmp(keys[i], "device")) device = values[i];
  return delegate_by(device, &why);
}

API void tflite_plugin_destroy_delegate(Delegate *delegate) {
  if (!delegate) return;
  device_close(delegate->data);
  free(delegate);
}

/* The C interface of libedgetpu: tflite/public/edgetpu_c.h. */

API ListedDevice *edgetpu_list_devices(size_t *count) {
  static char paths[16][8];
  ListedDevice *listed = calloc(17, sizeof *listed);
  *count = (size_t)list(paths);
  for (size_t i = 0; i < *count; i++) listed[i] = (ListedDevice){paths[i][0] == 'u', paths[i]};
  return listed;
}

API void edgetpu_free_devices(ListedDevice *listed) { free(listed); }

API Delegate *edgetpu_create_delegate(int type, const char *path, const void *options, size_t count) {
  const char *why;
  (void)options, (void)count;
  return path ? delegate_for(path, &why) : delegate_by(type ? "usb" : "pci", &why);
}

API void edgetpu_free_delegate(Delegate *delegate) { tflite_plugin_destroy_delegate(delegate); }

API void edgetpu_verbosity(int verbosity) { (void)verbosity; }

API const char *edgetpu_version(void) { return "BuildLabel(COMPILER=stand-in,DATE=redacted,TIME=redacted), RuntimeVersion(14)"; }
