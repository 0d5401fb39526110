"""What ``edge-sdk inspect`` says of the plans for the Edge TPU in a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_sdk.bundle import Bundle
from edge_sdk.cli.table import facts, heading, size
from edge_sdk.edgetpu.compile_command import compile_command
from edge_sdk.edgetpu.plan import Plan


def plan_facts(bundle: Bundle) -> dict[str, Any]:
    """For ``--json``: the plan of each variant that has one of its own, by its id."""
    return {id_: plan.model_dump(mode="json") for id_, plan in _plans(bundle)}


def plan_lines(bundle: Bundle) -> Iterator[str]:
    """For people; nothing where there is no plan."""
    plans = list(_plans(bundle))
    if not plans:
        return
    yield from heading("Edge TPU")
    for id_, plan in plans:
        yield from facts([(f"plan of {id_}", _text(plan))])
    if not any(variant.kind.startswith("edgetpu") for variant in bundle.manifest.variants):
        yield "  Not compiled yet. Where Google's edgetpu_compiler is (x86-64 Linux), run:"
        yield f"  {compile_command(str(bundle.path))}"


def _plans(bundle: Bundle) -> Iterator[tuple[str, Plan]]:
    seen = set()
    for variant in bundle.manifest.variants:
        if variant.plan not in seen and (plan := bundle.plan_of(variant)) is not None:
            seen.add(variant.plan)
            yield variant.id, plan


def _text(plan: Plan) -> str:
    times = ", ".join(f"{each.ms:.3g} ms on {host}" for host, each in plan.tpu.items())
    return (
        f"{len(plan.mapped)} of {len(plan.operators)} operators on it, {size(plan.cached_bytes)} cached on the chip, "
        f"{size(plan.streamed_bytes)} streamed{f'; {times}' if times else ''}"
    )
