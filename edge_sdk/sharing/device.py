"""A device that runs requests, and is had back after a hang or crash."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, monotonic_ns, perf_counter
from typing import Literal

from edge_sdk.backoff import waits_s
from edge_sdk.engines import Engine
from edge_sdk.errors import DeviceError, EngineError
from edge_sdk.result import Event
from edge_sdk.tensors import Array
from edge_sdk.watchdog.recovery import kind_of

_ERRORS_IN_A_ROW = 3  # of requests, on a device that runs all the same; then it is started again
_GRACE_S, _END_S = 1.0, 10.0  # at the end: for a run to end by itself, and for an interrupted process to be gone
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
        check: raises EngineError where an engine that has started is not the right one.
    """

    def __init__(
        self,
        name: str,
        open_engine: Callable[[], Engine],
        tell: Callable[[Event], None],
        *,
        stop: threading.Event,
        patience_s: float,
        check: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        self.name, self._open_engine = name, open_engine
        self._tell, self._stop, self._patience_s, self._check = tell, stop, patience_s, check
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
        if not self.engine.inputs:  # it was made to be started later
            self.engine.restart()
        self._check(self.engine)
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
        return self.run_rows([inputs])

    def run_rows(self, samples: Sequence[Sequence[Array]]) -> tuple[Array, ...]:
        """Run it on several samples, each of which fills its row of the tensors; rows without one are what they were.

        Raises:
            EngineError: as ``run``.
        """
        assert self.engine is not None  # noqa: S101 - whoever runs it has opened it
        began = perf_counter()
        for place, array in enumerate(self.engine.input_arrays):
            if len(samples) == 1 and array.shape == samples[0][place].shape:
                array[...] = samples[0][place]
            else:
                for row, sample in enumerate(samples):
                    array[row] = sample[place][0]
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
        self._say(kind_of(failure), str(failure), sequence)
        self._errors_in_a_row += 1
        if kind_of(failure) == "engine_error" and self._is_sound(sequence):
            return True
        self._state = "out"
        began = monotonic()
        while self._wait(sequence):
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

    def interrupt(self) -> None:
        """From any thread, and for good: what it does in its process ends soon."""
        if self.engine is not None:
            self.engine.interrupt()

    def _is_sound(self, sequence: int | None) -> bool:
        """Whether a device that answered with an error runs: it may have been the request's."""
        if self._state != "in" or self._errors_in_a_row >= _ERRORS_IN_A_ROW:
            return False
        try:
            self.prove()
        except EngineError as exc:
            self._say(kind_of(exc), str(exc), sequence)
            return False
        return True

    def _wait(self, sequence: int | None) -> bool:
        """Before a try: not at all the first time since it answered, then ever longer, and its device is reset; False if it is stopped."""
        if self._waits is None:
            self._waits = waits_s()
            return not self._stop.is_set()
        if self._stop.wait(next(self._waits)):
            return False
        self._reset(sequence)
        return not self._stop.is_set()

    def _reset(self, sequence: int | None) -> None:
        reset = self.engine.own_reset() if self.engine is not None else None
        if self.engine is None or reset is None:
            return
        self.engine.halt()  # nothing of ours has the device open
        try:
            self._say("device_reset", reset(self._stop), sequence)
        except DeviceError as exc:
            self._say("step_failed", f"the device was not reset: {exc}", sequence)

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


def end_threads(
    threads: Iterable[threading.Thread], devices: Iterable[Device], say: Callable[[str, str], None]
) -> None:
    """Wait for threads that were told to end; what a device does is interrupted, if that does not end by itself soon."""
    mine = [thread for thread in threads if thread.ident is not None and thread is not threading.current_thread()]
    _join(mine, _GRACE_S)
    if any(thread.is_alive() for thread in mine):
        for device in devices:
            device.interrupt()
        _join(mine, _END_S)
    for thread in mine:
        if thread.is_alive():
            say("abandoned", f"{thread.name} does not end within {_GRACE_S + _END_S:g} s; it is left behind")


def _join(threads: Iterable[threading.Thread], within_s: float) -> None:
    until = monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))
