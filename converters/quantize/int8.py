"""Full-integer int8: litert-quantizer on our own true minimum and maximum, then everything that it left float or irregular."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.calibrate.ranges import Ranges
from converters.graph import compact, main_graph, read_graph, text, write_graph
from converters.quantize.biases import fit_biases
from converters.quantize.islands import collapse_islands
from converters.quantize.versions import set_versions
from edge_sdk.errors import ModelError, needs
from edge_sdk.tflite import describe

_LEFT_TO_ISLANDS = (
    "MAXIMUM",
    "PADV2",
    "SELECT",
    "SELECT_V2",
)  # litert-quantizer 0.11 fails where their constants broadcast


@dataclass(frozen=True)
class Int8Model:
    """The int8 model.

    Attributes:
        content: a .tflite with everything inside the flatbuffer and the lowest operator versions that are right.
        islands: float operators that were replaced by their int8 kernels, such as ``"PRELU (operator 12)"``, as numbered in the
            float model.
    """

    content: bytes
    islands: tuple[str, ...]


def quantize_int8(content: bytes, ranges: Ranges) -> Int8Model:
    """Quantize weights (per channel, symmetric) and activations (per tensor, asymmetric) to int8; inputs and outputs too.

    Args:
        content: the float model.
        ranges: of all its float activations.

    Raises:
        NotIntegerError: if an operator has no int8 kernel; the message names it.
        ModelError: if the quantizer refuses the model.
    """
    model = read_graph(_run_quantizer(content, ranges))
    fit_biases(model, content)
    islands = collapse_islands(model, content, ranges)
    _restore_names(model, content)
    set_versions(model)
    compact(model)
    model.description = "int8, made by edge-sdk convert"
    return Int8Model(write_graph(model), islands)


def _run_quantizer(content: bytes, ranges: Ranges) -> bytes:
    with needs("litert_quantizer", for_="quantizing a model", extra="convert"):
        from litert_quantizer import quantizer, recipe
    statistics = {
        tensor.name: _statistic(ranges.minima[tensor.name], ranges.maxima[tensor.name], len(tensor.shape))
        for tensor in describe(content).tensors
        if tensor.name in ranges.minima
    }
    try:
        with warnings.catch_warnings(), np.errstate(invalid="ignore"), contextlib.redirect_stderr(io.StringIO()):
            # It draws a bar, warns of its own debugging mode, and overflows on biases that fit_biases mends.
            warnings.simplefilter("ignore", UserWarning)
            work = quantizer.Quantizer(bytearray(content), recipe.static_wi8_ai8())
            for name in _LEFT_TO_ISLANDS:
                work.update_quantization_recipe(".*", name, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
            done = work.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError, IndexError, TypeError, NotImplementedError) as exc:
        raise ModelError(f"litert-quantizer cannot quantize this model: {type(exc).__name__}: {exc}") from exc
    return bytes(done.quantized_model)


def _statistic(low: float, high: float, rank: int) -> dict[str, Any]:
    """What litert-quantizer's calibration gives for one activation: minimum and maximum, shaped as a tensor of one element."""
    return {"min": np.full((1,) * rank, low, np.float32), "max": np.full((1,) * rank, high, np.float32)}


def _restore_names(model: Any, content: bytes) -> None:
    """Call inputs and outputs as in the float model; the quantizer calls a tensor that it inserts NAME_quantized."""
    before, graph = main_graph(read_graph(content)), main_graph(model)
    for side in ("inputs", "outputs"):
        for old, new in zip(getattr(before, side), getattr(graph, side), strict=True):
            wanted = text(before.tensors[old].name)
            for tensor in graph.tensors:
                if text(tensor.name) == wanted:
                    tensor.name = f"{wanted}_inner"
            graph.tensors[new].name = wanted
    for signature in model.signatureDefs:
        for entries, indices in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
            for entry, index in zip(entries, indices, strict=True):
                entry.tensorIndex = int(index)
