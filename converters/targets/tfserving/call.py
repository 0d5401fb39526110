"""One operator being translated: what its translator asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


@dataclass(frozen=True, eq=False)
class Known:
    """What the .tflite says of a tensor.

    Attributes:
        name: of the tensor.
        shape: outermost axis first.
        dtype: as NumPy calls it.
        scales, zero_points: one number for the whole tensor, or one for each step along ``axis``; empty if it is not quantized.
        axis: that they lie along.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: Array
    zero_points: Array
    axis: int

    @property
    def quantized(self) -> bool:
        """Whether stored numbers stand for real ones."""
        return len(self.scales) > 0

    def same_scale(self, other: Known) -> bool:
        """Whether a number that the one can store, the other can too."""
        return self.dtype == other.dtype and all(
            np.array_equal(mine, its)
            for mine, its in ((self.scales, other.scales), (self.zero_points, other.zero_points))
        )

    def steps(self, stored: Array) -> Array:
        """Stored numbers less the zero point, float32."""
        made: Array = (stored.astype(np.float64) - self._along(self.zero_points, stored.ndim)).astype(np.float32)
        return made

    def dequantize(self, stored: Array) -> Array:
        """Stored numbers as real ones, float32."""
        zeros, scales = (self._along(numbers, stored.ndim) for numbers in (self.zero_points, self.scales))
        real: Array = ((stored.astype(np.float64) - zeros) * scales).astype(np.float32)
        return real

    def _along(self, numbers: Array, axes: int) -> Array:
        shape = [1] * axes
        if len(numbers) > 1:
            shape[self.axis] = -1
        return numbers.reshape(shape)


class Held:
    """A tensor's numbers: real ones in float32, and of a quantized tensor its steps, stored less zero point, in float32 too.

    One of them is given, the other made when it is asked for. Constants are arrays, all else tensors of TensorFlow.
    """

    def __init__(self, tf: Any, known: Known, *, real: Any = None, steps: Any = None) -> None:
        self._tf, self._known, self._real, self._steps = tf, known, real, steps

    @classmethod
    def constant(cls, tf: Any, known: Known, stored: Array) -> Held:
        """Of what the file stores."""
        if not known.quantized:
            return cls(tf, known, real=stored.astype(np.float32) if stored.dtype == np.float16 else stored)
        return cls(tf, known, real=known.dequantize(stored), steps=known.steps(stored))

    @property
    def real(self) -> Any:
        """Real numbers; of what is not quantized, the stored ones."""
        if self._real is None:
            self._real = self._steps * np.float32(self._known.scales[0])
        return self._real

    @property
    def steps(self) -> Any:
        """Whole numbers, of which each stands for one scale."""
        if self._steps is None:
            self._steps = self._tf.round(self._real / np.float32(self._known.scales[0]))
        return self._steps


@dataclass(frozen=True)
class Steps:
    """What a translator gives that has computed its output in the output's own steps: whole numbers, still to be clipped."""

    values: Any


@dataclass(frozen=True, eq=False)
class Call:
    """An operator with its inputs translated.

    Attributes:
        tf: TensorFlow.
        options: the operator's in the schema, or None.
        inputs: one that is left out is None.
        known: of the inputs.
        made: of the outputs.
    """

    tf: Any
    options: Any
    inputs: tuple[Held | None, ...]
    known: tuple[Known | None, ...]
    made: tuple[Known, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first output."""
        return self.made[0].shape

    def given(self, place: int) -> Any:
        """An input, or None where it is left out."""
        held = self.inputs[place] if place < len(self.inputs) else None
        return None if held is None else held.real

    def x(self, place: int = 0) -> Any:
        """An input that must be there.

        Raises:
            ModelError: if it is not.
        """
        value = self.given(place)
        if value is None:
            raise ModelError(f"its input {place} is missing; the .tflite model is damaged")
        return value

    def steps(self, place: int) -> Any:
        """A quantized input's steps."""
        self.x(place)
        held = self.inputs[place]
        return None if held is None else held.steps

    def in_steps(self, *places: int) -> bool:
        """Whether these inputs and the output are quantized."""
        known = (*(self.known[place] for place in places), self.made[0])
        return all(each is not None and each.quantized for each in known)

    def shape_of(self, place: int = 0) -> tuple[int, ...]:
        """Of an input."""
        known = self.known[place]
        return () if known is None else known.shape

    def constant(self, place: int) -> Array:
        """An input that must be known before the model runs.

        Raises:
            ModelError: if it is computed.
        """
        value = self.x(place)
        if not isinstance(value, np.ndarray):
            raise ModelError(f"its input {place} is computed while the model runs; a constant is allowed")
        return value

    def integers(self, place: int) -> list[int]:
        """The same of a list of integers."""
        return [int(number) for number in self.constant(place).reshape(-1)]

    def option(self, name: str, default: Any = 0) -> Any:
        """A field of the options; the default where the operator came without any."""
        return default if self.options is None else getattr(self.options, name)

    @property
    def padding(self) -> str:
        """As TensorFlow calls it; it pads by the same rule."""
        return ("SAME", "VALID")[int(self.option("padding"))]

    @property
    def strides(self) -> tuple[int, int]:
        """(height, width)."""
        return int(self.option("strideH", 1)), int(self.option("strideW", 1))

    @property
    def dilations(self) -> tuple[int, int]:
        """(height, width)."""
        return int(self.option("dilationHFactor", 1)), int(self.option("dilationWFactor", 1))


Translator = Callable[[Call], Any]
Translators = Mapping[str, Translator]
