"""The interpreter as the workstation uses it: every intermediate tensor kept, and with or without the optimised kernels."""

from __future__ import annotations

import os
import warnings
from typing import Any

from edge_sdk.engines.litert import quiet_native_stderr
from edge_sdk.errors import ModelError, needs

THREADS = min(4, os.cpu_count() or 1)


def open_interpreter(content: bytes, *, optimised: bool = True, keep: bool = True, threads: int = THREADS) -> Any:
    """An interpreter of a model, tensors allocated.

    Args:
        content: the model.
        optimised: with the delegate (XNNPACK) that a device uses by default; it writes every activation, but not constants that it
            takes in another form. Without it TensorFlow Lite's own kernels write every tensor, more slowly.
        keep: all intermediate tensors stay readable, which costs time and memory.
        threads: for one run.

    Raises:
        ModelError: if the interpreter refuses the model.
    """
    with needs("ai_edge_litert", for_="converting a model", extra="convert"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    resolver = OpResolverType.AUTO if optimised else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with quiet_native_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "preserve_all_tensors is for debugging": it is what we want
        try:
            interpreter = Interpreter(
                model_content=content,
                experimental_preserve_all_tensors=keep,
                experimental_op_resolver_type=resolver,
                num_threads=threads,
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as exc:
            raise ModelError(f"the interpreter refuses the model: {exc}") from exc
    return interpreter
