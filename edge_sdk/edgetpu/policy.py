"""Which of the requests that wait runs next on a device that holds one model at a time. No clock, no threads: times are handed in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from edge_sdk.edgetpu.costs import Cost

_MS = 1e-6  # of nanoseconds
_EPSILON_MS = 1e-6  # sums of floats


class Job(NamedTuple):
    """A request that waits; those with the earliest deadline come first.

    Attributes:
        deadline_ns: until when it is of use, on the clock of ``time.monotonic_ns``.
        number: of the request.
        model: by name.
        may_be_late: it is run also when its deadline is over.
        since_ns: when it was submitted.
    """

    deadline_ns: int
    number: int
    model: str
    may_be_late: bool = False
    since_ns: int = 0


def choose(waiting: Sequence[Job], loaded: str | None, now_ns: int, costs: Mapping[str, Cost]) -> Job:
    """The job to run now.

    It is that of the earliest deadline, or the first of the loaded model if fewer are late so, or as few with fewer swaps. Four orders are
    looked at: each of these two first, and then all others by deadline, or model by model. So whatever can be on time by deadlines
    alone is, and where all can be so model by model, there is one swap a model.

    Args:
        waiting: jobs that can be on time; at least one, sorted.
        loaded: the model on the device.
        now_ns: the time.
        costs: by model.
    """
    earliest = waiting[0]
    of_loaded = next((job for job in waiting if job.model == loaded), None)
    if of_loaded is None or of_loaded is earliest:
        return earliest
    others = [job for job in waiting if job is not of_loaded]
    orders = (
        (of_loaded, _by_model(others, loaded)),
        (of_loaded, others),
        (earliest, _by_model(waiting[1:], earliest.model)),
        (earliest, waiting[1:]),
    )
    best, least = earliest, (math.inf, math.inf)
    for first, rest in orders:
        price = _price(chain((first,), rest), loaded, now_ns, costs)
        if price < least:
            best, least = first, price
    return best


def can_be_on_time(job: Job, loaded: str | None, now_ns: int, costs: Mapping[str, Cost]) -> bool:
    """Whether it is if it runs now."""
    cost = costs[job.model]
    took_ms = cost.run_ms + (cost.swap_ms if job.model != loaded else 0.0)
    return took_ms <= (job.deadline_ns - now_ns) * _MS + _EPSILON_MS


def _by_model(jobs: Sequence[Job], loaded: str | None) -> Iterable[Job]:
    """All of the loaded model, then of the one with the earliest deadline, ..."""
    groups: dict[str | None, list[Job]] = {loaded: []}
    for job in jobs:
        groups.setdefault(job.model, []).append(job)
    return chain.from_iterable(groups.values())


def _price(order: Iterable[Job], loaded: str | None, now_ns: int, costs: Mapping[str, Cost]) -> tuple[float, float]:
    """How many would be late, and how many swaps there are; what would be late is left out."""
    late = swaps = 0
    at_ms = 0.0  # from now on
    for job in order:
        cost = costs[job.model]
        swap = job.model != loaded
        done_ms = at_ms + cost.run_ms + (cost.swap_ms if swap else 0.0)
        if done_ms > (job.deadline_ns - now_ns) * _MS + _EPSILON_MS:
            late += 1
            continue
        at_ms, loaded = done_ms, job.model
        swaps += swap
    return late, swaps


class Policy:
    """Holds the jobs that wait, and sees to it that none waits for ever.

    A model that was not run for ``patience_ms`` although there were requests of it, or a job that is late by that, comes first; but
    only one in ``patience_ms``, so that under overload the device is not swapping all the time.

    Args:
        costs: by model; looked at again for every decision.
        patience_ms: how long a model, or a job that is late already, may be put off.
    """

    def __init__(self, costs: Mapping[str, Cost], *, patience_ms: float) -> None:
        self._costs, self._patience_ns = costs, round(patience_ms / _MS)
        self._jobs: dict[int, Job] = {}
        self._put_off: dict[str, int] = {}  # since when a model waits for its turn
        self._forced_ns = -self._patience_ns
        self.loaded: str | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """One more waits."""
        self._jobs[job.number] = job
        self._put_off.setdefault(job.model, job.since_ns)

    def remove(self, number: int) -> None:
        """It waits no longer, if it did."""
        self._jobs.pop(number, None)

    def next(self, now_ns: int) -> tuple[Job | None, list[Job]]:
        """The job to run now, which waits no longer; and those that cannot be on time any more, and are not run late."""
        on_time: list[Job] = []
        late: list[Job] = []
        hopeless: list[Job] = []
        for job in sorted(self._jobs.values()):
            if can_be_on_time(job, self.loaded, now_ns, self._costs):
                on_time.append(job)
            else:
                (late if job.may_be_late else hopeless).append(job)
        for job in hopeless:
            del self._jobs[job.number]
        chosen = self._forced(on_time, late, now_ns)
        if chosen is None and on_time:
            chosen = choose(on_time, self.loaded, now_ns, self._costs)
        elif chosen is None and late:
            chosen = next((job for job in late if job.model == self.loaded), late[0])
        if chosen is not None:
            del self._jobs[chosen.number]
            self._put_off.pop(chosen.model, None)
            if any(job.model == chosen.model for job in self._jobs.values()):
                self._put_off[chosen.model] = now_ns
            self.loaded = chosen.model
        return chosen, hopeless

    def _forced(self, on_time: list[Job], late: list[Job], now_ns: int) -> Job | None:
        before_ns = now_ns - self._patience_ns
        if self._forced_ns > before_ns:
            return None
        overdue = [job for job in late if job.deadline_ns < before_ns]
        starved = [job for job in (*on_time, *late) if self._put_off.get(job.model, now_ns) < before_ns]
        if not overdue and not starved:
            return None
        self._forced_ns = now_ns
        return min(overdue) if overdue else min(starved, key=lambda job: self._put_off[job.model])
