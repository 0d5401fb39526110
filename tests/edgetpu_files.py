"""Compiled Edge TPU models made up for tests: a real .tflite with a real package in it, whose instructions are noise.

The interpreter loads them where a delegate takes ``edgetpu-custom-op``; no Edge TPU can run them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tests.tiny_models import TinyModel

CUSTOM_CODE = "edgetpu-custom-op"
STAND_ALONE, PARAMETER_CACHING, EXECUTION_ONLY = 0, 1, 2
_LAYER_TYPES = {"uint8": 0, "int8": 8, "int16": 9}


@dataclass(frozen=True)
class End:
    """An input or output of the model: quantized, ``dtype`` as NumPy calls it.

    Attributes:
        ranges: first and last index of each axis, which newer compilers state too.
        executions: how often it is transferred for one inference.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "uint8"
    scale: float = 0.5
    zero_point: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    executions: int | None = None


@dataclass(frozen=True)
class ExecutableSpec:
    """An executable's fields; what is None is left out of the file."""

    kind: int | None = STAND_ALONE
    parameters: int = 0
    token: int | None = None
    instructions: Sequence[int] = (64,)
    inputs: Sequence[End] = ()
    outputs: Sequence[End] = ()
    batch_size: int = 1
    scratch: int = 0
    cycles: int = 0
    cycles_64bit: int = 0
    narrow_memory: int = 0
    use_tpu_dram: bool = False
    name: str = "model"
    chip: str = "beagle"
    source: int = 0  # bytes of the serialized model


@dataclass(frozen=True)
class PackageSpec:
    """A package's fields."""

    executables: Sequence[ExecutableSpec] = field(default_factory=lambda: (ExecutableSpec(),))
    runtime: int = 13
    compiler: str = "cl/123"
    signature: int = 0
    keypair: int = 0
    virtual_chip: int = 0
    identifier: str = ""


IMAGE = End("image", (1, 8, 8, 3), scale=0.0078125, zero_point=128)
SCORES = End("scores", (1, 4), scale=0.00390625)


def compiled_model(
    inputs: Sequence[End] = (IMAGE,),
    outputs: Sequence[End] = (SCORES,),
    *,
    cached: int = 4096,
    streamed: int = 0,
    token: int = 0x1234_5678_9ABC_DEF0,
    runtime: int = 13,
    cpu: str = "",
) -> bytes:
    """A .tflite with one ``edgetpu-custom-op``, as edgetpu_compiler leaves it.

    Args:
        inputs, outputs: of the custom operator, and of the model.
        cached: bytes of parameters that stay on the chip; 0 makes a package with one stand-alone executable.
        streamed: bytes of parameters sent at every inference.
        token: the caching token; models of the same one are compiled together.
        runtime: the version of libedgetpu that it needs.
        cpu: a built-in operator without options, such as ``RELU``, that stays behind on the processor; the model has then one output
            more, ``"cpu"``, which it makes of the first.
    """
    ends = {"inputs": tuple(inputs), "outputs": tuple(outputs), "narrow_memory": 832}
    if cached:
        executables = (
            ExecutableSpec(EXECUTION_ONLY, parameters=streamed, token=token, **ends),
            ExecutableSpec(PARAMETER_CACHING, parameters=cached, token=token, name="Unknown"),
        )
    else:
        executables = (ExecutableSpec(STAND_ALONE, parameters=streamed, token=token, **ends),)
    return model_with([custom_options(PackageSpec(executables, runtime=runtime))], inputs, outputs, cpu=cpu)


def model_with(
    options: Iterable[bytes], inputs: Sequence[End] = (IMAGE,), outputs: Sequence[End] = (SCORES,), *, cpu: str = ""
) -> bytes:
    """A .tflite with one custom operator for each of ``options``, all with the same inputs; ``cpu`` as above."""
    net = TinyModel()
    taken = [_tensor(net, end) for end in inputs]
    made = [_tensor(net, end) for end in outputs]
    for content in options:
        net.operator(CUSTOM_CODE, taken, made)
        net.graph.operators[-1].customOptions = np.frombuffer(content, np.uint8)
    if cpu:
        last = _tensor(net, End("cpu", outputs[0].shape, outputs[0].dtype, outputs[0].scale, outputs[0].zero_point))
        net.operator(cpu, made[:1], [last])
        made.append(last)
    return net.build(taken, made)


def custom_options(package: PackageSpec | bytes, *further: PackageSpec | bytes, **other: Any) -> bytes:
    """The FlexBuffer map of an operator.

    Args:
        package: the first; ``further`` ones are for other chips.
        other: entries more, their keys with a leading underscore: ``_3=b"..."``.
    """
    contents = [spec if isinstance(spec, bytes) else package_bytes(spec) for spec in (package, *further)]
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", 1)
        for key, value in other.items():
            builder.Key(key.removeprefix("_"))
            builder.String(_Bytes(value)) if isinstance(value, bytes) else builder.Add(value)
        builder.Key("4")
        builder.String(_Bytes(contents[0]))
        builder.Int("5", -1)
        with builder.Vector("6"):
            for _ in contents:
                builder.Int(18)
        with builder.Vector("7"):
            for content in contents[1:]:
                builder.String(_Bytes(content))
    return bytes(builder.Finish())


class _Bytes(str):
    """A string for the FlexBuffer builder, which takes text only: C++ writes any bytes as a string."""

    def __new__(cls, content: bytes) -> _Bytes:
        made = super().__new__(cls)
        made.content = content
        return made

    content: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.content


def package_bytes(spec: PackageSpec, *, identifier: bytes = b"DWN1") -> bytes:
    """A serialized package."""
    builder = flatbuffers.Builder()
    several = flatbuffers.Builder()
    serialized = [several.CreateString(executable_bytes(executable)) for executable in spec.executables]
    _finish(several, {0: _offsets(several, serialized)})
    fields = {
        0: ("Int32", spec.runtime),
        1: builder.CreateByteVector(bytes(several.Output())),
        2: builder.CreateByteVector(bytes(spec.signature)) if spec.signature else None,
        3: ("Int32", spec.keypair),
        4: builder.CreateString(spec.compiler),
        5: ("Int32", spec.virtual_chip),
        7: builder.CreateString(spec.identifier) if spec.identifier else None,
    }
    _finish(builder, fields, identifier)
    return bytes(builder.Output())


def executable_bytes(spec: ExecutableSpec) -> bytes:
    """A serialized executable."""
    builder = flatbuffers.Builder()
    noise = np.random.default_rng(0)
    chunks = [_table(builder, {0: builder.CreateByteVector(noise.bytes(count))}) for count in spec.instructions]
    fields = {
        1: builder.CreateString(spec.name),
        2: builder.CreateByteVector(noise.bytes(spec.source)) if spec.source else None,
        3: ("Int32", spec.batch_size),
        4: ("Int32", spec.scratch),
        5: _offsets(builder, chunks),
        6: builder.CreateByteVector(noise.bytes(spec.parameters)) if spec.parameters else None,
        7: _hints(builder, spec),
        8: _offsets(builder, [_layer(builder, end, padded=0) for end in spec.inputs]),
        9: _offsets(builder, [_layer(builder, end, padded=8) for end in spec.outputs]),
        10: builder.CreateString(spec.chip),
        11: ("Int32", spec.cycles),
        12: ("Int32", spec.narrow_memory),
        13: None if spec.kind is None else ("Int16", spec.kind),
        14: None if spec.token is None else ("Uint64", spec.token),
        15: ("Bool", spec.use_tpu_dram),
        16: ("Int64", spec.cycles_64bit),
    }
    _finish(builder, fields)
    return bytes(builder.Output())


def _layer(builder: flatbuffers.Builder, end: End, *, padded: int) -> int:
    """A layer of y, x, z; an output's size is a multiple of ``padded``, as the chip sends it."""
    kind = _LAYER_TYPES[end.dtype]
    raised = {0: 0, 8: 128, 9: 32768}[kind]  # the package counts signed types from their least number
    numerics = _table(builder, {0: ("Int32", end.zero_point + raised), 1: ("Float32", end.scale)})
    y, x, z = ((1, 1, 1, *end.shape))[-3:]
    size = y * x * z * np.dtype(end.dtype).itemsize
    size += -size % padded if padded else 0
    name, ranges = builder.CreateString(end.name), _ranges(builder, end.ranges) if end.ranges else None
    fields: dict[int, int | tuple[str, Any] | None] = {0: name, 1: ("Int32", size), 5: numerics}
    fields |= {2: ("Int32", y), 3: ("Int32", x), 4: ("Int32", z)}
    fields |= {6: ("Int16", kind), 9: None if end.executions is None else ("Int32", end.executions)}
    return _table(builder, {**fields, 11: ranges})


def _ranges(builder: flatbuffers.Builder, ranges: Sequence[tuple[int, int]]) -> int:
    """A table with a vector of structs."""
    builder.StartVector(8, len(ranges), 4)
    for first, last in reversed(ranges):
        builder.PrependInt32(last)
        builder.PrependInt32(first)
    return _table(builder, {0: builder.EndVector()})


def _hints(builder: flatbuffers.Builder, spec: ExecutableSpec) -> int:
    """One hint for an instruction, one for the parameters where there are any."""
    hints = [_table(builder, {0: ("Uint8", 2), 1: _table(builder, {0: ("Int32", 0)})})]
    if spec.parameters:
        moved = _table(builder, {0: _table(builder, {0: ("Int16", 2)}), 2: ("Int32", spec.parameters)})
        hints.append(_table(builder, {0: ("Uint8", 1), 1: moved}))
    return _table(builder, {0: _offsets(builder, hints), 1: ("Bool", True)})


def _table(builder: flatbuffers.Builder, fields: dict[int, int | tuple[str, Any] | None]) -> int:
    """A table of offsets and of numbers, each with its type; None is left out. A number is written even where it is the default."""
    builder.StartObject(max(fields) + 1)
    for number, value in fields.items():
        if isinstance(value, tuple):
            getattr(builder, f"Prepend{value[0]}")(value[1])
            builder.Slot(number)
        elif value is not None:
            builder.PrependUOffsetTRelativeSlot(number, value, 0)
    return int(builder.EndObject())


def _finish(
    builder: flatbuffers.Builder, fields: dict[int, int | tuple[str, Any] | None], identifier: bytes | None = None
) -> None:
    builder.Finish(_table(builder, fields), file_identifier=identifier)


def _offsets(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _tensor(net: TinyModel, end: End) -> int:
    place = net.tensor(end.name, end.shape, dtype=end.dtype.upper())
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [end.scale], [end.zero_point]
    net.graph.tensors[place].quantization = quantization
    return place
