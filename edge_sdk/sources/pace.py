"""Waiting for the moment at which a recorded sample is due, in a way that closing the source interrupts."""

from __future__ import annotations

import threading
import time


class Pace:
    """Turns positions in a recording into moments of the present.

    The first sample is due when it is asked for, every other one as much later as it stands later in the recording. A reader that
    comes too late gets its sample at once, with the moment at which it was due as its capture time, as from a camera.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._start_ns: int | None = None

    def wait(self, position_ns: int) -> int | None:
        """Wait until the sample at ``position_ns`` is due.

        Args:
            position_ns: nanoseconds since the recording's first sample.

        Returns:
            When it was due, on the clock of ``time.monotonic_ns``, or None if ``stop`` was called.
        """
        due_ns = self.due_ns(position_ns)
        left_ns = due_ns - time.monotonic_ns()
        if self._stopped.wait(max(left_ns, 0) / 1e9):
            return None
        return due_ns

    def due_ns(self, position_ns: int) -> int:
        """When the sample at ``position_ns`` is due; does not wait."""
        if self._start_ns is None:
            self._start_ns = time.monotonic_ns() - position_ns
        return self._start_ns + position_ns

    def stop(self) -> None:
        """End every ``wait``, now and later."""
        self._stopped.set()
