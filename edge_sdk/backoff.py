"""Trying again: at once, after ever longer waits, and not for ever."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from time import monotonic

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


def waits_s(first_s: float | None = None, longest_s: float | None = None) -> Iterator[float]:
    """How long to wait before each next try, in seconds, without end.

    The waits double, and are jittered, which keeps a fleet from knocking in step: each is between half and all of what it could be.
    """
    wait_s, longest_s = first_s or FIRST_WAIT_S, longest_s or LONGEST_WAIT_S
    while True:
        yield wait_s * (1 + os.urandom(1)[0] / 255) / 2  # random would bring OpenSSL into the supervisor's memory
        wait_s = min(2 * wait_s, longest_s)


def tries(patience_s: float, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One item for each try: at once, after each wait, and a last one when ``patience_s`` seconds are over; ends early on ``stop``.

    ``alive`` is called at least once a second meanwhile.
    """
    until, waits = monotonic() + patience_s, waits_s()
    yield
    while (remaining_s := until - monotonic()) > 0 and not stop.is_set():
        wait_until = monotonic() + min(remaining_s, next(waits))
        while (left_s := wait_until - monotonic()) > 0 and not stop.wait(min(left_s, 1.0)):
            alive()
        yield
