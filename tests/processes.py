"""What a test looks at to see that nothing is left."""

from __future__ import annotations

import gc
import os
from pathlib import Path


def open_descriptors() -> int:
    gc.collect()  # an mmap holds a descriptor until it is collected
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def descendants(pid: int | None = None) -> set[int]:
    """Every process below ``pid`` (default this one)."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    frontier = {pid or os.getpid()}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier} - found
        found |= frontier
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
