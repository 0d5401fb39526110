"""How long an inference is expected to take, with the Edge TPU and on the processor alone: ``latency.toml`` times what it does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from converters.targets.edgetpu.memory import Memory
from converters.targets.edgetpu.work import Work
from edge_sdk.edgetpu.plan import Estimate, Host

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILE = Path(__file__).with_name("latency.toml")
_WEIGHTED = ("conv", "dense")
_SLOW: dict[Host, Host] = {"dev-board": "dev-board", "usb2": "dev-board"}  # hosts with a processor like the Dev Board's


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HostTimes(_Strict):
    """Times of an Edge TPU on a host; see the file."""

    start: float
    gmacs: float
    activations: float
    streamed: float
    moved: float
    processor: float
    extrapolated: bool


class ProcessorTimes(_Strict):
    """Times of a processor; see the file."""

    gmacs: float
    depthwise: float
    activations: float


class Times(_Strict):
    """The table."""

    spread: tuple[float, float]
    median_error: float = Field(gt=0)
    hosts: dict[Host, HostTimes]
    processors: dict[Host, ProcessorTimes]


@lru_cache(maxsize=1)
def times() -> Times:
    """The fitted table."""
    return Times.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))


def estimate(works: Sequence[Work], memory: Memory) -> tuple[dict[Host, Estimate], dict[Host, Estimate]]:
    """Expected times by host: with the Edge TPU, what stays on the processor included; and on the processor alone.

    None with the Edge TPU where nothing maps.

    Args:
        works: every operator of the model.
        memory: the bytes that are streamed and moved.
    """
    table = times()
    tpu: dict[Host, Estimate] = {}
    row = tpu_row(works, memory)
    for host, t in table.hosts.items():
        ms = sum(
            a * b for a, b in zip(row, (t.start, t.gmacs, t.activations, t.streamed, t.moved, t.processor), strict=True)
        )
        tpu[host] = _estimate(ms + processor_ms(works, table.processors[_SLOW.get(host, "usb3")]), t.extrapolated)
    cpu = {}
    for host, p in table.processors.items():
        ms = sum(a * b for a, b in zip(processor_row(works), (p.gmacs, p.depthwise, p.activations), strict=True))
        cpu[host] = _estimate(ms, False)
    return tpu if any(work.mapped for work in works) else {}, cpu


def processor_ms(works: Sequence[Work], times_: ProcessorTimes) -> float:
    """Multiplications of what stays on the processor."""
    gmacs, depthwise, _ = processor_row([work for work in works if not work.mapped])
    return gmacs * times_.gmacs + depthwise * times_.depthwise


def tpu_row(works: Sequence[Work], memory: Memory) -> tuple[float, ...]:
    """What is multiplied with a host's times: start, gmacs, activations, streamed, moved, processor."""
    mapped = [work for work in works if work.mapped]
    return (
        1.0 if mapped else 0.0,
        sum(work.macs for work in mapped if work.kind in _WEIGHTED) / 1e9,
        sum(work.taken + work.made for work in mapped) / 1e6,
        memory.streamed / 1e6,
        (memory.inputs + memory.outputs) / 1e6,
        sum(work.taken + work.made for work in works if not work.mapped) / 1e6,
    )


def processor_row(works: Sequence[Work]) -> tuple[float, ...]:
    """What is multiplied with a processor's times: gmacs, depthwise, activations."""
    return (
        sum(work.macs for work in works if work.kind in _WEIGHTED) / 1e9,
        sum(work.macs for work in works if work.kind == "depthwise") / 1e9,
        sum(work.taken + work.made for work in works) / 1e6,
    )


def _estimate(ms: float, extrapolated: bool) -> Estimate:
    """The range; where nothing was fitted, once more as wide."""
    low, high = (share ** (2 if extrapolated else 1) for share in times().spread)
    return Estimate(ms=ms, low_ms=low * ms, high_ms=high * ms, extrapolated=extrapolated)
