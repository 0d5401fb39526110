"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        check: its name.
        state: ``fault`` where something cannot work, ``warning`` where something may not.
        found: what is there, one sentence.
        fix: what to run or change; empty when ok.
    """

    check: str
    state: Literal["ok", "warning", "fault"]
    found: str
    fix: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well, or nothing can be said against it."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, fix: str) -> Finding:
    """It may not work, or only some uses do."""
    return Finding(check, "warning", found, fix)


def fault(check: str, found: str, fix: str) -> Finding:
    """It cannot work."""
    return Finding(check, "fault", found, fix)
