"""What a server that stalls at random for a second costs a loop that it helps: beside the same loop without it, in turn.

The device is the slower one: its engine takes ``_SLOWER_MS`` longer than that of the server, which has the same model. With
``prefer = "remote"`` a result comes mostly sooner, so its p99 is compared. With ``prefer = "local"`` every value is uncertain here,
and comes later by what the server takes, as the user wants it: it must only not miss more deadlines.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.network_model import DEADLINE_MS, Frames, image_bundle
from benchmarks.network_server import NetworkServer
from benchmarks.rows import Row
from edge_sdk.engines.faulty import order_fault
from edge_sdk.loop import Loop
from edge_sdk.loop_report import LoopReport

_SLOWER_MS = 12
_STALLS = "sometimes 0.01 1"  # one request in a hundred, for a second
_ROUNDS, _SECONDS = 6, 20.0
_WORST = 1.05


class Side:
    """What one side has shown over all rounds."""

    def __init__(self) -> None:
        self.ages_ms: list[float] = []
        self.missed = self.needless = (
            0  # results late, samples dropped or lost; late ones that only the wait for the server made late
        )
        self.reports: list[LoopReport] = []

    @property
    def figures(self) -> str:
        """For people."""
        p50, p99 = np.percentile(self.ages_ms, (50, 99))
        return f"age p50 {p50:.1f}, p99 {p99:.1f} ms, {self.missed} of {len(self.ages_ms)} missed, {self.needless} by the wait"

    def p99(self) -> float:
        """Of the ages."""
        return float(np.percentile(self.ages_ms, 99))


def run(quick: bool) -> list[Row]:
    """Both preferences, each beside the local engine alone."""
    rows = []
    for prefer in ("remote", "local"):
        alone, helped = measure(prefer, rounds=1 if quick else _ROUNDS, seconds=_SECONDS)
        ratio = helped.p99() / alone.p99()
        what = f"hybrid, prefer {prefer}, a server with stalls of 1 s; local alone"
        rows.append(
            Row(what, f"{helped.figures}; {alone.figures}", "no more missed", met=helped.missed <= alone.missed)
        )
        target = f"p99 at most {_WORST}" if prefer == "remote" else ""
        met = ratio <= _WORST if prefer == "remote" else None
        rows.append(Row("  p99 of the age", _of_the_server(helped), target, ratio, met))
    return rows


def measure(prefer: str, *, rounds: int, seconds: float) -> tuple[Side, Side]:
    """The loop alone and with the server, in turn: so many rounds of so many seconds each."""
    alone, helped = Side(), Side()
    with tempfile.TemporaryDirectory() as name:
        bundle = image_bundle(Path(name))
        with NetworkServer(bundle, "tflite-float32", Path(name)) as server:
            server.order(f"always {_STALLS}")
            settings = {"url": server.url, "ca_file": server.ca, "protocol": "v2-rest", "model": "model"}
            remote = {**settings, "prefer": prefer, "certain": 1.0}
            for _ in range(rounds):
                _round(alone, bundle, None, seconds)
                _round(helped, bundle, remote, seconds)
    return alone, helped


def _round(side: Side, bundle: Path, remote: dict[str, object] | None, seconds: float) -> None:
    orders = bundle.parent / "orders"
    options = {"orders": str(orders), "threads": "1"}
    order_fault(orders, f"slow {_SLOWER_MS} 1000000000")
    with Loop(
        bundle, Frames(), deadline_ms=DEADLINE_MS, engine="faulty", engine_options=options, remote=remote
    ) as loop:
        until = time.monotonic() + seconds
        for result in loop:
            side.ages_ms.append(result.age_ms)
            side.missed += result.late
            side.needless += result.late and result.age_ms - result.stages.remote_ms <= DEADLINE_MS
            if time.monotonic() > until:
                break
    counts = loop.report().counts
    side.missed += counts.lost + counts.dropped
    side.reports.append(loop.report())


def _of_the_server(side: Side) -> str:
    remotes = [report.remote for report in side.reports if report.remote]
    used, asked = sum(r.used for r in remotes), sum(r.asked for r in remotes)
    stalled = sum(r.late for r in remotes) + sum(sum(r.failed.values()) for r in remotes)
    return f"{asked} asked of {len(side.ages_ms)}: {used} used, {stalled} late or failed"
