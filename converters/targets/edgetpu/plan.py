"""The plan of a model: what maps, what it takes on the chip, how long it is expected to take."""

from __future__ import annotations

import hashlib
from math import prod
from typing import Any

from converters.graph import main_graph, operator_name, read_graph, shape_of, text
from converters.targets.edgetpu.latency import estimate
from converters.targets.edgetpu.mapping import Mapped, divide, whole
from converters.targets.edgetpu.memory import memory_of
from converters.targets.edgetpu.rules import edgetpu_rules
from converters.targets.edgetpu.work import works_of
from edge_sdk.edgetpu.plan import Plan, PlannedOperator
from edge_sdk.tflite import describe


def make_plan(content: bytes, *, compiler: str | None = None, runtime: int | None = None) -> Plan:
    """Plan a .tflite model.

    Args:
        content: of the file.
        compiler: version whose rules apply, such as ``16.0`` or ``15.0.340273435``; default the latest.
        runtime: version of the Edge TPU runtime on the device; default the newest that the compiler knows.

    Raises:
        ModelError: if it is no whole .tflite model, or one that is compiled already.
        ConfigError: if a version is not known.
    """
    rules = edgetpu_rules()
    runtime = rules.runtime_of(compiler, runtime)
    describe(content)  # refuses what points out of the file
    model = read_graph(content)
    mapped, runs = divide(model, runtime=runtime)
    with whole("an operator"):
        memory = memory_of(model, mapped)
        operators = tuple(_planned(model, index, each) for index, each in enumerate(mapped))
        works = works_of(model, zip(mapped, (each.macs for each in operators), strict=True))
    tpu, cpu = estimate(works, memory)
    return Plan(
        model_sha256=hashlib.sha256(content).hexdigest(),
        compiler=compiler or rules.compiler,
        runtime=str(runtime),
        operators=operators,
        partitions=runs,
        cut=_cut(mapped),
        weight_bytes=memory.weights,
        cached_bytes=memory.cached,
        streamed_bytes=memory.streamed,
        input_bytes=memory.inputs,
        output_bytes=memory.outputs,
        tpu=tpu,
        cpu=cpu,
    )


def _planned(model: Any, index: int, mapped: Mapped) -> PlannedOperator:
    operator = mapped.operator
    output = main_graph(model).tensors[int(operator.outputs[0])].name if len(operator.outputs) else ""
    return PlannedOperator(
        index=index,
        name=operator_name(model, operator),
        output=text(output),
        mapped=mapped.maps,
        rule=mapped.rule or "mapped",
        why=mapped.why,
        macs=multiplications(model, operator),
    )


def _cut(mapped: list[Mapped]) -> int | None:
    """The first operator that stays on the processor and needs a result of the Edge TPU."""
    made: set[int] = set()
    for index, each in enumerate(mapped):
        if not each.maps and made & set(map(int, each.operator.inputs)):
            return index
        if each.maps:
            made.update(map(int, each.operator.outputs))
    return None


def multiplications(model: Any, operator: Any) -> int:
    """Multiply-accumulate operations of one run: of what has weights, one for each weight and position that it is used at."""
    name, tensors = operator_name(model, operator), main_graph(model).tensors
    shapes = [shape_of(tensors[int(i)]) if i >= 0 else () for i in operator.inputs]
    output = prod(shape_of(tensors[int(operator.outputs[0])])) if len(operator.outputs) else 0
    if name in ("CONV_2D", "FULLY_CONNECTED"):
        return output * prod(shapes[1][1:])
    if name == "DEPTHWISE_CONV_2D":
        return output * prod(shapes[1][1:3])
    if name == "TRANSPOSE_CONV":
        return prod(shapes[2]) * prod(shapes[1][:3])
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        steps = prod(shapes[0][:-1])
        return steps * sum(prod(shape) for shape in shapes[1:9])
    return 0
