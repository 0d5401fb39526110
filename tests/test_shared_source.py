"""One source, several loops: each has every sample, and what happens to the source reaches them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from edge_sdk import Loop
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.sources import Source
from edge_sdk.sources.shared import SharedSource
from edge_sdk.tensors import Array
from tests.small_bundles import Numbers, null_bundle
from tests.source_contract import SourceContract, read_all

STEP_S = 30.0


class TestOneView(SourceContract):
    count = 6

    @pytest.fixture
    def make(self) -> Iterator[Callable[[], Source]]:
        with ExitStack() as stack:
            yield lambda: stack.enter_context(SharedSource(Counting(6))).view()


class Counting(Source):
    """Gives 0, 1, 2, ... up to ``count``."""

    def __init__(self, count: int) -> None:
        self.count, self.openings, self.next = count, 0, 0

    def _open(self) -> None:
        self.openings += 1
        self.next = 0

    def _read(self) -> tuple[Array, str, str, None] | None:  # type: ignore[override]
        if self.next >= self.count:
            return None
        self.next += 1
        return np.full((1, 4), self.next - 1, np.float32), "bgr", "", None

    def _close(self) -> None:
        self.next = self.count


class Scripted(Source):
    """A live source: gives what a test puts in, raises it if it is an exception, and hangs in between whatever is closed."""

    live = True

    def __init__(self) -> None:
        self.given: Queue[float | Exception | None] = Queue()  # of the present opening, or of the first
        self.openings = self.closings = 0
        self.refuses = False
        self.opens, self.entered = threading.Event(), threading.Event()
        self.opens.set()

    def _open(self) -> None:
        self.openings += 1
        if self.openings > 1:
            self.given = Queue()  # what reads since before waits for the old one
        self.entered.set()
        assert self.opens.wait(STEP_S)
        if self.refuses:
            raise SourceError("it does not open")

    def _read(self) -> tuple[Array, str, str, None] | None:  # type: ignore[override]
        got = self.given.get(timeout=STEP_S)
        if isinstance(got, Exception):
            raise got
        return None if got is None else (np.full((1, 4), got, np.float32), "bgr", "", None)

    def _close(self) -> None:
        self.closings += 1


def value(source: Source) -> float:
    sample = source.read()
    assert sample is not None
    return float(sample.data[0, 0])


def test_every_view_has_every_sample_of_a_file_whoever_is_slower() -> None:
    with SharedSource(Counting(50), views=3) as shared:
        views = [shared.view() for _ in range(3)]
        found: list[list[float]] = [[], [], []]
        threads = [
            threading.Thread(
                target=lambda v=view, f=values: (v.open(), f.extend(float(s.data[0, 0]) for s in read_all(v)))
            )
            for view, values in zip(views, found, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STEP_S)
    assert found == [[float(n) for n in range(50)]] * 3
    assert shared.source.openings == 1


def test_a_view_that_reads_nothing_holds_a_file_and_one_that_leaves_lets_it_go() -> None:
    with SharedSource(Counting(3)) as shared, shared.view() as first:
        second = shared.view()
        second.open()
        got: Queue[float] = Queue()
        reading = threading.Thread(target=lambda: [got.put(float(s.data[0, 0])) for s in read_all(first)])
        reading.start()
        assert got.empty()
        second.close()
        reading.join(STEP_S)
        assert [got.get_nowait() for _ in range(3)] == [0, 1, 2]


def test_a_broken_sample_is_told_to_each_and_reading_goes_on() -> None:
    source = Scripted()
    with SharedSource(source) as shared, shared.view() as one, shared.view() as other:
        source.given.put(1)
        source.given.put(SourceError("a torn frame"))
        source.given.put(2)
        for view in (one, other):
            assert value(view) == 1
            with pytest.raises(SourceError, match="torn"):
                view.read()
            assert value(view) == 2


def test_a_lost_source_is_opened_once_by_whoever_comes_first() -> None:
    source = Scripted()
    with SharedSource(source) as shared, shared.view() as one, shared.view() as other:
        source.given.put(SourceLostError("unplugged"))
        for view in (one, other):
            with pytest.raises(SourceLostError, match="unplugged"):
                view.read()
            view.close()
        source.refuses = True
        with pytest.raises(SourceError, match="does not open"):
            one.open()
        one.close()
        source.refuses = False
        for view in (one, other):
            view.open()
        source.given.put(7)
        assert [value(one), value(other)] == [7, 7]
        assert source.openings == 3


def test_a_silent_source_is_opened_anew_and_what_the_old_one_gives_is_not_taken() -> None:
    source = Scripted()
    with SharedSource(source) as shared, shared.view() as one, shared.view() as other:
        source.given.put(1)
        assert [value(one), value(other)] == [1, 1]
        old = source.given
        one.close()  # the other has it still
        one.open()
        assert source.openings == 1
        one.close()
        one.open()  # nobody had a sample since: it hangs
        assert source.openings == 2
        old.put(99)  # the thread that hung comes back with this
        source.given.put(2)
        assert [value(one), value(other)] == [2, 2]


def test_a_source_that_hangs_while_it_opens_is_opened_anew() -> None:
    source = Scripted()
    source.opens.clear()
    with SharedSource(source) as shared:
        view = shared.view()
        refused: Queue[Exception] = Queue()

        def first() -> None:
            try:
                view.open()
            except SourceError as exc:
                refused.put(exc)

        hanging = threading.Thread(target=first)
        hanging.start()
        assert source.entered.wait(STEP_S)
        view.close()
        second = threading.Thread(target=view.open)
        second.start()
        assert refused.get(timeout=STEP_S)
        source.opens.set()
        second.join(STEP_S)
        assert source.openings == 2
        source.given.put(5)
        assert value(view) == 5
        view.close()


def test_the_last_view_closes_the_source_and_closing_all_ends_every_view() -> None:
    source = Scripted()
    shared = SharedSource(source)
    one, other = shared.view(), shared.view()
    one.open()
    other.open()
    one.close()
    assert source.closings == 0
    other.close()
    assert source.closings == 1
    one.open()
    shared.close()
    assert one.read() is None
    with pytest.raises(SourceError, match="closed"):
        other.open()
    source.given.put(None)


def test_two_models_run_on_one_source(tmp_path: Path) -> None:
    bundles = [null_bundle(tmp_path / f"{name}.edge") for name in "ab"]
    with SharedSource(Numbers(20)) as shared, ExitStack() as stack:
        loops = [
            stack.enter_context(Loop(bundle, shared.view(), deadline_ms=10_000, isolation="none")) for bundle in bundles
        ]
        results: list[list[int]] = [[], []]
        threads = [
            threading.Thread(target=lambda lp=loop, r=found: r.extend(result.sequence for result in lp))
            for loop, found in zip(loops, results, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STEP_S)
        assert results == [list(range(20))] * 2
        assert [loop.report().counts.captured for loop in loops] == [20, 20]
