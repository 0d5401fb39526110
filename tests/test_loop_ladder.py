"""The loop under overload: it climbs the ladder, says why, gives on-time results there, and comes back; a restart goes on where it was."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns, sleep

import pytest

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.add import add_variants
from edge_sdk.engines.faulty import order_fault
from edge_sdk.errors import EdgeSdkError
from edge_sdk.loop import Loop
from edge_sdk.result import Event
from edge_sdk.runner import Runner
from edge_sdk.sources import Sample
from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.governor import Governor
from tests.small_bundles import Numbers, null_bundle
from tests.test_loop import Ahead

FAST = {"calm_s": 0.3, "retry_s": 1.0, "climb_after_s": 0.1}


class Ticking(Numbers):
    """Live: one sample every ``period_s``, captured when it is due."""

    live = True

    def __init__(self, count: int, period_s: float) -> None:
        super().__init__(count)
        self.period = period_s
        self._closed = threading.Event()
        self._due_ns = monotonic_ns()

    def _read(self):  # type: ignore[no-untyped-def]
        self._due_ns += int(self.period * 1e9)
        self._closed.wait(max(0.0, (self._due_ns - monotonic_ns()) * 1e-9))
        got = super()._read()
        return None if got is None else (*got[:3], max(self._due_ns, monotonic_ns() - 1_000_000))

    def _close(self) -> None:
        self._closed.set()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return null_bundle(tmp_path / "null.edge")


def overloaded(bundle: Path, tmp_path: Path, count: int, slow: int) -> tuple[Loop, list[Event]]:
    """A loop of 100 samples/s whose engine takes 14 ms for ``slow`` results."""
    orders, events = tmp_path / "orders", list[Event]()
    loop = Loop(
        bundle,
        Ticking(count, 0.01),
        deadline_ms=20,
        engine="faulty",
        engine_options={"orders": str(orders), "inner": "null"},
        governor=FAST,
        on_event=events.append,
    )
    with loop:
        order_fault(orders, f"slow 14 {slow}")
        list(loop)
    return loop, events


def test_it_climbs_skips_and_comes_back(bundle: Path, tmp_path: Path) -> None:
    loop, events = overloaded(bundle, tmp_path, 400, 60)
    kinds = [e.kind for e in events if e.kind in ("climbed", "descended")]
    assert kinds[0] == "climbed" and "descended" in kinds
    counts = loop.report().counts
    assert counts.skipped > 20
    assert (
        counts.captured
        == counts.on_time + counts.late + counts.dropped + counts.skipped + counts.lost + counts.in_flight
    )
    assert "1 of 2 samples" in next(e.message for e in events if e.kind == "climbed")


def test_without_a_governor_nothing_is_skipped(bundle: Path) -> None:
    with Loop(bundle, Ticking(50, 0.002), deadline_ms=0.001, engine="null") as loop:
        list(loop)
    report = loop.report()
    assert (report.counts.skipped, report.rung, report.rungs) == (0, 0, ("as configured",))


def test_a_rung_may_be_another_variant_with_its_own_engine(bundle: Path, tmp_path: Path) -> None:
    with Bundle(bundle) as base, Bundle(null_bundle(tmp_path / "small.edge")) as other:
        add_variants(base, other, tmp_path / "both.edge", suffix="small")
    orders = tmp_path / "orders"
    rungs = [{"variant": "null-small", "engine": "null"}]
    loop = Loop(
        tmp_path / "both.edge",
        Ticking(300, 0.02),
        deadline_ms=40,
        engine="faulty",
        engine_options={"orders": str(orders), "inner": "null"},
        governor={**FAST, "rungs": rungs},
    )
    with loop:
        order_fault(orders, "slow 60 2")
        variants = [result.variant for result in loop]
    assert variants[0] == "null" and "null-small" in variants
    assert "null" in variants[variants.index("null-small") :], "and back"


def test_a_restart_goes_on_at_the_rung_where_it_was(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = pulse.Page(None)
    monkeypatch.setenv(pulse.VARIABLE, page.path)
    page.slots[0][pulse.RUNG] = 2
    with Loop(bundle, Ticking(5, 0.001), deadline_ms=1_000, engine="null", governor=True) as loop:
        assert loop.report().rung == 2
        list(loop)
    assert page.slots[0][pulse.CAPTURED] == 5
    assert page.slots[0][pulse.DUE_NS] == pulse.ENDED_NS


@pytest.mark.parametrize(
    ("governor", "said"),
    [
        ({"rungs": [{"variant": "tiny"}]}, "no variant 'tiny'"),
        ({"rungs": [{"skip": 2}]}, r"\[governor\]: rungs.0.skip: no such key"),
        ({"climb_miss_ratio": 2}, "climb_miss_ratio"),
        ({"rungs": [{"engine": "tpu"}]}, "no engine 'tpu'"),
    ],
)
def test_rungs_that_cannot_be_are_said_at_the_start(governor: dict[str, object], said: str, bundle: Path) -> None:
    with (
        pytest.raises(EdgeSdkError, match=said),
        Loop(bundle, Numbers(1), deadline_ms=50, engine="null", governor=governor),
    ):
        raise AssertionError("it started")


def test_a_deadline_that_the_engine_cannot_meet_is_said_at_the_start(bundle: Path, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    order_fault(orders, "slow 30 100")
    events: list[Event] = []
    options = {"orders": str(orders), "inner": "null"}
    with Loop(bundle, Numbers(1), deadline_ms=10, engine="faulty", engine_options=options, on_event=events.append):
        assert [e.kind for e in events] == ["deadline_too_short"]
    assert "10 ms is shorter than the engine alone ever took here: 3" in events[0].message


def test_waiting_for_a_slow_source_is_a_sign_of_life(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its samples are 2.5 s apart, the budget is 2 s."""
    page = pulse.Page(2.0)
    monkeypatch.setenv(pulse.VARIABLE, page.path)
    overdue = threading.Event()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if 0 < page.slots[0][pulse.DUE_NS] < monotonic_ns():
                overdue.set()
            sleep(0.05)

    thread = threading.Thread(target=watch)
    with Loop(bundle, Ticking(2, 2.5), deadline_ms=100, hang_ms=1_000, engine="null") as loop:
        thread.start()
        assert len(list(loop)) == 2
    stop.set()
    thread.join()
    assert not overdue.is_set()


def test_the_governor_reckons_in_its_own_time_also_with_a_recording(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[int] = []

    def result(self: Governor, now_ns: int, **figures: object) -> None:
        ahead.append(now_ns - monotonic_ns())

    monkeypatch.setattr(Governor, "result", result)
    with Loop(bundle, Ahead(5), deadline_ms=1_000, engine="null", isolation="none", governor=True) as loop:
        list(loop)
    assert len(ahead) == 5
    assert max(ahead) <= 0


class Gapped(Numbers):
    """In front of sample 4 readings are missing."""

    def read(self) -> Sample | None:
        sample = super().read()
        return None if sample is None else replace(sample, after_gap=sample.sequence == 4)


def test_a_gap_in_front_of_a_skipped_sample_is_not_forgotten(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[int] = []
    monkeypatch.setattr(Runner, "reset", lambda runner: resets.append(loop._pipeline._last_taken))
    with Loop(bundle, Gapped(8), deadline_ms=1_000, engine="null", isolation="none") as loop:
        loop._climber.run_every = 2
        taken = [result.sequence for result in loop]
    assert taken == [1, 3, 5, 7] and resets == [5]
