"""What the loop takes of a choice."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.engines import Options


@dataclass(frozen=True)
class Taken:
    """A variant's id, the engine (None is the one of its kind) and its options."""

    variant: str
    engine: str | None
    options: Options
