"""The ladder of a loop: its rungs, each with what runs there, and the way up and down.

Everything is opened at the start and kept: a step under overload starts nothing, and cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_sdk.runner import Runner
from edge_sdk.watchdog.recovery import Recovery


@dataclass(frozen=True)
class Rung:
    """One step."""

    run_every: int = 1
    variant: str | None = None
    engine: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class Ladder:
    """Where the loop stands.

    Args:
        make_runner: what runs at a rung.
    """

    def __init__(self, make_runner: Callable[[Rung], Runner]) -> None:
        self.runner = make_runner(Rung())
        self.run_every = 1

    def recoveries(self) -> tuple[Recovery, ...]:
        """Of all engines."""
        return tuple(self.runner.recovery.recoveries)
