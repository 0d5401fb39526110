"""One model on several devices: whichever is free takes the next request.

with Pool(on_devices("edgetpu", model, ["usb:0", "usb:1"], hang_ms=200)) as pool:
    request = pool.submit([image])            # a future
    (scores,) = request.result()
    (scores,) = pool.run([image], timeout_ms=100)
    for request in pool.map(images):          # in the order of submission
        (scores,) = request.result()
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edge_sdk.audience import Audience
from edge_sdk.engines import Engine, Options
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError, EdgeSdkError, EngineError, RequestRejectedError
from edge_sdk.result import Event
from edge_sdk.sharing.device import Device, DeviceReport, end_threads
from edge_sdk.sharing.requests import Request, RequestCounts, RequestQueue, check_inputs
from edge_sdk.sharing.service import Service
from edge_sdk.tensors import Array, TensorSpec


@dataclass(frozen=True)
class PoolReport:
    """Everything counted so far.

    Attributes:
        counts: what became of the requests.
        retried: how many runs failed whose request was given to another device.
        devices: each one's share.
        event_counts: how many events there were of each kind.
    """

    counts: RequestCounts
    retried: int
    devices: tuple[DeviceReport, ...]
    event_counts: dict[str, int]


def on_devices(
    engine: str, model: bytes, devices: Sequence[str], *, hang_ms: float, options: Options | None = None
) -> dict[str, Callable[[], Engine]]:
    """What opens one model on each of these devices, every one in a process of its own, which is started later.

    Args:
        engine: name of the engine; its option ``device`` says where it runs.
        model: the model's content.
        devices: such as ``["usb:0", "pci:0"]``.
        hang_ms: the hang budget of one run.
        options: further options of the engine.
    """
    if len(set(devices)) < len(devices):
        raise ConfigError(f"a device stands there twice: {', '.join(devices)}")
    return {
        device: partial(
            ProcessEngine, engine, model, {**(options or {}), "device": device}, hang_ms=hang_ms, start=False
        )
        for device in devices
    }


class Pool(Service):
    """Runs requests on whichever device is free. A context manager; safe for any number of threads.

    A device that fails is taken out, had back in the background, and put in again once it has run; the others go on. Entering takes
    one device that opens; those that do not are tried like those that failed.

    Args:
        devices: what opens each one's engine, by its name; see ``on_devices``.
        queue_size: how many requests may wait.
        timeout_ms: a request without an answer by then ends with RequestTimeoutError.
        retries: how often a request whose device failed is given to the next free one, before it fails.
        patience_s: for how long a device is tried again before it is lost; for ever by default.
        on_event: called with every event, from any thread.

    Attributes:
        inputs, outputs: the model's tensors.
        events: the latest.

    Raises:
        ConfigError: on entering, if the model keeps a state from run to run, or the engine takes no such option.
        EngineError: on entering, if no device can be had.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __init__(
        self,
        devices: Mapping[str, Callable[[], Engine]],
        *,
        queue_size: int = 16,
        timeout_ms: float = 10_000,
        retries: int = 0,
        patience_s: float = float("inf"),
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if not devices or queue_size < 1:
            raise ConfigError(f"a pool has one device or more, and a queue_size of 1 or more; found {queue_size}")
        self._timeout_ms, self._retries = timeout_ms, retries
        self._audience = Audience((), on_event)
        self._stop = threading.Event()
        self._queue = RequestQueue(queue_size)
        self._devices = [
            Device(name, opener, self._audience.tell, stop=self._stop, patience_s=patience_s, check=self._check)
            for name, opener in devices.items()
        ]
        self._lock = threading.Lock()
        self._opened = threading.Semaphore(0)  # released by each device when its first try to open has ended
        self._refusals: list[EdgeSdkError] = []
        self._retried = 0
        self._known = False
        self._threads: list[threading.Thread] = []
        self.events = self._audience.events

    def submit(self, inputs: Sequence[Array], *, timeout_ms: float | None = None, wait_ms: float = 0) -> Request:
        """Ask for an inference.

        Args:
            inputs: the input tensors, of the shapes and dtypes of ``Pool.inputs``; not to be changed until the request has ended.
            timeout_ms: in place of the pool's.
            wait_ms: how long to wait for a place in the queue.

        Raises:
            ContractError: if the inputs do not fit.
            RequestRejectedError: if the queue is full.
            EngineError: if the pool is closed, or every device lost.
        """
        requests = self._entered()
        check_inputs(inputs, self.inputs)
        request = requests.new(inputs, self._timeout_ms if timeout_ms is None else timeout_ms)
        if self._queue.put(request, wait_ms / 1_000):
            return request
        error = self._no_device() or RequestRejectedError(
            f"request {request.number} finds the queue full after {wait_ms:g} ms; wait longer, submit more slowly, or take another device"
        )
        raise requests.refuse(request, error)

    def run(self, inputs: Sequence[Array], *, timeout_ms: float | None = None) -> tuple[Array, ...]:
        """The outputs of one inference; it waits for a place in the queue, too.

        Raises:
            As ``submit``; RequestTimeoutError if there is no answer in time; EngineError if the device failed.
        """
        wait_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        return self.submit(inputs, timeout_ms=wait_ms, wait_ms=wait_ms).result()

    def map(self, samples: Iterable[Sequence[Array]], *, ahead: int | None = None) -> Iterator[Request]:
        """Requests that have ended, in the order of the samples; ``result()`` gives outputs or raises what they ended with.

        Args:
            samples: each the input tensors of one inference; taken as the devices need them.
            ahead: how many are asked for before the first is handed out; two a device by default.
        """
        waiting: deque[Request] = deque()
        for sample in samples:
            waiting.append(self.submit(sample, wait_ms=self._timeout_ms))
            if len(waiting) >= (ahead or 2 * len(self._devices)):
                yield _ended(waiting.popleft())
        while waiting:
            yield _ended(waiting.popleft())

    def report(self) -> PoolReport:
        """Everything counted so far."""
        return PoolReport(
            self._entered().counts(),
            self._retried,
            tuple(device.report() for device in self._devices),
            dict(self._audience.event_counts),
        )

    def close(self) -> None:
        """End all: what waits, or runs for longer than a second more, fails, saying so."""
        self._stop.set()
        self._queue.end()
        end_threads(self._threads, self._devices, self._audience.say)
        if self._requests is not None:
            self._requests.end(EngineError("the pool was closed before the request had an answer"))

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._serve, args=[device], name=f"edge-sdk-{device.name}", daemon=True)
            for device in self._devices
        ]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._opened.acquire()
        self._check_opened()

    def _left(self, request: Request) -> None:
        self._queue.remove(request)

    def _serve(self, device: Device) -> None:
        try:
            if self._open(device):
                while (request := self._queue.take()) is not None and self._answer(device, request):
                    pass
        finally:
            device.close()
            self._say_if_none_is_left()

    def _open(self, device: Device) -> bool:
        failure: EngineError | None = None
        try:
            device.open()
        except EngineError as exc:
            failure = exc
            self._refusals.append(exc)
        except EdgeSdkError as exc:
            self._refusals.insert(0, exc)
            return False
        finally:
            self._opened.release()
        return failure is None or device.recover(failure)

    def _check(self, engine: Engine) -> None:
        """A device that comes late has the same model as those that were there."""
        if self._known:
            engine.expect(self.inputs, self.outputs)

    def _answer(self, device: Device, request: Request) -> bool:
        """Run one; whether the device goes on."""
        requests = self._entered()
        inputs = requests.begin(request, device.name)
        if inputs is None:
            return True
        try:
            outputs = device.run(inputs)
        except EngineError as exc:
            if self._stop.is_set():
                return False
            if not self._retry(request):
                requests.fail(request, exc)
            return device.recover(exc, request.number)
        requests.finish(request, outputs)
        return True

    def _retry(self, request: Request) -> bool:
        request.failures += 1
        if request.failures > self._retries or request.outcome is not None:
            return False
        with self._lock:
            self._retried += 1
        return self._queue.put(request, first=True)

    def _check_opened(self) -> None:
        if self._refusals and not isinstance(self._refusals[0], EngineError):
            raise self._refusals[0]
        opened = [device.engine for device in self._devices if device.state == "in" and device.engine is not None]
        if not opened:
            raise EngineError(f"no device can be had: {'; '.join(map(str, self._refusals))}")
        self.inputs, self.outputs = opened[0].inputs, opened[0].outputs
        self._known = True
        for engine in opened[1:]:
            engine.expect(self.inputs, self.outputs)
        if any(engine.stateful for engine in opened):
            raise ConfigError("a model that keeps a state from run to run cannot be shared out over several devices")

    def _no_device(self) -> EngineError | None:
        if self._stop.is_set():
            return EngineError("the pool is closed")
        if all(device.state in ("lost", "closed") for device in self._devices):
            return EngineError("every device of the pool is lost; see its events")
        return None

    def _say_if_none_is_left(self) -> None:
        """The last one that goes takes what waits with it."""
        error = self._no_device()
        if error is None or self._stop.is_set() or self._requests is None:
            return
        self._queue.end()
        self._requests.end(error)


def _ended(request: Request) -> Request:
    request.exception()
    return request
