"""What one pass over the samples learns of a float model's tensors, and the quantization ranges that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from converters.calibrate.histogram import Histogram
from edge_sdk.errors import ConfigError

RangeMethod = Literal["minmax", "percentile", "mse", "auto"]
"""How a tensor's range is chosen: all values seen; all but the outermost; the one of least squared error; or, for each tensor, the best
of these by squared error, ``minmax`` unless another makes at least a twentieth less."""

DEFAULT_PERCENTILE = 99.99
_LEAST_GAIN = 0.05
_DEAD = 1e-9  # a tensor that stays below is zero for all that the samples show
_DEAD_RANGE = 1e-2  # what it gets instead: wide enough for the int32 bias of the layer that takes it


@dataclass(frozen=True)
class Ranges:
    """What was measured.

    Attributes:
        minima, maxima: of every float activation, by tensor name, in real numbers.
        samples: how many it was measured on.
        warnings: what a person should look at, one sentence each.
        methods: how each tensor's range was chosen.
    """

    minima: dict[str, float]
    maxima: dict[str, float]
    samples: int
    warnings: tuple[str, ...] = ()
    methods: dict[str, RangeMethod] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorStatistics:
    """One activation over all samples.

    Attributes:
        low, high: true minimum and maximum; of an image input at least what the contract makes of bytes 0 and 255.
        histogram: of a part of the values, the same number from each sample.
        channel_low, channel_high: of that part, by the last axis, float32 (channels,); None where there are too many channels.
        whole: its range is never cut: an input, an output, or of a function whose range is fixed.
    """

    low: float
    high: float
    histogram: Histogram
    channel_low: npt.NDArray[np.float32] | None
    channel_high: npt.NDArray[np.float32] | None
    whole: bool

    @property
    def dead(self) -> bool:
        """Whether it is zero on every sample."""
        return max(abs(self.low), abs(self.high)) < _DEAD

    def range(
        self, method: RangeMethod, *, percentile: float = DEFAULT_PERCENTILE, bits: int = 8
    ) -> tuple[float, float, RangeMethod]:
        """Low and high end, and the method that gave them in the end (never ``auto``)."""
        if self.dead:
            return 0.0, _DEAD_RANGE, "minmax"
        if method == "minmax" or self.whole:
            return self.low, self.high, "minmax"
        if method == "percentile":
            return (*self._percentile(percentile), "percentile")
        if method == "mse":
            return (*self._best(bits), "mse")
        return self._auto(percentile, bits)

    def _percentile(self, percentile: float) -> tuple[float, float]:
        """Each side that has values on it is cut to the percentile; 0 stays the end where all values lie on one side."""
        low, high = self.histogram.percentile(100 - percentile), self.histogram.percentile(percentile)
        return (
            self.low if self.low >= 0 else max(self.low, min(low, 0.0)),
            self.high if self.high <= 0 else min(self.high, max(high, 0.0)),
        )

    def _best(self, bits: int) -> tuple[float, float]:
        low, high = self.histogram.best_range(self.low, self.high, 2**bits)
        return (self.low if self.low >= 0 else low), (self.high if self.high <= 0 else high)

    def _auto(self, percentile: float, bits: int) -> tuple[float, float, RangeMethod]:
        error = self.histogram.squared_error(self.low, self.high, 2**bits) * (1 - _LEAST_GAIN)
        chosen: tuple[float, float, RangeMethod] = (self.low, self.high, "minmax")
        cut: tuple[tuple[float, float, RangeMethod], ...] = (
            (*self._percentile(percentile), "percentile"),
            (*self._best(bits), "mse"),
        )
        for low, high, method in cut:
            found = self.histogram.squared_error(low, high, 2**bits)
            if low < high and found < error:
                error, chosen = found, (low, high, method)
        return chosen


@dataclass(frozen=True)
class Statistics:
    """One pass over the samples; as many sets of ranges as wanted follow without another.

    Attributes:
        tensors: every float activation by name.
        samples: how many there were.
        warnings: what a person should look at, one sentence each.
    """

    tensors: dict[str, TensorStatistics]
    samples: int
    warnings: tuple[str, ...] = ()

    def ranges(
        self,
        method: RangeMethod = "minmax",
        *,
        percentile: float = DEFAULT_PERCENTILE,
        bits: int = 8,
        tensors: Mapping[str, RangeMethod] | None = None,
    ) -> Ranges:
        """The range of every tensor.

        Args:
            method: of all tensors; inputs, outputs and functions of fixed range (softmax, logistic) always keep all that was seen.
            percentile: of the method ``percentile``, above 50 to 100.
            bits: of the activations, 8 or 16; what ``mse`` and ``auto`` count errors for.
            tensors: other methods for some tensors, by name.

        Raises:
            ConfigError: if a method or tensor is unknown, or the percentile out of its range.
        """
        own = dict(tensors or {})
        _check(method, percentile, own, self.tensors)
        minima, maxima, methods = {}, {}, {}
        for name, tensor in self.tensors.items():
            chosen = tensor.range(own.get(name, method), percentile=percentile, bits=bits)
            minima[name], maxima[name], methods[name] = chosen
        return Ranges(minima, maxima, self.samples, self.warnings, methods)


def _check(method: str, percentile: float, own: Mapping[str, str], tensors: Mapping[str, TensorStatistics]) -> None:
    allowed = get_args(RangeMethod)
    if odd := [m for m in (method, *own.values()) if m not in allowed]:
        raise ConfigError(f"no range method {odd[0]!r}; there are {', '.join(allowed)}")
    if not 50 < percentile <= 100:
        raise ConfigError(f"percentile is above 50 and at most 100, such as {DEFAULT_PERCENTILE}; found {percentile}")
    if unknown := sorted(set(own) - set(tensors)):
        raise ConfigError(f"no float activation is called {unknown[0]!r}; see Statistics.tensors for all names")
