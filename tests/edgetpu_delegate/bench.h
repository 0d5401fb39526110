/* What a simulated device is made of: one file a device in the folder named by EDGETPU_BENCH, mapped by whoever opens it and by the tests.
 * The same form stands in __init__.py. Every field that two processes may write is atomic. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

enum Kind { NONE, SLOW, HANG, SPIN, CRASH, ABORT, ERROR, VANISH, KINDS };
enum Cure { TIMES, DELEGATE, PROCESS, RESET, REPLUG, NEVER }; /* what ends a fault that has struck */
enum Stage { RUN, OPEN };
enum { FAULTS = 16 };

typedef struct {
  _Atomic uint32_t kind, stage, cure, times;
  _Atomic uint64_t from; /* strikes at the invocation, or the opening, of this number, counted from 1 */
  _Atomic uint64_t slow_us;
  _Atomic uint32_t struck;
  _Atomic uint32_t struck_pid;
  _Atomic uint64_t struck_opens, struck_resets, struck_plugs;
} Fault;

typedef struct {
  _Atomic uint32_t present, loaded; /* on the bus; its firmware is loaded, which changes its USB id */
  _Atomic uint32_t owner;           /* pid of the latest who opened it; who has it now is told by the lock on the file */
  _Atomic uint32_t unclaimed;       /* so many custom operators are left to the interpreter */
  _Atomic uint64_t run_us, swap_us; /* an invocation takes so long, and so much more after one of another model */
  _Atomic uint64_t opens, refusals, invocations, swaps, resets, plugs, done;
  _Atomic uint32_t resident; /* checksum of the model on it */
  _Atomic uint32_t reserved;
  char on_bus[256], off_bus[256]; /* its folder in the tree of /sys, and where that is while it is away; empty without a tree */
  _Atomic uint64_t strikes[KINDS];
  Fault faults[FAULTS];
} Bench;
