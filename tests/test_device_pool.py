"""A pool of devices: every request finds one end, also where devices hang, die and come back."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.engines.faulty import order_fault
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import (
    ConfigError,
    ContractError,
    EngineCrashError,
    EngineError,
    EngineHangError,
    RequestRejectedError,
    RequestTimeoutError,
)
from edge_sdk.sharing.pool import Pool, on_devices
from tests.device_engines import STEP_S, ScriptedEngine, number, plus
from tests.processes import descendants, open_descriptors
from tests.supervised import eventually


def scripted(*engines: ScriptedEngine) -> dict[str, partial[ScriptedEngine]]:
    return {f"usb:{index}": partial(lambda engine: engine, engine) for index, engine in enumerate(engines)}


def settled(pool: Pool) -> bool:
    counts = pool.report().counts
    ends = counts.done + counts.failed + counts.rejected + counts.timed_out + counts.cancelled
    return counts.submitted == ends + counts.in_flight


def test_both_devices_run_at_the_same_time() -> None:
    gate = threading.Semaphore(0)
    engines = ScriptedEngine(gate=gate), ScriptedEngine(gate=gate)
    with Pool(scripted(*engines)) as pool:
        requests = [pool.submit(number(1)), pool.submit(number(2))]
        assert all(engine.entered.acquire(timeout=STEP_S) for engine in engines)  # neither has come back
        gate.release(2)
        assert [int(request.result(STEP_S)[0][0]) for request in requests] == [2, 3]
        assert {request.device for request in requests} == {"usb:0", "usb:1"}


def test_a_device_that_fails_is_told_had_back_and_used_again() -> None:
    engine = ScriptedEngine(["hang", "", "crash", ""])
    with Pool(scripted(engine)) as pool:
        with pytest.raises(EngineHangError):
            pool.run(number(1))
        assert pool.run(number(1))[0][0] == 2
        with pytest.raises(EngineCrashError):
            pool.run(number(1))
        assert pool.run(number(1))[0][0] == 2
        report = pool.report()
    assert report.devices[0].runs == report.devices[0].failures == report.devices[0].recoveries == 2
    assert report.event_counts == {"hang": 1, "crash": 1, "recovered": 2}
    assert all("usb:0" in event.message for event in pool.events)
    assert (report.counts.done, report.counts.failed, engine.closed) == (2, 2, 1)


def test_the_others_go_on_while_one_is_had_back() -> None:
    held = threading.Semaphore(0)
    broken, sound = ScriptedEngine(["crash"]), ScriptedEngine()
    broken.restart = lambda: held.acquire(timeout=STEP_S) and None  # type: ignore[method-assign, func-returns-value]
    with Pool(scripted(broken, sound)) as pool:
        while not pool.report().devices[0].failures:
            pool.submit(number(1), wait_ms=STEP_S * 1_000)
        assert pool.report().devices[0].state == "out"
        assert pool.run(number(5))[0][0] == 6
        held.release()
        eventually(lambda: pool.report().devices[0].state == "in")


def test_a_request_is_given_to_another_device_where_that_is_wanted() -> None:
    with Pool(scripted(ScriptedEngine(["crash"]), ScriptedEngine(["crash"])), retries=2) as pool:
        assert pool.run(number(1))[0][0] == 2
        report = pool.report()
    assert report.counts.done == 1
    assert report.counts.failed == 0
    assert report.retried == sum(device.failures for device in report.devices) in (1, 2)


def test_errors_leave_the_device_in_until_there_are_three_in_a_row() -> None:
    engine = ScriptedEngine(["error", "error", "", "error", "error", "error", ""])
    with Pool(scripted(engine)) as pool:
        outcomes = [request.outcome for request in pool.map([number(1)] * 7)]
        assert outcomes == ["failed", "failed", "done", "failed", "failed", "failed", "done"]
        assert pool.report().devices[0].recoveries == engine.restarts == 1


def test_the_device_is_reset_where_a_new_process_alone_did_not_help() -> None:
    engine, resets = ScriptedEngine(["crash", "crash", ""]), list[int]()
    engine.own_reset = lambda: lambda stop: resets.append(engine.restarts) or "reset"  # type: ignore[method-assign, return-value, func-returns-value]
    with Pool(scripted(engine)) as pool:
        assert [request.outcome for request in pool.map([number(1)] * 3)] == ["failed", "failed", "done"]
        assert resets == [1]  # after the first crash a new process was enough to prove it, not to answer
        assert pool.report().event_counts["device_reset"] == 1


def test_a_full_queue_rejects_and_says_so() -> None:
    gate = threading.Semaphore(0)
    engine = ScriptedEngine(gate=gate)
    with Pool(scripted(engine), queue_size=2) as pool:
        pool.submit(number(1))
        assert engine.entered.acquire(timeout=STEP_S)
        waiting = [pool.submit(number(1)), pool.submit(number(1))]
        with pytest.raises(RequestRejectedError, match="queue full"):
            pool.submit(number(1))
        assert waiting[0].cancel()
        pool.submit(number(1))  # in the place of what was cancelled
        counts = pool.report().counts
        assert (counts.submitted, counts.rejected, counts.cancelled, counts.in_flight) == (5, 1, 1, 3)
        gate.release(3)


def test_time_is_over_for_what_waits_and_for_what_runs_and_a_late_answer_is_thrown_away() -> None:
    gate = threading.Semaphore(0)
    engine = ScriptedEngine(gate=gate)
    with Pool(scripted(engine)) as pool:
        running = pool.submit(number(1), timeout_ms=50)
        assert engine.entered.acquire(timeout=STEP_S)
        waiting = pool.submit(number(2), timeout_ms=50)
        with pytest.raises(RequestTimeoutError, match="it runs on usb:0"):
            running.result(STEP_S)
        with pytest.raises(RequestTimeoutError, match="it waits for a device"):
            waiting.result(STEP_S)
        later = pool.submit(number(3))
        gate.release(2)
        assert later.result(STEP_S)[0][0] == 4
        counts = pool.report().counts
        assert (counts.done, counts.timed_out, counts.in_flight) == (1, 2, 0)


def test_results_come_in_the_order_of_submission_with_the_failed_ones_in_their_place() -> None:
    engines = ScriptedEngine(["", "crash"] * 5), ScriptedEngine(["", "", "hang"] * 5)
    with Pool(scripted(*engines)) as pool:
        requests = list(pool.map(number(value) for value in range(1, 31)))
    assert [request.number for request in requests] == list(range(30))
    for request in requests:
        if request.exception() is None:
            assert request.result()[0][0] == request.number + 2
    assert {request.outcome for request in requests} == {"done", "failed"}


def test_closing_in_the_middle_fails_what_is_open_and_leaves_no_thread() -> None:
    gate = threading.Semaphore(0)
    before = threading.active_count()
    engine = ScriptedEngine(gate=gate)
    pool = Pool(scripted(engine))
    with pool:
        requests = [pool.submit(number(1)) for _ in range(5)]
        assert engine.entered.acquire(timeout=STEP_S)
        closing = threading.Thread(target=pool.close)
        closing.start()
        eventually(pool._stop.is_set)
        gate.release()
        closing.join(STEP_S)
    assert [request.outcome for request in requests] == ["done", *["failed"] * 4]
    with pytest.raises(EngineError, match="closed before"):
        requests[1].result()
    with pytest.raises(EngineError, match="the pool is closed"):
        pool.submit(number(1))
    assert settled(pool)
    assert threading.active_count() == before


def test_a_callback_may_close_the_pool() -> None:
    engine = ScriptedEngine()
    with Pool(scripted(engine)) as pool:
        pool.submit(number(1)).add_done_callback(lambda request: pool.close())
        eventually(lambda: engine.closed == 1)


def test_a_device_that_cannot_be_had_back_is_lost_and_with_the_last_one_what_waits() -> None:
    engines = ScriptedEngine(["crash"]), ScriptedEngine(["crash"])
    for engine in engines:
        engine.restart = lambda: (_ for _ in ()).throw(EngineError("no such device"))  # type: ignore[method-assign]
    with Pool(scripted(*engines), patience_s=0) as pool:
        requests = [pool.submit(number(1)) for _ in range(6)]
        assert not wait(requests, STEP_S).not_done
        with pytest.raises(EngineError, match="every device of the pool is lost"):
            requests[5].result()
        with pytest.raises(EngineError, match="every device of the pool is lost"):
            pool.submit(number(1))
        report = pool.report()
    assert report.event_counts["device_lost"] == 2
    assert {device.state for device in report.devices} == {"lost"}
    assert report.counts.failed == 6


def test_a_device_that_is_absent_at_the_start_joins_when_it_comes() -> None:
    there = threading.Event()

    def late() -> ScriptedEngine:
        if not there.is_set():
            raise EngineError("no such device")
        return ScriptedEngine()

    with Pool({"usb:0": ScriptedEngine, "usb:1": late}) as pool:
        assert pool.run(number(1))[0][0] == 2
        assert pool.report().devices[1].state == "out"
        there.set()
        eventually(lambda: pool.report().devices[1].state == "in")


def test_a_device_that_comes_late_with_another_model_is_not_taken() -> None:
    there = threading.Event()

    def late() -> ScriptedEngine:
        if not there.is_set():
            raise EngineError("no such device")
        engine = ScriptedEngine()
        engine.inputs = (replace(engine.inputs[0], shape=(2,)),)
        return engine

    with Pool({"usb:0": ScriptedEngine, "usb:1": late}) as pool:
        there.set()
        eventually(lambda: any("the model's inputs are not" in event.message for event in pool.events))
        assert pool.report().devices[1].state == "out"


def test_what_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(EngineError, match="no device can be had: no such device"), Pool({"usb:0": _absent}):
        pass
    with pytest.raises(ConfigError, match="no option device"), Pool(on_devices("null", b"", ["usb:0"], hang_ms=100)):
        pass
    with pytest.raises(ConfigError, match="twice"):
        on_devices("null", b"", ["usb:0", "usb:0"], hang_ms=100)
    with pytest.raises(ConfigError, match="one device or more"):
        Pool({})
    other = partial(ScriptedEngine, name="z")
    other_shape = partial(ProcessEngine, "null", b"", hang_ms=1_000)
    with Pool({"usb:0": ScriptedEngine, "usb:1": other}):
        pass  # names may differ, forms not
    with (
        pytest.raises(EngineError, match="the model's inputs are not"),
        Pool({"usb:0": ScriptedEngine, "usb:1": other_shape}),
    ):
        pass
    stateful = ScriptedEngine()
    stateful.stateful = True
    with pytest.raises(ConfigError, match="keeps a state"), Pool(scripted(stateful)):
        pass
    with Pool(scripted(ScriptedEngine())) as pool:
        with pytest.raises(ContractError, match="takes 1 inputs; found 2"):
            pool.submit(number(1) * 2)
        with pytest.raises(ContractError, match="does not take float64 2"):
            pool.submit([np.zeros(2)])


def _absent() -> ScriptedEngine:
    raise EngineError("no such device")


FAULTS = st.lists(st.sampled_from(["", "", "", "hang", "crash", "error", "dead"]), max_size=12)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    scripts=st.lists(FAULTS, min_size=1, max_size=3),
    steps=st.lists(st.sampled_from(["submit", "submit", "submit", "cancel", "short"]), max_size=30),
    retries=st.integers(0, 2),
    queue_size=st.integers(1, 8),
    close_early=st.booleans(),
)
def test_every_request_finds_exactly_one_end_whatever_fails(
    scripts: list[list[str]], steps: list[str], retries: int, queue_size: int, close_early: bool
) -> None:
    engines = [ScriptedEngine(script) for script in scripts]
    requests, rejected = [], 0
    with Pool(scripted(*engines), retries=retries, queue_size=queue_size) as pool:
        for value, step in enumerate(steps, 1):
            try:
                requests.append((value, pool.submit(number(value), timeout_ms=0.01 if step == "short" else 10_000)))
            except RequestRejectedError:
                rejected += 1
            if step == "cancel" and requests:
                requests[-1][1].cancel()
            assert settled(pool)
        if not close_early:
            wait([request for _, request in requests], STEP_S)
            assert pool.report().counts.in_flight == 0
    counts = pool.report().counts
    assert counts.in_flight == 0
    assert (counts.submitted, counts.rejected) == (len(steps), rejected)
    for outcome in ("done", "failed", "timed_out", "cancelled"):
        assert getattr(counts, outcome) == sum(request.outcome == outcome for _, request in requests)
    for value, request in requests:
        if request.outcome == "done":
            assert request.result()[0][0] == value + 1  # nobody has another's answer
    assert all(engine.closed == 1 for engine in engines)


def test_processes_that_are_killed_stopped_and_hang_come_back_and_leave_nothing(tmp_path: Path) -> None:
    before = open_descriptors(), descendants(), threading.active_count()
    orders = [tmp_path / "0", tmp_path / "1"]
    engines = {
        f"usb:{index}": partial(ProcessEngine, "faulty", plus(1), {"orders": str(path)}, hang_ms=100)
        for index, path in enumerate(orders)
    }
    with Pool(engines, retries=1) as pool:

        def strike(number: int) -> None:
            device = pool._devices[number % 2]
            if number % 3 == 0:
                order_fault(orders[number % 2], "hang")
            else:
                os.kill(device.engine.pid, signal.SIGKILL if number % 3 == 1 else signal.SIGSTOP)  # type: ignore[union-attr]

        for number in range(6):
            recovered = sum(device.recoveries for device in pool.report().devices)
            strike(number)
            while sum(device.recoveries for device in pool.report().devices) == recovered:
                values = [np.full((1, 4), value, np.float32) for value in range(4)]
                for value, request in enumerate(pool.map([value] for value in values)):
                    assert (request.result(STEP_S)[0] == value + 1).all()
        report = pool.report()
    assert report.counts.failed == 0, "one device at a time: the other one answers"
    assert report.counts.done == report.counts.submitted
    assert (open_descriptors(), descendants(), threading.active_count()) == before
