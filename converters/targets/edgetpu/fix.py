"""``--fix``: rewrites that let more of a model map, made one after the other, each proven equal before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from converters.graph import main_graph, operator_name, read_graph, text
from converters.repair.rewiring import finish
from converters.targets.edgetpu.fixes import Fix, Rewrite, all_fixes
from converters.targets.edgetpu.fixes.editor import Editor
from converters.targets.edgetpu.fixes.ends import integer_ends, static_shapes
from converters.targets.edgetpu.fixes.prove import compare
from edge_sdk.edgetpu.plan import Plan, PlannedOperator
from edge_sdk.errors import ModelError

_BEYOND = ("after-cpu", "one-subgraph", "types", "quantized")  # rules that no rewrite of one operator can keep
MakePlan = Callable[[bytes], Plan]


@dataclass(frozen=True)
class Fixed:
    """A model, and what was done to it.

    Attributes:
        content: the .tflite file.
        before, plan: what was planned for the model as it came, and for this one.
        rewrites: in the order in which they were tried.
    """

    content: bytes
    before: Plan
    plan: Plan
    rewrites: tuple[Rewrite, ...]


def fix(content: bytes, make_plan: MakePlan, *, progress: Callable[[str], None] = lambda _: None) -> Fixed:
    """Rewrite what does not map, as far as a fix is known.

    Args:
        content: the model.
        make_plan: plans a model.
        progress: told of every rewrite.

    Raises:
        ModelError: if the model cannot be read or run.
    """
    before = make_plan(content)
    rewrites: list[Rewrite] = []
    for name, rewritten in (("static-shapes", static_shapes), ("integer-ends", integer_ends)):
        changed, words = rewritten(content)
        if words:
            rewrites.append(_proven(content, changed, Rewrite(name, "the model", words), (), 0))
            content = changed if rewrites[-1].kept else content
    plan = make_plan(content) if rewrites else before
    tried: set[tuple[str, str]] = set()
    while (found := _next(plan, tried)) is not None:
        operator, kind = found
        tried.add((operator.output, kind.name))
        result = _rewritten(content, operator, kind)
        if result is None:
            continue
        changed, rewrite = result
        progress(f"tried: {rewrite.where}: {rewrite.words}")
        new_plan = make_plan(changed) if rewrite.kept else plan
        if rewrite.kept and not _better(plan, new_plan):
            rewrite = replace(rewrite, refused="no more would map")
        rewrites.append(rewrite)
        if rewrite.kept:
            content, plan = changed, new_plan
    return Fixed(content, before, plan, tuple(rewrites))


def proposals(content: bytes, plan: Plan) -> tuple[Rewrite, ...]:
    """What ``fix`` would try first, without running anything: a rewrite for each operator that stays on the processor by itself."""
    model = read_graph(content)
    found = []
    for operator in plan.operators:
        for kind in _kinds(operator):
            here = _find(model, operator)
            if here is not None and kind.make(Editor(model), here) is not None:
                found.append(Rewrite(kind.name, _where(operator), kind.words))
                break
    return tuple(found)


def _next(plan: Plan, tried: set[tuple[str, str]]) -> tuple[PlannedOperator, Fix] | None:
    for operator in plan.operators:
        for kind in _kinds(operator):
            if (operator.output, kind.name) not in tried:
                return operator, kind
    return None


def _kinds(operator: PlannedOperator) -> list[Fix]:
    """Fixes of an operator that stays on the processor for a reason of its own."""
    if operator.mapped or operator.rule in _BEYOND:
        return []
    return [kind for kind in all_fixes() if operator.name in kind.operators]


def _find(model: Any, planned: PlannedOperator) -> Any | None:
    graph = main_graph(model)
    for operator in graph.operators:
        if operator_name(model, operator) == planned.name and any(
            text(graph.tensors[i].name) == planned.output for i in operator.outputs
        ):
            return operator
    return None


def _rewritten(content: bytes, planned: PlannedOperator, kind: Fix) -> tuple[bytes, Rewrite] | None:
    """The model with one operator rewritten, and whether it is the same; None where the fix does not apply."""
    model = read_graph(content)
    operator = _find(model, planned)
    if operator is None:
        return None
    editor = Editor(model)
    made = kind.make(editor, operator)
    if made is None:
        return None
    outputs = tuple(text(main_graph(model).tensors[i].name) for i in operator.outputs)
    editor.replace(operator, made)
    changed = finish(model)
    return changed, _proven(content, changed, Rewrite(kind.name, _where(planned), kind.words), outputs, kind.steps)


def _proven(before: bytes, after: bytes, rewrite: Rewrite, outputs: tuple[str, ...], steps: int) -> Rewrite:
    """With the difference that was seen, refused where it is larger than allowed there; of the whole model, anywhere."""
    try:
        difference = compare(before, after, outputs)
    except (ModelError, ValueError, RuntimeError) as exc:
        return replace(rewrite, refused=f"it does not run: {exc}")
    seen = difference.there if outputs else difference.outputs
    refused = f"it is not equal: {difference}; {steps} allowed there" if seen > steps else ""
    return replace(rewrite, difference=difference, refused=refused)


def _better(before: Plan, after: Plan) -> bool:
    """Fewer operators stay on the processor."""
    return len(after.operators) - len(after.mapped) < len(before.operators) - len(before.mapped)


def _where(operator: PlannedOperator) -> str:
    return f"{operator.name} {operator.output!r}"
