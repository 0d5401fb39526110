"""Whether a server may be asked: by what it answered, how long that took, and what may still go over the network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from edge_sdk.errors import EngineError, RemoteAnswerError, RemoteTimeoutError
from edge_sdk.hybrid.asking import RemoteRequest
from edge_sdk.hybrid.bandwidth import Bandwidth
from edge_sdk.hybrid.breaker import Breaker
from edge_sdk.hybrid.recent import Recent
from edge_sdk.hybrid.settings import RemoteSettings

_KEPT = 64  # answers whose times are known
_LEAST = 10  # budgets that are known before a server is called too slow for them
_FITS = 0.8  # of the budget, to which a server that was too slow must keep
_PATIENCE, _STALL, _LEAST_PATIENCE_MS = 2.0, 2.0, 5.0
WHY_NOT = {
    "certain": "the local value was certain",
    "no_time": "no time was left",
    "slow": "its p95 was too long",
    "out": "it was out",
    "busy": "it was busy",
    "unknown": "its times were not known",
    "bytes": "no bytes were left",
    "local": "local times were not known",
}


class Trust:
    """Judges a server. Its p95 is of the latest 64 answers, none older than ``window_s``; it must fit the time that a sample has left. A
    server whose p95 does not fit the median of what samples had left, or that stalls, is out, as one that fails is.

    Args:
        settings: of the server.
        now_ns: the time; as all times here, on the clock of ``time.monotonic_ns``.
        say: told of events, by kind and message.

    Attributes:
        breaker: of the server.
        took_ms: of the latest answers.
        bandwidth: what may go over the network.
        proofs: passed and failed.
        keeps_connections: it answers several requests over one. Then a new connection is a sign that it may be another.
    """

    def __init__(self, settings: RemoteSettings, now_ns: int, say: Callable[[str, str], None]) -> None:
        self._say, self._prove_ns = say, settings.prove_s * 1e9
        self.breaker = Breaker(
            first_wait_s=settings.first_wait_s, longest_wait_s=settings.longest_wait_s, healthy_s=settings.healthy_s
        )
        self.took_ms, self._budgets_ms = Recent(_KEPT, settings.window_s), Recent(_KEPT)
        self.bandwidth = Bandwidth(settings.bytes_per_s, settings.bytes_per_day, now_ns)
        self.proofs: Counter[str] = Counter()
        self._proven_ns, self._is_proving, self._has_bytes = now_ns, False, True
        self._said = ""
        self.keeps_connections = True

    def why_not(self, budget_ms: float, now_ns: int) -> str:
        """Why it is not to be asked for an answer within so long, as a key of ``WHY_NOT``; empty if it is."""
        if budget_ms <= 0:
            return "no_time"
        self._budgets_ms.add(budget_ms)
        if self.breaker.state != "closed":
            return "out"
        if not self.took_ms.count(now_ns):
            return "unknown"
        p95_ms = self.took_ms.quantile(0.95, now_ns)
        if p95_ms > self._usual_budget_ms:
            self._fail("slow", self._too_slow(p95_ms), now_ns)
        return "slow" if p95_ms > budget_ms else ""

    def allows(self, size: int, now_ns: int) -> bool:
        """Whether so many bytes may go over the network."""
        allowed = self.bandwidth.allows(size, now_ns)
        if not allowed and self._has_bytes:
            self._say("remote_bytes", "no bytes are left for the server; local only, until there are some again")
        self._has_bytes = allowed
        return allowed

    def answered(self, took_ms: float, now_ns: int) -> None:
        """An answer came, in time or not."""
        self.took_ms.add(took_ms, now_ns)

    def late(self, took_ms: float, waited_ms: float, now_ns: int) -> None:
        """An answer came when nobody waited any more. One that missed by far was a stall, which is a failure as any other."""
        if took_ms > _STALL * waited_ms:
            self._fail(
                "stall", f"the server stalled: it took {took_ms:.0f} ms, of which {waited_ms:.1f} were waited", now_ns
            )

    def patience_ms(self, now_ns: int) -> float:
        """How long an answer is worth waiting for: one that takes twice the p95, and more than a busy machine adds, has gone astray."""
        return max(_PATIENCE * self.took_ms.quantile(0.95, now_ns), _LEAST_PATIENCE_MS)

    def failed(self, failure: EngineError, now_ns: int) -> None:
        """A request failed."""
        self._fail(reason_of(failure), str(failure), now_ns)

    def proof_is_due(self, now_ns: int) -> bool:
        """Whether the server is to be shown the golden vectors."""
        if self._is_proving:
            return False
        old = now_ns - self._proven_ns >= self._prove_ns or not self.took_ms.count(now_ns)
        return self.breaker.due(now_ns) or (self.breaker.state == "closed" and old)

    def proof_began(self) -> None:
        """The golden vectors are under way."""
        self._is_proving = True
        if self.breaker.state == "open":
            self.took_ms.clear()  # of another time
            self.breaker.prove()

    def proof_ended(self, request: RemoteRequest, now_ns: int) -> None:
        """The answers to the golden vectors are there, or why there are none."""
        self._is_proving, self._proven_ns = False, now_ns
        self.proofs["passed" if request.failure is None else "failed"] += 1
        if request.failure is not None:
            self._fail(reason_of(request.failure), str(request.failure), now_ns)
            return
        self.keeps_connections = request.connections <= 1
        for took_ms in request.took_ms[1:]:  # the first one found the connection cold, if any
            self.took_ms.add(took_ms, now_ns)
        if self.breaker.state != "half_open":
            return
        p95_ms = self.took_ms.quantile(0.95, now_ns)
        if p95_ms > self._usual_budget_ms * (_FITS if self.breaker.reason == "slow" else 1):
            self._fail("slow", self._too_slow(p95_ms), now_ns)
            return
        self._said = ""
        self.breaker.passed(now_ns)
        self._say("remote_up", f"the server answers as it should, p95 {p95_ms:.1f} ms")

    @property
    def _usual_budget_ms(self) -> float:
        return self._budgets_ms.quantile(0.5) if self._budgets_ms.count() >= _LEAST else math.inf

    def _too_slow(self, p95_ms: float) -> str:
        return f"the server's p95 of {p95_ms:.1f} ms is too long for the {self._usual_budget_ms:.1f} ms that samples have left for it"

    def _fail(self, reason: str, message: str, now_ns: int) -> None:
        self.breaker.failed(reason, now_ns)
        if self._said != reason:  # what goes on failing in one way is said once
            self._said = reason
            self._say("remote_slow" if reason in ("slow", "stall") else "remote_down", message)


def reason_of(failure: EngineError) -> str:
    """``timeout``, ``wrong`` or ``error``, as figures have it."""
    if isinstance(failure, RemoteTimeoutError):
        return "timeout"
    return "wrong" if isinstance(failure, RemoteAnswerError) else "error"
