"""Rewrites that let more of a model map: each makes one operator into others that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converters.targets.edgetpu.fixes.editor import Editor
from converters.targets.edgetpu.fixes.prove import Difference

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


@dataclass(frozen=True)
class Rewrite:
    """One rewrite, of an operator or of the whole model.

    Attributes:
        name: of the fix.
        where: such as ``HARD_SWISH 'block_3/act'``.
        words: what it does.
        difference: what was seen when both models were run; None where it was not made.
        refused: why it was not kept; empty where it was.
    """

    name: str
    where: str
    words: str
    difference: Difference | None = None
    refused: str = ""

    @property
    def kept(self) -> bool:
        """Whether the model has it."""
        return not self.refused


def all_fixes() -> tuple[Fix, ...]:
    """Every kind, those that change least in front."""
    from converters.targets.edgetpu.fixes import arithmetic, layers, shaping

    return (*shaping.FIXES, *layers.FIXES, *arithmetic.FIXES)
