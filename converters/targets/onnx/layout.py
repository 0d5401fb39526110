"""The order in which numbers lie: brought about where an operator needs it, and followed through reshapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from converters.axes import plain
from converters.load.onnx.layout import axes_after, matching_blocks, needs_transpose, together
from converters.targets.onnx.build import Builder
from converters.targets.onnx.values import Constant, Operand, Value, channels_first
from edge_sdk.tensors import Array


class Layout:
    """Brings values into the order of axes that is asked for. What was made once is used again, and what was made of a transposed or
    reshaped tensor is made of the one before it: transposes that cancel are not written."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._transposed: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._reshaped: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._made: dict[tuple[str, str, tuple[int, ...]], str] = {}

    def arranged(self, value: Value, axes: tuple[int, ...]) -> Value:
        """The value with its numbers in the order ``axes``: as it is, or behind a Reshape or a Transpose."""
        if value.axes == axes:
            return value
        if not needs_transpose(value, axes):
            return self.restored(value, value.shape, axes)
        order = tuple(value.axes.index(axis) for axis in axes)
        source, before = self._transposed.get(value.name, (value.name, plain(len(order))))
        order = tuple(before[place] for place in order)
        name = source if order == plain(len(order)) else self._once("Transpose", source, order, self._transpose)
        return replace(value, name=name, axes=axes)

    def _transpose(self, source: str, order: tuple[int, ...]) -> str:
        name = self._builder.node("Transpose", [source], perm=order)[0]
        self._transposed[name] = (source, order)
        return name

    def restored(self, value: Value, shape: tuple[int, ...], axes: tuple[int, ...]) -> Value:
        """The numbers as they lie, as ``shape`` in the order ``axes``: a Reshape, or nothing."""
        stored = tuple(shape[axis] for axis in axes)
        if stored == value.stored:
            return replace(value, shape=shape, axes=axes)
        source, before = self._reshaped.get(value.name, (value.name, value.stored))
        name = source if before == stored else self._once("Reshape", source, stored, self._reshape)
        self._reshaped[name] = (source, before)
        return replace(value, name=name, shape=shape, axes=axes)

    def _reshape(self, source: str, stored: tuple[int, ...]) -> str:
        return self._builder.node("Reshape", [source, self._builder.integers(stored)])[0]

    def _once(
        self, operator: str, source: str, how: tuple[int, ...], make: Callable[[str, tuple[int, ...]], str]
    ) -> str:
        key = (operator, source, how)
        if key not in self._made:
            self._made[key] = make(source, how)
        return self._made[key]

    def plain(self, value: Value) -> Value:
        """The value in the .tflite's own order."""
        return self.arranged(value, plain(len(value.shape)))

    def reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """RESHAPE: without a Transpose where the axes that are joined or split lie together in their order."""
        if value.shape == shape:
            return value
        if value.size == 1:
            return self.restored(value, shape, plain(len(shape)))
        blocks = matching_blocks(value.shape, shape)
        value = self.arranged(value, together(value, blocks, plain(len(shape))))
        known = (plain(len(shape)), channels_first(len(shape)))
        return self.restored(value, shape, axes_after(value.axes, blocks, shape, known))

    def flattened_as_it_lies(self, value: Value, shape: tuple[int, int]) -> Value | None:
        """(rows, columns) with the columns as they lie, or None if the rows do not lie outermost.

        The result's ``columns`` say which .tflite column stands at each place.
        """
        if value.shape[0] != shape[0] or value.axes[0] != 0:
            return None
        numbers = np.arange(shape[1]).reshape(value.shape[1:])
        columns: Array = numbers.transpose([axis - 1 for axis in value.axes[1:]]).reshape(-1)
        return replace(self.restored(value, shape, plain(2)), columns=columns)

    def laid(self, operand: Operand, axes: tuple[int, ...], *, wanted: str = "") -> str:
        """The ONNX tensor of an operand in the order ``axes``; a constant becomes an initializer called ``wanted`` or as it was."""
        if isinstance(operand, Value):
            return self.arranged(operand, axes).name
        return self._builder.constant(operand.values.transpose(axes), wanted or operand.name)

    def value(self, operand: Operand) -> Value:
        """An operand as a value; a constant becomes an initializer as it lies."""
        if isinstance(operand, Constant):
            order = plain(len(operand.shape))
            return Value(self.laid(operand, order), operand.shape, order, operand.dtype)
        return operand
