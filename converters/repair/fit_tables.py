"""Tables fitted to what was measured: each entry becomes the mean of the float results where the int8 model looks that entry up.

A table holds the function of each stored value. Where that value is mostly rounding error, as what a logarithm takes near zero, the
function of it is far from what the float model has there; the mean over samples is the best guess by squared error, whatever the cause.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, read_graph, set_constant, text, write_graph
from converters.interpreter import open_interpreter
from converters.repair.mean_output import Run
from converters.repair.rewiring import CannotRepairError
from edge_sdk.tensors import Array, TensorSpec

_FEWEST = 32  # values that an entry, or a stretch of them, must have been looked up for
_LEAST_STEPS = 1.0  # of the output; below it nothing changes


@dataclass(frozen=True)
class Fitted:
    """The int8 model with fitted tables, how many, and the largest change in steps of a table's output."""

    content: bytes
    tables: int
    largest_steps: float


def fit_tables(
    float_content: bytes, int8_content: bytes, inputs: Iterable[Array], check: Callable[[], None] = lambda: None
) -> Fitted:
    """Fit every table, in the order of execution, each on what the fitted ones before it give.

    Args:
        float_content: the float model.
        int8_content: the quantized model, its tables as ``converters.quantize.tables`` makes them.
        inputs: float input tensors, a few.
        check: called often; raises when the time is over.

    Raises:
        CannotRepairError: if there is no table.
    """
    samples = [tensor.copy() for tensor in inputs]
    names = {text(t.name): place for place, t in enumerate(main_graph(read_graph(float_content)).tensors)}
    fitted, largest, content = 0, 0.0, int8_content
    count = len(_tables(read_graph(content), names))
    if not count:
        raise CannotRepairError("the model has no table")
    for number in range(count):
        model = read_graph(content)
        steps = _fit(model, _tables(model, names)[number], names, (float_content, content), samples, check)
        if steps >= _LEAST_STEPS:
            fitted, largest, content = fitted + 1, max(largest, steps), write_graph(model)
    return Fitted(content, fitted, largest)


def _tables(model: Any, names: dict[str, int]) -> list[Any]:
    return [operator for operator in main_graph(model).operators if _is_table(model, operator, names)]


def _is_table(model: Any, operator: Any, names: dict[str, int]) -> bool:
    tensors = main_graph(model).tensors
    if operator_name(model, operator) != "GATHER" or text(tensors[operator.outputs[0]].name) not in names:
        return False
    return text(tensors[operator.inputs[0]].name).endswith("/table") and _quantized(tensors[operator.outputs[0]])


def _quantized(tensor: Any) -> bool:
    return tensor.quantization is not None and tensor.quantization.scale is not None


def _fit(
    model: Any,
    operator: Any,
    names: dict[str, int],
    contents: tuple[bytes, bytes],
    samples: list[Array],
    check: Callable[[], None],
) -> float:
    """Fit one table in ``model``; returns the largest change in steps."""
    tensors = main_graph(model).tensors
    output = tensors[operator.outputs[0]]
    stored = constant_of(model, tensors[operator.inputs[0]])
    assert stored is not None  # noqa: S101 - a table is a constant
    spec = TensorSpec(
        "", stored.shape, stored.dtype.name, float(output.quantization.scale[0]), int(output.quantization.zeroPoint[0])
    )
    before, after = Run(contents[0]), _Places(contents[1], int(operator.inputs[1]))
    sums, counts = np.zeros(stored.size), np.zeros(stored.size)
    for tensor in samples:
        check()
        before.on(tensor)
        places, real = after.on(tensor), before.real(names[text(output.name)])
        sums += np.bincount(places.ravel(), real.ravel(), stored.size)
        counts += np.bincount(places.ravel(), minlength=stored.size)
    table = spec.dequantize(stored).astype(np.float64)
    new = spec.quantize(table + _changes(sums - counts * table, counts))
    replaced = copy.copy(tensors[operator.inputs[0]])
    set_constant(model, replaced, new)
    tensors.append(replaced)
    replaced.name = f"{text(output.name)}/fitted/table"
    operator.inputs = np.array([len(tensors) - 1, *operator.inputs[1:]], np.int32)
    return float(np.abs(new.astype(np.int64) - stored.astype(np.int64)).max())


def _changes(excess: Array, counts: Array) -> Array:
    """The mean excess of each entry; entries that were seldom looked up share one with their neighbours. Zero where none was."""
    changes = np.zeros(len(counts))
    seen = np.flatnonzero(counts)
    if not seen.size:
        return changes
    stretch = (np.cumsum(counts[seen]) - counts[seen]) // _FEWEST
    of_each = np.unique(stretch, return_inverse=True)[1]
    means = np.bincount(of_each, excess[seen]) / np.bincount(of_each, counts[seen])
    changes[seen] = means[of_each]
    return changes


class _Places:
    """The quantized model, and where its table is looked up after each input."""

    def __init__(self, content: bytes, index: int) -> None:
        self._interpreter, self._index = open_interpreter(content), index
        self._entry = self._interpreter.get_input_details()[0]
        scale, zero_point = self._entry["quantization"]
        self._spec = TensorSpec("", (), np.dtype(self._entry["dtype"]).name, float(scale), int(zero_point))

    def on(self, tensor: Array) -> Array:
        self._interpreter.set_tensor(self._entry["index"], self._spec.quantize(tensor))
        self._interpreter.invoke()
        places: Array = self._interpreter.get_tensor(self._index)
        return places
