"""The loop closed at awkward moments, and sources that come back when nobody waits for them any more."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edge_sdk import Event, Loop
from edge_sdk import climber as climber_module
from edge_sdk import reader as reader_module
from edge_sdk.accounting import Accounting, Counts
from edge_sdk.bad_samples import BadSamples
from edge_sdk.climber import Climber
from edge_sdk.errors import EngineError, SourceError, SourceLostError
from edge_sdk.mailbox import Mailbox
from edge_sdk.reader import Reader
from edge_sdk.runner import Runner
from edge_sdk.sources import Sample, Source
from edge_sdk.watchdog.thermal import Complain, Heat, HeatReader
from tests.small_bundles import Numbers, null_bundle
from tests.supervised import eventually


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return null_bundle(tmp_path / "null.edge")


class Live(Numbers):
    live = True


def test_a_sample_left_after_the_end_is_dropped() -> None:
    dropped: list[bool] = []
    mailbox = Mailbox(on_drop=lambda: dropped.append(True))
    mailbox.end()
    mailbox.put(Sample(np.zeros(1), 0, 0))
    assert len(dropped) == 1
    assert mailbox.drain() == 0


class Resizing(Source):
    """Live: a frame, then one of another size, which is an event in the source's thread."""

    live = True
    edge = 4

    def _open(self) -> None:
        pass

    def _read(self):  # type: ignore[no-untyped-def]
        self.edge *= 2
        return np.full((self.edge, self.edge, 3), 200, np.uint8), "bgr", "", None

    def _close(self) -> None:
        pass


def test_a_handler_in_the_source_s_thread_that_closes_the_loop_leaves_nothing_in_flight() -> None:
    made = threading.Event()

    def close(event: Event) -> None:
        made.wait(5)
        reader.close()

    accounting = Accounting()
    reader = Reader(Resizing, accounting, close, BadSamples(close), reopen_s=1)
    made.set()
    thread = reader._attempt._thread
    while reader.take(5) is not None:
        accounting.settle("on_time")
    thread.join(5)
    counts = accounting.counts()
    assert counts.captured == counts.on_time + counts.dropped
    assert counts.in_flight == 0


class Dead(Live):
    """Is silent from the beginning, and cannot be opened again."""

    def __init__(self) -> None:
        super().__init__(1)
        self.opened = 0
        self.released = threading.Event()

    def _open(self) -> None:
        self.opened += 1
        if self.opened > 1:
            raise SourceError("there is no such camera")

    def _read(self):  # type: ignore[no-untyped-def]
        self.released.wait(20)
        return None


def test_closing_while_a_source_is_opened_again_ends_the_iteration(bundle: Path) -> None:
    source = Dead()
    with Loop(bundle, source, deadline_ms=10, hang_ms=10, silence_ms=50, engine="null", isolation="none") as loop:
        closer = threading.Thread(target=lambda: (eventually(lambda: source.opened > 2), loop.close()))
        closer.start()
        assert list(loop) == []
        closer.join()
        source.released.set()


class Late(Live):
    """Goes away after its first sample; to open it again takes until it is released, from when on nobody waits for it."""

    made: ClassVar[list[Late]] = []

    def __init__(self) -> None:
        super().__init__(10**9)
        self.made.append(self)
        self.released = threading.Event()
        self.opened = self.closed_after = 0

    def _open(self) -> None:
        self.opened += 1
        if self.opened > 1:
            self.released.wait(20)
            self.opened += 1

    def _read(self):  # type: ignore[no-untyped-def]
        if len(self.made) == 1 and self.left < 10**9:
            raise SourceLostError("unplugged")
        time.sleep(0.01)
        return super()._read()

    def _close(self) -> None:
        self.closed_after = self.opened


def test_a_source_that_opens_after_it_was_replaced_is_closed_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Late.made.clear()
    monkeypatch.setattr(reader_module, "OPEN_S", 0.1)
    monkeypatch.setattr(reader_module, "LONGEST_WAIT_S", 0.1)
    events: list[Event] = []
    reader = Reader(Late, Accounting(), events.append, BadSamples(events.append), reopen_s=20)
    first = reader._attempt
    try:
        for _ in range(5):
            assert reader.take(0.1) is not None
        assert len(Late.made) == 2
        Late.made[0].released.set()
        first._thread.join(5)
        assert not first._thread.is_alive()
        assert Late.made[0].closed_after == Late.made[0].opened == 3, "else its device stays in use"
        assert [e.kind for e in events] == ["source_lost", "source_hung", "source_back"]
        assert reader.health.snapshot(time.monotonic_ns()).reopenings == 1
    finally:
        reader.close()


def test_a_source_that_opens_after_it_was_given_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "OPEN_S", 0.1)
    source = Late()
    source.opened = 1  # so that opening it takes time
    with pytest.raises(SourceError, match="did not open within"):
        Reader(lambda: source, Accounting(), print, BadSamples(print), reopen_s=1)
    source.released.set()
    eventually(lambda: source.closed_after == 3)


def test_a_step_is_not_taken_any_more_once_the_loop_is_closed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took: list[int] = []
    monkeypatch.setattr(Climber, "took", lambda self, result, *rest: took.append(result.sequence))
    with Loop(bundle, Numbers(10), deadline_ms=100, engine="null", isolation="none", governor=True) as loop:
        for result in loop:
            if result.sequence == 3:
                loop.close()
    assert took == [0, 1, 2]


def test_a_handler_that_hears_of_the_heat_may_close_the_loop(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = threading.Event()

    def read(self: HeatReader, complain: Complain) -> Heat:
        runs.wait(5)
        complain("zone", "the zone cannot be read")
        return Heat()

    monkeypatch.setattr(HeatReader, "read", read)
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    loop = Loop(
        bundle,
        Live(10**9),
        deadline_ms=100,
        engine="null",
        isolation="none",
        governor=True,
        on_event=lambda event: loop.close(),
    )
    with loop:
        for _ in loop:
            runs.set()
    assert loop.report().event_counts["heat_unknown"] == 1
    assert failures == []


def test_a_temperature_that_hangs_is_told_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(HeatReader, "read", lambda self, complain: released.wait(20) or Heat())
    monkeypatch.setattr(climber_module, "_HANGS_S", 0.05)
    with Loop(bundle, Paced(20), deadline_ms=100, engine="null", isolation="none", governor=True) as loop:
        list(loop)
        released.set()
    assert loop.report().event_counts == {"heat_unknown": 1}


class Paced(Numbers):
    def _read(self):  # type: ignore[no-untyped-def]
        time.sleep(0.01)
        return super()._read()


def test_a_model_that_cannot_begin_anew_costs_that_sample(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gap(Numbers):
        def read(self) -> Sample | None:
            sample = super().read()
            return sample if sample is None else dataclasses.replace(sample, after_gap=sample.sequence == 2)

    resets: list[bool] = []

    def reset(self: Runner) -> None:
        resets.append(True)
        if len(resets) == 1:
            raise EngineError("the variables cannot be set")

    monkeypatch.setattr(Runner, "reset", reset)
    with Loop(bundle, Gap(5), deadline_ms=1_000, engine="null", isolation="none") as loop:
        assert [r.sequence for r in loop] == [0, 1, 3, 4]
    assert loop.report().counts == Counts(captured=5, on_time=4, lost=1)
    assert len(resets) == 2, "it is tried again with the next one"


def test_a_source_and_a_sensor_that_hang_leave_the_sinks_time_to_finish(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor kills what has not ended within 1.5 s."""
    released = threading.Event()
    monkeypatch.setattr(HeatReader, "read", lambda self, complain: released.wait(20) or Heat())
    source = Dead()
    with Loop(bundle, source, deadline_ms=100, engine="null", governor=True):
        began = time.monotonic()
    assert time.monotonic() - began < 1.4
    source.released.set()
    released.set()
