"""Trying again: at once, after ever longer waits, and not for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from time import monotonic

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


def tries(patience_s: float, stop: threading.Event) -> Iterator[None]:
    """One item for each try: at once, after each wait, and a last one when ``patience_s`` seconds are over; ends early on ``stop``.

    The waits double, and are jittered, which keeps a fleet from knocking in step.
    """
    until, wait_s = monotonic() + patience_s, FIRST_WAIT_S
    yield
    while (remaining_s := until - monotonic()) > 0 and not stop.is_set():
        stop.wait(min(remaining_s, wait_s * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        yield
