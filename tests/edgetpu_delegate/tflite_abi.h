/* The part of the interpreter's C interface that a delegate meets, declared anew.
 *
 * Its order is fixed: TensorFlow's tensorflow/lite/core/c/common.h adds to the end of its structures only. The order is that of
 * tflite-runtime 2.14 and ai-edge-litert 2.3. Registration is passed by value, so that a delegate built against a shorter one leaves the
 * interpreter to read what happens to lie behind it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { kOk = 0, kError = 1, kDelegateError = 2 } Status;

typedef struct {
  int size;
  int data[];
} IntArray;

typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  Delegate *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void *params;
  } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data;
  void *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
  Delegate *delegate;
  bool might_have_side_effect;
} Node;

typedef struct {
  void *(*init)(Context *, const char *buffer, size_t length);
  void (*free)(Context *, void *buffer);
  Status (*prepare)(Context *, Node *);
  Status (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *registration_external; /* since TensorFlow 2.11 */
  void *(*async_kernel)(Context *, Node *);
  uint64_t inplace_operator;
} Registration;

struct Context { /* the beginning of it; only the interpreter makes one */
  size_t tensors_size;
  Status (*get_execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  Status (*resize_tensor)(Context *, Tensor *, IntArray *);
  void (*report_error)(Context *, const char *format, ...);
  Status (*add_tensors)(Context *, int, int *);
  Status (*get_node_and_registration)(Context *, int, Node **, Registration **);
  Status (*replace_node_subsets)(Context *, Registration, const IntArray *nodes, Delegate *);
};

typedef struct { /* what a kernel's init is given */
  Delegate *delegate;
  IntArray *nodes, *inputs, *outputs;
} DelegateParams;

struct Delegate {
  void *data;
  Status (*prepare)(Context *, Delegate *);
  Status (*copy_from_buffer)(Context *, Delegate *, int, Tensor *);
  Status (*copy_to_buffer)(Context *, Delegate *, int, Tensor *);
  void (*free_buffer)(Context *, Delegate *, int *);
  int64_t flags;
  void *opaque_builder;
};
