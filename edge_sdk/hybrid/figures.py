"""What a loop has to say of the server that helped it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.hybrid.trust import WHY_NOT

_STATES = {"closed": "in use", "open": "out", "half_open": "being proven"}  # of the breaker, for people


@dataclass(frozen=True)
class RemoteFigures:
    """Counts and times of one loop; asked = used + late + failed + in_flight, exact at any moment.

    Attributes:
        server: which, without secrets.
        variant: id of the variant whose tensors it takes.
        policy: such as ``"hybrid, prefer local"``.
        state: of the breaker: see ``edge_sdk.hybrid.breaker``.
        asked: samples that the server was asked about.
        used: answers that became results.
        late: answers that came when nobody waited any more; thrown away.
        failed: no answers, by reason.
        in_flight: under way.
        rescued: results of the local engine for samples that the server was asked about.
        kept_back: samples that the server was not asked about, by reason.
        proofs: passed and failed.
        p50_ms, p95_ms: of the latest answers, from the first byte sent to the last one read; 0 where there are none.
        transferred_bytes: both ways.
        turns: how often each state of the breaker was entered.
    """

    server: str
    variant: str
    policy: str
    state: str
    asked: int
    used: int
    late: int
    failed: dict[str, int]
    in_flight: int
    rescued: int
    kept_back: dict[str, int]
    proofs: dict[str, int]
    p50_ms: float
    p95_ms: float
    transferred_bytes: int
    turns: dict[str, int]

    def lines(self) -> list[str]:
        """For people."""
        failed = ", ".join(f"{count} {reason}" for reason, count in self.failed.items())
        times = f"p50 {self.p50_ms:.1f} ms, p95 {self.p95_ms:.1f} ms" if self.p50_ms else "no answer of late"
        lines = [
            f"remote ({self.policy}): {self.server}, {_STATES[self.state]}",
            f"  {self.asked} asked: {self.used} used, {self.late} late, {sum(self.failed.values())} failed"
            + (f" ({failed})" if failed else "")
            + f", {self.in_flight} in flight"
            + (f"; local served {self.rescued} of them" if self.rescued else ""),
            f"  {times}, {self.transferred_bytes / 1e6:.1f} MB; proofs: "
            f"{self.proofs['passed']} passed, {self.proofs['failed']} failed",
        ]
        if self.kept_back:
            reasons = ", ".join(f"{count} as {WHY_NOT[reason]}" for reason, count in self.kept_back.items())
            lines.append(f"  not asked: {reasons}")
        return lines
