"""Whether a rewritten model computes the same: both are run on the same inputs, with TensorFlow Lite's plain kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from converters.interpreter import open_interpreter
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

INPUTS = 8


@dataclass(frozen=True)
class Difference:
    """The largest difference over all inputs, in steps of a quantized tensor.

    Attributes:
        inputs: how many were tried.
        there: at the rewritten operators' own outputs.
        outputs: at the model's outputs.
    """

    inputs: int
    there: int
    outputs: int

    def __str__(self) -> str:
        if not (self.there or self.outputs):
            return f"bit for bit the same on {self.inputs} inputs"
        at = f"{self.there} step{'s' if self.there != 1 else ''} there, {self.outputs} at the outputs"
        return f"at most {at}, on {self.inputs} inputs"


def compare(
    before: bytes, after: bytes, tensors: Iterable[str], inputs: Iterable[list[Array]] | None = None
) -> Difference:
    """Run both models.

    Args:
        before, after: the models; the tensors compared have the same names in both.
        tensors: made by what was rewritten.
        inputs: stored inputs to try; by default made up: noise in the whole range, and smooth ones.

    Raises:
        ModelError: if the interpreter refuses one, or their ends are not of one form.
    """
    one, other = (open_interpreter(content, optimised=False) for content in (before, after))
    names = tuple(tensors)
    count, there, outputs = 0, 0, 0
    for sample in made_up(one) if inputs is None else inputs:
        for interpreter in (one, other):
            for details, array in zip(interpreter.get_input_details(), sample, strict=True):
                interpreter.set_tensor(details["index"], array)
            interpreter.invoke()
        count += 1
        ends = zip(one.get_output_details(), other.get_output_details(), strict=True)
        for here, there_ in ends:
            outputs = max(outputs, _steps(one.get_tensor(here["index"]), other.get_tensor(there_["index"])))
        for name in names:
            there = max(there, _steps(_by_name(one, name), _by_name(other, name)))
    return Difference(count, there, outputs)


def made_up(interpreter: object, count: int = INPUTS) -> Iterator[list[Array]]:
    """Inputs for a model of any kind: extremes, noise in the whole range, and smooth waves as pictures have."""
    rng = np.random.default_rng(1)
    specs = [(tuple(d["shape"]), np.dtype(d["dtype"])) for d in interpreter.get_input_details()]  # type: ignore[attr-defined]
    for number in range(count):
        yield [_array(rng, shape, dtype, number) for shape, dtype in specs]


def _array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[np.generic], number: int) -> Array:
    if number < 2:
        unit = np.full(shape, float(number))
    elif number % 2:
        steps = sum(np.cos(rng.uniform(0, 7) + rng.uniform(0, 0.6) * axis) for axis in np.indices(shape))
        unit = np.asarray(steps) / (2 * max(len(shape), 1)) + 0.5
    else:
        unit = rng.random(shape)
    if dtype.kind == "f":
        return (4 * unit - 2).astype(dtype)
    limits = np.iinfo(dtype.name if dtype.itemsize < 4 else "int8")
    return np.round(limits.min + unit * (limits.max - limits.min)).astype(dtype)


def _by_name(interpreter: object, name: str) -> Array:
    for details in interpreter.get_tensor_details():  # type: ignore[attr-defined]
        if details["name"] == name:
            return interpreter.get_tensor(details["index"])  # type: ignore[attr-defined, no-any-return]
    raise ModelError(f"the rewritten model has no tensor {name!r}")


def _steps(one: Array, other: Array) -> int:
    """The largest difference of stored values; of float ones, in millionths of the largest."""
    if one.shape != other.shape or one.dtype != other.dtype:
        raise ModelError(f"the rewritten model gives {other.dtype} {other.shape}, not {one.dtype} {one.shape}")
    if one.size == 0:
        return 0
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64)).max()
    if one.dtype.kind == "f":
        difference *= 1e6 / max(float(np.abs(one).max()), 1e-30)
    return int(np.ceil(difference))
