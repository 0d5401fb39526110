"""Linear operators, y = W x + b, whose kernel takes up what follows: a scale, a shift, an order of the channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from converters.load.onnx.values import Value
from edge_sdk.tensors import Array


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights and bias, the weights read when they are asked for.

    Attributes:
        load: gives the weights as the model stores them, output channels first.
        scale: factor of each output channel.
        bias: of each output channel, after the factor.
        order: which stored channel each output channel is.
    """

    load: Callable[[], Array]
    scale: Array
    bias: Array
    order: Array

    @staticmethod
    def plain(load: Callable[[], Array], channels: int, bias: Array | None = None) -> Kernel:
        """A kernel as it is stored; without a bias it is 0."""
        zeros = np.zeros(channels) if bias is None else bias.astype(np.float64)
        return Kernel(load, np.ones(channels), zeros, np.arange(channels))

    @property
    def channels(self) -> int:
        """How many output channels."""
        return len(self.order)

    def weights(self) -> Array:
        """float32, output channels first."""
        stored = self.load()
        if not np.array_equal(self.order, np.arange(len(stored))):
            stored = stored[self.order]
        if np.all(self.scale == 1):
            return stored
        return (stored * self.scale.reshape(-1, *[1] * (stored.ndim - 1))).astype(np.float32)

    def biases(self) -> Array:
        """float32, one a channel."""
        return self.bias.astype(np.float32)

    def affine(self, scale: Array, shift: Array) -> Kernel:
        """The kernel of ``scale * y + shift``, one factor and one shift a channel."""
        return replace(self, scale=self.scale * scale, bias=self.bias * scale + shift)

    def ordered(self, order: Array) -> Kernel:
        """The kernel whose channel i is channel ``order[i]`` of this one."""
        return Kernel(self.load, self.scale[order], self.bias[order], self.order[order])


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear operator already written.

    Attributes:
        kernel: its kernel.
        emit: writes it with another kernel.
    """

    kernel: Kernel
    emit: Callable[[Kernel], Value]

    def with_affine(self, scale: Array, shift: Array, value: Value) -> Value | None:
        """The operator with ``scale * y + shift`` taken up, or None where those are not one number a channel.

        Args:
            scale, shift: broadcast against its output as in ONNX.
            value: its output; the channels lie innermost.
        """
        per_channel = [_per_channel(values, value.axes[-1], value.shape) for values in (scale, shift)]
        if per_channel[0] is None or per_channel[1] is None:
            return None
        return self.with_kernel(self.kernel.affine(per_channel[0], per_channel[1]), value)

    def with_kernel(self, kernel: Kernel, value: Value) -> Value:
        """The operator with another kernel, its output seen as ``value`` was."""
        return replace(self.emit(kernel), shape=value.shape, axes=value.axes)


def _per_channel(values: Array, axis: int, shape: tuple[int, ...]) -> Array | None:
    if values.ndim > len(shape):
        return None
    wide = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if any(n != 1 for place, n in enumerate(wide.shape) if place != axis) or wide.shape[axis] not in (1, shape[axis]):
        return None
    return np.broadcast_to(wide.reshape(-1).astype(np.float64), (shape[axis],))
