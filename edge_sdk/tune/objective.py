"""What is wanted: by default the fastest that is as accurate as what would run unasked; with a deadline the most accurate that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.worth import Worth, shared_figure, worth_of
from edge_sdk.tune.race import Entry

_EVEN = 1.05  # so close are as good as even: then the one that takes fewer threads is taken


@dataclass(frozen=True)
class Objective:
    """What decides.

    Attributes:
        deadline_ms: the most accurate variant whose p95 keeps it; None for the fastest.
        max_drop: how much less accurate than the bundle's first variant the fastest may be, as a share (0.01 is one point of a percentage).
        any_model: whether variants of other models, added by ``edge-sdk bundle add``, take part as the bundle's own do.
    """

    deadline_ms: float | None = None
    max_drop: float = 0.01
    any_model: bool = False

    def __str__(self) -> str:
        if self.deadline_ms is not None:
            return f"the most accurate with a p95 within {self.deadline_ms:g} ms"
        return f"the fastest that loses at most {self.max_drop:.2%} against the bundle's first variant"


class Judge:
    """Says who takes part and who wins.

    Args:
        bundle: the bundle.
        objective: what is wanted.
        reference: the variant that would run unasked.
    """

    def __init__(self, bundle: Bundle, objective: Objective, reference: Variant) -> None:
        self.objective = objective
        self._variants, self._reference, self._worth = bundle.manifest.variants, reference, worth_of(bundle)
        self._model_of = {each.id: (each.contract, each.golden_inputs, each.measured) for each in self._variants}

    def admitted(self) -> tuple[list[Variant], dict[str, str]]:
        """The variants that take part, and by variant, why others do not."""
        found, out = [], {}
        for variant in self._variants:
            if self._is_other(variant) and not self.objective.any_model:
                out[variant.id] = "of another model: --any-model lets it take part"
            elif self.objective.deadline_ms is None and (why := self._loses(variant)):
                out[variant.id] = why
            else:
                found.append(variant)
        return found, out

    def others(self) -> list[Variant]:
        """Variants of other models, which take part when nothing else keeps the deadline."""
        if self.objective.deadline_ms is None or self.objective.any_model:
            return []
        return [variant for variant in self._variants if self._is_other(variant)]

    def fitting(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that keep the deadline, if there is one."""
        most = self.objective.deadline_ms
        return [
            e for e in entries if _ran(e) and (most is None or (e.contender is not None and e.contender.p95_ms <= most))
        ]

    def winner(self, entries: Sequence[Entry]) -> tuple[Entry, str] | None:
        """The winner and why it is; None if none ran."""
        ran = [entry for entry in entries if _ran(entry)]
        if not ran:
            return None
        if self.objective.deadline_ms is None:
            return _fastest(ran), f"the fastest of {_count(entries)}{self._accuracy_note(_fastest(ran))}"
        fitting = self.fitting(ran)
        if not fitting:
            return _fastest(ran), f"the fastest: no p95 is within {self.objective.deadline_ms:g} ms"
        best = fitting[0].candidate.variant
        for entry in fitting:
            if self._is_better(entry.candidate.variant, best):
                best = entry.candidate.variant
        even = [e for e in fitting if not self._is_better(best, e.candidate.variant)]
        known = "most accurate" if self._worth.get(best.id) else "fastest, as no accuracy was measured, of those"
        return _fastest(even), f"the {known} with a p95 within {self.objective.deadline_ms:g} ms"

    def _is_other(self, variant: Variant) -> bool:
        return self._model_of[variant.id] != self._model_of[self._reference.id]

    def _is_better(self, one: Variant, other: Variant) -> bool:
        """Whether it is known to be more accurate; one whose accuracy is known goes before one whose is not."""
        mine, its = self._worth.get(one.id, {}), self._worth.get(other.id, {})
        shared = shared_figure(mine, its)
        if shared is None:
            return bool(mine) and not its
        _, here, there = shared
        return there.drop_from(here) > 0

    def _loses(self, variant: Variant) -> str:
        """Why it is not accurate enough; empty if it is, or nothing is known."""
        shared = self._shared(variant)
        if shared is None:
            return ""
        name, here, there = shared
        drop = here.drop_from(there)
        if drop <= self.objective.max_drop:
            return ""
        return f"{name} {here} against {there} of {self._reference.id}: {drop:.2%} worse, {self.objective.max_drop:.2%} are allowed"

    def _shared(self, variant: Variant) -> tuple[str, Worth, Worth] | None:
        worth: Mapping[str, dict[str, Worth]] = self._worth
        return shared_figure(worth.get(variant.id, {}), worth.get(self._reference.id, {}))

    def _accuracy_note(self, entry: Entry) -> str:
        variant = entry.candidate.variant
        known = variant.id == self._reference.id or self._shared(variant) is not None
        return (
            ""
            if known
            else f"; its accuracy beside {self._reference.id} was not measured, but it reproduces its golden vectors"
        )


def _ran(entry: Entry) -> bool:
    return entry.contender is not None and not entry.failed and bool(entry.contender.blocks)


def _count(entries: Sequence[Entry]) -> str:
    ran = sum(map(_ran, entries))
    return f"{ran} measured"


def _fastest(entries: Sequence[Entry]) -> Entry:
    """By the lower quartile; of those that are even with it, the one of fewest threads. Those that came to the end of the race go first."""
    last = [entry for entry in entries if not entry.out] or list(entries)
    times = {id(entry): entry.contender.p25_ms for entry in last if entry.contender is not None}
    limit = _EVEN * min(times.values())
    even = [entry for entry in last if times[id(entry)] <= limit]
    return min(even, key=lambda entry: (entry.candidate.threads, times[id(entry)]))
