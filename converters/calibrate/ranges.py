"""The ranges that a float model's tensors take over the calibration samples: their true minimum and maximum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from converters.calibrate.samples import RawSample
from converters.interpreter import open_interpreter
from edge_sdk.contract import Encoder
from edge_sdk.errors import ContractError, DataError, ModelError
from edge_sdk.tensors import Array
from edge_sdk.tflite import ModelDescription, describe

_DEAD = 1e-9  # a tensor that stays below is zero for all that the samples show
_DEAD_RANGE = 1e-2  # what it gets instead: wide enough for the int32 bias of the layer that takes it


@dataclass(frozen=True)
class Ranges:
    """What was measured.

    Attributes:
        minima, maxima: of every float activation, by tensor name, in real numbers.
        samples: how many it was measured on.
        warnings: what a person should look at, one sentence each.
    """

    minima: dict[str, float]
    maxima: dict[str, float]
    samples: int
    warnings: tuple[str, ...] = ()


@dataclass
class _Measure:
    """Minimum, maximum and change of the tensors at ``indices`` so far."""

    indices: list[int]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.low = [np.inf] * len(self.indices)
        self.high = [-np.inf] * len(self.indices)


def encoded(samples: Iterable[RawSample], encoder: Encoder) -> Iterator[tuple[RawSample, Array]]:
    """Each sample with its input tensor, which is overwritten by the next one.

    Raises:
        DataError: if a sample does not fit the contract; the message names it.
    """
    out = np.empty(encoder.spec.shape, encoder.spec.dtype)
    for sample in samples:
        try:
            encoder.encode(sample.data, out, colour=sample.colour)
        except ContractError as exc:
            raise DataError(f"{sample.name}: {exc}") from exc
        yield sample, out


def measure_ranges(
    content: bytes, samples: Iterable[RawSample], encoder: Encoder, progress: Callable[[], None] = lambda: None
) -> Ranges:
    """Run the float model over the samples and keep the minimum and maximum of every float activation.

    Args:
        content: the float model.
        samples: raw samples.
        encoder: of the float input tensor.
        progress: called after each sample.

    Raises:
        DataError: if a sample does not fit, or there is none.
        ModelError: if a tensor becomes NaN or infinite; the message names it and the sample.
    """
    model = describe(content)
    interpreter = open_interpreter(content)
    measure = _Measure(_activations(model))
    outputs = {i: _Change() for i in model.outputs}
    count = 0
    for sample, tensor in encoded(samples, encoder):
        interpreter.set_tensor(model.inputs[0], tensor)
        interpreter.invoke()
        for position, index in enumerate(measure.indices):
            view = interpreter.tensor(index)()
            low, high = float(view.min()), float(view.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ModelError(
                    f"tensor {model.tensors[index].name!r} of the float model becomes NaN or infinite on sample {sample.name}. "
                    "Check the contract (range, mean, std) and the model itself"
                )
            measure.low[position] = min(measure.low[position], low)
            measure.high[position] = max(measure.high[position], high)
            del view  # the interpreter refuses to run while a view of its memory is held
        for index, change in outputs.items():
            change.see(interpreter.get_tensor(index))
        count += 1
        progress()
    if count == 0:
        raise DataError("there is no calibration sample")
    unmoved = [model.tensors[i].name for i, change in outputs.items() if count > 1 and not change.seen]
    return _ranges(model, measure, count, unmoved)


class _Change:
    """Whether an output was ever different from what it was first."""

    def __init__(self) -> None:
        self.seen = False
        self._first: Array | None = None

    def see(self, values: Array) -> None:
        if self._first is None:
            self._first = values
        elif not self.seen:
            self.seen = not np.array_equal(values, self._first)


def _activations(model: ModelDescription) -> list[int]:
    used = set(model.inputs)
    for operator in model.operators:
        used.update(i for i in (*operator.inputs, *operator.outputs) if i >= 0)
    return [i for i in sorted(used) if model.tensors[i].floating and not model.tensors[i].constant]


def _ranges(model: ModelDescription, measure: _Measure, count: int, unmoved: list[str]) -> Ranges:
    warnings = [
        f"Output {name!r} does not react: it was the same for all {count} calibration samples." for name in unmoved
    ]
    minima, maxima, dead = {}, {}, []
    for index, low, high in zip(measure.indices, measure.low, measure.high, strict=True):
        name = model.tensors[index].name
        minima[name], maxima[name] = low, high
        if max(abs(low), abs(high)) < _DEAD:
            dead.append(name)
            minima[name], maxima[name] = 0.0, _DEAD_RANGE
    if dead:
        warnings.append(f"{len(dead)} tensors are zero on every calibration sample: {', '.join(map(repr, dead[:3]))}.")
    return Ranges(minima, maxima, count, tuple(warnings))
