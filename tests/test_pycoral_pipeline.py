"""pycoral's pipeline: results in order, bounds that hold, an end that is told, errors of a segment to those who push and pop."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.pycoral import make_interpreter
from edge_sdk.pycoral.pipeline.pipelined_model_runner import PipelinedModelRunner
from edge_sdk.tensors import Array
from tests.supervised import eventually
from tests.tiny_models import TinyModel, options

ROOT = Path(__file__).parents[1]


def segment(entries: list[str], exits: list[str], *, allocate: bool = True) -> Any:
    """Each exit is the sum of the entries plus 1; float (1, 2)."""
    net = TinyModel()
    inputs = [net.tensor(name, (1, 2)) for name in entries]
    one = net.constant("one", np.ones((1, 2), np.float32))
    outputs = []
    for name in exits:
        last = inputs[0]
        for number, other in enumerate([*inputs[1:], one]):
            is_last = number == len(inputs) - 1
            made = net.tensor(name if is_last else f"{name} so far {number}", (1, 2))
            net.operator("ADD", [last, other], [made], options("Add"))
            last = made
        outputs.append(last)
    interpreter = make_interpreter(net.build(inputs, outputs))
    if allocate:
        interpreter.allocate_tensors()
    return interpreter


def values(number: float) -> Array:
    return np.full((1, 2), number, np.float32)


def workers() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("pycoral"))


@pytest.fixture
def three() -> PipelinedModelRunner:
    """Three segments; b goes past the second one to the third: out = ((x + 1) + 1) + (x + 1) + 1."""
    return PipelinedModelRunner([segment(["x"], ["a", "b"]), segment(["a"], ["c"]), segment(["c", "b"], ["out"])])


def drained(runner: PipelinedModelRunner) -> list[float]:
    found = []
    while (result := runner.pop()) is not None:
        found.append(float(result["out"][0, 0]))
    return found


def test_results_come_in_order_with_names_and_shapes(three: PipelinedModelRunner) -> None:
    for number in range(50):
        assert three.push({"x": values(number)}) is None
    three.push({})
    first = three.pop()
    assert first is not None and list(first) == ["out"] and first["out"].shape == (1, 2)
    assert drained(three) == [2 * n + 4 for n in range(1, 50)]
    assert three.pop() is None
    assert len(three.interpreters()) == 3


def test_one_pushes_while_another_pops(three: PipelinedModelRunner) -> None:
    three.set_input_queue_size(2)
    three.set_output_queue_size(2)

    def push() -> None:
        for number in range(200):
            three.push({"x": values(number)})
        three.push({})

    with ThreadPoolExecutor() as pool:
        pushing = pool.submit(push)
        assert drained(three) == [2 * n + 4 for n in range(200)]
        pushing.result(10)


def test_pushed_arrays_are_copied_and_may_have_another_shape_of_that_size(three: PipelinedModelRunner) -> None:
    mine = np.zeros(2, np.float32)
    three.push({"x": mine})
    mine[:] = 99
    three.push({})
    assert drained(three) == [4]


def test_bounded_queues_hold_two_a_segment_and_one_more(three: PipelinedModelRunner) -> None:
    """One in each queue and one in each segment, which cannot put it on; the next waits."""
    three.set_input_queue_size(1)
    three.set_output_queue_size(1)
    with ThreadPoolExecutor() as pool:
        for number in range(7):
            pool.submit(three.push, {"x": values(number)}).result(10)
        eighth = pool.submit(three.push, {"x": values(7)})
        with pytest.raises(FutureTimeoutError):
            eighth.result(0.2)
        assert three.pop() is not None
        eighth.result(10)
        three.push({})
        assert drained(three) == [2 * n + 4 for n in range(1, 8)]


def test_a_wider_bound_lets_a_waiting_push_go_on(three: PipelinedModelRunner) -> None:
    three.set_output_queue_size(1)
    three.set_input_queue_size(1)
    with ThreadPoolExecutor() as pool:
        for number in range(7):
            pool.submit(three.push, {"x": values(number)}).result(10)
        eighth = pool.submit(three.push, {"x": values(7)})
        three.set_input_queue_size(5)
        eighth.result(10)
    three.push({})
    assert len(drained(three)) == 8


def test_after_the_end_nothing_is_taken(three: PipelinedModelRunner) -> None:
    three.push({})
    for tensors in ({"x": values(1)}, {}):
        with pytest.raises(RuntimeError, match="Pipeline was turned off before"):
            three.push(tensors)
    assert three.pop() is None


@pytest.mark.parametrize(
    ("tensors", "error", "said"),
    [
        ({"x": np.zeros((1, 2))}, ValueError, "array of type float32: 'x' is float64"),
        ({"x": [[0, 0]]}, ValueError, "array of type float32: 'x' is list"),
        ({"x": np.zeros((1, 3), np.float32)}, ValueError, r"'x' has shape \[1, 3\]; the model takes \[1, 2\]"),
        ({"x": values(0), "y": values(0)}, ValueError, "Expected input of length 1, but got 2"),
        ({"y": values(0)}, KeyError, "no input 'y'; it has 'x'"),
    ],
)
def test_what_does_not_fit_is_refused(
    three: PipelinedModelRunner, tensors: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        three.push(tensors)
    three.push({"x": values(1)})
    three.push({})
    assert drained(three) == [6]


def test_queue_sizes_are_from_one(three: PipelinedModelRunner) -> None:
    for setter in (three.set_input_queue_size, three.set_output_queue_size):
        with pytest.raises(ValueError, match="from 1; found 0"):
            setter(0)


def test_segments_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="At least one interpreter expected"):
        PipelinedModelRunner([])
    with pytest.raises(ValueError, match="Interpreter 1 can not get its input tensors x"):
        PipelinedModelRunner([segment(["a"], ["out"]), segment(["x"], ["a"])])


@pytest.mark.parametrize("broken", [0, 1])
def test_a_segment_that_fails_is_told_to_who_pops_and_who_pushes(broken: int) -> None:
    segments = [segment(["x"], ["a"], allocate=broken != 0), segment(["a"], ["out"], allocate=broken != 1)]
    runner = PipelinedModelRunner(segments)
    runner.push({"x": values(0)})
    for _ in range(2):
        with pytest.raises(RuntimeError, match=f"Segment {broken} runner error: .*allocate"):
            runner.pop()
    eventually(lambda: not workers())
    for tensors in ({"x": values(1)}, {}):
        with pytest.raises(RuntimeError, match=f"Segment {broken} runner error"):
            runner.push(tensors)


class Stubborn:
    """An interpreter that fails when it is told to, at a certain run."""

    def __init__(self, good: int = 0) -> None:
        self.told = threading.Event()
        self._good = good
        self._interpreter = self

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"name": "x", "index": 0, "dtype": np.float32, "shape": np.array([1, 2])}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"name": "out", "index": 1}]

    def set_tensor(self, index: int, value: Array) -> None:
        self._good -= 1
        if self._good < 0:
            assert self.told.wait(10)
            raise ValueError("as it was told")

    def get_tensor(self, index: int) -> Array:
        return values(1)

    def Invoke(self) -> None:
        """Nothing to do."""


def test_what_was_finished_before_a_failure_comes_first() -> None:
    stubborn = Stubborn(good=2)
    stubborn.told.set()
    runner = PipelinedModelRunner([stubborn])
    for _ in range(3):
        runner.push({"x": values(0)})
    eventually(lambda: not workers())
    assert [runner.pop() is not None for _ in range(2)] == [True, True]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="as it was told"):
            runner.pop()


def test_a_push_that_waits_hears_of_the_failure() -> None:
    stubborn = Stubborn()
    runner = PipelinedModelRunner([stubborn])
    runner.set_input_queue_size(1)
    with ThreadPoolExecutor() as pool:
        runner.push({"x": values(0)})
        pool.submit(runner.push, {"x": values(1)}).result(10)
        waiting = pool.submit(runner.push, {"x": values(2)})
        stubborn.told.set()
        with pytest.raises(RuntimeError, match="Segment 0 runner error: as it was told"):
            waiting.result(10)
        with pytest.raises(RuntimeError, match="as it was told"):
            runner.pop()


def test_a_runner_that_goes_away_takes_its_threads_along() -> None:
    runner = PipelinedModelRunner([segment(["x"], ["a"]), segment(["a"], ["out"])])
    assert workers() == ["pycoral-segment-0", "pycoral-segment-1"]
    gone = weakref.ref(runner)
    runner.push({"x": values(0)})
    assert runner.pop() is not None
    del runner
    gc.collect()
    assert gone() is None
    assert workers() == []


def test_results_that_nobody_popped_are_told() -> None:
    runner = PipelinedModelRunner([segment(["x"], ["out"])])
    for number in range(3):
        runner.push({"x": values(number)})
    runner.push({})
    assert runner.pop() is not None
    with pytest.warns(ResourceWarning, match=r"ended with \d inputs or results in it that nobody popped"):
        del runner
        gc.collect()


def test_a_program_ends_with_a_pipeline_that_was_not() -> None:
    code = (
        "from tests.test_pycoral_pipeline import *\n"
        "runner = PipelinedModelRunner([segment(['x'], ['out'])])\n"
        "runner.push({'x': values(0)}); assert runner.pop() is not None; print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
