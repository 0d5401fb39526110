"""Engines for tests of pool, segments and scheduler: one that a test scripts, and tiny models that tell who computed what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edge_sdk.engines import Engine
from edge_sdk.errors import EngineCrashError, EngineError, EngineHangError
from edge_sdk.tensors import Array, TensorSpec
from tests.tiny_models import TinyModel, options

STEP_S = 60.0  # nothing here takes so long; a test that waits so long has failed


class ScriptedEngine(Engine):
    """Adds one to its input, and fails as the script says; runs on zeros, which prove a device, follow no script.

    Args:
        script: for each run ``""``, ``"hang"``, ``"crash"``, ``"error"`` or ``"dead"`` (a crash, and the next restart fails); at its end
            all is well.
        gate: each run takes one permit from it, if given.
        name: of the tensors.
    """

    def __init__(
        self,
        script: Iterable[str] = (),
        *,
        gate: threading.Semaphore | None = None,
        name: str = "x",
        on_run: Callable[[], None] = lambda: None,
    ) -> None:
        self.inputs, self.outputs = (TensorSpec(name, (1,), "int64"),), (TensorSpec(f"{name}+1", (1,), "int64"),)
        self.input_arrays = (np.zeros(1, np.int64),)
        self.description = "scripted"
        self.restarts = self.closed = 0
        self.entered = threading.Semaphore(0)  # released as each scripted run begins
        self._script: Iterator[str] = iter(script)
        self._gate, self._on_run = gate, on_run
        self._dead = False

    def run(self) -> tuple[Array, ...]:
        if not self.input_arrays[0][0]:
            return (np.ones(1, np.int64),)
        self._on_run()
        self.entered.release()
        if self._gate is not None:
            assert self._gate.acquire(timeout=STEP_S)
        fault = next(self._script, "")
        if fault == "hang":
            raise EngineHangError(1)
        if fault in ("crash", "dead"):
            self._dead = fault == "dead"
            raise EngineCrashError("as scripted")
        if fault == "error":
            raise EngineError("as scripted")
        return (self.input_arrays[0] + 1,)

    def restart(self) -> None:
        if self._dead:
            self._dead = False
            raise EngineError("it cannot be started, as scripted")
        self.restarts += 1

    def close(self) -> None:
        self.closed += 1


def number(value: int) -> list[Array]:
    """An input of a ``ScriptedEngine``."""
    return [np.array([value], np.int64)]


def plus(addend: float, *, input_: str = "x", output: str = "y", size: int = 4) -> bytes:
    """A model that adds a constant: float32 (1, size) to the same."""
    net = TinyModel()
    x, y = net.tensor(input_, (1, size)), net.tensor(output, (1, size))
    net.operator("ADD", [x, net.constant("addend", np.full((1, size), addend, np.float32))], [y], options("Add"))
    return net.build([x], [y])
