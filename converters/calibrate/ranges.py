"""The pass over the calibration samples: the float model runs on each, and every activation is looked at.

Several interpreters share the work, each on a thread of its own: that is faster than one with several threads, as looking at the
tensors takes as long as a third of running the model. Samples are dealt in turn, so that the result is the same every time.
Memory does not grow with the number of samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from converters.calibrate.activation import Activation, Change, rectified
from converters.calibrate.fit import explain_floats
from converters.calibrate.samples import RawSample
from converters.calibrate.statistics import DEFAULT_PERCENTILE, RangeMethod, Ranges, Statistics
from converters.interpreter import THREADS, open_interpreter
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ContractError, DataError, ModelError
from edge_sdk.tensors import Array
from edge_sdk.tflite import ModelDescription, describe

__all__ = ["RangeMethod", "Ranges", "Statistics", "encoded", "measure", "measure_ranges"]

_FIXED_RANGE = ("SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION")
_LARGE_BYTES = 64 << 20  # a model of so many has one interpreter: each holds the weights
_ENOUGH = 10  # samples, to say of a model that it does not react
_SHOWN = 3


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
            raise DataError(f"{sample.name}: {explain_floats(sample.data, encoder.contract) or exc}") from exc
        yield sample, out


def measure_ranges(
    content: bytes,
    samples: Iterable[RawSample],
    encoder: Encoder,
    progress: Callable[[], None] = lambda: None,
    *,
    method: RangeMethod = "minmax",
    percentile: float = DEFAULT_PERCENTILE,
) -> Ranges:
    """``measure``, then ``Statistics.ranges``: for arguments and errors see there."""
    return measure(content, samples, encoder, progress).ranges(method, percentile=percentile)


def measure(
    content: bytes, samples: Iterable[RawSample], encoder: Encoder, progress: Callable[[], None] = lambda: None
) -> Statistics:
    """Run the float model over the samples and look at every float activation.

    Args:
        content: the float model.
        samples: raw samples.
        encoder: of the float input tensor.
        progress: called after each sample.

    Raises:
        DataError: if a sample does not fit, or there is none.
        ModelError: if a tensor becomes NaN or infinite (the message names it and the sample), or no output reacts to the input.
    """
    model, above = describe(content), rectified(content)
    many = THREADS if len(content) < _LARGE_BYTES else 1
    looks: list[_Look] = []
    running: deque[Future[None]] = deque()
    count = 0
    with ThreadPoolExecutor(many) as pool:
        for sample, array in encoded(samples, encoder):
            turn = count % many
            if turn == len(looks):
                looks.append(_Look(content, model, above, THREADS // many))
            else:
                running.popleft().result()
            looks[turn].give(array)
            running.append(pool.submit(looks[turn].run, count, sample.name))
            count += 1
            progress()
        for future in running:
            future.result()
    if count == 0:
        raise DataError("there is no calibration sample")
    for other in looks[1:]:
        looks[0].merge(other)
    return looks[0].statistics(count, encoder)


class _Look:
    """One interpreter, and what was seen in it."""

    def __init__(self, content: bytes, model: ModelDescription, above: frozenset[int], threads: int) -> None:
        self._model = model
        self._interpreter = open_interpreter(content, threads=threads)
        self._tensors = [
            Activation(model.tensors[index], self._interpreter, rectified=index in above)
            for index in _activations(model)
        ]
        self._changes = [Change(model, index, self._interpreter) for index in model.outputs]

    def give(self, array: Array) -> None:
        """Set the input tensor of the next run."""
        self._interpreter.set_tensor(self._model.inputs[0], array)

    def run(self, number: int, name: str) -> None:
        """Run on sample ``number`` and look at everything.

        Raises:
            ModelError: if a tensor becomes NaN or infinite.
        """
        self._interpreter.invoke()
        for tensor in self._tensors:
            if not tensor.see(number):
                raise ModelError(
                    f"tensor {tensor.name!r} of the float model becomes NaN or infinite on sample {name}. "
                    "Check the contract (range, mean, std) and the model itself"
                )
        for change in self._changes:
            change.see()

    def merge(self, other: _Look) -> None:
        """Take over what another one has seen of other samples."""
        for tensor, its in zip(self._tensors, other._tensors, strict=True):
            tensor.merge(its)
        for change, theirs in zip(self._changes, other._changes, strict=True):
            change.merge(theirs)

    def statistics(self, count: int, encoder: Encoder) -> Statistics:
        """Of all ``count`` samples.

        Raises:
            ModelError: if no output reacts.
        """
        warnings = _unmoved(self._changes, count)
        fixed = {i for operator in self._model.operators if operator.name in _FIXED_RANGE for i in operator.outputs}
        whole = fixed.union(self._model.inputs, self._model.outputs)
        found = {t.name: t.statistics(whole=t.index in whole) for t in self._tensors if np.isfinite(t.low)}
        if encoder.contract.input == "image" and (entry := found.get(encoder.spec.name)) is not None:
            real = encoder.contract.real_of_bytes()
            low, high = min(entry.low, float(real.min())), max(entry.high, float(real.max()))
            found[encoder.spec.name] = replace(entry, low=low, high=high)
        if dead := [name for name, tensor in found.items() if tensor.dead]:
            warnings.append(f"{len(dead)} tensors are zero on every calibration sample: {_listed(dead)}.")
        return Statistics(found, count, tuple(warnings))


def _activations(model: ModelDescription) -> list[int]:
    used = set(model.inputs)
    for operator in model.operators:
        used.update(i for i in (*operator.inputs, *operator.outputs) if i >= 0)
    return [i for i in sorted(used) if model.tensors[i].floating and not model.tensors[i].constant]


def _unmoved(changes: list[Change], count: int) -> list[str]:
    """A warning for each output that stayed the same, while others did not."""
    unmoved = [change.name for change in changes if count > 1 and not change.seen]
    if len(unmoved) == len(changes) and count >= _ENOUGH:
        raise ModelError(
            f"the model does not react to its input: {_listed(unmoved)} stayed the same over {count} different samples. "
            "Check the contract (range, mean, std), and that it is the trained model"
        )
    return [f"Output {name!r} does not react: it was the same for all {count} calibration samples." for name in unmoved]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
