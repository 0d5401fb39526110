"""Trying again: at once, after ever longer waits, and not for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from time import monotonic

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


def tries(patience_s: float, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One item for each try: at once, after each wait, and a last one when ``patience_s`` seconds are over; ends early on ``stop``.

    The waits double, and are jittered, which keeps a fleet from knocking in step; ``alive`` is called at least once a second meanwhile.
    """
    until, wait_s = monotonic() + patience_s, FIRST_WAIT_S
    yield
    while (remaining_s := until - monotonic()) > 0 and not stop.is_set():
        wait_until = monotonic() + min(remaining_s, wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        while (left_s := wait_until - monotonic()) > 0 and not stop.wait(min(left_s, 1.0)):
            alive()
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        yield
