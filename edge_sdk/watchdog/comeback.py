"""Has an engine back in a thread of its own, step by step, while another serves in its place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, monotonic_ns

from edge_sdk.engines import DeviceReset, Engine
from edge_sdk.errors import DeviceError, EdgeSdkError
from edge_sdk.result import Event
from edge_sdk.watchdog.steps import WORDS, Patience, Step, Steps

_DONE: dict[Step, str] = {"reopen": "reopened", "restart": "restarted", "reset": "restarted"}  # kinds of event
_END_S = 15.0  # a step that was told to end may be in the kernel, resetting a device, for some seconds


class Comeback:
    """While it is at work the engine is its own; otherwise it does not touch it.

    What it did is kept as news until it is asked for, so that nobody is told from this thread.

    Args:
        engine: the engine.
        prove: raises EngineError unless the engine, started or opened again, answers as it should.
        reset: resets the device; None where nothing can.
        patience: see there.

    Attributes:
        lost: a process of the engine outlived its kill, and its device with it: it is not tried again.
        step: the latest one.
        failure: why the latest one failed, if it did.
    """

    def __init__(
        self, engine: Engine, prove: Callable[[], None], *, reset: DeviceReset | None, patience: Patience
    ) -> None:
        self._engine, self._prove, self._reset = engine, prove, reset
        self._steps = Steps(patience, can_reset=reset is not None)
        self._stop = threading.Event()
        self._resting = threading.Event()  # it waits for the next try, or is not at work
        self._thread: threading.Thread | None = None
        self._news: deque[Event] = deque()
        self._error: Exception | None = None
        self._sequence: int | None = None
        self.lost = False
        self.step: Step = "restart"
        self.failure: EdgeSdkError | None = None

    def begin(self, kind: str, sequence: int | None) -> None:
        """The engine failed so (see ``Steps.failed``), at the sample of this number: begin."""
        self._steps.failed(kind, monotonic())
        self._sequence, self._error, self.failure = sequence, None, None
        self._resting.clear()
        self._thread = threading.Thread(target=self._work, name="comeback", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until it is over, or every step was tried once, but no longer than that."""
        self._resting.wait(seconds)

    @property
    def back(self) -> bool:
        """Whether the engine is back. What was no failure of the engine's is raised here."""
        if self._thread is None or self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return self.failure is None and not self.lost

    def news(self) -> list[Event]:
        """What was done since it was last asked for."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def close(self) -> None:
        """End what is under way; the engine is for closing then."""
        self._stop.set()
        if self._thread is not None:
            self._engine.interrupt()
            self._thread.join(_END_S)
        self.failure = self._error = None  # their tracebacks hold the engine's memory

    def _work(self) -> None:
        try:
            while not self._stop.is_set() and not self._is_lost():
                wait_s, step = self._steps.next()
                if wait_s:
                    self._resting.set()
                if self._stop.wait(wait_s) or self._take(step):
                    break
        except Exception as exc:  # noqa: BLE001 - raised by ``back``, in the thread that asks
            self._error = exc
        finally:
            self._resting.set()

    def _take(self, step: Step) -> bool:
        """Take a step; whether the engine is back by it."""
        self.step = step
        if step == "reset":
            self._reset_device()
        began_ns = monotonic_ns()
        try:
            if step == "reopen":
                self._engine.reopen()
            else:
                self._engine.restart()
            self._prove()
        except EdgeSdkError as exc:
            self.failure = exc
            self._say("step_failed", f"{WORDS[step]} did not help: {exc}", began_ns)
            return False
        self.failure = None
        self._steps.back(monotonic())
        self._say(_DONE[step], f"after {WORDS[step]} the engine answers as it should", began_ns)
        return True

    def _reset_device(self) -> None:
        """A new process is worth a try also where this fails."""
        assert self._reset is not None  # noqa: S101 - else there is no such step
        self._engine.halt()  # it holds the device
        began_ns = monotonic_ns()
        try:
            self._say("device_reset", self._reset(self._stop), began_ns)
        except DeviceError as exc:
            self._say("step_failed", f"the device was not reset: {exc}", began_ns)

    def _is_lost(self) -> bool:
        if self._engine.abandoned:
            self.lost = True
            message = "the engine's process outlived its kill, in a kernel call: its device is taken as lost, until a new start"
            self._say("abandoned", message, monotonic_ns())
        return self.lost

    def _say(self, kind: str, message: str, began_ns: int) -> None:
        if not self._stop.is_set():
            now_ns = monotonic_ns()
            self._news.append(Event(kind, message, now_ns, self._sequence, (now_ns - began_ns) * 1e-6))
