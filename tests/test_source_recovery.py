"""A live source that is away is not taken for one that hangs, however long either lasts."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import edge_sdk.reader
from edge_sdk import Event, Loop, Source, source_from
from edge_sdk.errors import SourceError, SourceLostError
from tests.small_bundles import Numbers, null_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return null_bundle(tmp_path / "null.edge")


class Unplugged(Numbers):
    """Live; gives a sample, is away for some tries, then gives another one ``late_s`` seconds after it is back."""

    live = True

    def __init__(self, tries: int, late_s: float = 0.0) -> None:
        super().__init__(1)
        self.tries, self.late_s = tries, late_s
        self.openings = 0

    def _open(self) -> None:
        self.openings += 1
        if 1 < self.openings <= self.tries:
            raise SourceError("still away")
        self.left = 1

    def _read(self):  # type: ignore[no-untyped-def]
        if not self.left:
            if self.openings == 1:
                raise SourceLostError("the camera was unplugged")
            return None
        if self.openings > 1:
            threading.Event().wait(self.late_s)
        return super()._read()


def run(bundle: Path, source: Source, **settings: float) -> tuple[list[int], list[Event], int]:
    loop = Loop(bundle, source, deadline_ms=1_000, engine="null", isolation="none", **settings)
    with loop:
        sequences = [result.sequence for result in loop]
    return sequences, list(loop.report().events), loop.report().sources_left_behind


def test_being_away_for_longer_than_the_silence_allowed_is_no_hang(bundle: Path) -> None:
    sequences, events, left_behind = run(bundle, Unplugged(tries=6), silence_ms=100)  # away for 0.35 s at least
    assert (sequences, left_behind) == ([0, 1], 0)
    assert [event.kind for event in events] == ["source_lost", "source_back"]
    assert events[1].took_ms is not None and events[1].took_ms > 100


def test_silence_counts_from_the_return(bundle: Path) -> None:
    """Away for 0.35 s at least, then 0.25 s without a sample: longer than the silence allowed, but not by itself."""
    sequences, events, left_behind = run(bundle, Unplugged(tries=6, late_s=0.25), silence_ms=500)
    assert (sequences, left_behind) == ([0, 1], 0)
    assert [event.kind for event in events] == ["source_lost", "source_back"]


class HangsWhenOpenedAgain(Numbers):
    """Live; every one gives a sample; the first is then unplugged, and its driver never comes back from the next opening."""

    live = True
    made = 0
    released = threading.Event()

    def __init__(self) -> None:
        super().__init__(1)
        type(self).made += 1
        self.first = self.made == 1

    def _open(self) -> None:
        if self.first and not self.left:
            self.released.wait()

    def _read(self):  # type: ignore[no-untyped-def]
        if self.first and not self.left:
            raise SourceLostError("the camera was unplugged")
        return super()._read()


def test_an_opening_that_hangs_while_the_source_is_away_is_left_behind(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_sdk.reader, "OPEN_S", 0.2)
    monkeypatch.setattr(edge_sdk.reader, "LONGEST_WAIT_S", 0.1)
    monkeypatch.setattr("edge_sdk.loop.source_from", lambda text: HangsWhenOpenedAgain())
    loop = Loop(bundle, "unplugged:", deadline_ms=1_000, engine="null", isolation="none", silence_ms=100)
    try:
        with loop:
            assert [result.sequence for result in loop] == [0, 1]
    finally:
        HangsWhenOpenedAgain.released.set()
    assert [event.kind for event in loop.report().events] == ["source_lost", "source_hung", "source_back"]
    assert loop.report().sources_left_behind == 1


def test_staying_away_tells_what_happened_how_long_it_was_tried_and_what_is_there_now(bundle: Path) -> None:
    loop = Loop(
        bundle, Unplugged(tries=10**9), deadline_ms=1_000, engine="null", isolation="none", silence_ms=50, reopen_s=0.3
    )
    message = r"the camera was unplugged\. It did not come back within 0\.3 s: still away"
    with loop, pytest.raises(SourceLostError, match=message):
        list(loop)
    assert loop.report().sources_left_behind == 0


class Broken(Numbers):
    """Cannot read the samples of these numbers."""

    def __init__(self, count: int, broken: set[int], *, live: bool) -> None:
        super().__init__(count)
        self.count, self.broken, self.live = count, broken, live

    def _read(self):  # type: ignore[no-untyped-def]
        number = self.count - self.left
        got = super()._read()
        if number in self.broken:
            raise SourceError(f"sample {number} is broken")
        return got


@pytest.mark.parametrize("live", [True, False])
def test_a_sample_that_cannot_be_read_is_lost_and_told_and_reading_goes_on(live: bool, bundle: Path) -> None:
    loop = Loop(bundle, Broken(4, {0, 2}, live=live), deadline_ms=1_000, engine="null", isolation="none")
    with loop:
        sequences = [result.sequence for result in loop]
    counts = loop.report().counts
    assert counts.captured == 4
    assert counts.lost == 2
    assert sequences[-1] == 3
    assert [(e.kind, e.sequence) for e in loop.report().events] == [("bad_sample", 0), ("bad_sample", 2)]


def test_a_source_that_can_read_nothing_is_an_error(bundle: Path) -> None:
    loop = Loop(bundle, Broken(100, set(range(100)), live=False), deadline_ms=1_000, engine="null", isolation="none")
    with loop, pytest.raises(SourceError, match="sample 4 is broken"):
        list(loop)


def test_a_slow_source_that_says_so_is_not_taken_for_hung(bundle: Path) -> None:
    class Slow(Numbers):
        live = True
        period_s = 0.2

        def _read(self):  # type: ignore[no-untyped-def]
            threading.Event().wait(self.period_s)
            return super()._read()

    sequences, events, left_behind = run(bundle, Slow(2), silence_ms=50)
    assert (sequences, events, left_behind) == ([0, 1], [], 0)


def test_a_replay_slower_than_the_silence_allowed_is_not_begun_anew(bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "slow.npy", np.zeros((3, 4), np.int8))
    source = source_from(f"replay:{tmp_path}/slow.npy?rate_hz=4")
    sequences, events, left_behind = run(bundle, source, silence_ms=100)
    assert (sequences, events, left_behind) == ([0, 1, 2], [], 0)


def test_a_video_of_few_frames_states_its_period(carphone: Path) -> None:
    with source_from(f"file:{carphone}?step=100") as source:
        assert source.period_s == pytest.approx(100 / 29.97, rel=0.01)
