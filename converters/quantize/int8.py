"""The plain case: full-integer int8 by the default recipe."""

from __future__ import annotations

from dataclasses import dataclass

from converters.calibrate.ranges import Ranges
from converters.quantize.quantize import quantize
from converters.quantize.recipe import read_recipe


@dataclass(frozen=True)
class Int8Model:
    """The int8 model.

    Attributes:
        content: a .tflite with everything inside the flatbuffer and the lowest operator versions that are right.
        islands: operators without an int8 kernel that became others, one sentence each, numbered as in the float model.
    """

    content: bytes
    islands: tuple[str, ...]


def quantize_int8(content: bytes, ranges: Ranges) -> Int8Model:
    """Quantize weights (per channel, symmetric) and activations (per tensor, asymmetric) to int8; inputs and outputs too.

    Args:
        content: the float model.
        ranges: of all its float activations.

    Raises:
        NotIntegerError: if an operator can be made neither an int8 kernel nor a table; the message names it.
    """
    done = quantize(content, ranges, read_recipe("int8"))
    return Int8Model(done.content, done.rewrites)
