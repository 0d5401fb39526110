"""A stand-by serves while an accelerator is had back, step by step, in the background; results keep coming, and every step is told."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.app import App, read_app
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.add import add_variants
from edge_sdk.engines.faulty import FaultyEngine, order_fault
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import BundleError, ConfigError, DeviceError, EdgeSdkError, EngineError
from edge_sdk.loop import Loop
from edge_sdk.result import Event
from edge_sdk.standby import Standby
from edge_sdk.standby_runner import StandbyRunner
from edge_sdk.watchdog.steps import Patience
from tests.edgetpu_delegate import Device
from tests.edgetpu_models import both_bundle, compiled_model
from tests.processes import descendants, open_descriptors
from tests.small_bundles import Numbers, null_bundle
from tests.supervised import eventually
from tests.test_loop_ladder import Ticking

HANG_MS = 150.0
QUICK = Patience(answers=2, soon_s=0.05, first_wait_s=0.05, longest_wait_s=0.2, start_s=5.0)


class Bench:
    """A loop whose primary is a null engine with faults, and whose stand-by is one without, run in a thread of its own."""

    def __init__(self, folder: Path, *, patience: Patience = QUICK, **settings: object) -> None:
        self.orders, self.gone = folder / "orders", folder / "gone"
        self.events: list[Event] = []
        self.results: list[tuple[str, int]] = []
        self._told = threading.Condition()
        with Bundle(null_bundle(folder / "one.edge")) as one, Bundle(null_bundle(folder / "two.edge")) as two:
            add_variants(one, two, folder / "both.edge", suffix="cpu")
        given = {
            "engine": "faulty",
            "engine_options": {"orders": str(self.orders), "gone": str(self.gone), "inner": "null"},
            "standby": Standby("null-cpu", patience),
            "deadline_ms": 50,
            "hang_ms": HANG_MS,
        }
        self.loop = Loop(folder / "both.edge", Ticking(100_000, 0.005), on_event=self._tell, **{**given, **settings})
        self.failure: EdgeSdkError | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Bench:
        self.loop.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.loop.close()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def runner(self) -> StandbyRunner:
        runner = self.loop.runner
        assert isinstance(runner, StandbyRunner)
        return runner

    @property
    def latest(self) -> str:
        """The variant of the latest result."""
        return self.results[-1][0] if self.results else ""

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def until(self, condition: Callable[[], bool]) -> None:
        with self._told:
            assert self._told.wait_for(lambda: condition() or self.failure is not None, 20), self.kinds()
        if self.failure:
            raise self.failure

    def until_event(self, kind: str, count: int = 1) -> Event:
        self.until(lambda: self.kinds().count(kind) >= count)
        return [event for event in self.events if event.kind == kind][count - 1]

    def _run(self) -> None:
        try:
            for result in self.loop:
                with self._told:
                    self.results.append((result.variant, time.monotonic_ns()))
                    self._told.notify_all()
        except EdgeSdkError as exc:  # raised in the test's thread
            with self._told:
                self.failure = exc
                self._told.notify_all()

    def _tell(self, event: Event) -> None:
        with self._told:
            self.events.append(event)
            self._told.notify_all()


@pytest.fixture
def reset_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], str]]]:
    """What the next resets of the device do; the last one again and again."""
    actions: list[Callable[[], str]] = []

    def reset(stop: threading.Event) -> str:
        return (actions.pop(0) if len(actions) > 1 else actions[0])()

    monkeypatch.setattr(FaultyEngine, "device_reset", classmethod(lambda cls, options: reset))
    yield actions


def away(bench: Bench) -> str:
    bench.gone.touch()
    return "a reset that did nothing"


def test_one_error_is_tried_again_and_nothing_is_lost(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        order_fault(bench.orders, "error 1")
        bench.until_event("retried")
        bench.until(lambda: len(bench.results) > 20)
    assert [kind for kind in bench.kinds() if kind != "standby_ready"] == ["engine_error", "retried"]
    assert bench.loop.report().counts.lost == 0
    assert set(bench.loop.report().served) == {"null on faulty"}


def test_two_errors_open_the_device_again_while_the_stand_by_serves(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        pid = bench.runner.primary.engine.pid  # type: ignore[attr-defined]
        order_fault(bench.orders, "error 1000")
        bench.until_event("recovered")
        assert bench.runner.primary.engine.pid == pid, "the same process"  # type: ignore[attr-defined]
    expected = ["engine_error", "retried", "engine_error", "standby_on", "reopened", "recovered"]
    assert bench.kinds()[1:] == expected
    report = bench.loop.report()
    assert report.counts.lost == 0
    assert report.served["null on faulty"] > 0 and report.served["null-cpu on null"] > 0
    assert [(r.kind, r.standby) for r in report.recoveries] == [("engine_error", "null-cpu on null")]
    assert 0 < report.standby_s < 5


def test_a_crash_is_answered_by_the_stand_by_for_the_same_sample(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        order_fault(bench.orders, "crash")
        event = bench.until_event("recovered")
    assert bench.kinds()[1:] == ["crash", "standby_on", "restarted", "recovered"]
    assert bench.loop.report().counts.lost == 0
    assert "null on faulty serves again" in event.message and event.took_ms is not None
    told = {e.kind: e for e in bench.events}
    assert told["restarted"].took_ms is not None and told["standby_on"].took_ms is not None
    assert told["standby_on"].took_ms < 100


def test_a_hang_costs_its_budget_and_one_sample(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        order_fault(bench.orders, "hang")
        bench.until_event("recovered")
        bench.until(lambda: bench.latest == "null")
    times = [at for _, at in bench.results]
    assert max(np.diff(times)) * 1e-6 < HANG_MS + 300
    assert bench.loop.report().counts.lost == 1


def test_a_device_that_only_a_reset_brings_back(tmp_path: Path, reset_calls: list[Callable[[], str]]) -> None:
    with Bench(tmp_path) as bench:

        def reset() -> str:
            bench.gone.unlink()
            return "the device was reset"

        reset_calls.append(reset)
        bench.gone.touch()
        bench.until_event("recovered")
    steps = ["step_failed", "step_failed", "device_reset", "restarted", "recovered"]
    assert bench.kinds()[1:] == ["engine_error", "retried", "engine_error", "standby_on", *steps]
    (recovery,) = bench.loop.report().recoveries
    assert recovery.step == "a reset of the device and a new process"
    assert "until a reset of the device and a new process helped" in "\n".join(bench.loop.report().lines())


def test_a_device_that_is_away_is_waited_for(tmp_path: Path, reset_calls: list[Callable[[], str]]) -> None:
    def refuse() -> str:
        raise DeviceError("there is no device")

    reset_calls.append(refuse)
    with Bench(tmp_path) as bench:
        bench.gone.touch()
        bench.until_event("step_failed", 8)
        assert bench.latest == "null-cpu"
        bench.gone.unlink()
        bench.until_event("recovered")
        bench.until(lambda: bench.latest == "null")
    assert "not reset: there is no device" in next(e.message for e in bench.events if "reset" in e.message)


def test_absent_at_the_start_the_stand_by_serves_until_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "gone").touch()
    with Bench(tmp_path) as bench:
        bench.until(lambda: len(bench.results) > 5)
        assert {variant for variant, _ in bench.results} == {"null-cpu"}
        assert "cannot be had: the device is away" in bench.until_event("standby_on").message
        bench.gone.unlink()
        bench.until_event("recovered")
        bench.until(lambda: bench.latest == "null")
    assert "at the start: null-cpu on null served" in "\n".join(bench.loop.report().lines())


def test_a_wrong_setting_is_no_failure_of_the_device(tmp_path: Path) -> None:
    bench = Bench(tmp_path, engine_options={"orders": str(tmp_path / "orders"), "inner": "null", "colour": "red"})
    before = descendants()
    with pytest.raises(ConfigError, match="no option colour"):
        bench.loop.__enter__()
    assert descendants() == before


def test_what_comes_back_with_wrong_answers_does_not_serve(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        order_fault(bench.orders, "crash")
        bench.until_event("standby_on")
        order_fault(bench.orders, "wrong 9")
        bench.until_event("recovered")
    failed = next(e for e in bench.events if e.kind == "step_failed")
    assert "answers wrongly: output 'output' differs by" in failed.message


def test_what_fails_soon_again_is_taken_more_seriously(tmp_path: Path, reset_calls: list[Callable[[], str]]) -> None:
    reset_calls.append(lambda: "the device was reset")
    with Bench(tmp_path, patience=Patience(answers=1, soon_s=60, first_wait_s=0.05, longest_wait_s=0.1)) as bench:
        order_fault(bench.orders, "crash")
        bench.until_event("recovered")
        assert "device_reset" not in bench.kinds()
        order_fault(bench.orders, "crash")
        bench.until_event("recovered", 2)
        assert "device_reset" in bench.kinds()


def test_an_abandoned_process_takes_its_device_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        engine = bench.runner.primary.engine
        monkeypatch.setattr(engine, "abandoned", 1)
        order_fault(bench.orders, "crash")
        bench.until_event("abandoned")
        count = len(bench.results)
        bench.until(lambda: len(bench.results) > count + 50)
        assert bench.latest == "null-cpu"
    assert "recovered" not in bench.kinds()


def test_a_stand_by_that_died_meanwhile_is_had_back_too(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.gone.touch()
        bench.until_event("standby_on")
        os.kill(bench.runner.standby.engine.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        bench.until_event("recovered")
        bench.until(lambda: bench.latest == "null-cpu")
    assert bench.loop.report().counts.lost == 1


@pytest.mark.parametrize("moment", ["serving", "waiting", "starting", "proving", "resetting"])
def test_closing_in_the_middle_of_a_step_leaves_nothing(
    moment: str, tmp_path: Path, reset_calls: list[Callable[[], str]]
) -> None:
    before = open_descriptors(), descendants(), threading.active_count()
    in_reset = threading.Event()

    def reset() -> str:
        in_reset.set()
        assert bench.runner._comeback._stop.wait(10)
        return "never told"

    reset_calls.append(reset)
    # 150 ms of hang budget would end a hang while proving before it can be closed
    bench = Bench(tmp_path, hang_ms=20_000 if moment == "proving" else HANG_MS)
    with bench:
        if moment == "waiting":
            reset_calls[0] = lambda: "nothing"
            bench.gone.touch()
            bench.until_event("step_failed", 4)
        elif moment == "starting":
            order_fault(bench.orders, "crash")
            bench.until_event("standby_on")
        elif moment == "proving":
            order_fault(bench.orders, "crash")
            bench.until_event("standby_on")
            order_fault(bench.orders, "hang")
            bench.until(lambda: not bench.orders.exists())
        elif moment == "resetting":
            bench.gone.touch()
            bench.until_event("standby_on")
            assert in_reset.wait(10)
        began = time.monotonic()
        bench.loop.close()
        assert time.monotonic() - began < 3
    assert (open_descriptors(), descendants(), threading.active_count()) == before
    counts = bench.loop.report().counts
    assert counts.in_flight == 0
    assert counts.captured == counts.on_time + counts.late + counts.dropped + counts.skipped + counts.lost


@pytest.mark.parametrize("kind", ["crash", "standby_on", "restarted", "recovered", "retried"])
def test_whoever_is_told_may_close_the_loop(kind: str, tmp_path: Path) -> None:
    before = open_descriptors(), descendants(), threading.active_count()
    with Bench(tmp_path) as bench:
        told = bench.loop._audience._on_event
        assert told is not None

        def close(event: Event) -> None:
            told(event)
            if event.kind == kind:
                bench.loop.close()

        bench.loop._audience._on_event = close
        order_fault(bench.orders, "error 1" if kind == "retried" else "crash")
        bench.until_event(kind)
        bench._thread.join(10)
        assert bench.failure is None and not bench._thread.is_alive()
    assert (open_descriptors(), descendants(), threading.active_count()) == before
    counts = bench.loop.report().counts
    assert counts.captured == counts.on_time + counts.late + counts.dropped + counts.skipped + counts.lost


def test_without_a_stand_by_the_device_is_reset_before_the_next_try(
    tmp_path: Path, reset_calls: list[Callable[[], str]]
) -> None:
    with Bench(tmp_path, standby=False) as bench:

        def reset() -> str:
            bench.gone.unlink()
            return "the device was reset"

        reset_calls.append(reset)
        bench.gone.touch()
        bench.until_event("recovered")
    assert bench.kinds() == ["engine_error", "engine_error", "restart_failed", "device_reset", "recovered"]


def test_closing_while_a_process_starts_does_not_wait_for_it(edgetpu: Device, edgetpu_library: Path) -> None:
    """A delegate that hangs while it opens the device: nothing but the end of its process helps."""
    before = descendants()
    edgetpu.order("hang", at="open")
    options = {"library": str(edgetpu_library)}
    engine = ProcessEngine("edgetpu", compiled_model(), options, hang_ms=1_000, start=False)
    failures: list[EngineError] = []

    def restart() -> None:
        try:
            engine.restart()
        except EngineError as exc:
            failures.append(exc)

    thread = threading.Thread(target=restart)
    thread.start()
    eventually(lambda: edgetpu.strikes("hang") == 1)
    engine.interrupt()
    thread.join(3)
    assert not thread.is_alive() and failures
    engine.close()
    assert descendants() == before
    with pytest.raises(EngineError, match="closed"):
        engine.restart()


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"standby": "other"}, BundleError, "no variant 'other'"),
        ({"standby": "null-cpu", "isolation": "none"}, ConfigError, "needs isolation = process"),
    ],
)
def test_a_stand_by_that_cannot_be_is_refused(
    settings: dict[str, object], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        Bench(tmp_path, **settings).loop.__enter__()


@pytest.mark.parametrize(("line", "expected"), [("", True), ("standby = false", False), ('standby = "other"', "other")])
def test_app_toml_names_it(line: str, expected: bool | str, tmp_path: Path) -> None:
    app = tmp_path / "app.toml"
    app.write_text(
        f"[model]\nbundle = 'b.edge'\n{line}\n[source]\nkind = 'camera'\ndevice = '0'\n[loop]\ndeadline_ms = 50\n"
    )
    found = read_app(app)
    assert isinstance(found, App) and found.model.standby == expected


def test_where_nothing_can_stand_by_it_is_said(tmp_path: Path, edgetpu: Device, edgetpu_library: Path) -> None:
    bundle = both_bundle(tmp_path / "tpu.edge", kinds=("edgetpu",))
    options = {"library": str(edgetpu_library)}
    with Loop(bundle, Numbers(3), deadline_ms=1_000, engine_options=options) as loop:
        assert len(list(loop)) == 3
    (event,) = loop.report().events
    assert event.kind == "no_standby" and "no variant of kind tflite-int8" in event.message


def test_a_start_that_dies_says_what_may_be_wrong(tmp_path: Path, edgetpu: Device, edgetpu_library: Path) -> None:
    edgetpu.order("crash", at="open", cure="never")
    options = {"library": str(edgetpu_library)}
    settings = {
        "deadline_ms": 1_000,
        "variant": "edgetpu",
        "engine_options": options,
        "standby": Standby(patience=QUICK),
    }
    with Loop(both_bundle(tmp_path / "both.edge"), Numbers(3), **settings) as loop:  # type: ignore[arg-type]
        assert {result.variant for result in loop} == {"tflite-int8"}
    said = next(event.message for event in loop.report().events if event.kind == "standby_on")
    assert "SIGSEGV" in said and "libedgetpu" in said


@pytest.mark.parametrize("standby", [False, True])
def test_an_engine_on_the_processor_has_none_unless_it_is_named(standby: bool, tmp_path: Path) -> None:
    with Loop(null_bundle(tmp_path / "n.edge"), Numbers(3), deadline_ms=50, engine="null", standby=standby) as loop:
        assert len(list(loop)) == 3
        assert not isinstance(loop.runner, StandbyRunner)
    assert loop.report().events == ()
