"""What the compiler made of a model against what was planned: operator by operator, and figure by figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from converters.graph import builtin_code, main_graph, operator_name, read_graph, schema
from converters.report.edgetpu_figures import Comparison, Figure, OperatorDifference
from converters.targets.edgetpu.log import ModelLog, Size
from converters.targets.edgetpu.match import match
from edge_sdk.edgetpu.package import CompiledModel, read_compiled
from edge_sdk.edgetpu.plan import Plan

BYTES_AGREE = 0.05  # the share by which planned bytes may be off: what the planner promises of convolutional networks
_LOG_AGREES = 0.01  # the log is rounded; what exactly it counts is not documented


@dataclass(frozen=True)
class _Found:
    """What stands in the compiled files; ``names`` of the original's operators, as the log has them."""

    models: tuple[CompiledModel, ...]
    on_tpu: frozenset[int]
    names: tuple[str, ...]


def compare(original: bytes, compiled: Sequence[bytes], plan: Plan | None, logs: Sequence[ModelLog]) -> Comparison:
    """Compare what was planned with what was made.

    Args:
        original: the model.
        compiled: what came of it: one file, or the segments.
        plan: of the original; None where there is none, and only file and log are compared.
        logs: what the compiler said of these files.

    Raises:
        ModelError: if the compiled file is damaged, or of another model.
    """
    models = tuple(model for model in map(read_compiled, compiled) if model is not None)
    on_tpu = match(original, compiled).on_tpu if models else frozenset()
    found = _Found(models, on_tpu, _names(original))
    operators = () if plan is None else tuple(_operators(plan, found, logs))
    return Comparison(
        operators=operators, figures=tuple(_figures(plan, found, logs)), log=tuple(_log_lines(found, logs))
    )


def _operators(plan: Plan, found: _Found, logs: Sequence[ModelLog]) -> list[OperatorDifference]:
    said = _said(logs)
    return [
        OperatorDifference(
            index=operator.index,
            name=operator.name,
            output=operator.output,
            planned=operator.mapped,
            found=operator.index in found.on_tpu,
            why=operator.why,
            said=() if operator.index in found.on_tpu else said.get(found.names[operator.index], ()),
        )
        for operator in plan.operators
        if operator.mapped != (operator.index in found.on_tpu)
    ]


def _said(logs: Sequence[ModelLog]) -> dict[str, tuple[str, ...]]:
    said: dict[str, tuple[str, ...]] = {}
    for row in (row for log in logs for row in log.rows if not row.mapped):
        said[row.name] = tuple(dict.fromkeys((*said.get(row.name, ()), row.status)))
    return said


def _figures(plan: Plan | None, found: _Found, logs: Sequence[ModelLog]) -> list[Figure]:
    tpu, whole = len(found.on_tpu), len(found.names)
    operations, on_cpu = _sum([log.operations for log in logs]), _sum([log.on_cpu for log in logs])
    if operations is not None and on_cpu is None:
        on_cpu = 0  # it is said only where some stay on the processor
    on_tpu = None if operations is None or on_cpu is None else operations - on_cpu
    planned = None if plan is None else len(plan.mapped)
    cached = [log.cached for log in logs]
    streamed = [log.streamed for log in logs]
    return [
        _count("operators on the Edge TPU", planned, tpu, on_tpu),
        _count(
            "operators on the processor",
            None if plan is None or planned is None else len(plan.operators) - planned,
            whole - tpu,
            on_cpu,
        ),
        _count(
            "partitions in the file",
            None if planned is None else min(planned, 1) * max(len(found.models), 1),
            sum(model.partitions for model in found.models),
            _sum([log.subgraphs for log in logs]),
        ),
        _bytes(
            "bytes cached on the chip",
            None if plan is None else plan.cached_bytes,
            sum(m.cached_bytes for m in found.models),
            cached,
        ),
        _bytes(
            "bytes streamed",
            None if plan is None else plan.streamed_bytes,
            sum(m.streamed_bytes for m in found.models),
            streamed,
        ),
    ]


def _count(name: str, planned: int | None, compiled: int, logged: int | None) -> Figure:
    return Figure(
        name=name,
        planned=planned,
        compiled=compiled,
        logged=logged,
        differs=len({planned, compiled, logged} - {None}) > 1,
    )


def _bytes(name: str, planned: int | None, compiled: int, logged: Sequence[Size | None]) -> Figure:
    said = None if not logged or None in logged else [size for size in logged if size is not None]
    total = None if said is None else sum(size.size_bytes for size in said)
    within = 0.0 if said is None else sum(size.within for size in said)
    off = planned is not None and abs(planned - compiled) > BYTES_AGREE * compiled
    log_off = total is not None and abs(total - compiled) > within + _LOG_AGREES * compiled
    return Figure(
        name=name,
        planned=planned,
        compiled=compiled,
        logged=None if total is None else round(total),
        differs=off or log_off,
    )


def _log_lines(found: _Found, logs: Sequence[ModelLog]) -> list[str]:
    """Operators by name, mapped and not: the log's table against the file."""
    if not logs or any(not log.rows for log in logs):
        return []
    lines = []
    for mapped, where in ((True, "on the Edge TPU"), (False, "on the processor")):
        said: Counter[str] = sum((log.counts(mapped=mapped) for log in logs), Counter())
        there = Counter(name for place, name in enumerate(found.names) if (place in found.on_tpu) is mapped)
        lines += [
            f"the log has {said[name]} {name} {where}, the compiled file {there[name]}"
            for name in sorted(said | there)
            if said[name] != there[name]
        ]
    return lines


def _names(original: bytes) -> tuple[str, ...]:
    """The operators' names as the log has them: a custom one is CUSTOM."""
    model = read_graph(original)
    custom = schema().BuiltinOperator.CUSTOM
    return tuple(
        "CUSTOM" if builtin_code(model.operatorCodes[op.opcodeIndex]) == custom else operator_name(model, op)
        for op in main_graph(model).operators
    )


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None
