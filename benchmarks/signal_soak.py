"""Whether windows of a serial line lose nothing over ten minutes."""

from __future__ import annotations

from benchmarks.rows import Row
from benchmarks.signal_windows import rows_of, watch


def run(quick: bool) -> list[Row]:
    """See ``benchmarks.signal_windows``."""
    seconds = 20 if quick else 600
    return rows_of("serial line", watch("serial line", seconds), seconds)
