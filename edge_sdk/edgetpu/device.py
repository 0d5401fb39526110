"""A device that runs requests, and is had back after a hang or crash."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, monotonic_ns, perf_counter
from typing import Literal

from edge_sdk.backoff import waits_s
from edge_sdk.engines import Engine
from edge_sdk.errors import EngineCrashError, EngineError, EngineHangError
from edge_sdk.result import Event
from edge_sdk.tensors import Array

_ERRORS_IN_A_ROW = 3  # errors that leave the process alive; then it is started again all the same
State = Literal["opening", "in", "out", "lost", "closed"]


@dataclass(frozen=True)
class DeviceReport:
    """What became of a device.

    Attributes:
        name: its name.
        state: ``in`` work, ``out`` of it while it is had back, ``lost`` for good; or ``opening``, ``closed``.
        runs: requests that it answered.
        failures: requests that failed on it.
        recoveries: how often it was had back.
        busy_s: seconds in requests that it answered.
    """

    name: str
    state: State
    runs: int
    failures: int
    recoveries: int
    busy_s: float


class Device:
    """One engine under the name of its device; for one thread.

    Args:
        name: for messages, such as ``"usb:0"``.
        open_engine: opens the engine; called again where that failed.
        tell: told of failures and of the way back.
        stop: ends the waiting between tries.
        patience_s: for how long a device is tried again.
    """

    def __init__(
        self,
        name: str,
        open_engine: Callable[[], Engine],
        tell: Callable[[Event], None],
        *,
        stop: threading.Event,
        patience_s: float,
    ) -> None:
        self.name, self._open_engine = name, open_engine
        self._tell, self._stop, self._patience_s = tell, stop, patience_s
        self.engine: Engine | None = None
        self._state: State = "opening"
        self._runs = self._failures = self._recoveries = self._errors_in_a_row = self._abandoned = 0
        self._busy_s = 0.0
        self._waits: Iterator[float] | None = None

    @property
    def state(self) -> State:
        """See ``DeviceReport``."""
        return self._state

    def open(self) -> None:
        """Open the engine, and run it once: it is in.

        Raises:
            EngineError: if that failed.
        """
        if self.engine is None:
            self.engine = self._open_engine()
        self.prove()
        self._state = "in"

    def prove(self) -> float:
        """Run it on zeros, so that nobody's request pays for finding that it does not run; how many milliseconds that took.

        Raises:
            EngineError: if it failed.
        """
        assert self.engine is not None  # noqa: S101 - as below
        for array in self.engine.input_arrays:
            array.fill(0)
        began = perf_counter()
        self.engine.run()
        took_ms = (perf_counter() - began) * 1_000
        self.engine.reset()
        return took_ms

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run it on these; the outputs are the caller's.

        Raises:
            EngineError: if it failed; call ``recover`` then.
        """
        assert self.engine is not None  # noqa: S101 - whoever runs it has opened it
        began = perf_counter()
        for array, given in zip(self.engine.input_arrays, inputs, strict=True):
            array[...] = given
        outputs = tuple(output.copy() for output in self.engine.run())
        self._busy_s += perf_counter() - began
        self._runs += 1
        self._errors_in_a_row = 0
        self._waits = None
        return outputs

    def recover(self, failure: EngineError, sequence: int | None = None) -> bool:
        """Have it back after a failure: with waits that grow from one failure to the next, until it has answered a request again.

        Args:
            failure: what ``run`` or ``open`` raised.
            sequence: the number of the request concerned.

        Returns:
            Whether it is back; False if it is stopped, or lost: that is told.
        """
        self._failures += sequence is not None
        self._say(_kind(failure), str(failure), sequence)
        self._errors_in_a_row += 1
        if _kind(failure) == "engine_error" and self._state == "in" and self._errors_in_a_row < _ERRORS_IN_A_ROW:
            return True
        self._state = "out"
        began = monotonic()
        while self._wait():
            try:
                self._start_again()
            except EngineError as exc:
                self._say("restart_failed", str(exc), sequence)
                failure = exc
            else:
                self._back(sequence, (monotonic() - began) * 1_000)
                return True
            if monotonic() - began > self._patience_s:
                self._state = "lost"
                self._say("device_lost", f"given up after {self._patience_s:g} s: {failure}", sequence)
                return False
        return False

    def report(self) -> DeviceReport:
        """Counted so far."""
        return DeviceReport(self.name, self._state, self._runs, self._failures, self._recoveries, self._busy_s)

    def close(self) -> None:
        """Close the engine."""
        if self._state != "lost":
            self._state = "closed"
        if self.engine is not None:
            self.engine.close()

    def _wait(self) -> bool:
        """Before a try: not at all the first time since it answered, then ever longer; False if it is not wanted any more."""
        if self._waits is None:
            self._waits = waits_s()
            return not self._stop.is_set()
        return not self._stop.wait(next(self._waits))

    def _start_again(self) -> None:
        if self.engine is not None:
            self.engine.restart()
            self._tell_abandoned(self.engine)
        self.open()

    def _back(self, sequence: int | None, took_ms: float) -> None:
        self._recoveries += 1
        self._errors_in_a_row = 0
        self._tell(Event("recovered", f"{self.name} is back after {took_ms:.0f} ms", monotonic_ns(), sequence, took_ms))

    def _tell_abandoned(self, engine: Engine) -> None:
        if engine.abandoned > self._abandoned:
            self._abandoned = engine.abandoned
            self._say("abandoned", "its process outlived its kill, in a kernel call; it is left behind", None)

    def _say(self, kind: str, message: str, sequence: int | None) -> None:
        self._tell(Event(kind, f"{self.name}: {message}", monotonic_ns(), sequence))


def _kind(failure: EngineError) -> str:
    if isinstance(failure, EngineHangError):
        return "hang"
    return "crash" if isinstance(failure, EngineCrashError) else "engine_error"
