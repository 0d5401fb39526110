"""Several models on one device, by threads and processes: every request finds one end, in the order that deadlines and swaps ask for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import Loop
from edge_sdk.edgetpu.costs import Cost
from edge_sdk.edgetpu.plan import Estimate, Plan
from edge_sdk.edgetpu.scheduler import Scheduler
from edge_sdk.engines import Engine, load_engine
from edge_sdk.engines.several import open_together, packed
from edge_sdk.errors import (
    ConfigError,
    ContractError,
    EngineCrashError,
    EngineError,
    EngineHangError,
    RequestRejectedError,
    RequestTimeoutError,
)
from edge_sdk.sharing.requests import Request
from tests.device_engines import STEP_S, ScriptedEngine, number, plus
from tests.edgetpu_delegate import Device, checksum
from tests.edgetpu_models import compiled_model
from tests.edgetpu_plans import plan_of
from tests.processes import descendants, open_descriptors
from tests.supervised import eventually

FACE, POSE = b"the package of face", b"the package of pose"


def plan(run_ms: float, cached_bytes: int = 0) -> Plan:
    times = {"usb3": Estimate(ms=run_ms, low_ms=run_ms, high_ms=run_ms)}
    return plan_of(weight_bytes=cached_bytes, cached_bytes=cached_bytes, tpu=times)


class Held:
    """Two scripted models on one device that runs as often as it is allowed to, and writes down which model ran."""

    def __init__(self, *, a: tuple[str, ...] = (), b: tuple[str, ...] = ()) -> None:
        self.gate, self.ran = threading.Semaphore(0), list[str]()
        self.engines = {
            name: ScriptedEngine(script, gate=self.gate, on_run=lambda name=name: self.ran.append(name))  # type: ignore[misc]
            for name, script in (("a", a), ("b", b))
        }

    def occupy(self, tpu: Scheduler) -> Request:
        """Have a request of a run, until it is let go."""
        request = tpu.submit("a", number(1))
        assert self.engines["a"].entered.acquire(timeout=STEP_S)
        return request


def test_requests_that_wait_are_run_model_by_model_as_far_as_deadlines_allow() -> None:
    held = Held()
    with Scheduler(held.engines, plans={"a": plan(1, 4_000_000), "b": plan(1, 4_000_000)}) as tpu:
        requests = [held.occupy(tpu)]
        requests += [tpu.submit(model, number(index), deadline_ms=30_000) for index, model in enumerate("babab", 1)]
        held.gate.release(6)
        assert not wait(requests, STEP_S).not_done
        assert held.ran == ["a", "a", "a", "b", "b", "b"]


def test_a_deadline_comes_before_the_loaded_model_where_it_must() -> None:
    held = Held()
    with Scheduler(held.engines, plans={"a": plan(100), "b": plan(100)}) as tpu:
        tpu._costs.measured = lambda *args, **options: None  # type: ignore[method-assign]
        requests = [held.occupy(tpu)]
        requests += [tpu.submit("a", number(1)) for _ in range(3)]
        tpu._costs.planned["a"] = Cost(20_000, 0)  # and it stays so: b would be late behind even one of them
        requests += [tpu.submit("b", number(1), deadline_ms=15_000)]
        held.gate.release(5)
        assert not wait(requests, STEP_S).not_done
        assert held.ran == ["a", "b", "a", "a", "a"]


def test_of_what_cannot_be_on_time_one_is_rejected_and_one_run_late_as_asked_for() -> None:
    held = Held()
    with Scheduler(held.engines, plans={"a": plan(50), "b": plan(50, 100_000_000)}) as tpu:
        first = held.occupy(tpu)
        with pytest.raises(RequestRejectedError, match="has 10 ms, but b alone takes 50"):
            tpu.submit("b", number(1), deadline_ms=10)
        rejected = tpu.submit("b", number(1), deadline_ms=60_000)
        run = tpu.submit("a", number(1), deadline_ms=1e-3, late="run")
        tpu._costs.planned["b"] = Cost(70_000, 0)
        held.gate.release(3)
        assert first.result(STEP_S)[0][0] == 2
        with pytest.raises(RequestRejectedError, match="of b cannot be done within 60000 ms any more"):
            rejected.result(STEP_S)
        assert run.result(STEP_S)[0][0] == 2
        assert run.late
        counts = tpu.report().counts
        assert (counts.done, counts.rejected, counts.in_flight) == (2, 2, 0)
        assert tpu.report().models["a"].late == 1


def test_a_deadline_that_passes_while_the_device_does_not_answer_is_told_at_once() -> None:
    held = Held()
    with Scheduler(held.engines, plans={"a": plan(0), "b": plan(0)}) as tpu:
        running = held.occupy(tpu)
        waiting = tpu.submit("b", number(1), deadline_ms=20)
        with pytest.raises(RequestTimeoutError, match="no answer after 20 ms; it waits"):
            waiting.result(STEP_S)
        held.gate.release()
        assert running.result(STEP_S)[0][0] == 2
        assert held.ran == ["a"]


def test_what_runs_when_its_deadline_passes_is_done_and_said_to_be_late() -> None:
    held = Held()
    with Scheduler(held.engines, plans={"a": plan(0), "b": plan(0)}) as tpu:
        request = tpu.submit("a", number(1), deadline_ms=60)
        assert held.engines["a"].entered.acquire(timeout=STEP_S)
        threading.Event().wait(0.08)  # the deadline is over, the device is slow
        held.gate.release()
        assert request.result(STEP_S)[0][0] == 2
        assert request.late
        assert tpu.report().counts.done == 1


def test_a_full_queue_and_a_closed_scheduler_refuse() -> None:
    held = Held()
    with Scheduler(held.engines, plans={"a": plan(0), "b": plan(0)}, queue_size=2) as tpu:
        requests = [held.occupy(tpu), tpu.submit("a", number(1)), tpu.submit("b", number(1))]
        with pytest.raises(RequestRejectedError, match="finds 2 others waiting"):
            tpu.submit("b", number(1))
        assert requests[1].cancel()
        requests.append(tpu.submit("b", number(1)))
        held.gate.release(1)
        assert requests[0].result(STEP_S)
        closing = threading.Thread(target=tpu.close)
        closing.start()
        eventually(tpu._stop.is_set)
        held.gate.release(3)
        closing.join(STEP_S)
        with pytest.raises(EngineError, match="is closed"):
            tpu.submit("a", number(1))
    counts = tpu.report().counts
    assert counts.in_flight == 0
    assert counts.submitted == counts.done + counts.failed + counts.rejected + counts.cancelled == 6


def test_a_device_that_fails_is_had_back_and_others_go_on_behind_it() -> None:
    engines = {"a": ScriptedEngine(["hang"]), "b": ScriptedEngine(["", "crash"])}
    with Scheduler(engines) as tpu:
        with pytest.raises(EngineHangError):
            tpu.run("a", number(1))
        assert tpu.run("b", number(1))[0][0] == 2
        with pytest.raises(EngineCrashError):
            tpu.run("b", number(1))
        assert tpu.run("a", number(1))[0][0] == 2
        report = tpu.report()
    assert report.event_counts == {"hang": 1, "crash": 1, "recovered": 2}
    assert (report.counts.done, report.counts.failed) == (2, 2)


def test_a_device_that_is_lost_fails_what_waits() -> None:
    held = Held(a=("crash",))
    held.engines["a"].restart = lambda: (_ for _ in ()).throw(EngineError("no such device"))  # type: ignore[method-assign]
    with Scheduler(held.engines, patience_s=0) as tpu:
        requests = [held.occupy(tpu), tpu.submit("b", number(1))]
        held.gate.release(2)
        assert not wait(requests, STEP_S).not_done
        with pytest.raises(EngineError, match="the device is lost"):
            requests[1].result()
        with pytest.raises(EngineError, match="closed, or its device lost"):
            tpu.submit("b", number(1))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"that have an engine \(a\); found b"):
        Scheduler({"a": ScriptedEngine()}, plans={"b": plan(1)})
    with pytest.raises(ConfigError, match="none"):
        Scheduler({})
    with Scheduler({"a": ScriptedEngine()}) as tpu:
        with pytest.raises(ConfigError, match="no model 'b'; there are a"):
            tpu.submit("b", number(1))
        with pytest.raises(ContractError, match="takes 1 inputs; found 0"):
            tpu.submit("a", [])
        with pytest.raises(ConfigError, match="runs once"):
            tpu.__enter__()


@pytest.mark.slow
@settings(max_examples=40)
@given(
    scripts=st.tuples(*[st.lists(st.sampled_from(["", "", "", "hang", "crash", "error"]), max_size=10)] * 3),
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([None, 0.05, 1, 60_000]), st.sampled_from(["reject", "run"])),
        max_size=40,
    ),
    cancelled=st.sets(st.integers(0, 39)),
    queue_size=st.integers(1, 10),
    close_early=st.booleans(),
)
def test_every_request_finds_exactly_one_end_whatever_fails(  # type: ignore[no-untyped-def]
    scripts, steps, cancelled, queue_size, close_early
) -> None:
    engines = {name: ScriptedEngine(script) for name, script in zip("abc", scripts, strict=True)}
    requests: dict[int, Request] = {}
    refused: list[EngineError] = []
    with Scheduler(engines, queue_size=queue_size, patience_ms=1) as tpu:
        for index, (model, deadline_ms, late) in enumerate(steps):
            try:
                requests[index] = tpu.submit(model, number(index + 1), deadline_ms=deadline_ms, late=late)
            except (RequestRejectedError, RequestTimeoutError) as exc:
                refused.append(exc)
                continue
            if index in cancelled:
                requests[index].cancel()
        if not close_early:
            assert not wait(requests.values(), STEP_S).not_done
            assert tpu.report().counts.in_flight == 0
    counts = tpu.report().counts
    assert (counts.submitted, counts.in_flight) == (len(steps), 0)
    ends = Counter(request.outcome for request in requests.values())
    for outcome in ("done", "failed", "cancelled"):
        assert getattr(counts, outcome) == ends[outcome]
    assert counts.rejected + counts.timed_out == ends["rejected"] + ends["timed_out"] + len(refused)
    for index, request in requests.items():
        if request.outcome == "done":
            assert request.result()[0][0] == index + 2
    assert not tpu._waiting
    assert not len(tpu._policy) or close_early


def test_models_that_share_a_process_run_one_by_one_and_keep_their_tensors_apart() -> None:
    before = open_descriptors(), descendants()
    models = {"one": plus(1, size=3), "ten": plus(10, size=5)}
    engines = open_together("litert", models, hang_ms=1_000)
    assert [spec.name for engine in engines.values() for spec in (*engine.inputs, *engine.outputs)] == ["x", "y"] * 2
    for name, addend, size in (("one", 1, 3), ("ten", 10, 5), ("one", 1, 3)):
        engines[name].input_arrays[0][:] = 4
        (output,) = engines[name].run()
        assert output.tolist() == [[4 + addend] * size]
    engines["ten"].restart()
    (output,) = engines["ten"].run()
    assert output.shape == (1, 5)
    engines["one"].close()
    assert engines["ten"].run()
    engines["ten"].close()
    del engines, output
    assert (open_descriptors(), descendants()) == before


def test_files_of_several_models_are_checked(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PK\x05\x06")
    with pytest.raises(EngineError, match="no file of several models"):
        load_engine("several", str(tmp_path / "x"), {"inner": "litert"})
    (tmp_path / "x").write_bytes(packed({"a": plus(1)}))
    engine = load_engine("several", str(tmp_path / "x"), {"inner": "litert"})
    engine.input_arrays[0][0] = 7
    with pytest.raises(EngineError, match="models 0 to 0; asked for 7"):
        engine.run()
    with pytest.raises(ConfigError, match="without a slash"):
        packed({"a/b": b""})


@pytest.fixture
def two_models(edgetpu: Device, edgetpu_library: Path) -> Iterator[dict[str, Engine]]:
    models = {"face": compiled_model(FACE, shape=(1, 4)), "pose": compiled_model(POSE, shape=(1, 8))}
    yield open_together("edgetpu", models, hang_ms=300, options={"library": str(edgetpu_library)})


def answer(package: bytes, given: int, size: int) -> list[int]:
    return (np.full(size, given, np.uint8) + np.uint8(checksum(package) % 256)).view(np.int8).tolist()


def test_two_loops_worth_of_threads_share_one_tpu_with_few_swaps(
    two_models: dict[str, Engine], edgetpu: Device
) -> None:
    edgetpu.takes(run_ms=1, swap_ms=4)
    shapes = {"face": (FACE, 4), "pose": (POSE, 8)}
    with Scheduler(two_models, patience_ms=10_000) as tpu:
        report = tpu.report()
        assert report.models["face"].swap_ms > 2  # of 4: measured at the start, as no plan says it
        swaps = edgetpu.swaps
        wrong: list[str] = []

        def client(model: str) -> None:
            package, size = shapes[model]
            for given in range(0, 60, 6):
                values = range(given, given + 6)
                requests = [
                    tpu.submit(model, [np.full((1, size), value, np.int8)], deadline_ms=5_000) for value in values
                ]
                for value, request in zip(values, requests, strict=True):
                    if request.result(STEP_S)[0].reshape(-1).tolist() != answer(package, value, size):
                        wrong.append(f"{model} {value}")

        threads = [threading.Thread(target=client, args=[model]) for model in shapes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STEP_S)
        report = tpu.report()
    assert not wrong
    assert report.counts.done == 120
    assert sum(model.swaps for model in report.models.values()) == edgetpu.swaps - swaps <= 40
    assert {model.late for model in report.models.values()} == {0}


@pytest.mark.parametrize("kind", ["hang", "crash", "error"])
def test_a_fault_of_the_tpu_costs_the_request_in_it(kind: str, two_models: dict[str, Engine], edgetpu: Device) -> None:
    before = open_descriptors(), descendants(), threading.active_count()
    with Scheduler(two_models) as tpu:
        edgetpu.order(kind, after=1)  # type: ignore[arg-type]
        requests = [
            tpu.submit(model, [np.full((1, size), 1, np.int8)]) for model, size in (("face", 4), ("pose", 8)) * 3
        ]
        assert not wait(requests, STEP_S).not_done
        assert sum(request.outcome == "failed" for request in requests) == 1
        assert tpu.report().event_counts[kind if kind != "error" else "engine_error"] == 1
    assert threading.active_count() <= before[2] + 1
    assert not descendants() - before[1]


def test_two_loops_run_on_one_device(face_bundle: Path, carphone: Path) -> None:
    from edge_sdk.bundle import Bundle

    with Bundle(face_bundle) as bundle:
        model = bundle.read(bundle.variant().file)
    engines = open_together("litert", {"one": model, "other": model}, hang_ms=2_000)
    found: dict[str, int] = {}
    with Scheduler(engines) as tpu:

        def run(name: str) -> None:
            source = f"file:{carphone}?stop=20"
            with Loop(face_bundle, source, deadline_ms=1_000, **tpu.for_loop(name, deadline_ms=500)) as loop:
                found[name] = sum(bool(result.value) for result in loop)

        threads = [threading.Thread(target=run, args=[name]) for name in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STEP_S)
        counts = tpu.report().counts
    assert found == {"one": 20, "other": 20}
    assert counts.done == counts.submitted >= 40


def test_an_engine_of_no_scheduler_is_refused() -> None:
    with pytest.raises(ConfigError, match="for a scheduler or batcher of this process"):
        load_engine("scheduled", "", {"scheduler": "none", "model": "a"})
    with pytest.raises(ConfigError, match="no option speed"):
        load_engine("scheduled", "", {"speed": "9"})
    with Scheduler({"a": ScriptedEngine()}) as tpu, pytest.raises(ConfigError, match="no model 'b'; there are a"):
        load_engine("scheduled", "", tpu.for_loop("b")["engine_options"])
