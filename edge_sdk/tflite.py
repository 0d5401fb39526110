"""What is in a .tflite model, read without running it.

The file is a flatbuffer with the identifier TFL3 (``tensorflow/compiler/mlir/lite/schema/schema.fbs``). Nothing in it
is believed: every offset, length and index is checked, and the work is bounded by the size of the file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edge_sdk.errors import MissingPackageError, ModelError

MAX_ITEMS = 100_000  # tensors, operators, ... of one model: ten times the largest language models
MAX_NUMBERS = 16 << 20  # of shapes, scales and names together
MAX_RANK = 32
_SCHEMA_VERSION = 3
_BITS = {"int2": 2, "int4": 4, "uint4": 4, "bool": 8, "bfloat16": 16, "float8_e4m3fn": 8, "float8_e5m2": 8}
_SIZELESS = ("string", "resource", "variant")  # their size is known only when the model runs


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        index: its place in ``ModelDescription.tensors``; in the first subgraph that is also the interpreter's index.
        subgraph: the subgraph that it belongs to.
        shape: outermost axis first; a dynamic axis stands as 1 here and as -1 in ``shape_signature``.
        shape_signature: the shape with its dynamic axes, or None where the model states none.
        dtype: as NumPy calls it, also ``int4``, ``bfloat16``, ``string``, ``resource`` and the like.
        scales, zero_points: real = scale * (stored - zero_point); empty where the tensor is not quantized, one number
            for the whole tensor, or one for each step along ``quantized_axis``.
        constant: the model holds its content (weights), so that no operator makes it.
        size_bytes: of a constant, as stored; of any other, by shape and dtype (0 where that does not tell).
    """

    index: int
    subgraph: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...] | None
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_axis: int
    constant: bool
    size_bytes: int

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers, of any width."""
        return self.dtype.startswith(("float", "bfloat", "complex"))

    @property
    def dynamic(self) -> bool:
        """Whether an axis has no fixed length."""
        return -1 in (self.shape_signature or ())


@dataclass(frozen=True)
class Operator:
    """One operator, in the order of execution.

    Attributes:
        index: its place in its subgraph.
        subgraph: the subgraph that it belongs to.
        name: such as ``CONV_2D``; of a custom operator its custom code, such as ``edgetpu-custom-op``.
        inputs, outputs: places in ``ModelDescription.tensors``; -1 is an optional input that was left out.
        custom: whether it is no built-in operator.
        version: of the operator.
    """

    index: int
    subgraph: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    custom: bool
    version: int


@dataclass(frozen=True)
class Signature:
    """A named way to call the model: (name, place in ``ModelDescription.tensors``) of each input and output."""

    key: str
    subgraph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ModelDescription:
    """A model's parts. Tensors and operators of all subgraphs stand in one row, the main subgraph (0) first.

    Attributes:
        inputs, outputs: the model's (its main subgraph's), as places in ``tensors``.
        subgraphs: how many; more than one where the model has control flow or several signatures.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int
    signatures: tuple[Signature, ...]
    size_bytes: int

    @property
    def variables(self) -> int:
        """How many variables it keeps from one run to the next; a streaming model has some."""
        return sum(operator.name == "VAR_HANDLE" and operator.subgraph == 0 for operator in self.operators)

    def float_tensors(self) -> tuple[Tensor, ...]:
        """Floating-point tensors, constants included, that an operator or the model takes or makes."""
        used = {*self.inputs, *self.outputs}
        for operator in self.operators:
            used.update(operator.inputs, operator.outputs)
        return tuple(tensor for tensor in self.tensors if tensor.floating and tensor.index in used)

    def float_operators(self) -> tuple[Operator, ...]:
        """Operators that take or make a floating-point tensor."""
        floating = {tensor.index for tensor in self.tensors if tensor.floating}
        return tuple(op for op in self.operators if not floating.isdisjoint(op.inputs + op.outputs))


def describe(content: bytes) -> ModelDescription:
    """Read a .tflite model's structure.

    Raises:
        ModelError: if ``content`` is not a whole, sane model.
        MissingPackageError: if ai_edge_litert, which has the schema, is not installed.
    """
    if content[4:8] != b"TFL3":
        raise ModelError(f"not a .tflite model: bytes 4 to 8 are {content[4:8]!r}, a model has b'TFL3' there")
    schema = _schema()
    try:
        return _Reader(schema, content).read()
    except (struct.error, ValueError, IndexError, TypeError, OverflowError) as exc:
        raise ModelError(
            f"not a whole .tflite model: an offset in it leads nowhere ({exc}). Get the file again"
        ) from exc


class _Reader:
    """Reads one model, and gives up when it asks for more than its size allows."""

    def __init__(self, schema: Any, content: bytes) -> None:
        self._content = content
        self._numbers_left = min(len(content), MAX_NUMBERS)
        self._items_left = min(len(content) // 4, MAX_ITEMS)
        self._schema = schema
        self._dtypes = _names(schema.TensorType)
        self._operators = _names(schema.BuiltinOperator)
        self._model = schema.Model.GetRootAs(content, 0)
        self._buffers: int = self._model.BuffersLength()
        self._codes: list[tuple[str, bool, int]] = []
        self._tensors: list[Tensor] = []
        self._operators_read: list[Operator] = []

    def read(self) -> ModelDescription:
        model = self._model
        if model.Version() != _SCHEMA_VERSION:
            raise ModelError(
                f"the model has schema version {model.Version()}; this reads {_SCHEMA_VERSION}. Convert it again"
            )
        codes = self._items(model.OperatorCodesLength(), "operator codes")
        self._codes = [self._code(model.OperatorCodes(i)) for i in codes]
        graphs = self._items(model.SubgraphsLength(), "subgraphs")
        if not graphs:
            raise ModelError("the model has no subgraph, so it computes nothing; convert it again")
        bounds = [0]  # the first place of each subgraph's tensors, and the end of all
        for i in graphs:
            self._subgraph(i, model.Subgraphs(i))
            bounds.append(len(self._tensors))
        inputs, outputs = (self._places(model.Subgraphs(0), side, 0, bounds[1]) for side in ("Inputs", "Outputs"))
        count = self._items(model.SignatureDefsLength(), "signatures")
        signatures = tuple(self._signature(model.SignatureDefs(i), bounds) for i in count)
        operators, tensors = tuple(self._operators_read), tuple(self._tensors)
        return ModelDescription(operators, tensors, inputs, outputs, len(graphs), signatures, len(self._content))

    def _subgraph(self, number: int, graph: Any) -> None:
        start = len(self._tensors)
        for i in self._items(graph.TensorsLength(), "tensors"):
            self._tensors.append(self._tensor(number, graph.Tensors(i)))
        for i in self._items(graph.OperatorsLength(), "operators"):
            self._operators_read.append(self._operator(number, i, graph.Operators(i), start))

    def _code(self, code: Any) -> tuple[str, bool, int]:
        """Name, whether custom, version; models from before 2020 state the operator only in the deprecated field."""
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self._schema.BuiltinOperator.CUSTOM:
            return self._text(code.CustomCode()) or "CUSTOM", True, code.Version()
        return self._operators.get(number, f"BUILTIN_{number}"), False, code.Version()

    def _operator(self, subgraph: int, index: int, operator: Any, start: int) -> Operator:
        opcode = operator.OpcodeIndex()
        if opcode >= len(self._codes):
            raise ModelError(
                f"operator {index} has code {opcode}; the model has {len(self._codes)}. Get the file again"
            )
        name, custom, version = self._codes[opcode]
        inputs, outputs = (self._places(operator, side, start, len(self._tensors)) for side in ("Inputs", "Outputs"))
        return Operator(index, subgraph, name, inputs, outputs, custom, version)

    def _tensor(self, subgraph: int, tensor: Any) -> Tensor:
        name = self._text(tensor.Name())
        dtype = self._dtypes.get(tensor.Type())
        if dtype is None:
            raise ModelError(f"tensor {name!r} has the unknown type {tensor.Type()}: damage, or a newer LiteRT's")
        dtype = dtype.lower()
        shape = self._vector(tensor, "Shape", MAX_RANK)
        signature = self._vector(tensor, "ShapeSignature", MAX_RANK) or None
        if min(shape, default=0) < 0 or min(signature or (), default=0) < -1:
            raise ModelError(f"tensor {name!r} has shape {shape} and signature {signature}; lengths below 0 are damage")
        quantization = tensor.Quantization()
        scales, zero_points, axis = self._quantization(name, quantization) if quantization else ((), (), 0)
        stored = self._stored_bytes(name, tensor.Buffer())
        return Tensor(
            index=len(self._tensors),
            subgraph=subgraph,
            name=name,
            shape=shape,
            shape_signature=signature,
            dtype=dtype,
            scales=scales,
            zero_points=zero_points,
            quantized_axis=axis,
            constant=stored > 0,
            size_bytes=stored or _size_bytes(shape, dtype),
        )

    def _quantization(self, name: str, quantization: Any) -> tuple[tuple[float, ...], tuple[int, ...], int]:
        scales = self._vector(quantization, "Scale")
        zero_points = self._vector(quantization, "ZeroPoint")
        if not all(map(math.isfinite, scales)):
            raise ModelError(f"tensor {name!r} has a scale that is no number; convert the model again")
        return scales, zero_points, quantization.QuantizedDimension()

    def _stored_bytes(self, name: str, index: int) -> int:
        """Bytes of a tensor's content; 0 if the model holds none. Large contents may lie behind the flatbuffer."""
        if index == 0 and self._buffers == 0:
            return 0
        if index >= self._buffers:
            raise ModelError(f"tensor {name!r} has buffer {index}; the model has {self._buffers}. Get the file again")
        buffer = self._model.Buffers(index)
        offset, size = buffer.Offset(), buffer.Size()
        if offset <= 1:  # 0 and 1 mean that the content is inside
            return len(buffer.DataAsNumpy()) if buffer.DataLength() else 0
        if offset + size > len(self._content):
            where = f"tensor {name!r} lies at bytes {offset} to {offset + size}"
            raise ModelError(f"the model is cut off: {where}, the file has {len(self._content)}. Get the file again")
        return int(size)

    def _signature(self, signature: Any, bounds: list[int]) -> Signature:
        key, subgraph = self._text(signature.SignatureKey()), signature.SubgraphIndex()
        if subgraph >= len(bounds) - 1:
            raise ModelError(f"signature {key!r} is of subgraph {subgraph} of {len(bounds) - 1}. Get the file again")
        start, end = bounds[subgraph : subgraph + 2]
        sides = []
        for side in ("Inputs", "Outputs"):
            count = self._items(getattr(signature, side + "Length")(), "signature entries")
            maps = [getattr(signature, side)(i) for i in count]
            sides.append(tuple((self._text(m.Name()), start + m.TensorIndex()) for m in maps))
        if any(place >= end for side in sides for _, place in side):
            raise ModelError(f"signature {key!r} names a tensor that is not there. Get the file again")
        return Signature(key, subgraph, sides[0], sides[1])

    def _places(self, table: Any, field: str, start: int, end: int) -> tuple[int, ...]:
        """Indices of tensors in a table's field, as places among all tensors: this subgraph's lie in start..end."""
        indices = self._vector(table, field)
        if not all(-1 <= i < end - start for i in indices):
            found = f"{field.lower()} {indices[:20]}"
            raise ModelError(f"{found} are not all among the {end - start} tensors there are. Get the file again")
        return tuple([i if i < 0 else start + i for i in indices])

    def _items(self, count: int, what: str) -> range:
        """0 to ``count``, where the file can hold as many, all lists taken together."""
        self._items_left -= count
        if self._items_left < 0:
            raise ModelError(
                f"the model states {count} {what}, more than its {len(self._content)} bytes can hold or {MAX_ITEMS}"
            )
        return range(count)

    def _vector(self, table: Any, field: str, longest: int = MAX_NUMBERS) -> tuple[Any, ...]:
        count = getattr(table, field + "Length")()
        if count == 0:
            return ()
        self._spend(count, longest)
        return tuple(getattr(table, field + "AsNumpy")().tolist())

    def _text(self, text: bytes | None) -> str:
        self._spend(len(text or b""), MAX_NUMBERS)
        return (text or b"").decode()

    def _spend(self, count: int, longest: int) -> None:
        self._numbers_left -= count
        if self._numbers_left < 0 or count > longest:
            raise ModelError(
                f"the model states {count} numbers or letters where its {len(self._content)} bytes cannot hold as many"
            )


def _size_bytes(shape: tuple[int, ...], dtype: str) -> int:
    if dtype in _SIZELESS:
        return 0
    bits = _BITS.get(dtype) or int("".join(filter(str.isdigit, dtype)))
    return (math.prod(shape) * bits + 7) // 8


def _names(enumeration: type) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


@lru_cache(maxsize=1)
def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in ("ai_edge_litert", "flatbuffers"):
            raise
        install = "pip install ai-edge-litert (on a computer of 64 bits: there is none for 32; look at the model there)"
        raise MissingPackageError(exc.name, needed_for="looking into a .tflite model", install=install) from exc
    return schema_py_generated
