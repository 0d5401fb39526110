"""Whether a rewritten model computes the same: both are run on the same inputs, with TensorFlow Lite's plain kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

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


def compare(before: bytes, after: bytes, tensors: Iterable[str] = ()) -> Difference:
    """Run both models on made-up inputs.

    Args:
        before, after: the models; an end may be float before and integer after, with the scale that the number was quantized by.
        tensors: made by what was rewritten, of the same names in both.

    Raises:
        ModelError: if the interpreter refuses one, or their ends are not of one form.
    """
    one, other = (open_interpreter(content, optimised=False) for content in (before, after))
    names = tuple(tensors)
    count, there, outputs = 0, 0, 0
    for sample in made_up(other):
        for old, new, array in zip(one.get_input_details(), other.get_input_details(), sample, strict=True):
            one.set_tensor(old["index"], _real(array, new) if _becomes_integer(old, new) else array)
            other.set_tensor(new["index"], array)
        one.invoke()
        other.invoke()
        count += 1
        for old, new in zip(one.get_output_details(), other.get_output_details(), strict=True):
            was, now = one.get_tensor(old["index"]), other.get_tensor(new["index"])
            outputs = max(outputs, _steps(was, _real(now, new) if _becomes_integer(old, new) else now))
        for name in names:
            there = max(there, _steps(_by_name(one, name), _by_name(other, name)))
    return Difference(count, there, outputs)


def _becomes_integer(old: Any, new: Any) -> bool:
    kinds = np.dtype(old["dtype"]).kind, np.dtype(new["dtype"]).kind
    return bool(kinds[0] == "f" and kinds[1] != "f")


def _real(array: Array, details: Any) -> Array:
    scale, zero_point = details["quantization"]
    real: Array = (array.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return real


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
    return int(np.ceil(difference - 0.5))  # of float numbers: the last bit is no millionth
