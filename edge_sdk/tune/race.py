"""Many candidates, little time: each newcomer races the best so far, then those that are left race round by round.

Blocks of all that are compared are interleaved, so that drift and throttling hit all alike; who leaves was behind another in each of them.
It follows the idea of successive halving (Jamieson and Talwalkar, arXiv:1502.07943): the budget goes to those that may win.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from edge_sdk.errors import EdgeSdkError
from edge_sdk.tune.candidates import Candidate
from edge_sdk.tune.contender import Block, Contender

_SCREEN_S, _BLOCK_S = 0.1, 0.2  # length of a newcomer's block, and of a round's
_PAIRS = 2  # of blocks, of a newcomer and the best
_FAR = 1.5  # a newcomer so many times slower than the best has no part in the rounds
_ROUNDS = 10
_ALONE = 3  # rounds for those that nobody races
_BEHIND = {2: 1.2, 4: 1.1, 8: 1.05}  # from this round on, one that was never within this of the best is out
_SCREENING = (
    0.6,
    0.8,
)  # of the budget is spent when no more newcomers are met; the second time those are met again that left
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
            for share in _SCREENING:
                self._screen(entries, (1 - share) * self._budget_s)
                self._rounds(entries)
        finally:
            for entry in entries:
                self._close(entry)
        return entries

    def _screen(self, entries: list[Entry], keep_s: float) -> None:
        """Let those race the best that are not in the race yet, or no more: a burst of other programs may have put them out."""
        for number, entry in enumerate(entries, start=1):
            if entry.failed or (entry.contender is not None and not entry.out):
                continue
            plain = next(e for e in entries if e.candidate.place == entry.candidate.place)
            if plain is not entry and plain.failed:
                entry.failed, entry.out = True, plain.out
            elif why := self._hopeless(entry, plain, entries):
                entry.out = why
            elif self._left_s() < keep_s:
                entry.out = entry.out or "not measured: the budget was spent"
            else:
                self._say(f"{number}/{len(entries)} {entry.candidate.name}")
                self._meet(entry, entries)

    def _hopeless(self, entry: Entry, plain: Entry, entries: list[Entry]) -> str:
        """Why more threads cannot bring it to the front; empty if they may."""
        best = self._best(entry, entries)
        if plain is entry or plain.contender is None or best is None or best.contender is None:
            return ""
        gain = entry.candidate.threads / plain.candidate.threads
        ahead = plain.contender.floor_ms / best.contender.floor_ms
        if ahead <= _SURE * gain:
            return ""
        return f"not measured: {ahead:.1f}x behind with {plain.candidate.threads} thread{'s' * (plain.candidate.threads > 1)}"

    def _meet(self, entry: Entry, entries: list[Entry]) -> None:
        """Open it and let it race the best so far."""
        best = self._best(entry, entries)
        entry.out = ""
        try:
            entry.contender = self._open(entry.candidate)
            if entry.contender.is_wrong:
                entry.failed, entry.out = True, "wrong: it does not reproduce the golden vectors"
        except EdgeSdkError as exc:
            entry.failed, entry.out = True, str(exc)
        if entry.failed or entry.contender is None:
            self._close(entry)
            return
        self._duel(entry, best)
        self._make_room(self._peers(entry, entries))

    def _duel(self, entry: Entry, best: Entry | None) -> None:
        """The newcomer against the best so far: the one that is far behind in each pair of blocks leaves."""
        pairs = []
        for _ in range(_PAIRS):
            mine, its = self._block(entry, _SCREEN_S), None if best is None else self._block(best, _SCREEN_S)
            if mine is not None and its is not None:
                pairs.append((mine, its))
        if best is None or entry.out or best.out or not pairs:
            return
        behind, ahead = min(mine.behind(its) for mine, its in pairs), min(its.behind(mine) for mine, its in pairs)
        if behind > _FAR:
            self._drop(entry, f"{behind:.1f}x as slow as {best.candidate.name}")
        elif ahead > _FAR:
            self._drop(best, f"{ahead:.1f}x as slow as {entry.candidate.name}")

    def _make_room(self, peers: list[Entry]) -> None:
        """The slowest leaves where too many are open."""
        most = 2 if self._by_variant else _FINALISTS
        ordered = sorted(peers, key=lambda each: each.contender.floor_ms if each.contender else 0.0)
        for each in ordered[most:]:
            self._drop(each, f"slower than {ordered[0].candidate.name}")

    def _rounds(self, entries: list[Entry]) -> None:
        rounds: dict[int, list[Block]] = {id(entry): [] for entry in entries}
        for number in range(1, _ROUNDS + 1):
            racing = [entry for entry in entries if not entry.out]
            if not racing or self._left_s() <= 0 or (number > _ALONE and self._is_decided(racing, entries)):
                return
            self._say(f"round {number} of {_ROUNDS}: {len(racing)} candidate{'s' * (len(racing) != 1)} left")
            self._random.shuffle(racing)
            for entry in racing:
                seconds = min(_BLOCK_S, max(self._left_s() / len(racing), 0.01))
                if (block := self._block(entry, seconds)) is not None:
                    rounds[id(entry)].append(block)
            self._drop_behind(entries, rounds, number)

    def _is_decided(self, racing: list[Entry], entries: list[Entry]) -> bool:
        return all(len(self._peers(entry, entries)) == 1 for entry in racing)

    def _drop_behind(self, entries: list[Entry], rounds: dict[int, list[Block]], number: int) -> None:
        """Those go that another was ahead of in each round."""
        allowed = next((most for after, most in reversed(_BEHIND.items()) if number >= after), None)
        for entry in [each for each in entries if not each.out and allowed is not None]:
            for peer in self._peers(entry, entries):
                pairs = zip(rounds[id(entry)], rounds[id(peer)], strict=True)
                behind = min(mine.behind(its) for mine, its in pairs)
                if allowed is not None and behind > allowed:
                    self._drop(entry, f"{behind:.2f}x as slow as {peer.candidate.name}, or more")
                    break

    def _block(self, entry: Entry, seconds: float) -> Block | None:
        """One block of it; None where the engine failed, which puts it out."""
        if entry.contender is None or entry.out:
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
        return min(peers, key=lambda each: each.contender.floor_ms if each.contender else 0.0, default=None)

    def _drop(self, entry: Entry, why: str) -> None:
        entry.out = why
        self._close(entry)

    @staticmethod
    def _close(entry: Entry) -> None:
        if entry.contender is not None:
            entry.contender.close()
