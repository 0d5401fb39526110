"""Splitting a head: an output whose entries have ranges of very different width becomes several, each with a scale of its own.

A detector that joins boxes in pixels (0 to 320) and scores (0 to 1) into one output gives 256 steps to both in int8: a score is then 0 or
1, or nothing at all. The graph ends before the join, the parts become outputs, and the device puts them together (``edge_sdk.heads``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from converters.graph import main_graph, read_graph, shape_of, text
from converters.repair.observe import Extremes, output_extremes
from converters.repair.rewiring import CannotRepairError, find_output, finish, replace_output
from converters.repair.take import Entries, Taker
from edge_sdk.bundle.manifest import Head, Part
from edge_sdk.tensors import Array

APART = 8.0  # ranges wider than another by this factor leave the narrower one fewer than 5 of 8 bits
_MOST_GROUPS, _MOST_RUNS = 4, 200
_DEAD = 2.0**-12  # of the widest: such an entry shows no range, and may still take one


@dataclass(frozen=True)
class Split:
    """A float model whose output became several: the model, and how the device makes that output of them."""

    content: bytes
    head: Head


@dataclass(frozen=True)
class Plan:
    """Which entries of an output's axis belong together, the widest first; ``ratio`` is of the widest group to the narrowest."""

    output: str
    axis: int
    groups: tuple[Entries, ...]
    ratio: float


def plan_split(content: bytes, output: str, extremes: Sequence[Extremes]) -> Plan | None:
    """The axis and groups that separate an output's ranges best, or None where they are alike.

    Where a concatenation made the axis, its inputs stay whole; else entries are grouped one by one.

    Args:
        content: the float model.
        output: name of the output.
        extremes: of the output along each of its axes.
    """
    model = read_graph(content)
    index, taker = find_output(model, output), Taker(model)
    plans = []
    for axis, of_axis in enumerate(extremes):
        if of_axis.low.size < 2:
            continue
        groups = _group(taker.parts(index, axis), of_axis.width)
        if len(groups) > 1 and sum(len(runs(group)) for group in groups) <= _MOST_RUNS:
            widths = [float(of_axis.width[list(group)].max()) for group in groups]
            plans.append(Plan(output, axis, tuple(groups), widths[0] / max(widths[-1], 1e-12)))
    return max(plans, key=lambda plan: plan.ratio, default=None)


def mixed_outputs(content: bytes, inputs: Iterable[Array]) -> tuple[Plan, ...]:
    """The outputs that hold quantities of very different size, and how to split them; a few samples tell.

    In int8 the small ones are lost, which neither the layers' SQNR nor that of the whole output shows.
    """
    plans = [plan_split(content, name, extremes) for name, extremes in output_extremes(content, inputs).items()]
    return tuple(plan for plan in plans if plan is not None)


def _group(parts: Sequence[Entries], widths: Array) -> list[Entries]:
    """Parts of like width together, the widest first; of a single part, its entries one by one."""
    if len(parts) == 1:
        parts = [(entry,) for entry in parts[0]]
    width = {part: max(float(widths[list(part)].max()), float(widths.max()) * _DEAD) for part in parts}
    groups: list[tuple[float, list[int]]] = []
    for part in sorted(parts, key=lambda p: -width[p]):
        if groups and (width[part] * APART > groups[-1][0] or len(groups) == _MOST_GROUPS):
            groups[-1][1].extend(part)
        else:
            groups.append((width[part], list(part)))
    return [tuple(sorted(entries)) for _, entries in groups]


def runs(entries: Entries) -> tuple[tuple[int, int], ...]:
    """Rising entries as (start, stop) of those that follow each other."""
    cuts = [place for place in range(1, len(entries)) if entries[place] != entries[place - 1] + 1]
    starts, ends = [0, *cuts], [*cuts, len(entries)]
    return tuple((entries[start], entries[end - 1] + 1) for start, end in zip(starts, ends, strict=True))


def split_head(content: bytes, plan: Plan) -> Split:
    """Split an output as planned.

    Raises:
        CannotRepairError: if an operator on the way back mixes the groups; the message names it.
    """
    model = read_graph(content)
    graph, index, taker = main_graph(model), find_output(model, plan.output), Taker(model)
    shape = shape_of(graph.tensors[index])
    if sorted(entry for group in plan.groups for entry in group) != list(range(shape[plan.axis])):
        raise CannotRepairError(f"the groups of {plan.output!r} do not cover axis {plan.axis}, each entry once")
    parts: list[Part] = []
    made: list[int] = []
    for group in sorted(plan.groups):
        tensor = taker.take(index, plan.axis, group)
        if tensor in {*map(int, graph.inputs), *map(int, graph.outputs), *made}:
            raise CannotRepairError(f"a part of {plan.output!r} is an input or output of the model as it is")
        made.append(tensor)
        parts.append(Part(output=text(graph.tensors[tensor].name), runs=runs(group)))
    replace_output(model, index, made)
    return Split(finish(model), Head(name=plan.output, shape=shape, axis=plan.axis, parts=tuple(parts)))
