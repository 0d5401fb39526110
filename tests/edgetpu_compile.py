"""A compiler of ours for tests: models in the form that Google's leaves them, with a package whose instructions no chip would run.

Run as ``python -m tests.edgetpu_compile [options] MODEL...`` it takes the options of ``edgetpu_compiler`` and prints a log like its.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers

from converters.graph import (
    compact,
    constant_of,
    main_graph,
    operator_name,
    read_graph,
    schema,
    type_name,
    write_graph,
)
from converters.targets.edgetpu.plan import make_plan

VERSION = "16.0.384591198"
RUNTIME_VERSION = 13
TOKEN = 0x1234_5678_9ABC


def compile_model(
    content: bytes,
    mapped: int | None = None,
    *,
    start: int = 0,
    last: bool = True,
    token: int = TOKEN,
    streamed: bytes = b"",
    cached: int = 0,
) -> bytes:
    """The model with the operators from ``start`` to ``mapped`` (default: all) as one for the Edge TPU.

    Args:
        content: the model.
        mapped: the place of the first operator that stays on the processor.
        start: the place of the first that is mapped; those before it are left out, as in a segment.
        last: whether those behind stay in it; not in a segment that others follow.
        token: for the caching of parameters.
        streamed: parameters that are not cached.
        cached: bytes that the cached ones are filled up to.
    """
    model = read_graph(content)
    graph = main_graph(model)
    stop = len(graph.operators) if mapped is None else mapped
    inside, tail = graph.operators[start:stop], graph.operators[stop:]
    made = {int(i) for op in inside for i in op.outputs}
    read = {int(i) for op in tail for i in op.inputs} | {int(i) for i in graph.outputs}
    takes = _distinct(
        i
        for op in inside
        for i in op.inputs
        if i >= 0 and i not in made and constant_of(model, graph.tensors[i]) is None
    )
    gives = _distinct(i for op in inside for i in op.outputs if i in read)
    parameters = b"".join(_parameters(model, inside))
    parameters += bytes(max(0, cached - len(parameters)))
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.CUSTOM
    code.customCode, code.version = "edgetpu-custom-op", 1
    model.operatorCodes.append(code)
    custom = schema().OperatorT()
    custom.opcodeIndex = len(model.operatorCodes) - 1
    custom.inputs, custom.outputs = np.array(takes, np.int32), np.array(gives, np.int32)
    custom.customOptions = np.frombuffer(_options(parameters, streamed, token), np.uint8)
    graph.operators = [custom, *(tail if last else [])]
    if start or not last:
        graph.inputs = custom.inputs if start else graph.inputs
        graph.outputs = graph.outputs if last else custom.outputs
    model.signatureDefs = None
    model.description = "Exported from Subgraph."
    compact(model)
    return write_graph(model)


def segments(content: bytes, places: list[int]) -> list[bytes]:
    """The model cut before the operators of these places."""
    ends = [0, *places, None]
    return [compile_model(content, stop, start=start or 0, last=stop is None) for start, stop in pairwise(ends)]


def _distinct(numbers: Iterator[Any]) -> list[int]:
    return list(dict.fromkeys(map(int, numbers)))


def _parameters(model: Any, operators: list[Any]) -> Iterator[bytes]:
    """Weights in another order of their words, with the sign bit turned over, and something behind each."""
    tensors = main_graph(model).tensors
    for operator in operators:
        for tensor in (tensors[i] for i in operator.inputs if i >= 0):
            values = constant_of(model, tensor)
            if values is None or type_name(tensor) != "INT8":
                continue
            raw = values.reshape(-1).view(np.uint8) ^ np.uint8(128)
            words = np.concatenate([raw, np.zeros(-len(raw) % 64, np.uint8)]).view("<u4")
            yield np.random.default_rng(len(words)).permutation(words).tobytes() + bytes(64)


def _options(cached: bytes, streamed: bytes, token: int) -> bytes:
    executables = (
        [_executable(1, cached, token), _executable(2, streamed, token)] if cached else [_executable(0, streamed, 0)]
    )
    inner = flatbuffers.Builder(1024)
    places = [inner.CreateString(executable) for executable in executables]
    inner.StartVector(4, len(places), 4)
    for place in reversed(places):
        inner.PrependUOffsetTRelative(place)
    _finish(inner, 1, {0: inner.EndVector()})
    outer = flatbuffers.Builder(1024)
    multi, version = outer.CreateByteVector(bytes(inner.Output())), outer.CreateString("test")
    outer.StartObject(5)
    outer.PrependInt32Slot(0, RUNTIME_VERSION, 0)
    outer.PrependUOffsetTRelativeSlot(1, multi, 0)
    outer.PrependUOffsetTRelativeSlot(4, version, 0)
    outer.Finish(outer.EndObject(), b"DWN1")
    return _map(bytes(outer.Output()))


def _map(package: bytes) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Key("4")
        builder.Blob(package)
    return bytes(builder.Finish())


def _executable(kind: int, parameters: bytes, token: int) -> bytes:
    builder = flatbuffers.Builder(1024)
    content = builder.CreateByteVector(parameters)
    builder.StartObject(17)
    builder.PrependUOffsetTRelativeSlot(6, content, 0)
    builder.PrependInt32Slot(3, 1, 0)
    builder.PrependInt16Slot(13, kind, 0)
    builder.PrependUint64Slot(14, token, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _finish(builder: Any, fields: int, references: dict[int, int]) -> None:
    builder.StartObject(fields)
    for field, place in references.items():
        builder.PrependUOffsetTRelativeSlot(field, place, 0)
    builder.Finish(builder.EndObject())


def log(name: str, content: bytes, compiled: bytes, mapped: int, cached: int = 0) -> str:
    """What Google's compiler would print of it, with figures that are right."""
    model = read_graph(content)
    names = [operator_name(model, op) for op in main_graph(model).operators]
    cached = max(cached, len(b"".join(_parameters(model, main_graph(model).operators[:mapped]))))
    rows = [(n, c, "Mapped to Edge TPU") for n, c in Counter(names[:mapped]).items()]
    rows += [(n, c, "More than one subgraph is not supported") for n, c in Counter(names[mapped:]).items()]
    behind = len(names) - mapped
    partly = f"Number of operations that will run on Edge TPU: {mapped}\nNumber of operations that will run on CPU: {behind}\n"
    table = "".join(f"{n:<31}{c:<11}{status}\n" for n, c, status in rows)
    return (
        f"Input model: {name}.tflite\nInput size: {len(content) / 1024:.2f}KiB\nOutput model: {name}_edgetpu.tflite\n"
        f"Output size: {len(compiled) / 1024:.2f}KiB\nOn-chip memory used for caching model parameters: {cached:.2f}B\n"
        "On-chip memory remaining for caching model parameters: 7.00MiB\n"
        "Off-chip memory used for streaming uncached model parameters: 0.00B\nNumber of Edge TPU subgraphs: 1\n"
        f"Total number of operations: {len(names)}\nOperation log: {name}_edgetpu.log\n{partly if behind else ''}\n"
        f"Operator                       Count      Status\n\n{table}\n"
    )


def main(arguments: list[str]) -> None:
    """The compiler's command line: all operators are mapped, with as many parameters as planned; ``--num_segments`` is 2 at most."""
    print(f"Edge TPU Compiler version {VERSION}")
    if arguments == ["--version"]:
        return
    models = [Path(argument) for argument in arguments if argument.endswith(".tflite")]
    parts = int(arguments[arguments.index("--num_segments") + 1]) if "--num_segments" in arguments else 1
    print("Started a compilation timeout timer of 180 seconds.\n")
    print(f"Model{'s' if len(models) > 1 else ''} compiled successfully in 3 ms.\n")
    for path in models:
        content = path.read_bytes()
        if parts == 1:
            whole, cached = len(main_graph(read_graph(content)).operators), make_plan(content).cached_bytes
            Path(f"{path.stem}_edgetpu.tflite").write_bytes(compiled := compile_model(content, cached=cached))
            print(log(path.stem, content, compiled, whole, cached))
            continue
        for number, piece in enumerate(segments(content, [1])):
            Path(f"{path.stem}_segment_{number}_of_{parts}_edgetpu.tflite").write_bytes(piece)
    print("Compilation succeeded!")


if __name__ == "__main__":
    main(sys.argv[1:])
