"""The loop: results on time or late, every sample accounted for, hangs recovered from, sources that go away."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import Engine, Event, Loop
from edge_sdk.accounting import Counts
from edge_sdk.engines.faulty import order_fault
from edge_sdk.errors import (
    BundleError,
    ConfigError,
    ContractError,
    EngineCrashError,
    EngineError,
    OutputError,
    SourceError,
    SourceLostError,
)
from edge_sdk.result import Result
from edge_sdk.sinks import Sink
from edge_sdk.sources import Sample
from edge_sdk.watchdog.recovery import EngineRecovery
from tests.processes import descendants, open_descriptors
from tests.small_bundles import Numbers, null_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return null_bundle(tmp_path / "null.edge")


def settled(counts: Counts) -> bool:
    ends = counts.on_time + counts.late + counts.dropped + counts.skipped + counts.lost
    return counts.captured == ends + counts.in_flight


def test_every_sample_becomes_a_result(bundle: Path) -> None:
    with Loop(bundle, Numbers(20), deadline_ms=10_000, engine="null") as loop:
        results = list(loop)
    assert [r.sequence for r in results] == list(range(20))
    assert loop.report().counts == Counts(captured=20, on_time=20)
    assert all(not r.late and r.dropped_before == 0 and r.age_ms > 0 and r.variant == "null" for r in results)


def test_stages_add_up_to_the_age(bundle: Path) -> None:
    with Loop(bundle, Numbers(1), deadline_ms=10_000, engine="null", engine_options={"wait_ms": "30"}) as loop:
        (result,) = loop
    assert result.stages.engine_ms >= 30
    assert sum(dataclasses.astuple(result.stages)) == pytest.approx(result.age_ms, rel=0.1)


def test_a_late_result_is_given_and_marked(bundle: Path) -> None:
    with Loop(bundle, Numbers(3), deadline_ms=5, engine="null", engine_options={"wait_ms": "20"}) as loop:
        assert [r.late for r in loop] == [True] * 3
    report = loop.report()
    assert report.counts.late == 3
    assert report.miss_ratio == 1


def test_results_are_frozen(bundle: Path) -> None:
    with Loop(bundle, Numbers(1), deadline_ms=100, engine="null", isolation="none") as loop:
        (result,) = loop
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.late = True  # type: ignore[misc]


class Flood(Numbers):
    """A live source that never waits, so that the loop cannot keep up."""

    live = True


def test_a_live_source_drops_old_frames_and_counts_them(bundle: Path) -> None:
    with Loop(bundle, Flood(5_000), deadline_ms=1_000, engine="null", engine_options={"wait_ms": "1"}) as loop:
        results = []
        for result in loop:
            results.append(result)
            assert settled(loop.report().counts)
    counts = loop.report().counts
    assert counts.captured == 5_000
    assert counts.dropped > 0
    assert counts.in_flight == counts.lost == 0
    assert counts.on_time + counts.late == len(results)
    assert sum(r.dropped_before for r in results) == results[-1].sequence + 1 - len(results)


def test_leaving_in_the_middle_leaves_nothing(bundle: Path) -> None:
    before = open_descriptors(), descendants(), threading.active_count()
    with Loop(bundle, Flood(10**9), deadline_ms=1_000, engine="null") as loop:
        next(iter(loop))
    assert (open_descriptors(), descendants(), threading.active_count()) == before
    counts = loop.report().counts
    assert settled(counts)
    assert counts.in_flight == 0


@pytest.mark.parametrize("order", ["hang", "crash", "stop"])
def test_one_fault_costs_one_sample_and_is_reported(order: str, bundle: Path, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    options = {"orders": str(orders), "inner": "null"}
    with Loop(bundle, Numbers(10), deadline_ms=100, hang_ms=200, engine="faulty", engine_options=options) as loop:
        sequences = []
        for result in loop:
            sequences.append(result.sequence)
            if result.sequence == 4:
                order_fault(orders, order)
    assert sequences == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    report = loop.report()
    assert report.counts.lost == 1
    (recovery,) = report.recoveries
    assert recovery.kind == ("crash" if order == "crash" else "hang")
    assert recovery.sequence == 5
    assert [e.kind for e in report.events] == [recovery.kind, "recovered"]


def test_a_fault_that_stays_ends_the_loop_loudly(bundle: Path, tmp_path: Path) -> None:
    orders = tmp_path / "orders"

    def again(event: Event) -> None:
        order_fault(orders, "crash")

    options = {"orders": str(orders), "inner": "null"}
    loop = Loop(bundle, Numbers(100), deadline_ms=100, engine="faulty", engine_options=options, on_event=again)
    with loop, pytest.raises(EngineError, match=r"5 times in a row.*SIGSEGV"):
        order_fault(orders, "crash")
        list(loop)
    counts = loop.report().counts
    assert counts.lost == 5
    assert counts.in_flight == 0


class Vanishing(Numbers):
    """Live; goes away after so many samples, and can be opened again only after so many tries."""

    live = True

    def __init__(self, count: int, tries: int) -> None:
        super().__init__(count)
        self.tries = tries
        self.gone = False

    def _open(self) -> None:
        if self.gone:
            self.tries -= 1
            if self.tries > 0:
                raise SourceError("still away")
            self.gone, self.left = False, 1

    def _read(self):  # type: ignore[no-untyped-def]
        from edge_sdk.errors import SourceLostError

        if not self.left and self.tries > 0:
            self.gone = True
            raise SourceLostError("camera:0 went away")
        return super()._read()


def test_a_source_that_comes_back_goes_on(bundle: Path) -> None:
    with Loop(bundle, Vanishing(1, tries=2), deadline_ms=1_000, engine="null", isolation="none") as loop:
        assert [r.sequence for r in loop] == [0, 1]
    assert [e.kind for e in loop.report().events] == ["source_lost", "source_back"]


def test_a_source_that_stays_away_is_an_error_after_its_time(bundle: Path) -> None:
    loop = Loop(bundle, Vanishing(1, tries=10**9), deadline_ms=1_000, engine="null", isolation="none", reopen_s=0.3)
    seen = []
    with loop, pytest.raises(SourceLostError, match="camera:0 went away"):
        for result in loop:
            seen.append(result.sequence)
    assert seen == [0]


class Hanging(Numbers):
    """Live; hangs in its first life after one sample."""

    live = True
    lives = 0
    released = threading.Event()

    def _open(self) -> None:
        type(self).lives += 1
        self.life = self.lives

    def _read(self):  # type: ignore[no-untyped-def]
        if self.life == 1 and self.left == 1:
            self.released.wait()
        return super()._read()


def test_a_source_that_hangs_is_left_behind_and_opened_anew(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sdk.loop.source_from", lambda text: Hanging(2))
    with Loop(bundle, "hanging:", deadline_ms=100, silence_ms=200, engine="null", isolation="none") as loop:
        sequences = [r.sequence for r in loop]
        Hanging.released.set()
    assert (sequences[0], sequences[-1]) == (0, 2)  # sample 1 may have given way to sample 2
    report = loop.report()
    assert report.sources_left_behind == 1
    assert [e.kind for e in report.events] == ["source_hung", "source_back"]


class Misshapen(Numbers):
    """Gives three numbers in place of four, at the places where ``bad`` says so."""

    def __init__(self, bad: list[bool]) -> None:
        super().__init__(len(bad))
        self.bad = bad

    def _read(self):  # type: ignore[no-untyped-def]
        got = super()._read()
        return got if got is None or not self.bad[-self.left - 1] else (np.zeros(3), *got[1:])


def test_a_bad_sample_is_lost_and_told_and_the_loop_goes_on(bundle: Path) -> None:
    source = Misshapen([False, True, False])
    with Loop(bundle, source, deadline_ms=1_000, engine="null", isolation="none") as loop:
        assert [r.sequence for r in loop] == [0, 2]
    assert loop.report().counts == Counts(captured=3, on_time=2, lost=1)
    (event,) = loop.report().events
    assert (event.kind, event.sequence) == ("bad_sample", 1)
    assert "takes shape (1, 4); found (3,)" in event.message


@pytest.mark.parametrize(("bad", "lost"), [([True], 1), ([False] + [True] * 9, 5)])
def test_a_source_of_nothing_but_bad_samples_is_an_error(bad: list[bool], lost: int, bundle: Path) -> None:
    loop = Loop(bundle, Misshapen(bad), deadline_ms=1_000, engine="null", isolation="none")
    with loop, pytest.raises(ContractError, match=r"takes shape \(1, 4\); found \(3,\)"):
        list(loop)
    assert loop.report().counts.lost == lost


def test_capture_times_of_another_clock_are_refused(bundle: Path) -> None:
    class WallClock(Numbers):
        def _read(self):  # type: ignore[no-untyped-def]
            return np.zeros(4, np.int8), "bgr", "", time.time_ns()

    loop = Loop(bundle, WallClock(1), deadline_ms=1_000, engine="null", isolation="none")
    with loop, pytest.raises(SourceError, match="monotonic_ns"):
        list(loop)


def test_a_loop_runs_once_and_only_after_it_was_entered(bundle: Path) -> None:
    loop = Loop(bundle, Numbers(1), deadline_ms=1_000, engine="null", isolation="none")
    with pytest.raises(ConfigError, match="enter it first"):
        next(iter(loop))
    with pytest.raises(ConfigError, match="enter it first"):
        loop.report()
    with loop:
        list(loop)
    with pytest.raises(ConfigError, match="runs once"), loop:
        pass


def test_an_exception_out_of_a_signal_handler_costs_one_sample(bundle: Path) -> None:
    class Alarm(Exception):
        pass

    def ring(number: int, frame: object) -> None:
        raise Alarm

    old = signal.signal(signal.SIGALRM, ring)
    options = {"wait_ms": "100"}
    try:
        with Loop(bundle, Numbers(4), deadline_ms=1_000, engine="null", engine_options=options) as loop:
            results = [next(iter(loop))]
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Alarm):
                next(iter(loop))
            results += list(loop)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert [r.sequence for r in results] == [0, 3]
    assert [e.kind for e in loop.report().events] == ["crash", "recovered"]


def test_closing_from_another_thread_ends_the_iteration(bundle: Path) -> None:
    before = open_descriptors(), descendants()
    for _ in range(10):
        with Loop(bundle, Flood(10**9), deadline_ms=1_000, engine="null", engine_options={"wait_ms": "1"}) as loop:
            closer = threading.Thread(target=loop.close)
            for result in loop:
                if result.sequence >= 0 and closer.ident is None:
                    closer.start()
            closer.join()
        counts = loop.report().counts
        assert settled(counts)
        assert counts.in_flight == 0
    assert (open_descriptors(), descendants()) == before


class Reluctant(Engine):
    """Cannot be restarted the first so many times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def run(self) -> tuple[np.ndarray, ...]:
        raise EngineCrashError("SIGBUS")

    def restart(self) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise EngineError("the device is not there yet")


def test_a_restart_that_fails_is_tried_again_with_pauses() -> None:
    events: list[Event] = []
    recovery = EngineRecovery(Reluctant(2), events.append, patience_s=30, stop=threading.Event())
    recovery.failed(EngineCrashError("SIGBUS"), 7)
    assert [e.kind for e in events] == ["crash", "restart_failed", "restart_failed", "recovered"]
    assert recovery.recoveries[0].took_ms > 100


def test_a_restart_that_keeps_failing_is_given_up_with_its_reason() -> None:
    recovery = EngineRecovery(Reluctant(10**9), lambda event: None, patience_s=0.2, stop=threading.Event())
    with pytest.raises(EngineError, match=r"within 0\.2 s: the device is not there yet"):
        recovery.failed(EngineCrashError("SIGBUS"), 7)


def test_a_process_left_behind_is_told_once() -> None:
    events: list[Event] = []
    engine = Reluctant(0)
    recovery = EngineRecovery(engine, events.append, patience_s=30, stop=threading.Event())
    engine.abandoned = 1
    recovery.failed(EngineCrashError("SIGBUS"), 7)
    recovery.failed(EngineCrashError("SIGBUS"), 8)
    assert [e.kind for e in events] == ["crash", "abandoned", "recovered", "crash", "recovered"]


def test_a_restart_is_not_tried_any_more_once_the_loop_is_closed() -> None:
    stop = threading.Event()
    events: list[Event] = []

    def close(event: Event) -> None:
        events.append(event)
        stop.set()

    EngineRecovery(Reluctant(10**9), close, patience_s=30, stop=stop).failed(EngineCrashError("SIGBUS"), 7)
    assert [e.kind for e in events] == ["crash"]


@pytest.mark.parametrize("kind", ["hang", "source_lost"])
def test_an_event_handler_may_close_the_loop(kind: str, bundle: Path, tmp_path: Path) -> None:
    before = open_descriptors(), descendants()
    orders = tmp_path / "orders"

    def close(event: Event) -> None:
        loop.close()

    source = Numbers(10) if kind == "hang" else Vanishing(1, tries=10**9)
    options = {"orders": str(orders), "inner": "null"}
    loop = Loop(bundle, source, deadline_ms=50, hang_ms=100, engine="faulty", engine_options=options, on_event=close)
    with loop:
        if kind == "hang":
            order_fault(orders, "hang")
        list(loop)
    assert loop.report().events[0].kind == kind
    assert (open_descriptors(), descendants()) == before


def test_sinks_get_results_and_events_and_are_closed_when_one_fails(bundle: Path) -> None:
    class Full(Sink):
        closed = False

        def result(self, result: Result) -> None:
            raise OutputError("no space left")

        def close(self) -> None:
            self.closed = True

    sink = Full()
    with pytest.raises(OutputError), Loop(bundle, Numbers(1), deadline_ms=100, engine="null", sinks=[sink]) as loop:
        list(loop)
    assert sink.closed


def test_sinks_are_closed_when_the_loop_cannot_start(tmp_path: Path) -> None:
    class Closing(Sink):
        closed = False

        def result(self, result: Result) -> None: ...

        def close(self) -> None:
            self.closed = True

    sink = Closing()
    with (
        pytest.raises(BundleError, match="does not exist"),
        Loop(tmp_path / "no.edge", Numbers(1), deadline_ms=1, sinks=[sink]),
    ):
        pass
    assert sink.closed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"deadline_ms": 10, "hang_ms": -1}, "hang_ms"),
        ({"deadline_ms": 50, "hang_ms": 1}, "hang_ms is at least deadline_ms.*Both are in milliseconds"),
        ({"deadline_ms": 10, "isolation": "some"}, "isolation is process or none"),
        ({"deadline_ms": 10, "task": {"threshold": 0.5}}, "threshold: no such key"),
        ({"deadline_ms": 10, "engine": "tpu"}, "no engine 'tpu'"),
        ({"deadline_ms": 10, "board": "raspbery-pi-5"}, "raspberry-pi-5"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str, bundle: Path) -> None:
    from edge_sdk.errors import EdgeSdkError

    with pytest.raises(EdgeSdkError, match=message), Loop(bundle, Numbers(1), **settings):  # type: ignore[arg-type]
        pass


def test_hang_budget_defaults_to_ten_deadlines_and_at_least_a_second(bundle: Path) -> None:
    assert Loop(bundle, Numbers(1), deadline_ms=50).hang_ms == 1_000
    assert Loop(bundle, Numbers(1), deadline_ms=500).hang_ms == 5_000


class Ahead(Numbers):
    """Readings stamped an hour ahead of the clock, as of a recording that is read faster than it was made."""

    seconds = 3_600.0

    def read(self) -> Sample | None:
        sample = super().read()
        ahead_ns = time.monotonic_ns() + round(self.seconds * 1e9)
        times_ns = np.array([ahead_ns], np.int64)
        return None if sample is None else dataclasses.replace(sample, captured_ns=ahead_ns, times_ns=times_ns)


def test_a_recording_may_be_ahead_of_the_clock_and_a_live_source_may_not(bundle: Path) -> None:
    with Loop(bundle, Ahead(3), deadline_ms=1_000, engine="null") as loop:
        ages_ms = [result.age_ms for result in loop]
    assert len(ages_ms) == 3 and all(0 <= age_ms < 1_000 for age_ms in ages_ms)
    source = Ahead(3)
    source.live = True
    with (
        Loop(bundle, source, deadline_ms=1_000, engine="null") as loop,
        pytest.raises(SourceError, match="lie in the future"),
    ):
        list(loop)


@pytest.mark.parametrize("live", [True, False])
def test_what_is_a_little_ahead_of_the_clock_is_not_younger_than_nothing(bundle: Path, live: bool) -> None:
    source = Ahead(3)
    source.live, source.seconds, source.backlog = live, 0.5, 3
    with Loop(bundle, source, deadline_ms=1_000, engine="null") as loop:
        ages_ms = [result.age_ms for result in loop]
    assert len(ages_ms) == 3 and all(0 <= age_ms < 1_000 for age_ms in ages_ms)
