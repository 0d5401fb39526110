"""Progress of long work: what it calls, and the line on the terminal that shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import click

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how much of it is done, and of how much."""


def quiet(step: str, done: int, total: int) -> None:
    """Shows nothing."""


def counted(progress: Progress, step: str, total: int) -> Callable[[], None]:
    """Calls ``progress`` with one more done each time that it is called."""
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(step, done, total)

    return one_more


class Bar:
    """One line on the terminal: the step at work, how far it is, and for how many seconds.

    It is drawn anew also while a step says nothing; until the first of it is done, a block moves along the bar.
    """

    _WIDTH, _BLOCK, _STEP = 30, 6, 28
    _REDRAW_S = 0.25

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticks = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._now = ("", 0, 1)
        self._started = time.monotonic()

    def __enter__(self) -> Bar:
        self._ticks.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a clean line for the summary or the error."""
        self._over.set()
        self._ticks.join()
        click.echo("\r\033[K", nl=False, err=True)

    def __call__(self, step: str, done: int, total: int) -> None:
        """See ``Progress``."""
        with self._lock:
            if step != self._now[0]:
                self._started = time.monotonic()
            self._now = (step, done, total)
            self._draw()

    def _tick(self) -> None:
        while not self._over.wait(self._REDRAW_S):
            with self._lock:
                if self._now[0]:
                    self._draw()

    def _draw(self) -> None:
        step, done, total = self._now
        seconds = time.monotonic() - self._started
        if done:
            filled = self._WIDTH * done // total
            bar, share = "#" * filled + "-" * (self._WIDTH - filled), f"{100 * done // total:3d}%"
        else:
            place = int(seconds / self._REDRAW_S) % (self._WIDTH - self._BLOCK + 1)
            bar, share = ("-" * place + "#" * self._BLOCK).ljust(self._WIDTH, "-"), "    "
        click.echo(f"\r{step[: self._STEP]:<{self._STEP}} [{bar}] {share} {seconds:4.0f} s\033[K", nl=False, err=True)
