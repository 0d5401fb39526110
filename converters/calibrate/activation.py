"""What is kept of one tensor from run to run: its extremes, a histogram of a part of its values, whether it ever changed.

The true minimum and maximum are of all values. The histogram is of at most ``VALUES`` a sample: rows (all channels of one place)
evenly spaced, from an offset that changes with the sample, so that every channel is seen, and in time every place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.calibrate.histogram import Histogram
from converters.calibrate.statistics import TensorStatistics
from converters.graph import main_graph, operator_name, read_graph, schema
from edge_sdk.tensors import Array
from edge_sdk.tflite import ModelDescription, Tensor

VALUES = 1024
_BATCH = 8  # samples whose values are counted at once
_GOLDEN = 0.6180339887498949  # its multiples fill the range 0 to 1 evenly (Weyl, 1916)
_SQUASHING = ("SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "TANH")
_SAME_VALUES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE")


class Activation:
    """One activation so far."""

    def __init__(self, tensor: Tensor, interpreter: Any, *, rectified: bool) -> None:
        self.index, self.name = tensor.index, tensor.name
        self._rectified = rectified  # never below 0: once that is reached, the minimum need not be looked for
        self.low, self.high = np.inf, -np.inf
        self.histogram = Histogram()
        self.channel_low = self.channel_high = np.empty(0, np.float32)
        self._view = interpreter.tensor(tensor.index)
        self._shape: tuple[int, ...] | None = None
        self._pending = np.empty((0, 0, 0), np.float32)  # sample, row, channel
        self._waiting = 0

    def see(self, number: int) -> bool:
        """Look at the tensor after run ``number``; whether all of it is finite."""
        values = self._view()
        if values.shape != self._shape:  # in the beginning, and where a tensor's length depends on the input
            self._lay_out(values.shape)
        if not values.size:
            return True
        high = float(values.max())
        low = 0.0 if self._rectified and self.low == 0 else float(values.min())
        _, rows, columns = self._pending.shape
        offset = int(self._step * (number * _GOLDEN % 1))
        self._pending[self._waiting] = values.reshape(-1, columns)[offset :: self._step][:rows]
        del values  # the interpreter refuses to run while a view of its memory is held
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._waiting += 1
        if self._waiting == _BATCH:
            self.count()
        return low - low == high - high == 0  # NaN and infinity are not 0 less themselves

    def count(self) -> None:
        """Count the values that wait."""
        values, self._waiting = self._pending[: self._waiting], 0
        if not values.size or not np.isfinite(values).all():
            return
        self.histogram.add(values)
        if self.channel_low.size == values.shape[2]:
            np.minimum(self.channel_low, values.min(axis=(0, 1)), out=self.channel_low)
            np.maximum(self.channel_high, values.max(axis=(0, 1)), out=self.channel_high)

    def merge(self, other: Activation) -> None:
        """Take over what another one has seen of the same tensor on other samples."""
        self.count()
        other.count()
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.histogram.merge(other.histogram)
        if self.channel_low.size == other.channel_low.size:
            np.minimum(self.channel_low, other.channel_low, out=self.channel_low)
            np.maximum(self.channel_high, other.channel_high, out=self.channel_high)

    def statistics(self, *, whole: bool) -> TensorStatistics:
        """What was found."""
        self.count()
        low, high = self.channel_low, self.channel_high
        by_channel = low.size > 0 and bool(np.isfinite(low).all())
        return TensorStatistics(
            self.low, self.high, self.histogram, low if by_channel else None, high if by_channel else None, whole
        )

    def _lay_out(self, shape: tuple[int, ...]) -> None:
        self.count()
        size, channels = int(np.prod(shape)), shape[-1] if shape else 1
        columns = channels if 0 < channels <= VALUES else 1
        if self._shape is None and columns == channels:
            self.channel_low = np.full(channels, np.inf, np.float32)
            self.channel_high = np.full(channels, -np.inf, np.float32)
        self._shape = shape
        self._step = max(1, -(-size // VALUES))
        self._pending = np.empty((_BATCH, size // columns // self._step, columns), np.float32)


class Change:
    """Whether what an output is made of was ever different from what it was first."""

    def __init__(self, model: ModelDescription, output: int, interpreter: Any) -> None:
        self.name = model.tensors[output].name
        self.seen = False
        self._index = before_squashing(model, output)
        self._interpreter = interpreter
        self._first: Array = np.empty(0)
        self._none_yet = True

    def see(self) -> None:
        """Look at the output after a run."""
        if self.seen:
            return
        values = self._interpreter.get_tensor(self._index)
        if self._none_yet:
            self._first, self._none_yet = values, False
        self.seen = not np.array_equal(values, self._first)

    def merge(self, other: Change) -> None:
        """Take over what another one has seen of the same output on other samples."""
        self.seen |= other.seen or not np.array_equal(self._first, other._first)


def rectified(content: bytes) -> frozenset[int]:
    """The tensors of a model that its own operators keep from falling below 0, by a ReLU of their own or fused into them."""
    kinds, model = schema().ActivationFunctionType, read_graph(content)
    return frozenset(
        int(index)
        for operator in main_graph(model).operators
        if operator_name(model, operator) in ("RELU", "RELU6")
        or getattr(operator.builtinOptions, "fusedActivationFunction", None) in (kinds.RELU, kinds.RELU6)
        for index in operator.outputs
    )


def before_squashing(model: ModelDescription, output: int) -> int:
    """The tensor that an output is made of by softmax or the like, which can make different inputs the same; else ``output``."""
    makers = {index: operator for operator in model.operators for index in operator.outputs}
    index = output
    while index in makers and makers[index].name in (*_SQUASHING, *_SAME_VALUES):
        index = makers[index].inputs[0]
    return index if model.tensors[index].dtype == "float32" else output
