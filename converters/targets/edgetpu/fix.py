"""``--fix``: rewrites that let more of a model map, made one after the other, each proven equal before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from converters.graph import main_graph, operator_name, read_graph, text
from converters.repair.rewiring import finish
from converters.targets.edgetpu.fixes import Fix, all_fixes
from converters.targets.edgetpu.fixes.editor import Editor
from converters.targets.edgetpu.fixes.ends import integer_ends, static_shapes
from converters.targets.edgetpu.fixes.prove import Difference, compare
from edge_sdk.edgetpu.plan import Plan, PlannedOperator
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

MakePlan = Callable[[bytes], Plan]


@dataclass(frozen=True)
class Rewrite:
    """A rewrite of one operator, or of the whole model.

    Attributes:
        name: of the fix.
        where: such as ``HARD_SWISH 'block_3/act'``.
        words: what it does.
        difference: what was seen when both models were run; None where it was not made.
        refused: why it was not kept; empty where it was.
    """

    name: str
    where: str
    words: str
    difference: Difference | None = None
    refused: str = ""

    @property
    def kept(self) -> bool:
        """Whether the model has it."""
        return not self.refused


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


def fix(
    content: bytes,
    make_plan: MakePlan,
    *,
    inputs: Iterable[list[Array]] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Fixed:
    """Rewrite what does not map, as far as a fix is known.

    Args:
        content: the model.
        make_plan: plans a model.
        inputs: stored inputs that the proofs run on; by default made up.
        progress: told of every rewrite.

    Raises:
        ModelError: if the model cannot be read or run.
    """
    samples = None if inputs is None else list(inputs)
    rewrites: list[Rewrite] = []
    for whole in (static_shapes, integer_ends):
        content, made = whole(content)
        rewrites += made
    before = plan = make_plan(content)
    tried: set[tuple[str, str]] = set()
    while (found := _next(plan, tried)) is not None:
        operator, kind = found
        tried.add((operator.output, kind.name))
        progress(f"{operator.name} {operator.output!r}: {kind.words}")
        result = _rewritten(content, operator, kind, samples)
        if result is None:
            continue
        changed, rewrite = result
        new_plan = make_plan(changed) if rewrite.kept else plan
        if rewrite.kept and not _better(plan, new_plan):
            rewrite = Rewrite(rewrite.name, rewrite.where, rewrite.words, rewrite.difference, "no more would map")
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
    if operator.mapped or operator.rule == "after-cpu":
        return []
    return [kind for kind in all_fixes() if operator.name in kind.operators]


def _find(model: object, planned: PlannedOperator) -> object | None:
    graph = main_graph(model)
    for operator in graph.operators:
        if operator_name(model, operator) == planned.name and any(
            text(graph.tensors[i].name) == planned.output for i in operator.outputs
        ):
            return operator  # type: ignore[no-any-return]
    return None


def _rewritten(
    content: bytes, planned: PlannedOperator, kind: Fix, inputs: list[list[Array]] | None
) -> tuple[bytes, Rewrite] | None:
    """The model with one operator rewritten, and whether it is the same; None where the fix does not apply."""
    model = read_graph(content)
    operator = _find(model, planned)
    if operator is None:
        return None
    editor = Editor(model)
    made = kind.make(editor, operator)
    if made is None:
        return None
    outputs = [text(main_graph(model).tensors[i].name) for i in operator.outputs]  # type: ignore[attr-defined]
    editor.replace(operator, made)
    changed = finish(model)
    where = _where(planned)
    try:
        difference = compare(content, changed, outputs, inputs)
    except (ModelError, ValueError, RuntimeError) as exc:
        return changed, Rewrite(kind.name, where, kind.words, refused=f"it does not run: {exc}")
    refused = ""
    if difference.there > kind.steps:
        refused = f"it is not equal: {difference}; {kind.steps} allowed there"
    return changed, Rewrite(kind.name, where, kind.words, difference, refused)


def _better(before: Plan, after: Plan) -> bool:
    """Fewer operators stay on the processor."""
    return len(after.operators) - len(after.mapped) < len(before.operators) - len(before.mapped)


def _where(operator: PlannedOperator) -> str:
    return f"{operator.name} {operator.output!r}"
