"""Candidates for the QDQ variant, and the models that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from onnx import ModelProto

from converters.calibrate.statistics import Statistics
from converters.targets.jetson.amax import find_amax, find_ends
from converters.targets.jetson.bias import SAMPLES, correct_biases
from converters.targets.jetson.centre import centre
from converters.targets.jetson.graph import Graph, Inputs
from converters.targets.jetson.qdq import Scale, WeightsAs, insert_qdq
from edge_sdk.tensors import Array

_LEAST_SAMPLES, _MOST_BYTES = 8, 192 << 20


@dataclass(frozen=True)
class Candidate:
    """All that decides how a QDQ graph is made.

    Attributes:
        content: the float .tflite; its function is that of the model it came from.
        method: how ranges are chosen, one of ``amax.METHODS``.
        centred: whether one-sided activations are shifted.
        corrected: whether biases are corrected.
        left_out: names of the layers that stay in floating point.
    """

    content: bytes
    method: str = "minmax"
    centred: bool = False
    corrected: bool = False
    left_out: tuple[str, ...] = ()

    def plain(self) -> Candidate:
        """The same without what takes long to make, for comparing layers."""
        return replace(self, corrected=False)


@dataclass(frozen=True)
class Built:
    """A QDQ graph, and how many of its tensors are shifted."""

    model: ModelProto
    shifted: int


class Builder:
    """Makes QDQ graphs of candidates; graphs of the same .tflite are made once.

    Args:
        measure: looks at the activations of a float .tflite over the calibration samples.
        inputs: the calibration samples, encoded for the ONNX model.
        opset, weights_as: what the boards take.
    """

    def __init__(
        self, measure: Callable[[bytes], Statistics], inputs: Inputs, opset: int, weights_as: WeightsAs
    ) -> None:
        self._measure, self._inputs = measure, inputs
        self._opset, self._weights_as = opset, weights_as
        self._graphs: dict[bytes, Graph] = {}
        self._amax: dict[tuple[bytes, str], dict[str, float]] = {}

    def graph(self, content: bytes) -> Graph:
        """The float graph of a .tflite."""
        if content not in self._graphs:
            self._graphs[content] = Graph.of(content, self._measure(content), self.few, self._opset)
        return self._graphs[content]

    def few(self, largest: int = 1) -> Iterator[Array]:
        """Some of the calibration samples: fewer where the largest activation of a model, which is kept of each, has many values."""
        return islice(iter(self._inputs()), max(_LEAST_SAMPLES, min(SAMPLES, _MOST_BYTES // (4 * largest))))

    def build(self, candidate: Candidate) -> Built:
        """The QDQ graph of a candidate."""
        graph = self.graph(candidate.content)
        layers = [layer for layer in graph.layers if layer.name not in candidate.left_out]
        read = graph.read_by(layers)
        found = self._amax_of(graph, candidate.method)
        amax = {name: found[name] for name in read}
        model, shifts = graph.model, dict[str, float]()
        if candidate.centred:
            ends = {name: find_ends(graph.known[name], candidate.method) for name in read}
            done = centre(model, layers, ends, graph.sizes)
            model, shifts = done.model, done.shifts
            amax |= {name: max(ends[name][1] - shift, shift - ends[name][0]) for name, shift in shifts.items()}
        made = insert_qdq(model, layers, {name: Scale(amax[name] / 127) for name in read}, self._weights_as)
        if candidate.corrected:
            made = correct_biases(model, made, self.few(max(graph.sizes.values())))
        return Built(made, len(shifts))

    def _amax_of(self, graph: Graph, method: str) -> dict[str, float]:
        key = graph.content, method
        if key not in self._amax:
            self._amax[key] = {name: find_amax(known, method) for name, known in graph.known.items()}
        return self._amax[key]
