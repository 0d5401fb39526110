"""Rewrites that let more of a model map: each makes one operator into others that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converters.targets.edgetpu.fixes.editor import Editor

Make = Callable[[Editor, Any], "list[Any] | None"]


@dataclass(frozen=True)
class Fix:
    """One kind of rewrite.

    Attributes:
        name: such as ``squeeze``.
        operators: names of those it applies to.
        words: what it does, for people.
        steps: by how many steps of the quantized output it may differ; 0 is bit for bit.
        make: gives the operators that take the place of one, or None where they cannot; it adds the tensors they need.
    """

    name: str
    operators: tuple[str, ...]
    words: str
    steps: int
    make: Make


def all_fixes() -> tuple[Fix, ...]:
    """Every kind, those that change least in front."""
    from converters.targets.edgetpu.fixes import arithmetic, layers, shaping

    return (*shaping.FIXES, *layers.FIXES, *arithmetic.FIXES)
