"""Running an interpreter as pycoral's native code does."""

from __future__ import annotations

from typing import Any


def invoke(interpreter: Any) -> None:
    """Run it, also while somebody holds a view of a tensor.

    The interpreter's own ``invoke`` refuses that, since a view would dangle if memory were laid out anew; running a model of fixed
    shapes does not do so.

    Raises:
        RuntimeError: if it fails, or ``allocate_tensors`` was not called.
    """
    interpreter._interpreter.Invoke()
