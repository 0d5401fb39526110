"""One model for several callers: what waits at the same time runs together, as far as deadlines allow.

with Batcher(in_processes("litert", model, hang_ms=1_000), size=4) as batcher:
    request = batcher.submit([image], deadline_ms=50)     # from any thread: a future
    (scores,) = request.result()
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns

from edge_sdk.audience import Audience
from edge_sdk.engines import Engine, Options
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.engines.scheduled import Late, LoopOptions, loop_options, registered
from edge_sdk.errors import ConfigError, EngineError, RequestRejectedError
from edge_sdk.result import Event
from edge_sdk.sharing.batch_policy import BatchPolicy
from edge_sdk.sharing.batch_proof import prove_rows
from edge_sdk.sharing.device import Device, DeviceReport, end_threads
from edge_sdk.sharing.requests import MS_NS, Request, RequestCounts, check_inputs
from edge_sdk.sharing.service import Service
from edge_sdk.tensors import Array, TensorSpec

_TRIED = 15  # runs of each size at the start

Open = Callable[[int], Engine]  # opens the model for so many samples a run


@dataclass(frozen=True)
class BatcherReport:
    """Everything counted so far.

    Attributes:
        counts: what became of the requests.
        batches: how many runs there were of each number of samples.
        late: how many requests were done behind their deadline.
        single_ms, batch_ms: what a run of one sample, and of a batch takes: the averages that are planned by.
        devices, event_counts: of the two engines; how many events there were of each kind.
    """

    counts: RequestCounts
    batches: dict[int, int]
    late: int
    single_ms: float
    batch_ms: float
    devices: tuple[DeviceReport, ...]
    event_counts: dict[str, int]


def in_processes(engine: str, model: bytes, *, hang_ms: float, options: Options | None = None) -> Open:
    """Opens a model for any number of samples, each time in a process of its own.

    Args:
        engine: its name; it has an option ``batch``.
        model: the model's content, made for one sample.
        hang_ms, options: of the engine.
    """

    def opened(size: int) -> Engine:
        batch = {} if size == 1 else {"batch": str(size)}
        return ProcessEngine(engine, model, {**(options or {}), **batch}, hang_ms=hang_ms, start=False)

    return opened


class Batcher(Service):
    """Runs requests one by one while they come slowly, and in batches as soon as they queue up.

    A context manager; safe for any number of threads.

    Nothing waits for others to come unless ``gather_ms`` says so, and never so long that a deadline would be missed for it. Where the
    engine gains nothing from batches, which is measured at the start, all runs are of one sample, and that is said.

    Args:
        open_: opens the model; see ``in_processes``. It is opened twice: for one sample, and for a batch.
        size, queue_size: of the largest batch; how many may wait.
        gather_ms: how long a request may wait for others, while the engine is free.
        timeout_ms: a request without an answer by then ends with RequestTimeoutError.
        patience_s: for how long an engine is tried again after a failure; for ever by default.
        on_event: called with every event, from any thread.

    Attributes:
        inputs, outputs: the model's tensors, for one sample.
        events: the latest.

    Raises:
        ConfigError, EngineError: on entering, if the model keeps a state, mixes the samples of a batch, or does not run.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __init__(
        self,
        open_: Open,
        *,
        size: int,
        gather_ms: float = 0.0,
        queue_size: int = 32,
        timeout_ms: float = 10_000,
        patience_s: float = float("inf"),
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if size < 2 or queue_size < 1 or gather_ms < 0:
            raise ConfigError(f"a batch has 2 samples or more; found {size=}, {queue_size=}, {gather_ms=:g}")
        self._policy = BatchPolicy(size, round(gather_ms * MS_NS))
        self._queue_size, self._timeout_ms = queue_size, timeout_ms
        self._audience = Audience((), on_event)
        self.events = self._audience.events
        self._stop = threading.Event()
        self._single, self._batch = (
            Device(name, partial(open_, n), self._audience.tell, stop=self._stop, patience_s=patience_s)
            for name, n in (("one by one", 1), (f"batches of {size}", size))
        )
        self._batches, self._late = Counter[int](), 0
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int, Request]] = []  # by deadline, then by number
        self._thread = threading.Thread(target=self._serve, name="edge-sdk-batcher", daemon=True)
        self._key = registered(self)

    def submit(self, inputs: Sequence[Array], *, deadline_ms: float | None = None) -> Request:
        """Ask for an inference.

        Args:
            inputs: the input tensors of one sample; not to be changed until the request has ended.
            deadline_ms: until when the outputs are of use, from now on; without one it comes behind those that have one, within
                ``timeout_ms``. It is run also when it is late, and its ``late`` says so.

        Raises:
            ContractError: if the inputs do not fit.
            RequestRejectedError: if the queue is full.
            EngineError: if all is closed, or the engine lost.
        """
        requests = self._entered()
        check_inputs(inputs, self.inputs)
        request = requests.new(inputs, self._timeout_ms, deadline_ms=deadline_ms or 0)
        with self._changed:
            error = self._refusal(request)
            if error is None:
                insort(self._waiting, (request.deadline_ns or request.until_ns, request.number, request))
                self._changed.notify()
        if error is not None:
            raise requests.refuse(request, error)
        return request

    def run(
        self, model: str, inputs: Sequence[Array], *, deadline_ms: float | None = None, late: Late = "run"
    ) -> tuple[Array, ...]:
        """See ``Shared``."""
        return self.submit(inputs, deadline_ms=deadline_ms).result()

    def specs(self, model: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """See ``Shared``."""
        self._entered()
        return self.inputs, self.outputs

    def for_loop(self, *, deadline_ms: float | None = None) -> LoopOptions:
        """What a ``Loop`` takes: ``Loop("face.edge", "camera:0", deadline_ms=50, **batcher.for_loop(deadline_ms=40))``.

        ``deadline_ms`` is how much of the loop's own is for the engine and for waiting for it.
        """
        return loop_options(self._key, "", deadline_ms)

    def report(self) -> BatcherReport:
        """Everything counted so far."""
        return BatcherReport(
            self._entered().counts(),
            dict(sorted(self._batches.items())),
            self._late,
            self._policy.single_ms,
            self._policy.batch_ms,
            (self._single.report(), self._batch.report()),
            dict(self._audience.event_counts),
        )

    def close(self) -> None:
        """End all: what waits, or runs for longer than a second more, fails, saying so."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        end_threads([self._thread], (self._single, self._batch), self._audience.say)
        for device in (self._single, self._batch):
            device.close()
        if self._requests is not None:
            self._requests.end(EngineError("the batcher was closed before the request had an answer"))

    def _start(self) -> None:
        self._single.open()
        self._know(self._single)
        self._batch.open()
        self._measure()
        self._thread.start()

    def _serve(self) -> None:
        while (requests := self._next()) is not None:
            self._answer(requests)

    def _next(self) -> list[Request] | None:
        """What runs together now, the earliest deadline first; None at the end."""
        policy = self._policy
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._stop.is_set() or self._waiting)
                if self._stop.is_set():
                    return None
                first_ns = min(request.submitted_ns for _, _, request in self._waiting)
                deadline_ns, now_ns = self._waiting[0][0], monotonic_ns()
                wait_ns = policy.wait_ns(len(self._waiting), first_ns, deadline_ns, now_ns)
                if wait_ns <= 0:
                    break
                self._changed.wait(wait_ns * 1e-9)
            count = policy.together(len(self._waiting), deadline_ns, now_ns)
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            return [request for _, _, request in taken]

    def _answer(self, requests: list[Request]) -> None:
        begun = [(each, self._entered().begin(each)) for each in requests]
        running = [(each, inputs) for each, inputs in begun if inputs is not None]
        if not running:
            return
        device = self._single if len(running) == 1 else self._batch
        began_ns = monotonic_ns()
        try:
            outputs = device.run_rows([inputs for _, inputs in running])
        except EngineError as exc:
            self._failed(device, [each for each, _ in running], exc)
            return
        self._policy.ran(len(running), (monotonic_ns() - began_ns) / MS_NS)
        self._batches[len(running)] += 1
        for row, (request, _) in enumerate(running):
            own = outputs if len(running) == 1 else tuple(output[row : row + 1].copy() for output in outputs)
            if self._entered().finish(request, own):
                self._late += request.late

    def _failed(self, device: Device, requests: list[Request], exc: EngineError) -> None:
        for request in requests:
            self._entered().fail(request, exc)
        if self._stop.is_set() or device.recover(exc, requests[0].number):
            return
        self._stop.set()
        self._entered().end(EngineError(f"the engine is lost: {exc}"))

    def _know(self, single: Device) -> None:
        assert single.engine is not None  # noqa: S101 - it is open
        self.inputs, self.outputs = single.engine.inputs, single.engine.outputs
        if single.engine.stateful:
            raise ConfigError("a model that keeps a state from run to run cannot be shared by several callers")

    def _measure(self) -> None:
        """What runs take, and whether a batch computes what its samples do."""
        policy = self._policy
        prove_rows(self._single, self._batch, self.inputs, self.outputs, policy.size)
        rounds = [(self._single.prove(), self._batch.prove()) for _ in range(_TRIED)]
        policy.measured(*(min(took) for took in zip(*rounds, strict=True)))  # least disturbed
        if not policy.pays(policy.size):
            self._audience.say(
                "no_gain",
                f"{policy.size} samples take {policy.batch_ms:.2f} ms together, {policy.size * policy.single_ms:.2f} ms one by one: this "
                "engine gains nothing from batches, and runs one by one",
            )

    def _refusal(self, request: Request) -> EngineError | None:
        if self._stop.is_set():
            return EngineError("the batcher is closed, or its engine lost")
        if len(self._waiting) < self._queue_size:
            return None
        return RequestRejectedError(
            f"request {request.number} finds {self._queue_size} others waiting; submit more slowly"
        )

    def _left(self, request: Request) -> None:
        """It was cancelled, or its time is over."""
        with self._changed:
            self._waiting = [each for each in self._waiting if each[2] is not request]
