"""Ring 2 for the engine: one that hung or died is started again; one that does nothing else is given up loudly."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns

from edge_sdk.backoff import tries
from edge_sdk.engines import DeviceReset, Engine
from edge_sdk.errors import DeviceError, EngineCrashError, EngineError, EngineHangError
from edge_sdk.result import Event

_FAILURES_IN_A_ROW = 5  # an engine that fails so often without one good result will not do better the next time
_KEPT = 1_000


@dataclass(frozen=True)
class Recovery:
    """One recovery of the engine: why, at which sample, and how long until it was back (after the hang budget).

    ``step`` brought it back; ``standby`` names what served meanwhile, if anything did. Before the first sample, ``sequence`` is -1.
    """

    kind: str
    sequence: int
    took_ms: float
    step: str = "a new process"
    standby: str | None = None


class EngineRecovery:
    """Restarts an engine after its failures.

    Args:
        engine: the engine.
        tell: told of every failure and of the way back.
        patience_s: for how long a restart that fails is tried again.
        stop: ends the waiting between tries.
        alive: called before each try, which may take long.
        reset: resets the engine's device, before each new try to start it where the first has failed; None where nothing can.

    Attributes:
        recoveries: the latest ones.
    """

    def __init__(
        self,
        engine: Engine,
        tell: Callable[[Event], None],
        *,
        patience_s: float,
        stop: threading.Event,
        alive: Callable[[], None] = lambda: None,
        reset: DeviceReset | None = None,
    ) -> None:
        self._engine, self._tell, self._alive = engine, tell, alive
        self._patience_s, self._stop, self._reset = patience_s, stop, reset
        self._failures_in_a_row = 0
        self._abandoned = 0
        self.recoveries: deque[Recovery] = deque(maxlen=_KEPT)

    def succeeded(self) -> None:
        """The engine gave a result."""
        self._failures_in_a_row = 0

    def failed(self, failure: EngineError, sequence: int) -> None:
        """The engine failed at the sample of this number: have it back if it hung or died.

        Raises:
            EngineError: if it cannot be had back, or fails again and again.
        """
        kind = kind_of(failure)
        self._tell(Event(kind, str(failure), monotonic_ns(), sequence))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            times = f"{self._failures_in_a_row} times in a row"
            raise EngineError(f"the engine failed {times}; the last time: {failure}") from failure
        if kind != "engine_error" or (self._reset is not None and self._failures_in_a_row > 1):
            self._tell_abandoned(sequence)
            started_ns = monotonic_ns()
            if not self._restarted(failure, sequence):
                return
            took_ms = (monotonic_ns() - started_ns) * 1e-6
            self.recoveries.append(Recovery(kind, sequence, took_ms))
            message = f"the engine is back after {took_ms:.0f} ms"
            self._tell(Event("recovered", message, monotonic_ns(), sequence, took_ms))

    def _tell_abandoned(self, sequence: int) -> None:
        if self._engine.abandoned > self._abandoned:
            self._abandoned = self._engine.abandoned
            message = "the engine's process outlived its kill, in a kernel call; it is left behind, and its device may be lost"
            self._tell(Event("abandoned", message, monotonic_ns(), sequence))

    def _restarted(self, failure: EngineError, sequence: int) -> bool:
        """Start it again; False if that is not wanted any more."""
        for number, _ in enumerate(tries(self._patience_s, self._stop)):
            if self._stop.is_set():
                return False
            self._alive()
            if number:
                self._reset_device(sequence)
            try:
                self._engine.restart()
            except EngineError as exc:
                failure = exc
                self._tell(Event("restart_failed", str(exc), monotonic_ns(), sequence))
            else:
                return True
        if self._stop.is_set():
            return False
        raise EngineError(
            f"the engine could not be started again within {self._patience_s:g} s: {failure}"
        ) from failure

    def _reset_device(self, sequence: int) -> None:
        if self._reset is None:
            return
        began_ns = monotonic_ns()
        try:
            kind, message = "device_reset", self._reset(self._stop)
        except DeviceError as exc:
            kind, message = "step_failed", f"the device was not reset: {exc}"
        self._tell(Event(kind, message, monotonic_ns(), sequence, (monotonic_ns() - began_ns) * 1e-6))


def kind_of(failure: EngineError) -> str:
    """``hang``, ``crash`` or ``engine_error``, as events have it."""
    if isinstance(failure, EngineHangError):
        return "hang"
    return "crash" if isinstance(failure, EngineCrashError) else "engine_error"
