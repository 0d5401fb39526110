"""A start that takes minutes: standard error says so, and whoever waits for the engine's process waits as long as it may take."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic

_EVERY_S = 15.0
announce: Callable[[float], None] = lambda most_s: None  # noqa: E731 - replaced in an engine's process: tells who waits for it


def say(text: str) -> None:
    """One line on standard error."""
    if sys.stderr is not None:
        print(f"edge-sdk: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def long_start(doing: str, most_s: float) -> Iterator[None]:
    """While the block runs, say what it does and for how long it has.

    Args:
        doing: such as ``"building the model's TensorRT engine"``.
        most_s: the longest that it may take; an engine's process is ended when it takes longer.
    """
    announce(most_s)
    began, over = monotonic(), threading.Event()
    say(f"{doing}, once; it may take up to {most_s:g} s")
    fd = _standard_error()

    def tell() -> None:
        while not over.wait(_EVERY_S):
            os.write(fd, f"edge-sdk: {doing} for {monotonic() - began:.0f} s\n".encode())

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
        done = True
    except BaseException:
        done = False
        raise
    finally:
        over.set()
        teller.join()
        os.close(fd)
        say(f"{doing}: {'done' if done else 'failed'} after {monotonic() - began:.1f} s")


def _standard_error() -> int:
    """Standard error as it is now, wherever it is led meanwhile."""
    try:
        return os.dup(2)
    except OSError:  # closed
        return os.open(os.devnull, os.O_WRONLY)
