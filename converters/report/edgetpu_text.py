"""What the report and the terminal say of the Edge TPU, as pairs of a name and a text."""

from __future__ import annotations

from collections.abc import Iterator

from converters.report.edgetpu_figures import EdgeTpu
from converters.report.numbers import count, short, size
from edge_sdk.edgetpu.plan import Estimate, Plan

_HOSTS = {"dev-board": "the Dev Board", "usb3": "USB 3", "usb2": "USB 2", "pcie": "PCIe"}


def edgetpu_rows(shown: EdgeTpu) -> Iterator[tuple[str, str]]:
    """The plan in a few lines, and what came of the compiler."""
    plan = shown.plan
    whole, mapped = len(plan.operators), len(plan.mapped)
    stays = "" if mapped == whole else f", {count(whole - mapped, 'operator')} on the processor"
    runs = (
        ""
        if plan.partitions < 2
        else f"; what it supports lies in {plan.partitions} runs, and the compiler takes the first"
    )
    yield "plan", f"{mapped:,} of {count(whole, 'operator')} on it{stays}{runs}"
    if mapped:
        yield (
            "memory",
            f"{size(plan.cached_bytes)} of parameters cached on the chip, {size(plan.streamed_bytes)} streamed at every inference",
        )
        yield "transfer", f"{size(plan.input_bytes)} in and {size(plan.output_bytes)} out at every inference"
    if plan.tpu:
        yield "expected", "; ".join(f"{_estimate(each)} on {_HOSTS[host]}" for host, each in plan.tpu.items())
    if slower := _slower(plan):
        yield "but", slower
    if shown.compiler:
        yield "compiled", f"by edgetpu_compiler {shown.compiler}, {size(shown.compiled_bytes or 0)}{_agrees(shown)}"
    else:
        yield "not compiled", shown.not_compiled


def _estimate(each: Estimate) -> str:
    derived = ", derived from other hosts" if each.extrapolated else ""
    return f"{short(each.ms)} ms ({short(each.low_ms)} to {short(each.high_ms)}{derived})"


def _slower(plan: Plan) -> str:
    hosts = [_HOSTS[host] for host, tpu in plan.tpu.items() if host in plan.cpu and plan.cpu[host].ms < tpu.ms]
    return f"the processor alone is expected to be faster on {' and '.join(hosts)}" if hosts else ""


def _agrees(shown: EdgeTpu) -> str:
    return ", as planned" if shown.comparison is not None and shown.comparison.agrees else ", otherwise than planned"
