"""One candidate, open: started as the loop starts it, checked against its golden vectors, then timed block by block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns, perf_counter

import numpy as np

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import GoldenCheck, check_golden
from edge_sdk.encoder import Encoder
from edge_sdk.engines.family import Server
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import EngineError
from edge_sdk.tasks import make_task
from edge_sdk.tensors import Array
from edge_sdk.tune.candidates import Candidate
from edge_sdk.tune.pace import Pace
from edge_sdk.watchdog.processes import memory_mb

_FEWEST = 3  # runs of a block
_SHARE_OF_ONE = 1 / 3  # of what is left of the budget: one that hangs must not take it from all others
_GENTLEST = "19"
_WARM_UP_RUNS, _WARM_UP_MS = 80, 250.0
_MS = 1_000.0


class Servers:
    """One fork server an engine, which all its contenders are children of: an engine's libraries are imported once.

    Args:
        gentle: whether they and their children give way to every other process.

    Attributes:
        least_ms: for a start, or a run, at least; one that gives way may have to wait long for its turn.
    """

    def __init__(self, *, gentle: bool = False) -> None:
        self._servers: dict[str, Server] = {}
        self._took_ms: dict[str, float] = {}
        self._gentle = gentle
        self.least_ms = 60_000 if gentle else 1_000

    def server(self, engine: str, most_s: float) -> tuple[Server, float]:
        """The engine's, and how long its start took in milliseconds.

        Raises:
            EngineError, MissingPackageError: if the engine's libraries cannot be had.
        """
        if engine not in self._servers:
            began = perf_counter()
            server = Server(engine)
            self._servers[engine] = server
            if self._gentle:
                give_way(server.pid)
            try:
                server.await_ready(most_s * _MS)
            except (ConnectionError, TimeoutError) as exc:
                self._end(engine)
                raise EngineError(f"the libraries of engine {engine} cannot be loaded: {exc}") from exc
            except BaseException:
                self._end(engine)
                raise
            self._took_ms[engine] = (perf_counter() - began) * _MS
        return self._servers[engine], self._took_ms[engine]

    def close(self) -> None:
        """End them."""
        for engine in tuple(self._servers):
            self._end(engine)

    def _end(self, engine: str) -> None:
        self._servers.pop(engine).end()


def give_way(pid: int) -> None:
    """Where the kernel groups processes by session, nice counts within a session only: the process's own session gives way, too.

    Source: sched(7), "The autogroup feature". A kernel without it has no such file.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(_GENTLEST)


@dataclass(frozen=True)
class Block:
    """Steps timed one after the other, in milliseconds.

    Attributes:
        floor: the shortest: what the candidate itself needs, whatever else the machine did.
        median: of them.
    """

    floor: float
    median: float

    def behind(self, other: Block) -> float:
        """How many times as slow as another of the same moment, by both figures."""
        return min(self.floor / other.floor, self.median / other.median)


class Contender:
    """A candidate in its engine, in a process of its own. A step is what the loop does with a sample: encode, engine, decode.

    Args:
        bundle: has the candidate's variant.
        candidate: which.
        servers: has the engine's server.
        pace: asked before each run.
        left_s: what is left of the budget. It must have started in a third of that, which is also the hang budget of each run.

    Attributes:
        candidate: as given.
        golden: what replaying the golden vectors showed; None where the bundle has none.
        startup_ms: from nothing to the first inference, the engine's libraries included.
        memory_mb: PSS of the engine's process.
        blocks: times of the steps, in milliseconds, a list a block.

    Raises:
        EdgeSdkError: if the engine cannot be had, or is not done with the golden vectors in that time.
    """

    def __init__(
        self, bundle: Bundle, candidate: Candidate, servers: Servers, pace: Pace, left_s: Callable[[], float]
    ) -> None:
        self.candidate, self._pace, self._left_s = candidate, pace, left_s
        self.golden: GoldenCheck | None = None
        self.blocks: list[list[float]] = []
        variant = candidate.variant
        budget_ms = max(left_s() * _MS * _SHARE_OF_ONE, servers.least_ms)
        pace.wait()
        server, server_ms = servers.server(candidate.engine, budget_ms / _MS)
        began = perf_counter()
        self.engine = ProcessEngine(
            candidate.engine,
            bundle.model_of(variant),
            candidate.options,
            hang_ms=budget_ms,
            start_ms=budget_ms,
            server=server,
        )
        try:
            self.engine.expect(variant.inputs, variant.outputs)
            self._step = _step_of(bundle, variant, self.engine)
            first_ms = self._timed()
            self.startup_ms = server_ms + (perf_counter() - began) * _MS
            second_ms = self._timed()
            self._check(bundle, variant, min(first_ms, second_ms))
            self._warm_up()
            self.memory_mb = memory_mb([self.engine.pid])
        except BaseException:
            self.close()
            raise

    @property
    def is_wrong(self) -> bool:
        """Whether it does not reproduce the golden vectors."""
        return self.golden is not None and not self.golden.passed

    @property
    def p25_ms(self) -> float:
        """The lower quartile of all steps timed: what it takes when nothing else holds it up."""
        return self._quantile(25)

    @property
    def p50_ms(self) -> float:
        """Of all steps timed."""
        return self._quantile(50)

    @property
    def floor_ms(self) -> float:
        """The shortest of all steps timed."""
        return self._quantile(0)

    @property
    def p95_ms(self) -> float:
        """Of all steps timed."""
        return self._quantile(95)

    @property
    def runs(self) -> int:
        """Steps timed."""
        return sum(map(len, self.blocks))

    def block(self, seconds: float) -> Block:
        """Time steps for so long, and three at least.

        Raises:
            EngineError: if the engine fails.
        """
        took: list[float] = []
        while len(took) < _FEWEST or sum(took) < seconds * _MS:
            took.append(self._timed())
            if self._left_s() <= 0:
                break
        self.blocks.append(took)
        return Block(min(took), float(np.median(took)))

    def close(self) -> None:
        """End its process."""
        self.engine.close()

    def _timed(self) -> float:
        self._pace.wait()
        began = perf_counter()
        self._step()
        return (perf_counter() - began) * _MS

    def _warm_up(self) -> None:
        """Until waiting for the engine has learnt how long that takes, see ``Spin``: from a slow first run it falls by a tenth a run."""
        took_ms, runs = 0.0, 0
        while not self.is_wrong and runs < _WARM_UP_RUNS and took_ms < _WARM_UP_MS and self._left_s() > 0:
            took_ms, runs = took_ms + self._timed(), runs + 1

    def _check(self, bundle: Bundle, variant: Variant, run_ms: float) -> None:
        name = bundle.golden_inputs_of(variant)
        count = 0 if name is None or variant.golden is None else len(bundle.arrays(name))
        if count * run_ms > self._left_s() * _MS:
            raise EngineError(f"a run takes {run_ms:.0f} ms, too long to check {count} golden vectors in what is left")
        self._pace.wait()
        self.golden = check_golden(bundle, variant, self.engine)

    def _quantile(self, percent: float) -> float:
        return float(np.percentile([ms for block in self.blocks for ms in block] or [0.0], percent))


def _step_of(bundle: Bundle, variant: Variant, engine: ProcessEngine) -> Callable[[], None]:
    """One sample from raw input to value, the golden inputs in turn; noise of the tensor's own form where there are none."""
    contract, spec = bundle.contract_of(variant), variant.inputs[0]
    encoder = Encoder(contract, spec)
    task = make_task(
        bundle.task_of(variant), input_=spec, outputs=variant.outputs, labels=bundle.labels(), heads=variant.heads
    )
    samples = _samples(bundle, variant)
    turn = 0

    def step() -> None:
        nonlocal turn
        turn += 1
        placement = encoder.encode(samples[turn % len(samples)], engine.input_arrays[0])
        task.decode(engine.run(), placement, monotonic_ns(), engine.input_arrays[0])

    return step


def _samples(bundle: Bundle, variant: Variant) -> list[Array]:
    name = bundle.golden_inputs_of(variant)
    if name is not None:
        return list(bundle.arrays(name).values())
    contract, spec = bundle.contract_of(variant), variant.inputs[0]
    random = np.random.default_rng(0)
    if contract.input == "image":
        width, height = spec.image_size
        return [random.integers(0, 256, (height, width, contract.channels), np.uint8)]
    shape = spec.shape[1:] if contract.window is None else contract.window.shape
    return [
        random.standard_normal(shape).astype(np.float32 if contract.window or spec.dtype == "float32" else spec.dtype)
    ]


def gentle_now() -> None:
    """This process, and all that it starts, give way to every other process."""
    os.nice(19)
    give_way(os.getpid())
