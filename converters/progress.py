"""Progress of long work: what it calls, and the line on the terminal that shows it."""

from __future__ import annotations

from collections.abc import Callable

import click

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how much of it is done, and of how much."""


def quiet(step: str, done: int, total: int) -> None:
    """Shows nothing."""


class Bar:
    """One line on the terminal that says which step is at work and how far it is."""

    _WIDTH = 30

    def __call__(self, step: str, done: int, total: int) -> None:
        """See ``Progress``."""
        filled = self._WIDTH * done // total
        bar = "#" * filled + "-" * (self._WIDTH - filled)
        click.echo(f"\r{step:<10} [{bar}] {100 * done // total:3d}%", nl=False, err=True)

    def clear(self) -> None:
        """Leave a clean line for the summary or the error."""
        click.echo("\r\033[K", nl=False, err=True)
