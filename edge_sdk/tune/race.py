"""Many candidates, little time: each newcomer races the best so far, then those that are left race round by round.

Blocks of all that are compared are interleaved, and each is judged by its ratio to the best of the same moment: drift and throttling hit
all alike. It follows the idea of successive halving (Jamieson and Talwalkar, arXiv:1502.07943): the budget goes to those that may win.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from edge_sdk.errors import EdgeSdkError
from edge_sdk.tune.candidates import Candidate
from edge_sdk.tune.contender import Contender

_SCREEN_S, _BLOCK_S = 0.1, 0.2  # length of a newcomer's block, and of a round's
_FAR = 1.5  # a newcomer so many times slower than the best has no part in the rounds
_ROUNDS = 12
_ALONE = 3  # rounds for those that nobody races
_BEHIND = {2: 1.2, 4: 1.1, 8: 1.05}  # from this round on, one that was never within this of the best is out
_SCREENING = 0.6  # share of the budget that newcomers may take
_FINALISTS = 6  # so many models are in memory at once, and a newcomer
_SURE = 1.25  # so many times the ideal gain of more threads is allowed for


@dataclass
class Entry:
    """What became of a candidate.

    Attributes:
        contender: as measured; None if it never ran. It is closed when the race is over.
        out: why it is no longer in the race; empty of those that came to its end.
        failed: it cannot run, or is wrong.
    """

    candidate: Candidate
    contender: Contender | None = None
    out: str = ""
    failed: bool = False


class Race:
    """Measures candidates.

    Args:
        open_: starts one.
        left_s: what is left of the budget, in seconds; all of it before the race.
        by_variant: whether the best of each variant is wanted, not of all together.
        say: told what is going on.
    """

    def __init__(
        self,
        open_: Callable[[Candidate], Contender],
        left_s: Callable[[], float],
        *,
        by_variant: bool,
        say: Callable[[str], None],
    ) -> None:
        self._open, self._left_s, self._by_variant, self._say = open_, left_s, by_variant, say
        self._budget_s = left_s()
        self._random = Random(0)  # noqa: S311 - of the order in a round

    def run(self, candidates: Sequence[Candidate]) -> list[Entry]:
        """What became of each.

        Raises:
            LoopGone: as the pace does.
        """
        entries = [Entry(each) for each in candidates]
        try:
            self._screen(entries)
            self._rounds(entries)
        finally:
            for entry in entries:
                self._close(entry)
        return entries

    def _screen(self, entries: list[Entry]) -> None:
        for number, entry in enumerate(entries, start=1):
            self._say(f"{number}/{len(entries)} {entry.candidate.name}")
            plain = next((e for e in entries if e.candidate.variant.id == entry.candidate.variant.id), entry)
            if plain is not entry and plain.failed:
                entry.failed, entry.out = True, plain.out
                continue
            entry.out = self._hopeless(entry, plain, entries)
            if entry.out:
                continue
            if self._left_s() < (1 - _SCREENING) * self._budget_s:
                entry.out = "not measured: the budget was spent"
                continue
            self._meet(entry, entries)

    def _hopeless(self, entry: Entry, plain: Entry, entries: list[Entry]) -> str:
        """Why more threads cannot bring it to the front; empty if they may."""
        best = self._best(entry, entries)
        if plain is entry or plain.contender is None or best is None or best.contender is None:
            return ""
        gain = entry.candidate.threads / plain.candidate.threads
        ahead = plain.contender.p50_ms / best.contender.p50_ms
        if ahead <= _SURE * gain:
            return ""
        return f"not measured: {ahead:.1f}x behind with {plain.candidate.threads} thread{'s' * (plain.candidate.threads > 1)}"

    def _meet(self, entry: Entry, entries: list[Entry]) -> None:
        """Open it and let it race the best so far."""
        best = self._best(entry, entries)
        try:
            entry.contender = self._open(entry.candidate)
            if entry.contender.is_wrong:
                entry.failed, entry.out = True, "wrong: it does not reproduce the golden vectors"
            else:
                ms = entry.contender.block(_SCREEN_S)
        except EdgeSdkError as exc:
            entry.failed, entry.out = True, str(exc)
        if entry.failed or entry.contender is None:
            self._close(entry)
            return
        if best is None or (best_ms := self._block(best, _SCREEN_S)) is None:
            return
        if ms > _FAR * best_ms:
            self._drop(entry, f"{ms / best_ms:.1f}x as slow as {best.candidate.name}")
        elif ms * _FAR < best_ms:
            self._drop(best, f"{best_ms / ms:.1f}x as slow as {entry.candidate.name}")
        self._make_room(self._peers(entry, entries))

    def _make_room(self, peers: list[Entry]) -> None:
        """The slowest leaves where too many are open."""
        most = 2 if self._by_variant else _FINALISTS
        ordered = sorted(peers, key=lambda each: each.contender.p50_ms if each.contender else 0.0)
        for each in ordered[most:]:
            self._drop(each, f"slower than {ordered[0].candidate.name}")

    def _rounds(self, entries: list[Entry]) -> None:
        ratios: dict[int, list[float]] = {}
        for number in range(1, _ROUNDS + 1):
            racing = [entry for entry in entries if not entry.out]
            if not racing or self._left_s() <= 0 or (number > _ALONE and self._is_decided(racing, entries)):
                return
            self._say(f"round {number} of {_ROUNDS}: {len(racing)} left")
            self._random.shuffle(racing)
            took: dict[int, float] = {}
            for entry in racing:
                if (ms := self._block(entry, min(_BLOCK_S, max(self._left_s() / len(racing), 0.01)))) is not None:
                    took[id(entry)] = ms
            for entry in racing:
                if not entry.out:
                    best_ms = min(took[id(peer)] for peer in self._peers(entry, entries))
                    ratios.setdefault(id(entry), []).append(took[id(entry)] / best_ms)
            self._drop_behind(entries, ratios, number)

    def _is_decided(self, racing: list[Entry], entries: list[Entry]) -> bool:
        return all(len(self._peers(entry, entries)) == 1 for entry in racing)

    def _drop_behind(self, entries: list[Entry], ratios: dict[int, list[float]], number: int) -> None:
        allowed = next((most for after, most in reversed(_BEHIND.items()) if number >= after), None)
        for entry in [each for each in entries if not each.out and allowed is not None]:
            peers = self._peers(entry, entries)
            best = min(peers, key=lambda peer: float(np.median(ratios[id(peer)])))
            if len(peers) > 1 and best is not entry and allowed is not None and min(ratios[id(entry)]) > allowed:
                behind = float(np.median(ratios[id(entry)]))
                self._drop(entry, f"{behind:.2f}x as slow as {best.candidate.name}")

    def _block(self, entry: Entry, seconds: float) -> float | None:
        """The median of a block; None where the engine failed, which puts it out."""
        if entry.contender is None:
            return None
        try:
            return entry.contender.block(seconds)
        except EdgeSdkError as exc:
            entry.failed, entry.out = True, str(exc)
            self._close(entry)
            return None

    def _peers(self, entry: Entry, entries: list[Entry]) -> list[Entry]:
        """Those still in the race that it is compared with, itself too."""
        return [
            each
            for each in entries
            if each.contender is not None
            and not each.out
            and (not self._by_variant or each.candidate.variant.id == entry.candidate.variant.id)
        ]

    def _best(self, entry: Entry, entries: list[Entry]) -> Entry | None:
        peers = [each for each in self._peers(entry, entries) if each.contender and each.contender.blocks]
        return min(peers, key=lambda each: each.contender.p50_ms if each.contender else 0.0, default=None)

    def _drop(self, entry: Entry, why: str) -> None:
        entry.out = why
        self._close(entry)

    @staticmethod
    def _close(entry: Entry) -> None:
        if entry.contender is not None:
            entry.contender.close()
