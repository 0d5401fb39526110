"""Micro-batching: what waits runs together where that is faster and no deadline is missed for it, and each sample has its own outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk import Loop
from edge_sdk.engines import Engine, load_engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ConfigError, ContractError, EngineCrashError, EngineError, RequestRejectedError
from edge_sdk.sharing import batcher as module
from edge_sdk.sharing.batch_policy import BatchPolicy
from edge_sdk.sharing.batcher import Batcher, in_processes
from edge_sdk.tensors import Array, TensorSpec
from tests.device_engines import STEP_S, plus
from tests.processes import descendants
from tests.small_bundles import Numbers, null_bundle
from tests.tiny_models import TinyModel, options

MS = 1_000_000


class Rows(Engine):
    """Adds one to each row, and forgets its input. A run on more than noise is written down, and takes a permit of the gate."""

    def __init__(self, size: int, held: Held) -> None:
        self.inputs, self.outputs = (TensorSpec("x", (size, 2), "float32"),), (TensorSpec("y", (size, 2), "float32"),)
        self.input_arrays = (np.zeros((size, 2), np.float32),)
        self._held = held

    def run(self) -> tuple[Array, ...]:
        rows = int(np.count_nonzero(self.input_arrays[0][:, 0] > 1))  # noise, by which an engine is proven, is below
        if rows:
            self._held.entered.release()
            assert self._held.gate.acquire(timeout=STEP_S)
            self._held.ran.append(rows)
            if self._held.faults:
                raise self._held.faults.pop(0)
        outputs = (self.input_arrays[0] + 1,)
        self.input_arrays[0][...] = 0
        return outputs

    def restart(self) -> None: ...


class Held:
    """An engine that runs as often as it is allowed to; its times are what the test says."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Semaphore(0), threading.Semaphore(0)
        self.ran: list[int] = []
        self.faults: list[EngineError] = []

    def batcher(self, single_ms: float = 1.0, batch_ms: float = 1.0, **options: float) -> Batcher:
        batcher = Batcher(lambda size: Rows(size, self), size=4, **options)  # type: ignore[arg-type]
        batcher._measure = lambda: None  # type: ignore[method-assign]
        batcher._policy.single_ms, batcher._policy.batch_ms = single_ms, batch_ms
        batcher._policy.ran = lambda count, took_ms: None  # type: ignore[method-assign]
        return batcher


def row(value: float) -> list[Array]:
    return [np.full((1, 2), value, np.float32)]


def occupy(held: Held, batcher: Batcher) -> list[module.Request]:
    """One that runs, until it is let go."""
    request = batcher.submit(row(99))
    assert held.entered.acquire(timeout=STEP_S)
    return [request]


def results(requests: list[module.Request]) -> list[float]:
    assert not wait(requests, STEP_S).not_done
    return [float(request.result()[0][0, 0]) for request in requests]


def test_what_waits_runs_together_and_each_has_its_own_outputs() -> None:
    held = Held()
    with held.batcher() as batcher:
        requests = occupy(held, batcher)
        requests += [batcher.submit(row(value)) for value in (10, 20, 30, 40, 50, 60)]
        held.gate.release(3)
        assert results(requests) == [100, 11, 21, 31, 41, 51, 61]
        assert all(request.result()[0].shape == (1, 2) for request in requests)
        assert held.ran == [1, 4, 2]
        assert batcher.report().batches == {1: 1, 2: 1, 4: 1}
        assert batcher.report().counts.done == 7


def test_one_by_one_where_a_batch_saves_nothing() -> None:
    held = Held()
    with held.batcher(single_ms=1, batch_ms=4) as batcher:
        requests = occupy(held, batcher) + [batcher.submit(row(value)) for value in (10, 20, 30, 40)]
        held.gate.release(5)
        assert results(requests) == [100, 11, 21, 31, 41]
        assert held.ran == [1] * 5


def test_one_slow_run_does_not_end_batches_for_ever() -> None:
    policy = BatchPolicy(4)
    policy.measured(2, 4)
    policy.ran(4, 100)  # the machine did something else
    assert not policy.pays(4)
    for _ in range(200):
        policy.ran(1, 2)
    assert policy.pays(4)
    policy.ran(1, 100)
    assert policy.pays(2)
    for _ in range(200):
        policy.ran(4, 4)
    assert policy.single_ms == pytest.approx(2, rel=0.2)


def test_the_earliest_deadline_is_first_and_runs_alone_if_a_batch_would_make_it_late() -> None:
    held = Held()
    with held.batcher(single_ms=20_000, batch_ms=50_000) as batcher:
        requests = occupy(held, batcher)
        requests += [
            batcher.submit(row(value), deadline_ms=ms)
            for value, ms in ((10, 200_000), (20, 40_000), (30, 300_000), (40, 300_000))
        ]
        held.gate.release(3)
        assert results(requests) == [100, 11, 21, 31, 41]
        assert held.ran == [1, 1, 3]
        assert requests[2].ended_ns < requests[1].ended_ns


def test_the_first_waits_for_others_as_long_as_it_may() -> None:
    held = Held()
    with held.batcher(gather_ms=60_000) as batcher:
        held.gate.release(1)
        requests = [batcher.submit(row(value), deadline_ms=100_000) for value in (10, 20, 30, 40)]
        assert results(requests) == [11, 21, 31, 41]
        assert held.ran == [4]


def test_a_deadline_ends_the_waiting_for_others() -> None:
    held = Held()
    with held.batcher(gather_ms=600_000) as batcher:
        held.gate.release(1)
        request = batcher.submit(row(10), deadline_ms=50)
        assert results([request]) == [11]
        assert held.ran == [1]


def test_a_full_queue_refuses_and_wrong_inputs_reach_no_engine() -> None:
    held = Held()
    with held.batcher(queue_size=1) as batcher:
        requests = [*occupy(held, batcher), batcher.submit(row(10))]
        with pytest.raises(RequestRejectedError, match="1 others waiting"):
            batcher.submit(row(20))
        with pytest.raises(ContractError):
            batcher.submit([np.zeros((4, 2), np.float32)])
        held.gate.release(2)
        assert results(requests) == [100, 11]
        counts = batcher.report().counts
        assert (counts.submitted, counts.done, counts.rejected) == (3, 2, 1)


def test_a_failure_takes_its_batch_and_the_rest_goes_on() -> None:
    held = Held()
    held.faults = [EngineCrashError("as told")]
    with held.batcher() as batcher:
        requests = occupy(held, batcher)
        requests += [batcher.submit(row(value)) for value in (10, 20)]
        held.gate.release(2)
        assert results(requests[1:]) == [11, 21]
        assert isinstance(requests[0].exception(), EngineCrashError)
        assert batcher.report().counts.failed == 1


def test_what_was_cancelled_meanwhile_leaves_the_others_their_rows() -> None:
    held = Held()
    with held.batcher() as batcher:
        requests = occupy(held, batcher) + [batcher.submit(row(value)) for value in (10, 20, 30)]
        assert requests[2].cancel()
        held.gate.release(2)
        assert results([requests[1], requests[3]]) == [11, 31]


def test_closing_ends_what_waits() -> None:
    held = Held()
    with held.batcher() as batcher:
        requests = [*occupy(held, batcher), batcher.submit(row(10))]
        held.gate.release(2)
        threading.Thread(target=batcher.close).start()
        assert not wait(requests, STEP_S).not_done
    with pytest.raises(EngineError, match="closed"):
        batcher.submit(row(1))


@given(
    count=st.integers(1, 40),
    single_ms=st.floats(0.01, 100),
    batch_ms=st.floats(0.01, 400),
    deadline_ms=st.floats(-10, 1_000),
    gather_ms=st.floats(0, 100),
)
def test_no_deadline_is_missed_for_a_batch(
    count: int, single_ms: float, batch_ms: float, deadline_ms: float, gather_ms: float
) -> None:
    policy = BatchPolicy(8, round(gather_ms * MS), single_ms, batch_ms)
    deadline_ns = round(deadline_ms * MS)
    together = policy.together(count, deadline_ns, 0)
    assert 1 <= together <= min(count, 8)
    if together > 1:
        assert batch_ms < together * single_ms
        assert batch_ms <= deadline_ns / MS or single_ms > deadline_ns / MS
    wait_ns = policy.wait_ns(count, 0, deadline_ns, 0)
    if wait_ns > 0:
        assert wait_ns + batch_ms * MS <= deadline_ns
        assert wait_ns <= gather_ms * MS + 1


# Real engines


def dense(size: int = 64) -> bytes:
    """A model of one fully connected layer."""
    net, rng = TinyModel(), np.random.default_rng(0)
    x, y = net.tensor("x", (1, size)), net.tensor("y", (1, size))
    weights = net.constant("w", rng.normal(size=(size, size)).astype(np.float32))
    bias = net.constant("b", np.zeros(size, np.float32))
    net.operator("FULLY_CONNECTED", [x, weights, bias], [y], options("FullyConnected"))
    return net.build([x], [y])


def summing() -> bytes:
    """A model that adds up along the batch, and keeps the shape."""
    net = TinyModel()
    x, y = net.tensor("x", (1, 4)), net.tensor("y", (1, 4))
    net.operator("CUMSUM", [x, net.constant("axis", np.array([0], np.int32))], [y], options("Cumsum"))
    return net.build([x], [y])


def folded() -> bytes:
    """A model that lays all samples behind one another: its output has one row, whatever the batch."""
    net = TinyModel()
    x, y = net.tensor("x", (1, 2, 2)), net.tensor("y", (1, 4))
    net.operator(
        "RESHAPE", [x, net.constant("shape", np.array([1, -1], np.int32))], [y], options("Reshape", newShape=[1, -1])
    )
    return net.build([x], [y])


def test_a_batch_of_a_real_engine_is_what_its_samples_are() -> None:
    samples = [np.random.default_rng(n).normal(size=(1, 64)).astype(np.float32) for n in range(4)]
    with load_engine_of(dense()) as single, open_engine("litert", dense(), {"batch": "4"}, isolation="none") as four:
        assert four.inputs[0].shape == (4, 64)
        four.input_arrays[0][...] = np.concatenate(samples)
        together = four.run()[0]
        for row_, sample in enumerate(samples):
            single.input_arrays[0][...] = sample
            np.testing.assert_allclose(single.run()[0][0], together[row_], rtol=1e-5, atol=1e-5)


def load_engine_of(model: bytes) -> Engine:
    return open_engine("litert", model, isolation="none")


def test_a_model_that_folds_its_samples_is_refused_by_the_engine() -> None:
    with pytest.raises(EngineError, match=r"mixes samples: with batch = 4 'y' has shape \(1, 16\)"):
        open_engine("litert", folded(), {"batch": "4"}, isolation="none")


@pytest.mark.parametrize("given_", ["0", "-1", "many", "1025"])
def test_a_wrong_batch_is_refused(given_: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(dense())
    with pytest.raises(ConfigError, match="batch is a number from 1 to 1024"):
        load_engine("litert", str(tmp_path / "m"), {"batch": given_})


def test_a_model_that_mixes_the_rows_is_found_at_the_start() -> None:
    others = descendants()  # of tests before
    opened: Callable[[int], Engine] = in_processes("litert", summing(), hang_ms=10_000)
    with pytest.raises(ConfigError, match="mixes the samples of a batch"), Batcher(opened, size=4):
        pass
    assert descendants() <= others


def test_what_gains_nothing_says_so() -> None:
    with Batcher(in_processes("litert", plus(1), hang_ms=10_000), size=2) as batcher:
        batcher._policy.single_ms, batcher._policy.batch_ms = 1.0, 2.0
        assert not batcher._policy.pays(2)
        (y,) = batcher.submit([np.zeros((1, 4), np.float32)]).result(STEP_S)
        assert y.tolist() == [[1, 1, 1, 1]]


def test_loops_share_a_model(tmp_path: Path) -> None:
    """The engine of a bundle is the batcher's: four loops, each its own source, every sample a result."""
    bundle = null_bundle(tmp_path / "n.edge")
    opened = in_processes("null", b"", hang_ms=10_000, options={"input": "1,4 int8", "output": "1,4 int8"})
    with Batcher(lambda size: opened(1) if size == 1 else _wide(size), size=4) as batcher:
        found: list[int] = []

        def serve() -> None:
            with Loop(bundle, Numbers(25), deadline_ms=10_000, **batcher.for_loop(deadline_ms=5_000)) as loop:
                found.append(len(list(loop)))

        threads = [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STEP_S)
        assert found == [25] * 4
        report = batcher.report()
        assert report.counts.done >= 100
        assert sum(count * runs for count, runs in report.batches.items()) == report.counts.done


def _wide(size: int) -> Engine:
    wide = {"input": f"{size},4 int8", "output": f"{size},4 int8"}
    return in_processes("null", b"", hang_ms=10_000, options=wide)(1)
