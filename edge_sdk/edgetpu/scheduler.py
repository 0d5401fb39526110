"""Several models on one device, which holds one at a time: what waits is run by deadline, and model by model as far as deadlines allow.

engines = open_together("edgetpu", {"face": face, "pose": pose}, hang_ms=200)
with Scheduler(engines, plans={"face": face_plan, "pose": pose_plan}) as tpu:
    request = tpu.submit("face", [image], deadline_ms=50)     # from any thread: a future
    (boxes,) = request.result()
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic_ns, perf_counter

from edge_sdk.audience import Audience
from edge_sdk.edgetpu.costs import Cost, Costs, expected
from edge_sdk.edgetpu.plan import Host, Plan
from edge_sdk.edgetpu.policy import Job, Policy, can_be_on_time
from edge_sdk.edgetpu.swap_watch import SwapWatch
from edge_sdk.engines import Engine
from edge_sdk.engines.scheduled import Late, LoopOptions, loop_options, registered
from edge_sdk.errors import ConfigError, EngineError, RequestRejectedError
from edge_sdk.result import Event
from edge_sdk.sharing.device import Device, DeviceReport, end_threads
from edge_sdk.sharing.requests import Request, RequestCounts, check_inputs
from edge_sdk.sharing.service import Service
from edge_sdk.tensors import Array, TensorSpec

_ROUNDS, _RUNS = 3, 3  # at the start, where no plan says what runs take


@dataclass(frozen=True)
class ModelReport:
    """One model's share of the device.

    Attributes:
        device: its runs, failures and recoveries.
        late: how many of the runs ended behind their deadline.
        swaps: how often it came upon another model.
        run_ms, swap_ms: the averages by which it is planned at present.
    """

    device: DeviceReport
    late: int
    swaps: int
    run_ms: float
    swap_ms: float


@dataclass(frozen=True)
class SchedulerReport:
    """Everything counted so far.

    Attributes:
        counts: what became of the requests.
        models: each one's share, by name.
        advice: what was said of models that should be compiled together; empty if nothing was.
        event_counts: how many events there were of each kind.
    """

    counts: RequestCounts
    models: dict[str, ModelReport]
    advice: str
    event_counts: dict[str, int]


class Scheduler(Service):
    """Shares a device among models. A context manager; safe for any number of threads.

    A device that fails is had back with growing waits; the request that ran on it fails, those that wait go on afterwards, or are rejected
    when their deadlines cannot be met any more.

    Args:
        engines: each model's, open, by name, such as ``open_together`` gives; closed with it.
        plans: what is expected of the models, by the same names; times of those that have none are measured at the start.
        host: what the device hangs on: whose times of the plans are meant.
        queue_size: how many requests may wait.
        patience_ms: how long a model may be put off for the others' deadlines, or a request that is late already; and the deadline of
            requests that have none.
        timeout_ms: a request without an answer by then ends with RequestTimeoutError.
        patience_s: for how long the device is tried again after a failure; for ever by default.
        swap_share: what share of the time swaps may take before compiling together is advised.
        on_event: called with every event, from any thread.

    Attributes:
        events: the latest.

    Raises:
        ConfigError: if there are plans of other models than engines.
        EngineError: on entering, if a model does not run.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        *,
        plans: Mapping[str, Plan] | None = None,
        host: Host = "usb3",
        queue_size: int = 32,
        patience_ms: float = 1_000,
        timeout_ms: float = 10_000,
        patience_s: float = float("inf"),
        swap_share: float = 0.1,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        plans = plans or {}
        if not engines or not set(plans) <= set(engines):
            raise ConfigError(
                f"plans are of models that have an engine ({', '.join(engines) or 'none'}); found {', '.join(plans)}"
            )
        self._audience = Audience((), on_event)
        self.events = self._audience.events
        self._engines, self._queue_size = dict(engines), queue_size
        self._patience_ms, self._timeout_ms = patience_ms, timeout_ms
        self._stop = threading.Event()
        self._devices = {name: self._device(name, engine, patience_s) for name, engine in engines.items()}
        none = Cost(0.0, 0.0)
        self._costs = Costs({name: expected(plans[name], host) if name in plans else none for name in engines})
        self._unplanned = [name for name in engines if name not in plans]
        self._cached_bytes = {name: plan.cached_bytes for name, plan in plans.items()}
        self._watch, self._advice = SwapWatch(swap_share), ""
        self._changed = threading.Condition()
        self._policy = Policy(self._costs.planned, patience_ms=patience_ms)
        self._waiting: dict[int, Request] = {}
        self._swaps, self._late = Counter[str](), Counter[str]()
        self._thread = threading.Thread(target=self._serve, name="edge-sdk-scheduler", daemon=True)
        self._key = registered(self)

    def submit(
        self, model: str, inputs: Sequence[Array], *, deadline_ms: float | None = None, late: Late = "reject"
    ) -> Request:
        """Ask for an inference.

        Args:
            model: by name.
            inputs: its input tensors; not to be changed until the request has ended.
            deadline_ms: until when the outputs are of use, from now on; without one it is run late, if it has to be.
            late: a request that cannot be on time any more is rejected, as soon as that is known, or run all the same, behind those that
                can; its ``late`` says so.

        Raises:
            ConfigError: if there is no such model.
            ContractError: if the inputs do not fit.
            RequestRejectedError: if the queue is full, or the deadline too short at once.
            EngineError: if all is closed, or the device lost.
        """
        requests = self._entered()
        check_inputs(inputs, self.specs(model)[0])
        rejects = deadline_ms is not None and late == "reject"
        until_ms = deadline_ms if deadline_ms is not None and rejects else self._timeout_ms
        request = requests.new(inputs, until_ms, may_run_over=rejects, model=model, deadline_ms=deadline_ms or 0)
        deadline_ns = request.deadline_ns or request.submitted_ns + round(self._patience_ms * 1e6)
        job = Job(deadline_ns, request.number, model, not rejects, request.submitted_ns)
        with self._changed:
            error = self._refusal(job)
            if error is None:
                self._policy.add(job)
                self._waiting[request.number] = request
                self._changed.notify()
        if error is not None:
            raise requests.refuse(request, error)
        if request.outcome is not None:
            self._left(request)  # its time was over before it waited
        return request

    def run(
        self, model: str, inputs: Sequence[Array], *, deadline_ms: float | None = None, late: Late = "reject"
    ) -> tuple[Array, ...]:
        """The outputs of one inference; arguments and errors as of ``submit``."""
        return self.submit(model, inputs, deadline_ms=deadline_ms, late=late).result()

    def for_loop(self, model: str, *, deadline_ms: float | None = None) -> LoopOptions:
        """What a ``Loop`` takes to run a model here: ``Loop("face.edge", "camera:0", deadline_ms=50, **tpu.for_loop("face"))``.

        Args:
            model: by name.
            deadline_ms: how much of the loop's deadline is for the engine and for waiting for its turn. Later it is run all the same, and
                the loop says that it is late.
        """
        return loop_options(self._key, model, deadline_ms)

    def specs(self, model: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs of a model.

        Raises:
            ConfigError: if there is no such model.
        """
        if model not in self._engines:
            raise ConfigError(f"no model {model!r}; there are {', '.join(self._engines)}")
        return self._engines[model].inputs, self._engines[model].outputs

    def report(self) -> SchedulerReport:
        """Everything counted so far."""
        models = {
            name: ModelReport(
                device.report(),
                self._late[name],
                self._swaps[name],
                self._costs.run_ms(name),
                self._costs.swap_ms(name),
            )
            for name, device in self._devices.items()
        }
        return SchedulerReport(self._entered().counts(), models, self._advice, dict(self._audience.event_counts))

    def close(self) -> None:
        """End all: what waits, or runs for longer than a second more, fails, saying so."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        end_threads([self._thread], self._devices.values(), self._audience.say)
        for device in self._devices.values():
            device.close()
        if self._requests is not None:
            self._requests.end(EngineError("the scheduler was closed before the request had an answer"))

    def _start(self) -> None:
        for device in self._devices.values():
            device.open()
        self._measure()
        self._policy.loaded = list(self._engines)[-1]
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            request, before, hopeless = self._next()
            for each in hopeless:
                self._entered().fail(each, _too_late(each), "rejected")
            if request is not None:
                self._answer(request, before)

    def _next(self) -> tuple[Request | None, str | None, list[Request]]:
        """What is to run, after which model, and what cannot be on time any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or len(self._policy))
            if self._stop.is_set():
                return None, None, []
            before = self._policy.loaded
            job, hopeless = self._policy.next(monotonic_ns())
            rejected = [self._waiting.pop(each.number) for each in hopeless]
            return (self._waiting.pop(job.number) if job is not None else None), before, rejected

    def _answer(self, request: Request, before: str | None) -> None:
        device, requests = self._devices[request.model], self._entered()
        inputs = requests.begin(request, request.model)
        if inputs is None:
            self._policy.loaded = before
            return
        began = perf_counter()
        try:
            outputs = device.run(inputs)
        except EngineError as exc:
            if self._stop.is_set():
                return
            requests.fail(request, exc)
            if not device.recover(exc, request.number) and not self._stop.is_set():
                self._stop.set()
                requests.end(EngineError(f"the device is lost: {exc}"))
            return
        self._learn(request.model, before, (perf_counter() - began) * 1_000)
        if requests.finish(request, outputs):
            self._late[request.model] += request.late

    def _learn(self, model: str, before: str | None, took_ms: float) -> None:
        swapped = before != model
        usual_ms = self._costs.run_ms(model)
        self._costs.measured(model, took_ms, swapped=swapped)
        self._swaps[model] += swapped and before is not None
        said = self._watch.ran(model, before, max(0.0, took_ms - usual_ms), monotonic_ns())
        if said is not None:
            self._advice = said.advice(self._cached_bytes)
            self._audience.say("swapping", self._advice)

    def _measure(self) -> None:
        """What no plan says: each model after another one, and after itself."""
        if not self._unplanned:
            return
        rounds = [
            {name: [device.prove() for _ in range(_RUNS)] for name, device in self._devices.items()}
            for _ in range(_ROUNDS)
        ]
        for name in self._unplanned:
            first = [took_ms[name][0] for took_ms in rounds]
            further = [each for took_ms in rounds for each in took_ms[name][1:]]
            self._costs.measured(name, median(first), swapped=len(self._devices) > 1)
            self._costs.measured(name, median(further), swapped=False)

    def _refusal(self, job: Job) -> EngineError | None:
        if self._stop.is_set():
            return EngineError("the scheduler is closed, or its device lost")
        if len(self._policy) >= self._queue_size:
            return RequestRejectedError(
                f"request {job.number} finds {self._queue_size} others waiting; submit more slowly"
            )
        if not job.may_be_late and not can_be_on_time(job, job.model, job.since_ns, self._costs.planned):
            return RequestRejectedError(
                f"request {job.number} has {(job.deadline_ns - job.since_ns) * 1e-6:g} ms, but {job.model} alone takes "
                f"{self._costs.planned[job.model].run_ms:.3g}"
            )
        return None

    def _left(self, request: Request) -> None:
        """It was cancelled, or its time is over."""
        with self._changed:
            if self._waiting.pop(request.number, None) is not None:
                self._policy.remove(request.number)

    def _device(self, name: str, engine: Engine, patience_s: float) -> Device:
        return Device(name, lambda: engine, self._audience.tell, stop=self._stop, patience_s=patience_s)


def _too_late(request: Request) -> RequestRejectedError:
    waited_ms = (monotonic_ns() - request.submitted_ns) * 1e-6
    has_ms = (request.deadline_ns - request.submitted_ns) * 1e-6
    return RequestRejectedError(
        f"request {request.number} of {request.model} cannot be done within {has_ms:g} ms any more: {waited_ms:.1f} ms are "
        "over, and others come first"
    )
