"""Requests to devices: each finds exactly one end, and is counted.

submitted = done + failed + rejected + timed_out + cancelled + in_flight, exact at any moment.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic_ns
from typing import Literal

from edge_sdk.errors import ContractError, EngineError, RequestTimeoutError
from edge_sdk.tensors import Array, TensorSpec

MS_NS = 1_000_000
Outcome = Literal["done", "failed", "rejected", "timed_out", "cancelled"]


@dataclass(frozen=True)
class RequestCounts:
    """A snapshot.

    Attributes:
        submitted: all.
        done: gave outputs; late or not.
        failed: lost with a device, refused by it, or open when all was closed; the error says which.
        rejected: not taken, as the queue was full or the deadline could not be met.
        timed_out: had no answer in time.
        cancelled: by ``Request.cancel``, before they ran.
        in_flight: waiting or running.
    """

    submitted: int = 0
    done: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    cancelled: int = 0
    in_flight: int = 0


class Request(Future[tuple[Array, ...]]):
    """An inference that was asked for: a future of its output tensors, which are the caller's own.

    Attributes:
        number: counted from 0 in the order of submission.
        inputs: its input tensors, until it has ended; not to be changed before.
        submitted_ns, ended_ns: on the clock of ``time.monotonic_ns``; ``ended_ns`` is 0 before.
        outcome: how it ended, or None.
        device: which ran it last; empty before.
        failures: how often it failed on one.
        model: which of several it is for; empty where there is one.
        deadline_ns: until when its outputs are of use; 0 where nothing was said.
        carried: what it carries from one device to the next, by name, where it passes several.
    """

    def __init__(self, requests: Requests, number: int, inputs: Sequence[Array]) -> None:
        super().__init__()
        self._requests = requests
        self.number, self.inputs = number, inputs
        self.submitted_ns, self.ended_ns, self.until_ns = monotonic_ns(), 0, 0
        self.outcome: Outcome | None = None
        self.device = ""
        self.failures = 0
        self.model, self.deadline_ns = "", 0
        self.carried: dict[str, Array] = {}
        self.begun = self.may_run_over = False

    @property
    def late(self) -> bool:
        """Whether it was, or is, not done by its deadline."""
        return bool(self.deadline_ns) and (self.ended_ns or monotonic_ns()) > self.deadline_ns

    def cancel(self) -> bool:
        """Give it up; whether it was not too late."""
        return self._requests.cancel(self)


class Requests:
    """Makes, ends and counts them. A thread of its own ends those whose time is over.

    Args:
        on_left: called with each request that ended without having begun.
    """

    def __init__(self, on_left: Callable[[Request], None] = lambda request: None) -> None:
        self._on_left = on_left
        self._changed = threading.Condition(threading.Lock())
        self._open: dict[int, Request] = {}  # by number
        self._timed: list[tuple[int, int]] = []  # until when, and number; a heap that also has those that ended before
        self._counts: dict[Outcome, int] = dict.fromkeys(("done", "failed", "rejected", "timed_out", "cancelled"), 0)
        self._submitted = 0
        self._ended = False
        self._clock = threading.Thread(target=self._watch, name="edge-sdk-requests", daemon=True)
        self._clock.start()

    def new(
        self,
        inputs: Sequence[Array],
        timeout_ms: float,
        *,
        may_run_over: bool = False,
        model: str = "",
        deadline_ms: float = 0,
    ) -> Request:
        """One more, that has this time from now on, or ``may_run_over`` it once it has begun."""
        with self._changed:
            request = Request(self, self._submitted, inputs)
            request.until_ns = request.submitted_ns + int(timeout_ms * MS_NS)
            request.may_run_over, request.model = may_run_over, model
            if deadline_ms:
                request.deadline_ns = request.submitted_ns + round(deadline_ms * MS_NS)
            self._submitted += 1
            self._open[request.number] = request
            heapq.heappush(self._timed, (request.until_ns, request.number))
            if self._timed[0][1] == request.number:
                self._changed.notify()
        return request

    def begin(self, request: Request, device: str = "") -> Sequence[Array] | None:
        """It runs now, on these inputs; None if it has ended meanwhile."""
        with self._changed:
            if request.outcome is not None:
                return None
            request.device = device
            if not request.begun:
                request.begun = True
                request.set_running_or_notify_cancel()
            return request.inputs

    def finish(self, request: Request, outputs: tuple[Array, ...]) -> bool:
        """It is done; False, and the outputs are thrown away, if it has ended before."""
        if not self._settle(request, "done"):
            return False
        request.set_result(outputs)
        return True

    def fail(self, request: Request, error: EngineError, outcome: Outcome = "failed") -> bool:
        """It ends with this error; False if it has ended before."""
        if not self._settle(request, outcome):
            return False
        request.set_exception(error)
        return True

    def refuse(self, request: Request, error: EngineError) -> BaseException:
        """It is rejected with this error, unless its time was over before: what it ended with, to be raised."""
        self.fail(request, error, "rejected")
        return request.exception() or error

    def cancel(self, request: Request) -> bool:
        """See ``Request.cancel``."""
        if request.begun or not self._settle(request, "cancelled"):
            return False
        Future.cancel(request)
        request.set_running_or_notify_cancel()
        return True

    def counts(self) -> RequestCounts:
        """Everything at one moment."""
        with self._changed:
            return RequestCounts(submitted=self._submitted, in_flight=len(self._open), **self._counts)

    def end(self, error: EngineError) -> None:
        """Those that are left fail with this error, and no clock ticks any more."""
        with self._changed:
            self._ended = True
            self._changed.notify()
            left = list(self._open.values())
        for request in left:
            self.fail(request, error)
        if self._clock is not threading.current_thread():  # as it is where a callback of a request closes all
            self._clock.join()

    def _settle(self, request: Request, outcome: Outcome) -> bool:
        with self._changed:
            if request.outcome is not None or (outcome == "cancelled" and request.begun):
                return False
            request.outcome, request.ended_ns, request.inputs = outcome, monotonic_ns(), ()
            request.carried = {}
            self._counts[outcome] += 1
            del self._open[request.number]
        if not request.begun:
            self._on_left(request)
        return True

    def _watch(self) -> None:
        while (overdue := self._overdue()) is not None:
            for request in overdue:
                waited_ms = (request.until_ns - request.submitted_ns) / MS_NS
                where = f"it runs on {request.device}" if request.begun else "it waits for a device"
                message = f"request {request.number} has no answer after {waited_ms:g} ms; {where}"
                self.fail(request, RequestTimeoutError(message), "timed_out")

    def _overdue(self) -> list[Request] | None:
        """Wait for the next whose time is over; None at the end."""
        found: list[Request] = []
        with self._changed:
            while not self._ended:
                now_ns = monotonic_ns()
                while self._timed and (self._timed[0][0] <= now_ns or self._timed[0][1] not in self._open):
                    request = self._open.get(heapq.heappop(self._timed)[1])
                    if request is not None and not (request.begun and request.may_run_over):
                        found.append(request)
                if found:
                    return found
                self._changed.wait((self._timed[0][0] - now_ns) * 1e-9 if self._timed else None)
        return None


class RequestQueue:
    """Requests that wait, first in, first out, within a bound.

    Args:
        bound: how many may wait; None for any number.
    """

    def __init__(self, bound: int | None) -> None:
        self._bound = bound
        self._requests: deque[Request] = deque()
        lock = threading.Lock()
        self._some, self._room = threading.Condition(lock), threading.Condition(lock)
        self._ended = False

    def put(self, request: Request, wait_s: float | None = 0, *, first: bool = False) -> bool:
        """Leave one, ``first`` in any case; False if there was no room for so long (None: for ever), or the queue has ended."""
        with self._room:
            if not first and not self._room.wait_for(lambda: self._ended or self._has_room(), wait_s):
                return False
            if self._ended:
                return False
            (self._requests.appendleft if first else self._requests.append)(request)
            self._some.notify()
            return True

    def take(self) -> Request | None:
        """Wait for the next; None once the queue has ended."""
        with self._some:
            self._some.wait_for(lambda: self._ended or self._requests)
            if self._ended:
                return None
            self._room.notify()
            return self._requests.popleft()

    def remove(self, request: Request) -> None:
        """It waits no longer, if it did."""
        with self._room:
            if request in self._requests:
                self._requests.remove(request)
                self._room.notify()

    def resize(self, bound: int | None) -> None:
        """From now on so many may wait."""
        with self._room:
            self._bound = bound
            self._room.notify_all()

    def end(self) -> None:
        """Whoever waits, waits no longer; nothing is taken any more."""
        with self._room:
            self._ended = True
            self._room.notify_all()
            self._some.notify_all()

    def _has_room(self) -> bool:
        return self._bound is None or len(self._requests) < self._bound


def check_inputs(inputs: Sequence[Array], specs: tuple[TensorSpec, ...]) -> None:
    """Raise ContractError if these are no arrays for those tensors, before a device sees them."""
    if len(inputs) != len(specs):
        raise ContractError(f"the model takes {len(specs)} inputs; found {len(inputs)}")
    for given, spec in zip(inputs, specs, strict=True):
        if given.shape != spec.shape or given.dtype != spec.dtype:
            found = f"{given.dtype} {'x'.join(map(str, given.shape)) or 'scalar'}"
            raise ContractError(f"input {spec} does not take {found}")
