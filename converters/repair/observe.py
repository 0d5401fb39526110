"""What single entries of a tensor do over the calibration samples: extremes channel by channel, not of the whole tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from converters.interpreter import open_interpreter
from edge_sdk.tensors import Array
from edge_sdk.tflite import ModelDescription, Tensor, describe


@dataclass
class Extremes:
    """Minimum and maximum of each entry along one axis of a tensor, over all samples: float32, (entries,)."""

    low: Array
    high: Array

    @property
    def magnitude(self) -> Array:
        """The largest absolute value of each entry."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def width(self) -> Array:
        """How wide the range of each entry is, zero included, as quantization must have it."""
        return np.asarray(np.maximum(self.high, 0) - np.minimum(self.low, 0))


def channel_extremes(content: bytes, inputs: Iterable[Array]) -> dict[str, Extremes]:
    """Extremes of every float activation along its last axis, by tensor name; tensors without an axis are left out.

    Args:
        content: a float model of one input.
        inputs: its input tensor, sample by sample.
    """
    model = describe(content)
    wanted = [(index, len(model.tensors[index].shape) - 1) for index in _activations(model)]
    found = _observe(content, model, wanted, inputs)
    return {model.tensors[index].name: extremes for (index, _), extremes in found.items()}


def output_extremes(content: bytes, inputs: Iterable[Array]) -> dict[str, list[Extremes]]:
    """Extremes of every output along each of its axes, by tensor name."""
    model = describe(content)
    wanted = [(index, axis) for index in model.outputs for axis in range(len(model.tensors[index].shape))]
    found: dict[str, list[Extremes]] = {model.tensors[index].name: [] for index in model.outputs}
    for (index, _), extremes in _observe(content, model, wanted, inputs).items():
        found[model.tensors[index].name].append(extremes)
    return found


def _activations(model: ModelDescription) -> list[int]:
    used = {*model.inputs, *(i for operator in model.operators for i in operator.outputs)}
    return [i for i in sorted(used) if _has_channels(model.tensors[i])]


def _has_channels(tensor: Tensor) -> bool:
    return tensor.floating and not tensor.constant and len(tensor.shape) > 0


def _observe(
    content: bytes, model: ModelDescription, wanted: Iterable[tuple[int, int]], inputs: Iterable[Array]
) -> dict[tuple[int, int], Extremes]:
    """Extremes by (index of the tensor, axis)."""
    found: dict[tuple[int, int], Extremes] = {}
    interpreter = open_interpreter(content)
    for tensor in inputs:
        interpreter.set_tensor(model.inputs[0], tensor)
        interpreter.invoke()
        for key in wanted:
            values = interpreter.get_tensor(key[0])
            others = tuple(axis for axis in range(values.ndim) if axis != key[1])
            low, high = values.min(axis=others), values.max(axis=others)
            if key in found:
                low, high = np.minimum(found[key].low, low), np.maximum(found[key].high, high)
            found[key] = Extremes(low, high)
    return found
