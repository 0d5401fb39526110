"""Between a source's thread and the loop: the newest frame of a camera, or a bounded ring of sensor windows."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from edge_sdk.sources import Sample

SIGN_S = 1.0  # so often who waits says that he is alive


class Mailbox:
    """Holds at most ``bound`` samples; when it is full, the oldest gives way and ``on_drop`` is called.

    Args:
        bound: 1 for cameras: only the newest frame is of use.
        on_drop: called for each sample that gave way.
        on_demand: ``put`` is only welcome after ``wait_wanted``: the reader of a source that is not live reads when the loop is ready. What
            it reads may make no sample, or several windows of a signal, which are all kept.
    """

    def __init__(self, *, bound: int = 1, on_drop: Callable[[], None], on_demand: bool = False) -> None:
        self._samples: deque[Sample] = deque()
        self._bound = bound
        self._on_drop = on_drop
        self._on_demand = on_demand
        self._changed = threading.Condition()
        self._wanted = 0
        self._ended = False
        self._failure: BaseException | None = None

    def put(self, sample: Sample) -> None:
        """Leave a sample; never waits. After the end it gives way itself."""
        with self._changed:
            if self._ended:
                self._on_drop()
                return
            self._wanted = 0
            while not self._on_demand and len(self._samples) >= self._bound:
                self._samples.popleft()
                self._on_drop()
            self._samples.append(sample)
            self._changed.notify_all()

    def end(self, failure: BaseException | None = None) -> None:
        """No more samples will come; ``take`` raises ``failure`` once it is empty."""
        with self._changed:
            if not self._ended:
                self._ended, self._failure = True, failure
            self._changed.notify_all()

    def wait_wanted(self) -> bool:
        """Wait until a sample is wanted and none was left since; False once the mailbox has ended. At once for live sources."""
        with self._changed:
            if self._on_demand:
                self._changed.wait_for(lambda: self._wanted > 0 or self._ended)
            return not self._ended

    def take(self, timeout_s: float, alive: Callable[[], None] = lambda: None) -> Sample | None:
        """The oldest sample held, or None at the end; ``alive`` is called every ``SIGN_S`` seconds while it waits.

        Raises:
            TimeoutError: if none came within ``timeout_s``.
            BaseException: what ``end`` was told.
        """
        until = monotonic() + timeout_s
        with self._changed:
            if not self._samples and not self._ended:
                self._wanted = 1
                self._changed.notify_all()
            while not self._samples:
                if self._ended:
                    if self._failure is not None:
                        raise self._failure
                    return None
                remaining = until - monotonic()
                if remaining <= 0:
                    raise TimeoutError
                self._changed.wait(min(remaining, SIGN_S))
                alive()
            return self._samples.popleft()

    def drain(self) -> int:
        """Forget the samples held, as at the end of a loop; how many they were."""
        with self._changed:
            held = len(self._samples)
            self._samples.clear()
            return held
