"""What a loop has to say of itself: figures for machines, a table for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

from edge_sdk.accounting import Counts
from edge_sdk.hybrid.figures import RemoteFigures
from edge_sdk.result import Event
from edge_sdk.result_cache import CacheReport
from edge_sdk.sources.health import SourceHealth
from edge_sdk.watchdog.durations import Percentiles
from edge_sdk.watchdog.recovery import Recovery
from edge_sdk.watchdog.thermal import Heat

_SHOWN = 5


@dataclass(frozen=True)
class LoopReport:
    """Figures of one loop; ages and stages in milliseconds. Of events and recoveries the latest thousand; ``event_counts`` has them all.

    ``served`` has the results of each variant, by its name and its engine's; ``standby_s`` for how long a stand-by served; ``remote`` what
    a server did, where there is one.
    """

    variant: str
    engine: str
    deadline_ms: float
    hang_ms: float
    seconds: float
    counts: Counts
    miss_ratio: float
    age: Percentiles
    stages: dict[str, Percentiles]
    recoveries: tuple[Recovery, ...]
    served: dict[str, int]
    standby_s: float
    sources_left_behind: int
    source: SourceHealth
    source_description: str
    rung: int
    rungs: tuple[str, ...]
    heat: Heat | None
    event_counts: dict[str, int]
    events: tuple[Event, ...]
    remote: RemoteFigures | None = None
    cache: CacheReport | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A table of at most 100 columns."""
        c = self.counts
        results = c.on_time + c.late
        rate = results / self.seconds if self.seconds > 0 else 0.0
        lines = [
            f"{self.variant} on {self.engine}",
            f"{results} results in {self.seconds:.1f} s ({rate:.1f}/s), deadline {self.deadline_ms:g} ms, hang budget {self.hang_ms:g} ms",
            "",
            f"{'captured':>10} {'on time':>10} {'late':>10} {'dropped':>10} {'skipped':>10} {'lost':>10} {'in flight':>10}",
            f"{c.captured:>10} {c.on_time:>10} {c.late:>10} {c.dropped:>10} {c.skipped:>10} {c.lost:>10} {c.in_flight:>10}",
        ]
        if results:
            lines += [
                "",
                f"{'ms':<16} {'p50':>9} {'p90':>9} {'p99':>9} {'p99.9':>9} {'max':>9}",
                percentile_line("age at result", self.age),
                *(percentile_line(f"  {name}", stage) for name, stage in self.stages.items()),
            ]
        lines += ["", *self._source_lines()]
        if len(self.rungs) > 1:
            lines.append(f"rung {self.rung} of {len(self.rungs) - 1}: {self.rungs[self.rung]}")
        if self.cache is not None:
            lines.append(str(self.cache))
        if self.event_counts:
            lines += ["", "events: " + ", ".join(f"{count} {kind}" for kind, count in self.event_counts.items())]
        return [*lines, *self._standby_lines(), *map(self._recovery_line, self.recoveries[-_SHOWN:])]

    def _recovery_line(self, recovery: Recovery) -> str:
        what = f"{recovery.kind} at sample {recovery.sequence}" if recovery.sequence >= 0 else "at the start"
        hang = f" (after the hang budget of {self.hang_ms:g} ms)" if recovery.kind == "hang" else ""
        if recovery.standby is None:
            return f"{what}: the engine was back {recovery.took_ms:.0f} ms later{hang}"
        return f"{what}: {recovery.standby} served for {recovery.took_ms:.0f} ms{hang}, until {recovery.step} helped"

    def _standby_lines(self) -> list[str]:
        """Who served, where there was more than one or a stand-by did, and how long each kind of failure took."""
        by_kind: dict[str, list[float]] = {}
        for recovery in self.recoveries:
            if recovery.standby is not None:
                by_kind.setdefault(recovery.kind, []).append(recovery.took_ms)
        lines = self.remote.lines() if self.remote else []
        if len(self.served) > 1:
            lines.append("results: " + ", ".join(f"{count} of {name}" for name, count in self.served.items()))
        if not self.standby_s:
            return lines
        lines.append(f"a stand-by served for {self.standby_s:.1f} s of {self.seconds:.1f} s")
        for kind, took_ms in by_kind.items():
            lines.append(
                f"  {len(took_ms)} times after {kind}: p50 {median(took_ms):.0f} ms, max {max(took_ms):.0f} ms"
            )
        return lines

    def _source_lines(self) -> list[str]:
        source = self.source
        faults = ", ".join(f"{count} {name}" for name, count in source.faults.items() if count)
        name = f" ({self.source_description})" if self.source_description else ""
        line = f"source{name} {source.state}, {source.rate_hz:.1f} samples/s, {source.reopenings} times opened again"
        return [line + (f"; faults: {faults}" if faults else "")]


def percentile_line(name: str, p: Percentiles) -> str:
    """One row of a table of durations."""
    return f"{name:<16} {p.p50_ms:>9.3f} {p.p90_ms:>9.3f} {p.p99_ms:>9.3f} {p.p99_9_ms:>9.3f} {p.max_ms:>9.3f}"
