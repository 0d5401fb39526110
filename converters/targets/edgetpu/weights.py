"""What can be seen of the weights inside of a compiled model: whether those of the original are among its parameters.

The package is opaque, and its form not documented. But in every pair of original and compiled model that was looked at, the weights of
convolutions and fully connected layers stand in its parameters byte by byte (int8 with the sign bit turned over), four neighbours along
the innermost axis in one aligned word; only the order of these words is the compiler's own. So each word of the original must be there, as
often as the layer has it. Another training of the same network shares hardly any.

It is evidence, not proof: layers whose innermost axis is no multiple of four, depthwise ones, biases and scales are not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph import main_graph, operator_name, read_graph, shape_of, text, type_name
from edge_sdk.edgetpu.flatbuffer import Budget, Buffer
from edge_sdk.edgetpu.flexbuffer import read_map
from edge_sdk.edgetpu.package import CUSTOM_CODE
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_LAYERS = {"CONV_2D": 1, "FULLY_CONNECTED": 1}  # the input that holds the weights
_WORD = 4


@dataclass(frozen=True)
class Weights:
    """How much was seen.

    Attributes:
        seen_bytes: weights found among the parameters.
        all_bytes: weights of all mapped layers of any kind.
    """

    seen_bytes: int
    all_bytes: int


def find_weights(original: bytes, mapped: frozenset[int], compiled: Sequence[bytes]) -> Weights:
    """Look for the weights of the mapped operators among the compiled model's parameters.

    Args:
        original: the model.
        mapped: places of its operators that run on the Edge TPU.
        compiled: the compiled file, or the segments.

    Raises:
        ModelError: if a layer's weights are not there; the message names the first.
    """
    words, counts = np.unique(_words(b for content in compiled for b in _parameters(content)), return_counts=True)
    model = read_graph(original)
    graph = main_graph(model)
    seen = whole = 0
    for place in sorted(mapped):
        operator = graph.operators[place]
        name = operator_name(model, operator)
        whole += sum(len(data) for tensor in _inputs(graph, operator) if (data := _bytes(model, tensor)) is not None)
        if name not in _LAYERS or len(operator.inputs) <= _LAYERS[name]:
            continue
        tensor = graph.tensors[operator.inputs[_LAYERS[name]]]
        data = _bytes(model, tensor)
        if data is None or not shape_of(tensor) or shape_of(tensor)[-1] % _WORD:
            continue
        missing = _missing(data.view("<u4"), words, counts)
        if missing:
            share = missing * _WORD / len(data)
            raise ModelError(
                f"the compiled model was made of a model with other weights. The first difference: operator {place} ({name}, weights "
                f"{text(tensor.name)!r}), {share:.0%} of whose weights are not among its parameters. If it is the right one all the same, "
                "--weights-unchecked"
            )
        seen += len(data)
    return Weights(seen, whole)


def _missing(layer: Array, words: Array, counts: Array) -> int:
    """How many of the layer's words are not there."""
    wanted, how_often = np.unique(layer, return_counts=True)
    places = np.minimum(np.searchsorted(words, wanted), max(len(words) - 1, 0))
    there = np.where(words[places] == wanted, counts[places], 0) if len(words) else np.zeros_like(how_often)
    return int(np.maximum(how_often - there, 0).sum())


def _inputs(graph: Any, operator: Any) -> Iterator[Any]:
    return (graph.tensors[i] for i in operator.inputs if i >= 0)


def _bytes(model: Any, tensor: Any) -> Array | None:
    """An 8-bit constant as the package has it; None of anything else."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0 or type_name(tensor) not in ("INT8", "UINT8"):
        return None
    raw = np.ascontiguousarray(data, np.uint8)
    return raw ^ np.uint8(128) if type_name(tensor) == "INT8" else raw


def _words(blobs: Iterator[memoryview]) -> Array:
    arrays = [np.frombuffer(blob[: len(blob) // _WORD * _WORD], "<u4") for blob in blobs]
    return np.concatenate(arrays) if arrays else np.empty(0, "<u4")


def _parameters(compiled: bytes) -> Iterator[memoryview]:
    """The parameters of every executable."""
    model = read_graph(compiled)
    budget = Budget(len(compiled))
    for operator in main_graph(model).operators:
        if operator_name(model, operator) != CUSTOM_CODE or operator.customOptions is None:
            continue
        options = Buffer(memoryview(np.asarray(operator.customOptions, np.uint8).tobytes()), "the options", budget)
        package = read_map(options).get("4")
        if not isinstance(package, memoryview):
            raise ModelError(f"an {CUSTOM_CODE} has no package; compile the model again")
        inner = Buffer(package, "the package", budget).root(b"DWN1").blob(1)
        for executable in Buffer(inner, "the executables", budget).root().blobs(0):
            yield Buffer(executable, "an executable", budget).root().blob(6)
