"""How long the local engine takes, how often samples come, and so how long one may wait for a server."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge_sdk.hybrid.recent import Recent
from edge_sdk.sources import Sample

_LOCAL, _PERIODS = 100, 32
_LEAST = 10  # local runs that are known before their times are relied on
_STALE_NS = 10 * 10**9  # after so long without a local run: caches are cold, clocks lowered
_MS = 1e-6  # of nanoseconds


class WaitClock:
    """Says until when to wait for a server such that the local engine, begun then, is in time.

    In time is before the deadline and, with ``keep_up``, before the next sample of a live source would be dropped. What the local engine
    could not keep anyway, by the median of its times, binds nobody. Its p99 is of the latest hundred runs: nearly the longest of them.

    Args:
        deadline_ms: the longest age that is of use.
        margin_ms: kept free before it.
        keep_up: see above.
        fastest_ms: what the local engine takes at least, also where a cache has hidden it of late.
        live: whether samples come at their own pace.
    """

    def __init__(
        self, deadline_ms: float, margin_ms: float, *, keep_up: bool, fastest_ms: float, live: Callable[[], bool]
    ) -> None:
        self._deadline_ms, self._margin_ms, self._fastest_ms = deadline_ms, margin_ms, fastest_ms
        self._keep_up, self._live = keep_up, live
        self._local_ms, self._periods_ms = Recent(_LOCAL), Recent(_PERIODS)
        self._last: Sample | None = None
        self._ran_ns = -_STALE_NS

    def see(self, sample: Sample) -> None:
        """A sample came."""
        last, self._last = self._last, sample
        if last is not None and sample.sequence > last.sequence:
            self._periods_ms.add((sample.captured_ns - last.captured_ns) * _MS / (sample.sequence - last.sequence))

    def ran(self, took_ms: float, now_ns: int) -> None:
        """The local engine made a value in so long, encoding and decoding included."""
        self._local_ms.add(took_ms)
        self._ran_ns = now_ns

    def knows_local(self, now_ns: int) -> bool:
        """Whether the local engine's times are known, and not long ago."""
        return self._local_ms.count() >= _LEAST and now_ns - self._ran_ns < _STALE_NS

    def before_local_ms(self, queue_ms: float) -> float:
        """How long may be waited, from the sample's coming out of the queue, with the local engine still to run; 0 for not at all."""
        left_ms, period_ms = self._deadline_ms - queue_ms, self._period_ms
        p50_ms = max(self._local_ms.quantile(0.5), self._fastest_ms)
        taken_ms = max(self._local_ms.quantile(0.99), self._fastest_ms) + self._margin_ms
        by_deadline_ms = left_ms - (self._margin_ms if p50_ms > left_ms else taken_ms)
        by_period_ms = math.inf if p50_ms > period_ms else period_ms - taken_ms
        return max(min(by_deadline_ms, by_period_ms), 0.0)

    def after_local_ms(self, queue_ms: float) -> float:
        """The same with the local value at hand."""
        return max(min(self._deadline_ms - queue_ms, self._period_ms) - self._margin_ms, 0.0)

    def to_deadline_ms(self, queue_ms: float) -> float:
        """Until the deadline."""
        return max(self._deadline_ms - queue_ms, 0.0)

    @property
    def _period_ms(self) -> float:
        """From one sample to the next, where that binds."""
        return self._periods_ms.quantile(0.5) if self._keep_up and self._live() else math.inf
