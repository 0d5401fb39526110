"""Whether what waits runs together, now or a little later. No clock, no threads: times are handed in, in nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

_MS = 1_000_000
_WORTH = 1.05  # a batch that saves less is not worth the waiting of its first
_KEPT, _SPARE = 0.8, 1.25  # of the old average, for each new run; how much longer than the average a run may take
_BACK = 0.02  # of the way back to what the start showed, for each run of the other kind: one slow run must not decide for ever


@dataclass
class BatchPolicy:
    """What a batch costs, and so what runs.

    Attributes:
        size: of the largest batch; smaller ones take as long.
        gather_ns: how long a request may wait for others while the engine is free.
        single_ms, batch_ms: what a run of one sample, and of a batch takes on average.
        ratio: of the two, as it was at the start; 0 where nothing was measured.
    """

    size: int
    gather_ns: int = 0
    single_ms: float = 0.0
    batch_ms: float = 0.0
    ratio: float = 0.0

    def measured(self, single_ms: float, batch_ms: float) -> None:
        """Begin with what was measured."""
        self.single_ms, self.batch_ms, self.ratio = single_ms, batch_ms, batch_ms / single_ms

    def pays(self, count: int) -> bool:
        """Whether so many are faster together than one by one."""
        return count * self.single_ms > _WORTH * self.batch_ms

    def wait_ns(self, count: int, first_ns: int, deadline_ns: int, now_ns: int) -> int:
        """For how long those that wait may go on waiting for others; 0 or less: not at all.

        Args:
            count: how many wait.
            first_ns: when the first of them was submitted.
            deadline_ns: the earliest of their deadlines.
            now_ns: the time.
        """
        if count >= self.size or not self.pays(self.size):
            return 0
        return min(first_ns + self.gather_ns, deadline_ns - round(_SPARE * self.batch_ms * _MS)) - now_ns

    def together(self, count: int, deadline_ns: int, now_ns: int) -> int:
        """How many of those that wait run together: all that fit, if that is faster, and the first is not late by it.

        Args:
            count: how many wait.
            deadline_ns: the earliest of their deadlines.
            now_ns: the time.
        """
        count, left_ms = min(count, self.size), (deadline_ns - now_ns) / _MS
        late_by_it = self.single_ms <= left_ms < self.batch_ms
        return count if self.pays(count) and not late_by_it else 1

    def ran(self, count: int, took_ms: float) -> None:
        """Follow what is measured."""
        if count == 1:
            self.single_ms += (1 - _KEPT) * (took_ms - self.single_ms)
            if self.ratio:
                self.batch_ms += _BACK * (self.single_ms * self.ratio - self.batch_ms)
        else:
            self.batch_ms += (1 - _KEPT) * (took_ms - self.batch_ms)
            if self.ratio:
                self.single_ms += _BACK * (self.batch_ms / self.ratio - self.single_ms)
