"""The governor: under overload or heat it climbs the ladder, and comes back when that has passed.

A pure policy: it is told what happened and when, and answers with the step that is wanted and why. It reads no clock, file or thread.

Overload. Every result counts for the time since the one before, at most 0.1 s. A late one adds that time, and every one takes back the
share of it that may be late (``climb_miss_ratio``); when ``climb_after_s`` have added up, the governor climbs. So a hiccup of many results
in a moment does not make it climb, and an overload does within a few results, at a thousand a second and at one in ten seconds. Soon
after a step half of that is enough. Results of samples captured before a step say nothing about it and are left out. Where the service
time alone exceeds the deadline, rungs that only skip more samples are passed over if one runs something else.

Way back. A rung is left when at most half of ``climb_miss_ratio`` were late for ``calm_s`` and the rung below would be on time, judged by
what is measured now: the age, and the service time times what the rung below takes in comparison. Where that says no, the rung below is
tried all the same after ``retry_s``, as a forecast can be wrong. A descent after which it soon climbs again has failed: the next one of
its kind waits twice as long, at most ``longest_wait_s``; one that holds takes a doubling back.

Heat. It climbs one rung at ``climb_celsius``, or when the board says that it throttles and is not known to be cool, and waits
``heat_wait_s`` for the effect before it climbs another; it leaves that rung when it was ``cooler_celsius`` below for ``heat_wait_s``. What
a board that is cool throttles for, such as a weak supply, shows in the lateness if it matters.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from edge_sdk.errors import ConfigError
from edge_sdk.watchdog.deadline import check_ms
from edge_sdk.watchdog.forecast import Load
from edge_sdk.watchdog.ladder import AS_CONFIGURED, GovernorSettings, Rung
from edge_sdk.watchdog.thermal import Heat

__all__ = ["Governor", "GovernorSettings", "Rung", "Step"]

_COUNTS_S = 0.1  # the longest that one result counts for
_FEWEST = 3  # results that a descent needs, and a comparison of two rungs
_PATIENCE = 30  # results that a retry needs
_DOUBLINGS = 5  # of a wait
_UNFIT = 5.0  # so many times what a moment counts in which the rung below would not fit: forecasts tremble
_SOON_S, _SOON = 10.0, 30  # "soon" is within this time, or within so many results;
_SOON_HEAT = 4.0  # of heat, within so many heat_wait_s
_DRAINS_UP, _DRAINS_DOWN = 0.25, 0.05  # how fast ages must sink, in seconds a second, while a queue drains after a step
_S = 1e-9  # of nanoseconds
Cause = Literal["misses", "heat"]
Way = Literal["calm", "retry", "heat"]


@dataclass(frozen=True)
class Step:
    """What the governor wants now; ``ladder_ended`` says once that it can do no more.

    Attributes:
        kind: that of the event that it becomes.
        rung: the rung that is wanted, 0 is as configured.
        reason: one sentence.
    """

    kind: Literal["climbed", "descended", "ladder_ended"]
    rung: int
    reason: str


class Governor:
    """Decides on which rung the loop should be. For one thread at a time.

    Args:
        settings: the ladder, and when it is climbed and left.
        deadline_ms: the longest age that is of use.
        now_ns: on the clock of ``time.monotonic_ns``, as all times here.
        lossless: whether the source's samples wait in a queue, so that one dropped counts as late; else the newest waits alone.
        rung: where to begin, such as where it was before a restart.

    Attributes:
        rung: the rung that is wanted.
        ladder: all rungs, the first as configured.

    Raises:
        ConfigError: if there is no such rung.
    """

    def __init__(
        self, settings: GovernorSettings, *, deadline_ms: float, now_ns: int, lossless: bool = False, rung: int = 0
    ) -> None:
        self.settings = settings
        self.ladder: tuple[Rung, ...] = (AS_CONFIGURED, *settings.rungs)
        if not 0 <= rung < len(self.ladder):
            raise ConfigError(f"the ladder has rungs 0 to {len(self.ladder) - 1}; found {rung}")
        self.rung = rung
        self._deadline_ms, self._lossless = check_ms("deadline_ms", deadline_ms), lossless
        self._queue_ms = settings.climb_queue_ms or math.inf
        self._allowed = settings.climb_miss_ratio
        self._causes: dict[int, Cause] = {}  # why each rung was climbed to
        self._failed: Counter[tuple[int, Way]] = Counter()  # descents from each rung
        self._runs = [next(n for n, other in enumerate(self.ladder) if other.runs_as(rung_)) for rung_ in self.ladder]
        self._ratios: dict[tuple[int, int], float] = {}  # service time of what one runs to that of the other, by _runs
        self._descent: tuple[int, int, Way] | None = None  # the latest: when, from which rung, by which way
        self._before, self._before_service_ms = rung, 0.0  # as it was before the latest step
        self._stepped_ns = self._last_ns = now_ns
        self._hot = self._ended = False
        self._cool_ns: int | None = now_ns  # since when it is cool enough to come back
        self._load = Load()
        self._late_s = 0.0  # lateness that has added up
        self._bad_services, self._bad_service_ms = 0, 0.0  # of the results that did: how many, mean service time
        self._begin(now_ns)

    def result(
        self,
        now_ns: int,
        *,
        late: bool,
        age_ms: float,
        service_ms: float,
        queue_ms: float = 0.0,
        busy_ms: float | None = None,
        samples: int = 1,
        dropped: int = 0,
    ) -> Step | None:
        """A result was made; the step that is wanted now, or None.

        Args:
            now_ns: when.
            late: whether its age exceeds the deadline.
            age_ms: from capture to result.
            service_ms: what encoding, engine and decoding took.
            queue_ms: how long the sample waited before.
            busy_ms: from taking the sample before to asking for the next, your own code included; default ``service_ms``.
            samples: captured since the result before, this one included.
            dropped: of those, how many were dropped before their turn.
        """
        gap_s = (now_ns - self._last_ns) * _S
        self._last_ns = now_ns
        if now_ns - age_ms * 1e6 < self._since_ns:
            return None  # captured before the step
        counts_s = gap_s if gap_s < _COUNTS_S else _COUNTS_S
        self._load.add(gap_s, age_ms, service_ms, busy_ms or service_ms, samples)
        if self._load.count == _FEWEST:
            self._compare()
        bad = late or queue_ms > self._queue_ms or (dropped > 0 and self._lossless)
        late_s = self._late_s - self._allowed * counts_s
        if bad and not (self._lossless and self._drains(now_ns, age_ms)):
            late_s += counts_s
            self._bad_services += 1
            self._bad_service_ms += (service_ms - self._bad_service_ms) / self._bad_services
        if late_s > 0.0:
            self._late_s = late_s
        else:
            self._late_s, self._bad_services = 0.0, 0
        if bad:
            if late_s > self._enough_s(now_ns):
                return self._climb(now_ns, "misses", self._why(late, age_ms, queue_ms))
            self._calm_late_s += counts_s
            if self._calm_late_s > 0.5 * self._allowed * (now_ns - self._calm_ns) * _S:
                self._restart_calm(now_ns)
        return self._way_back(now_ns, gap_s) if self.rung else None

    def heat(self, heat: Heat, now_ns: int) -> Step | None:
        """The temperature was read; the step that is wanted now, or None."""
        limit = self.settings.climb_celsius
        if limit is None and heat.throttle_celsius is not None:
            limit = heat.throttle_celsius - self.settings.margin_celsius
        above = -math.inf if heat.celsius is None or limit is None else heat.celsius - limit
        warm = above > -self.settings.cooler_celsius
        self._hot = above >= 0 or (bool(heat.throttled) and (warm or above == -math.inf))
        if self._hot or warm:
            self._cool_ns = None
        elif self._cool_ns is None:
            self._cool_ns = now_ns
        waiting = self.rung and (now_ns - self._stepped_ns) * _S < self.settings.heat_wait_s
        if not self._hot or waiting:
            return None
        hot = (f"{heat.celsius:.1f} degrees Celsius, it climbs from {limit:g} on",) if above >= 0 else ()
        return self._climb(now_ns, "heat", "; ".join((*hot, *heat.throttled)))

    def settled(self, now_ns: int) -> None:
        """The step that was wanted is done, which may have taken a while; the rung is judged from now on."""
        self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        """Judge the rung anew: what was before counts no more."""
        self._since_ns = self._fits_ns = now_ns
        self._late_s, self._bad_services, self._bad_service_ms = 0.0, 0, 0.0
        self._queued: tuple[int, float] | None = None  # the first late result: when, and its age
        self._load = Load()
        self._restart_calm(now_ns)

    def _restart_calm(self, now_ns: int) -> None:
        self._calm_ns, self._calm_count, self._calm_late_s = now_ns, 0, 0.0

    def _step(self, kind: Literal["climbed", "descended"], rung: int, why: str, now_ns: int) -> Step:
        if self._load.count < _FEWEST:
            self._compare()
        self._before, self._before_service_ms = self.rung, self._service_ms()
        self.rung, self._stepped_ns = rung, now_ns
        self._begin(now_ns)
        return Step(kind, rung, f"{why}; now rung {rung} of {len(self.ladder) - 1}: {self.ladder[rung]}")

    # --- up

    def _enough_s(self, now_ns: int) -> float:
        """How much lateness makes it climb: soon after a step it is likelier to be right."""
        return self.settings.climb_after_s * (0.5 if self._soon(now_ns, self._stepped_ns) else 1.0)

    def _service_ms(self) -> float:
        """What is measured now; in an overload not what was before it."""
        return self._bad_service_ms if self._bad_services else self._load.service_ms

    def _drains(self, now_ns: int, age_ms: float) -> bool:
        """Whether what queued up before the step, or while it was taken, becomes less: that is no fault of the rung."""
        if self._queued is None:
            self._queued = now_ns, age_ms
        began_ns, began_ms = self._queued
        fast = _DRAINS_UP if self.rung > self._before else _DRAINS_DOWN
        return age_ms < began_ms - fast * (now_ns - began_ns) * 1e-6

    def _soon(self, now_ns: int, then_ns: int, soon_s: float = _SOON_S) -> bool:
        return (now_ns - then_ns) * _S <= soon_s or self._load.count <= _SOON

    def _why(self, late: bool, age_ms: float, queue_ms: float) -> str:
        if late:
            return (
                f"results are late, the last one was {age_ms:.3g} ms old and the deadline is {self._deadline_ms:g} ms"
            )
        if queue_ms > self._queue_ms:
            return f"samples wait, the last one for {queue_ms:.3g} ms of {self._queue_ms:g} ms allowed"
        return "samples are dropped, none of which may be lost"

    def _climb(self, now_ns: int, cause: Cause, why: str) -> Step | None:
        wanted = self._above(cause)
        if wanted is None:
            self._late_s = 0.0
            self._restart_calm(now_ns)
            said, self._ended = self._ended, True
            return None if said else Step("ladder_ended", self.rung, f"{why}; there is no further rung to climb to")
        if self._descent is not None:
            soon_s = _SOON_S if cause == "misses" else _SOON_HEAT * self.settings.heat_wait_s
            self._judge_descent(soon=self._soon(now_ns, self._descent[0], soon_s))
        self._causes[wanted] = cause
        return self._step("climbed", wanted, why, now_ns)

    def _above(self, cause: Cause) -> int | None:
        """The next rung that can be of use."""
        above = list(range(self.rung + 1, len(self.ladder)))
        if cause == "misses" and self._service_ms() > self._deadline_ms:
            above = [n for n in above if self._runs[n] != self._runs[self.rung]] or above
        return above[0] if above else None

    def _judge_descent(self, *, soon: bool) -> None:
        """The latest descent is over: it failed if that was soon after it, else a failure before it is forgiven."""
        if self._descent is not None:
            key = self._descent[1:]
            self._failed[key] = self._failed[key] + 1 if soon else max(0, self._failed[key] - 1)
            self._descent = None

    # --- down

    def _way_back(self, now_ns: int, gap_s: float) -> Step | None:
        self._calm_count += 1
        below = self.rung - 1
        expected_ms = self._expected_ms(below)
        fits = expected_ms is not None and expected_ms <= self._deadline_ms
        if not fits:
            self._fits_ns = min(now_ns, self._fits_ns + int(_UNFIT * gap_s / _S))
        way = None if self._hot or self._calm_count < _FEWEST else self._way(now_ns, fits=fits)
        if way is None:
            return None
        calm = f"all well for {(now_ns - self._calm_ns) * _S:.3g} s"
        expected = "not known" if expected_ms is None else f"about {expected_ms:.3g} ms"
        if expected_ms == math.inf:
            expected = "without bound, as samples would queue up"
        tried = ", which is tried all the same" if way == "retry" else ""
        self._descent, self._ended = (now_ns, self.rung, way), False
        return self._step("descended", below, f"{calm}, the age to expect below is {expected}{tried}", now_ns)

    def _way(self, now_ns: int, *, fits: bool) -> Way | None:
        """By which way it may come back now."""
        settings = self.settings
        heat_climbed = self._causes.get(self.rung) == "heat"
        if heat_climbed and (
            self._cool_ns is None
            or not self._waited("heat", settings.heat_wait_s, max(self._cool_ns, self._stepped_ns), now_ns)
        ):
            return None
        if fits and self._waited("calm", settings.calm_s, max(self._calm_ns, self._fits_ns), now_ns):
            return "heat" if heat_climbed else "calm"
        if not fits and self._waited("retry", settings.retry_s, self._calm_ns, now_ns, results=_PATIENCE):
            return "retry"
        return None

    def _waited(self, way: Way, wait_s: float, since_ns: int, now_ns: int, *, results: int = 1) -> bool:
        """Whether ``wait_s`` and ``results`` have passed, each doubled for every descent from this rung by this way that failed."""
        doubled = 2.0 ** min(self._failed[self.rung, way], _DOUBLINGS)
        waited_s = (now_ns - since_ns) * _S
        return waited_s >= min(wait_s * doubled, self.settings.longest_wait_s) and self._calm_count >= results * doubled

    def _compare(self) -> None:
        """Learn how long what the two rungs of the latest step run takes in comparison."""
        before, now = self._runs[self._before], self._runs[self.rung]
        before_ms, now_ms = self._before_service_ms, self._load.service_ms
        if before != now and min(before_ms, now_ms) > 0.0:
            self._ratios[before, now], self._ratios[now, before] = before_ms / now_ms, now_ms / before_ms

    def _expected_ms(self, below: int) -> float | None:
        """The age to expect there; None where it is not known."""
        here, there = self.ladder[self.rung], self.ladder[below]
        runs = self._runs[below], self._runs[self.rung]
        ratio = 1.0 if runs[0] == runs[1] else self._ratios.get(runs)
        if ratio is None:
            return None
        return self._load.age_below_ms(ratio, here.run_every, there.run_every, lossless=self._lossless)
