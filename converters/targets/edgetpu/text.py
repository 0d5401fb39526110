"""A plan for people: what maps, what does not and why, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from converters.targets.edgetpu.latency import times
from edge_sdk.edgetpu.plan import Estimate, Plan, PlannedOperator

if TYPE_CHECKING:
    from converters.targets.edgetpu.fix import Fixed
    from converters.targets.edgetpu.fixes import Rewrite

_LONGEST = 3  # operators of one kind in a row that are listed one by one
_PROCESSOR = "processor"


def plan_lines(plan: Plan, name: str, *, every: bool = False) -> Iterator[str]:
    """The plan, line by line.

    Args:
        plan: it.
        name: of the model.
        every: list each operator; else those of one outcome in a row stand in one line.
    """
    mapped = len(plan.mapped)
    yield f"{name}: {mapped} of {len(plan.operators)} operators run on the Edge TPU (compiler {plan.compiler}, runtime {plan.runtime})"
    yield ""
    yield from _table([row for group in _groups(plan, every) for row in group])
    yield ""
    yield from _outcome(plan)
    yield from _memory(plan)
    yield from _times(plan)


def _groups(plan: Plan, every: bool) -> Iterator[list[tuple[str, ...]]]:
    for _, run in groupby(plan.operators, key=lambda operator: (operator.mapped, operator.rule)):
        operators = list(run)
        condensed = not every and len(operators) > _LONGEST and operators[0].rule in ("mapped", "after-cpu")
        yield [_condensed(operators)] if condensed else [_row(operator) for operator in operators]


def _row(operator: PlannedOperator) -> tuple[str, ...]:
    return str(operator.index), operator.name, _where(operator), _why(operator), operator.output


def _condensed(operators: list[PlannedOperator]) -> tuple[str, ...]:
    first, last = operators[0], operators[-1]
    names = sorted({operator.name for operator in operators})
    kinds = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    why = "" if first.mapped else "[after-cpu] they need what stays on the processor"
    return f"{first.index}-{last.index}", f"{len(operators)} operators", _where(first), why, kinds


def _where(operator: PlannedOperator) -> str:
    return "Edge TPU" if operator.mapped else _PROCESSOR


def _why(operator: PlannedOperator) -> str:
    return "" if operator.mapped else f"[{operator.rule}] {operator.why}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """In columns: place, operator, where; then why, or the output's name."""
    cells = [(*row[:3], row[3] or _short(row[4])) for row in rows]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(3)]
    for row in cells:
        yield (
            "  "
            + "  ".join([row[0].rjust(widths[0]), row[1].ljust(widths[1]), row[2].ljust(widths[2]), row[3]]).rstrip()
        )


def _short(name: str, longest: int = 60) -> str:
    return name if len(name) <= longest else name[: longest - 3] + "..."


def _outcome(plan: Plan) -> Iterator[str]:
    if not plan.mapped:
        yield "nothing maps: the compiler would make no operator for the Edge TPU"
    elif plan.cut is None:
        yield "cut: none, no operator behind the Edge TPU's stays on the processor"
    else:
        operator = plan.operators[plan.cut]
        yield f"cut: at operator {plan.cut}, {operator.name} {_short(operator.output)!r} [{operator.rule}]"
    if plan.partitions > 1:
        yield f"partitions: {plan.partitions} runs could map; the compiler makes the first"


def _memory(plan: Plan) -> Iterator[str]:
    yield f"parameters: {size(plan.weight_bytes)} of constants; {size(plan.cached_bytes)} cached on the chip, " + (
        f"{size(plan.streamed_bytes)} streamed at every inference" if plan.streamed_bytes else "nothing streamed"
    )
    yield f"transfer at every inference: {size(plan.input_bytes)} in, {size(plan.output_bytes)} out"


def _times(plan: Plan) -> Iterator[str]:
    """Expected times, and whether the processor alone would be faster."""
    for host, estimate in plan.tpu.items():
        alone = plan.cpu.get(host)
        line = f"expected with the Edge TPU, {host}: {_time(estimate)}"
        if alone is not None:
            line += f"; the processor alone: {_time(alone)}"
            if alone.ms < estimate.ms:
                line += ", which is faster"
        yield line
    if plan.tpu:
        yield f"of published times of known models, half are met within {times().median_error:.0%}, eight of ten lie in such a range"


def _time(estimate: Estimate) -> str:
    note = ", extrapolated" if estimate.extrapolated else ""
    return f"{_ms(estimate.ms)} ms ({_ms(estimate.low_ms)} to {_ms(estimate.high_ms)}{note})"


def _ms(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def size(count: int) -> str:
    """Bytes in words, as the compiler prints them."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count} B"


def proposal_lines(proposed: tuple[Rewrite, ...]) -> Iterator[str]:
    """What ``--fix`` would try."""
    if proposed:
        yield ""
        yield "what could be rewritten (edge-sdk edgetpu plan MODEL --fix -o FIXED makes it, and proves that it computes the same):"
        yield from (f"  {rewrite.where}: {rewrite.words} [{rewrite.name}]" for rewrite in proposed)


def fixed_lines(fixed: Fixed) -> Iterator[str]:
    """What ``--fix`` did."""
    for rewrite in fixed.rewrites:
        done = f"not kept: {rewrite.refused}" if rewrite.refused else str(rewrite.difference)
        yield f"{rewrite.where}: {rewrite.words} [{rewrite.name}] - {done}"
    before, after = len(fixed.before.mapped), len(fixed.plan.mapped)
    yield f"on the Edge TPU: {before} of {len(fixed.before.operators)} operators before, {after} of {len(fixed.plan.operators)} now"
