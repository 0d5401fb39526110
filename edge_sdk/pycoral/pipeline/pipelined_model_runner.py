"""A model in segments, each with an interpreter and a device of its own, that work at the same time on inputs behind one another.

One thread a segment; between two segments at most one input waits, as in pycoral.
"""

from __future__ import annotations

import math
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_sdk.pycoral.invoke import invoke
from edge_sdk.tensors import Array

_BETWEEN = 1  # inputs that may wait between two segments
_FAREWELL_S = 10.0  # for which a segment that still runs is waited for at the end; after that it is left behind

Tensors = dict[str, Array]


class PipelinedModelRunner:
    """Runs segments of a model in a pipeline.

    Args:
        interpreters: one a segment, in order, with ``allocate_tensors`` called; leave them alone until the runner is gone.

    Raises:
        ValueError: if there is none, or a segment has an input that neither the first one's inputs nor an earlier output bears the name of.
    """

    def __init__(self, interpreters: Sequence[Any]) -> None:
        _check_names(interpreters)
        self._interpreters = interpreters
        self._inputs = {each["name"]: each for each in interpreters[0].get_input_details()}
        state = _State()
        bounds = [None, *[_BETWEEN] * (len(interpreters) - 1), None]
        self._queues = queues = [_Queue(state, bound) for bound in bounds]
        self._state = state
        segments = [_Segment(number, each, interpreters) for number, each in enumerate(interpreters)]
        threads = [
            threading.Thread(target=_work, args=(segment, queues, state), name=f"pycoral-segment-{number}", daemon=True)
            for number, segment in enumerate(segments)
        ]
        for thread in threads:
            thread.start()
        weakref.finalize(self, _end, queues, threads)  # also when the program ends

    def push(self, input_tensors: Mapping[str, Array]) -> None:
        """Have a model's inputs run. It waits while the input queue is full.

        Args:
            input_tensors: by name, of the model's dtypes and as many numbers as its shapes; copied. An empty dict says that no more will
                come: ``pop`` gives what is still in the pipeline, and then None.

        Raises:
            ValueError: if there are too few or too many, or one is no array of the model's dtype and size.
            KeyError: if the model has no input of that name.
            RuntimeError: after an empty dict, or if a segment has failed; then for every further one.
        """
        tensors = self._checked(input_tensors)
        if tensors:
            self._queues[0].put(tensors)
        else:
            self._queues[0].close()

    def pop(self) -> Tensors | None:
        """The next result: outputs by name, the caller's own. It waits for one; None when all that was pushed before the empty dict is out.

        Raises:
            RuntimeError: if a segment has failed, once what was finished before is out.
        """
        result = self._queues[-1].get()
        if result is None and self._state.failure:
            raise RuntimeError(self._state.failure)
        return result

    def set_input_queue_size(self, size: int) -> None:
        """How many inputs may wait for the first segment; without it, any number. May be changed at any time.

        Raises:
            ValueError: if it is below 1.
        """
        self._queues[0].bind(size)

    def set_output_queue_size(self, size: int) -> None:
        """How many results may wait for ``pop``, above which the last segment stands still; without it, any number.

        Raises:
            ValueError: if it is below 1.
        """
        self._queues[-1].bind(size)

    def interpreters(self) -> Sequence[Any]:
        """Those that it was made with."""
        return self._interpreters

    def _checked(self, given: Mapping[str, Array]) -> Tensors:
        if given and len(given) != len(self._inputs):
            raise ValueError(f"Expected input of length {len(self._inputs)}, but got {len(given)}: {sorted(given)}")
        tensors = {}
        for name, tensor in given.items():
            if name not in self._inputs:
                raise KeyError(f"the model has no input {name!r}; it has {', '.join(map(repr, self._inputs))}")
            dtype, shape = np.dtype(self._inputs[name]["dtype"]), self._inputs[name]["shape"]
            if not isinstance(tensor, np.ndarray) or tensor.dtype != dtype:
                found = tensor.dtype if isinstance(tensor, np.ndarray) else type(tensor).__name__
                raise ValueError(f"Input should be a list of numpy array of type {dtype}: {name!r} is {found}")
            if tensor.size != math.prod(shape):
                raise ValueError(f"input {name!r} has shape {list(tensor.shape)}; the model takes {shape.tolist()}")
            tensors[name] = tensor.reshape(shape).copy()
        return tensors


class _State:
    """What all queues of a pipeline share: one lock, and why it failed."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.failure = ""

    def fail(self, why: str) -> None:
        """The first reason counts."""
        with self.changed:
            self.failure = self.failure or why

    def ended(self) -> _EndedError:
        """For who puts where nothing is taken any more."""
        return _EndedError(self.failure or "Pipeline was turned off before.")


class _EndedError(RuntimeError):
    """It takes no more."""


class _Queue:
    """First in, first out; ``bound`` may change, None is none."""

    def __init__(self, state: _State, bound: int | None) -> None:
        self._state, self._bound = state, bound
        self._items: deque[Tensors] = deque()
        self._closed = False

    def bind(self, bound: int) -> None:
        if bound < 1:
            raise ValueError(f"a queue's size is from 1; found {bound}")
        with self._state.changed:
            self._bound = bound
            self._state.changed.notify_all()

    def put(self, item: Tensors) -> None:
        with self._state.changed:
            self._state.changed.wait_for(lambda: self._closed or self._bound is None or len(self._items) < self._bound)
            if self._closed:
                raise self._state.ended()
            self._items.append(item)
            self._state.changed.notify_all()

    def get(self) -> Tensors | None:
        """The next, or None if there will be none."""
        with self._state.changed:
            self._state.changed.wait_for(lambda: self._closed or self._items)
            item = self._items.popleft() if self._items else None
            self._state.changed.notify_all()
            return item

    def close(self) -> None:
        """No more will be put; once."""
        with self._state.changed:
            if self._closed:
                raise self._state.ended()
            self.end()

    def end(self, *, drop: bool = False) -> int:
        """No more will be put, whether or not that was said before; how many were thrown away."""
        with self._state.changed:
            self._closed = True
            dropped = len(self._items) if drop else 0
            if drop:
                self._items.clear()
            self._state.changed.notify_all()
            return dropped


class _Segment:
    """One interpreter of the pipeline, and which tensors go on from it."""

    def __init__(self, number: int, interpreter: Any, interpreters: Sequence[Any]) -> None:
        self.number, self._interpreter = number, interpreter
        self._inputs = [(each["name"], each["index"]) for each in interpreter.get_input_details()]
        self._outputs = [(each["name"], each["index"]) for each in interpreter.get_output_details()]
        later = interpreters[number + 1 :]
        self._go_on = {each["name"] for one in later for each in one.get_input_details()}
        if not later:
            self._go_on = {name for name, _ in self._outputs}

    def run(self, tensors: Tensors) -> Tensors:
        """What the next segment is to have."""
        for name, index in self._inputs:
            self._interpreter.set_tensor(index, tensors[name])
        invoke(self._interpreter)
        tensors |= {name: self._interpreter.get_tensor(index) for name, index in self._outputs}
        return {name: tensor for name, tensor in tensors.items() if name in self._go_on}


def _work(segment: _Segment, queues: Sequence[_Queue], state: _State) -> None:
    """Until the queue before it ends, or that behind it, or it fails: what is behind it then is still worked off, what is before it not."""
    before, behind = queues[: segment.number + 1], queues[segment.number + 1]
    try:
        while (tensors := before[-1].get()) is not None:
            behind.put(segment.run(tensors))
    except _EndedError:
        pass
    except Exception as exc:  # noqa: BLE001 - whatever it is, those who push and pop must hear of it
        state.fail(f"Segment {segment.number} runner error: {exc}")
    for queue in before:
        queue.end(drop=True)
    behind.end()


def _check_names(interpreters: Sequence[Any]) -> None:
    if not interpreters:
        raise ValueError("At least one interpreter expected")
    known = {each["name"] for each in interpreters[0].get_input_details()}
    for number, interpreter in enumerate(interpreters):
        names = {each["name"] for each in interpreter.get_input_details()}
        if not names <= known:
            raise ValueError(
                f"Interpreter {number} can not get its input tensors {', '.join(sorted(names - known))}: known are "
                f"{', '.join(sorted(known))}. Give the segments in order"
            )
        known |= {each["name"] for each in interpreter.get_output_details()}


def _end(queues: Sequence[_Queue], threads: Sequence[threading.Thread]) -> None:
    dropped = sum(queue.end(drop=True) for queue in queues)
    for thread in threads:
        if thread is not threading.current_thread():  # as it may be, where the garbage collector comes by
            thread.join(_FAREWELL_S)
    if dropped:
        said = f"the pipeline ended with {dropped} inputs or results in it that nobody popped"
        warnings.warn(said, ResourceWarning, stacklevel=2)
