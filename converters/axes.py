"""Tensors whose axes lie in another order than they are counted in: a translation between layouts renames axes, and moves numbers late."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Laid:
    """Base of the tensors of a graph that is being translated; a frozen dataclass has the attributes.

    Attributes:
        shape: in the order in which the source counts the axes.
        axes: ``axes[place]`` is the source's axis whose numbers lie at ``place``.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape as the numbers lie."""
        return tuple(self.shape[axis] for axis in self.axes)

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    def place(self, axis: int) -> int:
        """Where the source's ``axis`` lies."""
        return self.axes.index(axis % len(self.shape))

    def transposed(self, order: tuple[int, ...]) -> Self:
        """The same numbers with the axes renamed: axis i of the result is axis ``order[i]`` of this one."""
        shape = tuple(self.shape[axis] for axis in order)
        axes = tuple(order.index(axis) for axis in self.axes)
        return replace(self, shape=shape, axes=axes)  # type: ignore[type-var]


def plain(rank: int) -> tuple[int, ...]:
    """The order in which axes are counted."""
    return tuple(range(rank))
