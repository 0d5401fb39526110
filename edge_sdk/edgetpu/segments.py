"""One model cut into segments, one device a segment: while one works on a sample, the one before it works on the next.

with Segments([first, second, third]) as segments:      # engines that are open, each on its device
    segments.push({"image": image})                     # waits for a place
    scores = segments.pop()["scores"]                   # in the order of the pushes
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf
from time import monotonic

from edge_sdk.audience import Audience
from edge_sdk.edgetpu.wiring import wire
from edge_sdk.engines import Engine
from edge_sdk.errors import ConfigError, ContractError, EngineError, RequestRejectedError
from edge_sdk.result import Event
from edge_sdk.sharing.device import Device, DeviceReport, end_threads
from edge_sdk.sharing.requests import Request, RequestCounts, RequestQueue, check_inputs
from edge_sdk.sharing.service import Service
from edge_sdk.tensors import Array


@dataclass(frozen=True)
class SegmentsReport:
    """Everything counted so far.

    Attributes:
        counts: what became of the samples.
        segments: each one's share; the one with the most ``busy_s`` limits the throughput.
        event_counts: how many events there were of each kind.
    """

    counts: RequestCounts
    segments: tuple[DeviceReport, ...]
    event_counts: dict[str, int]


class Segments(Service):
    """Passes samples from segment to segment. A context manager; any thread may push, and any pop.

    A segment that hangs or dies is started again; the sample in it is lost, which ``pop`` says in its place, and those that wait go on
    afterwards.

    Args:
        engines: the segments' engines, in order, open; closed with it.
        input_queue_size: how many samples may wait before the first segment; None for any number.
        output_queue_size: how many results may wait to be popped, before the last segment waits; None for any number.
        timeout_ms: a sample without a result by then, from its push, ends with RequestTimeoutError.
        patience_s: for how long a segment is tried again before it is lost; for ever by default.
        on_event: called with every event, from any thread.

    Attributes:
        inputs, outputs: the model's tensors.
        events: the latest.

    Raises:
        ModelError: if the engines are no segments of one model.
        EngineError: on entering, if one of them does not run.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        input_queue_size: int | None = 2,
        output_queue_size: int | None = 16,
        timeout_ms: float = 10_000,
        patience_s: float = float("inf"),
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._wiring = wire(engines)
        self.inputs, self.outputs = self._wiring.inputs, self._wiring.outputs
        self._timeout_ms = timeout_ms
        self._audience = Audience((), on_event)
        self.events = self._audience.events
        self._stop = threading.Event()
        self._devices = [self._device(index, engine, patience_s) for index, engine in enumerate(engines)]
        self._names = [tuple(spec.name for spec in engine.inputs) for engine in engines]
        self._gives = [tuple(spec.name for spec in engine.outputs) for engine in engines]
        self._queues = [RequestQueue(_checked(input_queue_size)), *(RequestQueue(1) for _ in engines[1:])]
        self._output_queue_size = _checked(output_queue_size)
        self._changed = threading.Condition()
        self._order: deque[Request] = deque()  # pushed, and not popped yet
        self._pushing = threading.Lock()
        self._ended = False
        self._threads: list[threading.Thread] = []

    def push(
        self, inputs: Mapping[str, Array], *, wait_ms: float | None = None, timeout_ms: float | None = None
    ) -> int:
        """Give a sample; its number, counted from 0.

        Args:
            inputs: an array for each tensor of ``Segments.inputs``, by name; not to be changed until it is popped.
            wait_ms: how long to wait for a place; by default as long as the sample has time at all.
            timeout_ms: in place of that of all.

        Raises:
            ContractError: if the inputs do not fit.
            RequestRejectedError: if there was no place.
            EngineError: if all is closed, or ``end`` was called.
        """
        arrays = self._arrays(inputs)
        timeout_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        wait_s = (timeout_ms if wait_ms is None else wait_ms) / 1_000
        with self._pushing:  # so that the order is one
            self._check_open()
            request = self._entered().new(arrays, timeout_ms)
            request.carried = dict(inputs)
            if self._queues[0].put(request, wait_s):
                with self._changed:
                    self._order.append(request)
                    self._changed.notify_all()
                request.add_done_callback(self._wake)
                return request.number
        error = EngineError("the pipeline is closed")
        if not self._stop.is_set():
            message = f"sample {request.number} finds no place before the first segment after {wait_s * 1_000:g} ms; pop results"
            error = RequestRejectedError(message)
        raise self._entered().refuse(request, error)

    def end(self) -> None:
        """Nothing more will be pushed: ``pop`` returns None once all is popped."""
        with self._pushing, self._changed:
            self._ended = True
            self._changed.notify_all()

    def pop(self, timeout_ms: float | None = None) -> dict[str, Array] | None:
        """The outputs of the next sample, in the order of the pushes, by name; None after ``end``, or closing, once all are popped.

        Args:
            timeout_ms: how long to wait for it; without one, until there is one.

        Raises:
            TimeoutError: if it was not there by then; it stays the next.
            RequestTimeoutError, EngineError: what the next sample ended with instead of outputs; it is popped with that.
        """
        request = self.next_ended(timeout_ms)
        if request is None:
            return None
        return {spec.name: array for spec, array in zip(self.outputs, request.result(), strict=True)}

    def next_ended(self, timeout_ms: float | None = None) -> Request | None:
        """As ``pop``, but the sample's request, which has ended, whatever with."""
        until = inf if timeout_ms is None else monotonic() + timeout_ms / 1_000
        with self._changed:
            while True:
                if not self._changed.wait_for(lambda: self._order or self._ended, _left_s(until)):
                    raise TimeoutError(f"nothing was pushed within {timeout_ms:g} ms")
                if not self._order:
                    return None
                request = self._order[0]
                if request.outcome is not None:
                    self._order.popleft()
                    self._changed.notify_all()
                    return request
                if monotonic() >= until:
                    raise TimeoutError(f"sample {request.number} has no result within {timeout_ms:g} ms")
                self._changed.wait(_left_s(until))

    def set_input_queue_size(self, size: int | None) -> None:
        """See the class."""
        self._queues[0].resize(_checked(size))

    def set_output_queue_size(self, size: int | None) -> None:
        """See the class."""
        with self._changed:
            self._output_queue_size = _checked(size)
            self._changed.notify_all()

    def report(self) -> SegmentsReport:
        """Everything counted so far."""
        devices = tuple(device.report() for device in self._devices)
        return SegmentsReport(self._entered().counts(), devices, dict(self._audience.event_counts))

    def close(self) -> None:
        """End all: samples without a result fail, saying so; one that runs has a second more."""
        self._stop.set()
        for queue in self._queues:
            queue.end()
        self.end()
        end_threads(self._threads, self._devices, self._audience.say)
        for device in self._devices:
            device.close()
        if self._requests is not None:
            self._requests.end(EngineError("the pipeline was closed before the sample had a result"))

    def _start(self) -> None:
        for index, device in enumerate(self._devices):
            device.open()
            name = f"edge-sdk-segment-{index}"
            self._threads.append(threading.Thread(target=self._serve, args=[index], name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def _left(self, request: Request) -> None:
        self._queues[0].remove(request)

    def _serve(self, index: int) -> None:
        device, queue = self._devices[index], self._queues[index]
        following = self._queues[index + 1] if index + 1 < len(self._queues) else None
        while (request := queue.take()) is not None:
            failure = self._run(index, request)
            if failure is not None and self._stop.is_set():
                return
            if failure is not None:
                if device.state != "lost":
                    device.recover(failure, request.number)
            elif request.outcome is None:
                if following is None:
                    self._deliver(request)
                else:
                    following.put(request, None)

    def _run(self, index: int, request: Request) -> EngineError | None:
        """Have a segment add its outputs to what the sample carries; its failure, if it did."""
        device, requests = self._devices[index], self._entered()
        if requests.begin(request, device.name) is None:
            return None
        carried = request.carried
        failure: EngineError
        if not carried:
            return None  # its time was over in this very moment
        if device.state == "lost":
            failure = EngineError(f"{device.name} is lost; see the events")
        else:
            try:
                outputs = device.run([carried[name] for name in self._names[index]])
            except EngineError as exc:
                failure = exc
            else:
                made = {**carried, **dict(zip(self._gives[index], outputs, strict=True))}
                request.carried = {name: made[name] for name in self._wiring.kept[index]}
                return None
        if self._stop.is_set():
            return failure  # which closing has made; it says so
        error = EngineError(f"sample {request.number} was lost in {device.name}: {failure}")
        error.__cause__ = failure
        requests.fail(request, error)
        return failure

    def _deliver(self, request: Request) -> None:
        """End a sample, as soon as there is a place for its result; whoever waits for it to be popped waits for no place."""
        carried = request.carried
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or self._has_place(request))
        if request.outcome is None and carried:
            self._entered().finish(request, tuple(carried[spec.name] for spec in self.outputs))

    def _wake(self, request: Future[tuple[Array, ...]]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _has_place(self, request: Request) -> bool:
        if (
            self._output_queue_size is None
            or (self._order and self._order[0] is request)
            or request.outcome is not None
        ):
            return True
        return sum(waiting.outcome is not None for waiting in self._order) < self._output_queue_size

    def _device(self, index: int, engine: Engine, patience_s: float) -> Device:
        return Device(f"segment {index}", lambda: engine, self._audience.tell, stop=self._stop, patience_s=patience_s)

    def _arrays(self, inputs: Mapping[str, Array]) -> list[Array]:
        names = [spec.name for spec in self.inputs]
        if set(inputs) != set(names):
            raise ContractError(f"the model takes {', '.join(names)}; found {', '.join(inputs) or 'nothing'}")
        arrays = [inputs[name] for name in names]
        check_inputs(arrays, self.inputs)
        return arrays

    def _check_open(self) -> None:
        if self._stop.is_set():
            raise EngineError("the pipeline is closed")
        if self._ended:
            raise EngineError("the pipeline was told that nothing more is pushed")


def _left_s(until: float) -> float | None:
    """Seconds until this moment of ``monotonic``; None for ever."""
    return None if until == inf else max(0.0, until - monotonic())


def _checked(size: int | None) -> int | None:
    if size is not None and size < 1:
        raise ConfigError(f"a queue holds 1 or more, or None for any number; found {size}")
    return size
