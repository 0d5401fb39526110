"""What an ONNX file says of itself, read without the package ``onnx``: enough to refuse what must not reach ONNX Runtime.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk.errors import EngineError
from edge_sdk.onnx.wire import fields, submessage, text
from edge_sdk.printable import printable

_OWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # whose operators ONNX Runtime has
_MAX_DEPTH = 32
_EXTERNAL, _FLOAT16 = 1, 10  # TensorProto.DataLocation, TensorProto.DataType


@dataclass
class OnnxModel:
    """What a model's file says.

    Attributes:
        sha256: of the file, in hexadecimal.
        operators: how often each occurs, subgraphs included; those of other domains with their domain in front (``"custom.Swish"``).
        external: names of tensors whose numbers lie in other files.
        halves: some tensors are of float16.
    """

    sha256: str
    operators: Counter[str] = field(default_factory=Counter)
    external: list[str] = field(default_factory=list)
    halves: bool = False

    @property
    def quantized(self) -> bool:
        """It holds the pairs of quantization (QDQ)."""
        return self.operators["QuantizeLinear"] + self.operators["DequantizeLinear"] > 0


def read_model(path: str) -> OnnxModel:
    """Read a model's file.

    Raises:
        EngineError: if it is no ONNX model, or needs what a variant may not have: other files, operators of other libraries.
    """
    try:
        with Path(path).open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        return _read(memoryview(content))
    except (OSError, ValueError) as exc:  # an empty file cannot be mapped
        raise EngineError(f"engine onnx refuses the model: it is no ONNX model: {exc}") from exc


def model_in(content: bytes) -> OnnxModel:
    """The same of a file's content.

    Raises:
        EngineError: as ``read_model``.
    """
    try:
        return _read(memoryview(content))
    except ValueError as exc:
        raise EngineError(f"engine onnx refuses the model: it is no ONNX model: {exc}") from exc


def _read(content: memoryview) -> OnnxModel:
    reading = _Reading(OnnxModel(hashlib.sha256(content).hexdigest()))
    reading.model(content)
    found = reading.found
    if found.external:
        listed = ", ".join(map(printable, found.external[:3]))
        raise EngineError(
            f"engine onnx refuses the model: the numbers of {len(found.external)} tensors ({listed}) lie in other files, and a variant is "
            "one file. Save it with them inside (onnx.save with save_as_external_data=False)"
        )
    if strange := [name for name in found.operators if "." in name]:
        raise EngineError(
            f"engine onnx refuses the model: operator {printable(strange[0])} is of a library of its own, which is not loaded. "
            "Export the model with operators of ONNX alone"
        )
    return found


class _Reading:
    def __init__(self, found: OnnxModel) -> None:
        self.found = found
        self._functions: set[str] = set()

    def model(self, message: memoryview) -> None:
        graphs, functions = list[memoryview](), list[memoryview]()
        for number, value in fields(message):
            if number == 7:  # graph
                graphs.append(submessage(value))
            elif number == 25:  # functions
                functions.append(submessage(value))
        if not graphs:
            raise ValueError("it holds no graph")
        nodes = [node for function in functions for node in self._nodes_of(function)]  # names all functions first
        for node in nodes:
            self._node(node, 0)
        for graph in graphs:
            self._graph(graph, 0)

    def _nodes_of(self, function: memoryview) -> list[memoryview]:
        """Of a function of the model's own, whose name is then no operator that is missing."""
        name, domain, nodes = "", "", list[memoryview]()
        for number, value in fields(function):
            if number == 1:
                name = text(value)
            elif number == 10:
                domain = text(value)
            elif number == 7:
                nodes.append(submessage(value))
        self._functions.add(f"{domain}.{name}")
        return nodes

    def _graph(self, message: memoryview, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError(f"graphs within graphs, more than {_MAX_DEPTH} deep")
        for number, value in fields(message):
            if number == 1:
                self._node(submessage(value), depth)
            elif number == 5:  # initializer
                self._tensor(submessage(value))
            elif number == 15:  # sparse_initializer
                self._sparse(submessage(value))

    def _node(self, message: memoryview, depth: int) -> None:
        operator, domain = "", ""
        for number, value in fields(message):
            if number == 4:
                operator = text(value)
            elif number == 7:
                domain = text(value)
            elif number == 5:
                self._attribute(submessage(value), depth)
        name = f"{domain}.{operator}"
        self.found.operators[operator if domain in _OWN_DOMAINS or name in self._functions else name] += 1

    def _attribute(self, message: memoryview, depth: int) -> None:
        for number, value in fields(message):
            if number in (5, 10):  # t, tensors
                self._tensor(submessage(value))
            elif number in (6, 11):  # g, graphs
                self._graph(submessage(value), depth + 1)
            elif number in (22, 23):  # sparse_tensor, sparse_tensors
                self._sparse(submessage(value))

    def _sparse(self, message: memoryview) -> None:
        for number, value in fields(message):
            if number in (1, 2):  # values, indices
                self._tensor(submessage(value))

    def _tensor(self, message: memoryview) -> None:
        name, outside = "", False
        for number, value in fields(message):
            if number == 8:
                name = text(value)
            elif number == 2:
                self.found.halves |= value == _FLOAT16
            elif number == 13 or (number == 14 and value == _EXTERNAL):  # external_data, data_location
                outside = True
        if outside:
            self.found.external.append(name or "unnamed")
