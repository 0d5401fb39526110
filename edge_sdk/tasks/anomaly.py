"""Anomaly detection: one score, of what an autoencoder fails to reconstruct or as the model gives it, and whether it is too high."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task, output_of
from edge_sdk.tasks.scores import Floats, ScoreReader
from edge_sdk.tasks.settings import AnomalySettings, ThresholdRule
from edge_sdk.tensors import Array, TensorSpec


@dataclass(frozen=True, slots=True)
class Anomaly:
    """How unlike what is normal.

    Attributes:
        score: smoothed; higher is more anomalous. Of a reconstruction, in the square of the unit of the model's input.
        threshold: of the score.
        anomalous: the score is above the threshold, or no number.
    """

    score: float
    threshold: float
    anomalous: bool

    def __str__(self) -> str:
        return f"{'ANOMALY' if self.anomalous else 'normal'} {self.score:.4g} (threshold {self.threshold:.4g})"


class FindAnomaly(Task):
    """Gives an ``Anomaly``. It takes nothing over from another variant, whose scores are on a scale of their own.

    Args:
        settings: where the score comes from, and the threshold.
        input_: the variant's input tensor.
        outputs: the variant's output tensors.

    Raises:
        ConfigError: if the output does not fit, or the threshold was not measured yet.
    """

    def __init__(self, settings: AnomalySettings, input_: TensorSpec, outputs: tuple[TensorSpec, ...]) -> None:
        self._at = output_of(outputs, settings.output, "output", "anomaly")
        spec = outputs[self._at]
        if isinstance(settings.threshold, ThresholdRule):
            raise ConfigError(
                "[task] threshold is a rule, which edge-sdk convert turns into a number; give a number, such as threshold = 0.5"
            )
        self._threshold = settings.threshold
        self._last: deque[float] = deque(maxlen=settings.smoothing_results)
        self._difference: _Difference | None = None
        if settings.score == "reconstruction":
            if math.prod(spec.shape) != math.prod(input_.shape):
                raise ConfigError(
                    f"[task] score = reconstruction takes an output of the input's shape, {input_.shape}; output {spec.name!r} has shape "
                    f"{spec.shape}. Use score = output where it is the score itself"
                )
            self._difference = _Difference(input_, spec)
            return
        if math.prod(spec.shape) != 1:
            raise ConfigError(
                f"[task] score = output takes an output of one number; {spec.name!r} has shape {spec.shape}. "
                "Use score = reconstruction where it has the input's shape"
            )
        self._read = ScoreReader(spec, settings.activation)

    def decode(
        self,
        outputs: Sequence[Array],
        placement: Placement | None,
        captured_ns: int = 0,
        input_: Array | None = None,
    ) -> Anomaly:
        """The smoothed score; a reconstruction is compared with ``input_``."""
        stored = outputs[self._at]
        if self._difference is None:
            score = float(self._read(stored.reshape(-1))[0])
        else:
            if input_ is None:
                raise ConfigError("[task] score = reconstruction compares input and output; decode was given no input_")
            score = self._difference.mean_square(input_, stored)
        self._last.append(score)
        smoothed = sum(self._last) / len(self._last)
        return Anomaly(smoothed, self._threshold, anomalous=not smoothed <= self._threshold)  # NaN is not normal

    def reset(self) -> None:
        """See the base class."""
        self._last.clear()


class _Difference:
    """Mean square of the difference of two tensors of one size, in real numbers. Keeps its buffers.

    scale * (stored - zero point) of one, less that of the other, is a * first - b * second + constant: two passes, whatever they are
    quantized to.
    """

    def __init__(self, first: TensorSpec, second: TensorSpec) -> None:
        self._specs = (first, second)
        self._factors = [np.float32(spec.scale if spec.quantized else 1.0) for spec in (first, second)]
        zero = [spec.scale * spec.zero_point if spec.quantized else 0.0 for spec in (first, second)]
        self._constant = np.float32(zero[1] - zero[0])
        self._first: Floats = np.empty(math.prod(first.shape), np.float32)
        self._second: Floats = np.empty_like(self._first)

    def mean_square(self, first: Array, second: Array) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN become the score, and are no normal one
            tensors = zip(self._specs, (self._first, self._second), (first, second), self._factors, strict=True)
            for spec, buffer, stored, factor in tensors:
                np.multiply(spec.as_nhwc(stored).reshape(-1), factor, out=buffer, dtype=np.float32, casting="unsafe")
            np.subtract(self._first, self._second, out=self._first)
            np.add(self._first, self._constant, out=self._first)
            return float(np.dot(self._first, self._first)) / self._first.size
