"""A model in segments, each on a device: the order is kept, what is lost is said in its place, nothing waits for ever."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.edgetpu.segments import Segments
from edge_sdk.engines.faulty import order_fault
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import (
    ConfigError,
    ContractError,
    EngineCrashError,
    EngineError,
    EngineHangError,
    ModelError,
    RequestRejectedError,
    RequestTimeoutError,
)
from tests.device_engines import STEP_S, ScriptedEngine, number, plus
from tests.processes import descendants, open_descriptors
from tests.supervised import eventually

SHORT_MS = 50


def chain(*scripts: Sequence[str], gates: dict[int, threading.Semaphore] | None = None) -> list[ScriptedEngine]:
    """Segments of which each adds one: x -> x+1 -> x+1+1 ..."""
    return [
        ScriptedEngine(script, gate=(gates or {}).get(index), name="x" + "+1" * index)
        for index, script in enumerate(scripts)
    ]


def value(outputs: dict[str, np.ndarray] | None) -> int:
    assert outputs is not None
    (array,) = outputs.values()
    return int(array[0])


def push(segments: Segments, given: int, **options: float) -> int:
    return segments.push({"x": number(given)[0]}, **options)


def test_samples_pass_all_segments_in_order_and_the_end_is_told() -> None:
    with Segments(chain([], [], [])) as segments:
        feeder = threading.Thread(target=lambda: [push(segments, given) for given in range(1, 101)] and segments.end())
        feeder.start()
        values = []
        while (outputs := segments.pop(STEP_S * 1_000)) is not None:
            values.append(value(outputs))
            assert list(outputs) == ["x+1+1+1"]
        feeder.join(STEP_S)
        assert segments.pop() is None
        with pytest.raises(EngineError, match="nothing more is pushed"):
            push(segments, 1)
        assert segments.report().counts.done == 100
    assert values == list(range(4, 104))


def test_segments_work_at_the_same_time_on_different_samples() -> None:
    gates = {0: threading.Semaphore(0), 1: threading.Semaphore(0)}
    engines = chain([], [], gates=gates)
    with Segments(engines) as segments:
        push(segments, 1)
        push(segments, 2)
        gates[0].release()
        assert all(engine.entered.acquire(timeout=STEP_S) for engine in engines)
        assert engines[0].entered.acquire(timeout=STEP_S)  # the second sample, while the first is in segment 1
        gates[0].release()
        gates[1].release(2)
        assert [value(segments.pop()) for _ in range(2)] == [3, 4]


def test_a_tensor_may_pass_over_a_segment_and_one_that_nobody_takes_is_an_output() -> None:
    first, second, third = chain([], [], [])
    first.outputs += (replace(first.outputs[0], name="skip"),)
    first.outputs += (replace(first.outputs[0], name="early"),)
    first.run = lambda: tuple(first.input_arrays[0] + add for add in (1, 10, 100))  # type: ignore[method-assign]
    third.inputs += (replace(third.inputs[0], name="skip"),)
    third.input_arrays += (np.zeros(1, np.int64),)
    third.run = lambda: (third.input_arrays[0] + third.input_arrays[1],)  # type: ignore[method-assign]
    with Segments([first, second, third]) as segments:
        push(segments, 1)
        outputs = segments.pop()
    assert outputs is not None
    assert {name: int(array[0]) for name, array in outputs.items()} == {"x+1+1+1": 3 + 11, "early": 101}


def test_what_does_not_fit_together_is_refused_by_name() -> None:
    one, other = chain([], [])
    with pytest.raises(
        ModelError, match=r"segment 1 takes 'z' int64 1, which nothing before it gives; there are 'x' int64 1, 'x\+1'"
    ):
        Segments([one, ScriptedEngine(name="z")])
    with pytest.raises(ModelError, match=r"segment 1 takes 'x\+1' int64 2, but that of segment 0 is 'x\+1' int64 1:"):
        other.inputs = (replace(other.inputs[0], shape=(2,)),)
        Segments([one, other])
    for change in ({"dtype": "int8"}, {"scale": 0.5}, {"zero_point": 3}):
        other.inputs = (replace(chain([], [])[1].inputs[0], **change),)
        with pytest.raises(ModelError, match="they are not segments of one model"):
            Segments([one, other])
    with pytest.raises(ModelError, match=r"segment 1 gives 'x\+1', which is that of segment 0 already"):
        Segments([one, replace_outputs(ScriptedEngine(name="x+1"), one)])
    with pytest.raises(ConfigError, match="one segment or more"):
        Segments([])
    with pytest.raises(ConfigError, match="holds 1 or more"):
        Segments([one], input_queue_size=0)
    with Segments([ScriptedEngine()]) as segments:
        with pytest.raises(ContractError, match="takes x; found nothing"):
            segments.push({})
        with pytest.raises(ContractError, match="does not take float64 1"):
            segments.push({"x": np.zeros(1)})


def replace_outputs(engine: ScriptedEngine, other: ScriptedEngine) -> ScriptedEngine:
    engine.outputs = other.outputs
    return engine


@pytest.mark.parametrize(("fault", "error"), [("hang", EngineHangError), ("crash", EngineCrashError)])
def test_the_sample_in_a_segment_that_fails_is_lost_by_name_and_in_its_place(
    fault: str, error: type[EngineError]
) -> None:
    engines = chain([], ["", fault], [])
    with Segments(engines, input_queue_size=None) as segments:
        for given in range(1, 5):
            push(segments, given)
        assert value(segments.pop()) == 4
        with pytest.raises(EngineError, match="sample 1 was lost in segment 1") as caught:
            segments.pop()
        assert isinstance(caught.value.__cause__, error)
        assert [value(segments.pop()) for _ in range(2)] == [6, 7]
        report = segments.report()
    assert report.event_counts == {fault: 1, "recovered": 1}
    assert [segment.recoveries for segment in report.segments] == [0, 1, 0]
    assert (report.counts.done, report.counts.failed) == (3, 1)


def test_results_that_nobody_pops_hold_the_segments_back_and_then_the_pusher() -> None:
    engines = chain([], [])
    with Segments(engines, input_queue_size=1, output_queue_size=2) as segments:
        pushed = 0
        with pytest.raises(RequestRejectedError, match="pop results"):
            while True:
                push(segments, 1, wait_ms=SHORT_MS)
                pushed += 1
        # two results, one result that waits for its place, one sample between the segments or in each, one before the first
        assert 4 <= pushed <= 6
        counts = segments.report().counts
        assert (counts.done, counts.rejected, counts.in_flight) == (2, 1, pushed - 2)
        assert [value(segments.pop()) for _ in range(pushed)] == [3] * pushed
        segments.set_output_queue_size(None)
        segments.set_input_queue_size(None)
        for _ in range(50):
            push(segments, 1)
        eventually(lambda: segments.report().counts.done == pushed + 50)
        assert [value(segments.pop()) for _ in range(50)] == [3] * 50


def test_an_early_loss_that_waits_to_be_popped_does_not_block_the_sample_before_it() -> None:
    gates = {1: threading.Semaphore(0)}
    engines = chain(["", "crash", "crash"], [], gates=gates)
    with Segments(engines, input_queue_size=None, output_queue_size=1) as segments:
        for given in range(1, 4):
            push(segments, given)
        eventually(lambda: segments.report().counts.failed == 2)
        gates[1].release(3)
        assert value(segments.pop(STEP_S * 1_000)) == 3
        for _ in range(2):
            with pytest.raises(EngineError, match="lost in segment 0"):
                segments.pop(STEP_S * 1_000)


def test_time_outs_of_pop_leave_the_sample_and_those_of_a_sample_end_it() -> None:
    gate = threading.Semaphore(0)
    engines = chain([], gates={0: gate})
    with Segments(engines) as segments:
        with pytest.raises(TimeoutError, match="nothing was pushed"):
            segments.pop(1)
        push(segments, 1)
        with pytest.raises(TimeoutError, match="sample 0 has no result within 1 ms"):
            segments.pop(1)
        push(segments, 2, timeout_ms=1)
        gate.release()
        assert value(segments.pop(STEP_S * 1_000)) == 2
        with pytest.raises(RequestTimeoutError, match="request 1 has no answer after 1 ms"):
            segments.pop(STEP_S * 1_000)
        gate.release()
        push(segments, 3)
        gate.release()
        assert value(segments.pop(STEP_S * 1_000)) == 4


def test_a_segment_that_is_lost_for_good_fails_what_comes_and_does_not_block() -> None:
    engines = chain([], ["dead"])
    engines[1].restart = lambda: (_ for _ in ()).throw(EngineError("no such device"))  # type: ignore[method-assign]
    with Segments(engines, patience_s=0) as segments:
        for given in range(1, 4):
            push(segments, given)
        messages = []
        for _ in range(3):
            with pytest.raises(EngineError) as caught:
                segments.pop(STEP_S * 1_000)
            messages.append(str(caught.value))
        assert all(f"sample {index} was lost in segment 1" in message for index, message in enumerate(messages))
        assert "segment 1 is lost" in messages[2]
        assert segments.report().event_counts["device_lost"] == 1


def test_closing_in_the_middle_fails_what_is_open_and_leaves_no_thread() -> None:
    before = threading.active_count()
    gate = threading.Semaphore(0)
    engines = chain([], [], gates={1: gate})
    segments = Segments(engines)
    with segments:
        for given in range(1, 4):
            push(segments, given)
        assert engines[1].entered.acquire(timeout=STEP_S)
        closing = threading.Thread(target=segments.close)
        closing.start()
        eventually(segments._stop.is_set)
        gate.release()
        closing.join(STEP_S)
    assert value(segments.pop()) == 3
    for _ in range(2):
        with pytest.raises(EngineError, match="closed before the sample"):
            segments.pop()
    assert segments.pop() is None
    with pytest.raises(EngineError, match="is closed"):
        push(segments, 1)
    assert all(engine.closed for engine in engines)
    assert threading.active_count() == before


FAULTS = st.lists(st.sampled_from(["", "", "", "hang", "crash", "error", "dead"]), max_size=10)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    scripts=st.lists(FAULTS, min_size=1, max_size=4),
    samples=st.integers(0, 25),
    short=st.sets(st.integers(0, 24)),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    popped_before_closing=st.integers(0, 30),
)
def test_every_sample_is_popped_once_in_order_whatever_fails(
    scripts: list[list[str]], samples: int, short: set[int], sizes: tuple[int, int], popped_before_closing: int
) -> None:
    engines = chain(*scripts)
    ended = []
    pushed: list[int] = []
    told: list[EngineError] = []
    with Segments(engines, input_queue_size=sizes[0], output_queue_size=sizes[1]) as segments:

        def feed() -> None:
            for given in range(samples):
                try:
                    timeout_ms = 0.01 if given in short else 60_000
                    pushed.append(push(segments, given + 1, timeout_ms=timeout_ms, wait_ms=60_000))
                except EngineError as exc:
                    told.append(exc)
            segments.end()

        feeder = threading.Thread(target=feed)
        feeder.start()
        while len(ended) < popped_before_closing and (request := segments.next_ended(STEP_S * 1_000)) is not None:
            ended.append(request)
    feeder.join(STEP_S)
    while (request := segments.next_ended(STEP_S * 1_000)) is not None:
        ended.append(request)
    counts = segments.report().counts
    assert [request.number for request in ended] == pushed
    assert counts.in_flight == 0
    refused = counts.rejected + counts.timed_out - sum(request.outcome == "timed_out" for request in ended)
    assert counts.submitted == len(ended) + refused  # of which push told
    assert refused <= len(told)
    if not any("closed" in str(exc) for exc in told):  # a push that comes after closing is no sample
        assert refused == len(told)
    for outcome in ("done", "failed"):
        assert getattr(counts, outcome) == sum(request.outcome == outcome for request in ended)
    for request in ended:
        if request.outcome == "done":
            assert request.result()[0][0] == request.number + 1 + len(scripts)


def test_processes_that_are_killed_stopped_and_hang_come_back_and_leave_nothing(tmp_path: Path) -> None:
    before = open_descriptors(), descendants(), threading.active_count()
    orders = [tmp_path / "0", tmp_path / "1"]
    models = plus(1, output="middle"), plus(10, input_="middle")
    engines = [
        ProcessEngine("faulty", model, {"orders": str(path)}, hang_ms=100)
        for model, path in zip(models, orders, strict=True)
    ]
    lost = 0
    with Segments(engines, input_queue_size=None) as segments:

        def strike(count: int) -> None:
            if count % 3 == 0:
                order_fault(orders[count % 2], "hang")
            else:
                os.kill(engines[count % 2].pid, signal.SIGKILL if count % 3 == 1 else signal.SIGSTOP)

        for count in range(6):
            strike(count)
            recovered = sum(segment.recoveries for segment in segments.report().segments)
            while sum(segment.recoveries for segment in segments.report().segments) == recovered:
                for given in range(4):
                    segments.push({"x": np.full((1, 4), given, np.float32)})
                for given in range(4):
                    try:
                        outputs = segments.pop(STEP_S * 1_000)
                    except EngineError as exc:
                        assert "was lost in segment" in str(exc)
                        lost += 1
                    else:
                        assert outputs is not None
                        assert (outputs["y"] == given + 11).all()
        counts = segments.report().counts
    assert counts.failed == lost == 6
    assert (open_descriptors(), descendants(), threading.active_count()) == before
