"""Ring 1: every result is on time or marked late, and what is late often is known. Of use with and without the loop:

with Deadline(50) as block:
    step()
print(block.elapsed_ms, block.late)
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from time import monotonic_ns
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

from edge_sdk.errors import ConfigError
from edge_sdk.watchdog.durations import Durations

_LONGEST_MS = 1e8  # more than a day is a mistake
_P = ParamSpec("_P")
_R = TypeVar("_R")


def check_ms(name: str, value: float) -> float:
    """``value``, if it is a sensible number of milliseconds.

    Raises:
        ConfigError: if it is not above 0 and at most 1e8.
    """
    if isinstance(value, bool) or not 0 < value <= _LONGEST_MS:
        raise ConfigError(f"{name} is a number of milliseconds above 0, at most {_LONGEST_MS:g}; found {value}")
    return value


class Block:
    """One timed block of a deadline: what it has left while it runs, and how long it took once it has ended."""

    __slots__ = ("_ended_ns", "_started_ns", "deadline")

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._ended_ns: int | None = None
        self._started_ns = monotonic_ns()

    @property
    def elapsed_ms(self) -> float:
        """Since its begin; of a block that has ended, how long it took."""
        return ((self._ended_ns or monotonic_ns()) - self._started_ns) * 1e-6

    @property
    def left_ms(self) -> float:
        """Until it is late; below 0 when it is."""
        return self.deadline.deadline_ms - self.elapsed_ms

    @property
    def late(self) -> bool:
        """Whether it took longer than the deadline, so far."""
        return self.left_ms < 0

    def end(self) -> None:
        """It ends now; a second call does nothing."""
        self._ended_ns = self._ended_ns or monotonic_ns()


_open: ContextVar[tuple[Block, ...]] = ContextVar("blocks of this thread or task that have not ended", default=())


class Deadline:
    """Judges ages against the longest one that is of use. Its memory does not grow with use.

    ``with Deadline(50) as block`` and ``@Deadline(50)`` judge how long a block, a function or a coroutine takes, also when it raises. One
    deadline may be entered from several threads, tasks and levels at once: each entry is a ``Block`` of its own.

    Args:
        deadline_ms: the longest time from capture to result, or from begin to end, that is of use, in milliseconds.
        window: how many recent results the miss ratio speaks of.
        on_late: told of every block that ended late, in its own thread.

    Attributes:
        ages: distribution of every age judged so far.

    Raises:
        ConfigError: if ``deadline_ms`` is not above 0 and at most 1e8.
    """

    def __init__(
        self, deadline_ms: float, *, window: int = 1_000, on_late: Callable[[Block], object] | None = None
    ) -> None:
        self.deadline_ms = check_ms("deadline_ms", deadline_ms)
        self.ages = Durations()
        self._recent: deque[bool] = deque(maxlen=window)
        self._recent_missed = 0
        self._on_late = on_late
        self._ending = Lock()

    def judge(self, age_ms: float) -> bool:
        """Take one result's age into account; whether it is late. For one thread at a time; blocks may end in several."""
        late = age_ms > self.deadline_ms
        if len(self._recent) == self._recent.maxlen:
            self._recent_missed -= self._recent[0]
        self._recent.append(late)
        self._recent_missed += late
        self.ages.add(age_ms)
        return late

    @property
    def miss_ratio(self) -> float:
        """Share of late results among the recent ones, 0 to 1."""
        return self._recent_missed / len(self._recent) if self._recent else 0.0

    def __enter__(self) -> Block:
        block = Block(self)
        _open.set((*_open.get(), block))
        return block

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        blocks = _open.get()
        # the innermost one of this deadline: a generator may end its block after one that was begun later elsewhere
        place = max(number for number, block in enumerate(blocks) if block.deadline is self)
        _open.set(blocks[:place] + blocks[place + 1 :])
        self._end(blocks[place])

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """``function``, each call of it judged.

        Raises:
            ConfigError: for a generator function, whose time is that of its caller too.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(
                f"{function.__qualname__} is a generator: its time is its caller's too; decorate what it calls"
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def timed_coroutine(*args: _P.args, **kwargs: _P.kwargs) -> object:
                block = Block(self)
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._end(block)

            return cast("Callable[_P, _R]", timed_coroutine)

        @wraps(function)
        def timed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            block = Block(self)
            try:
                return function(*args, **kwargs)
            finally:
                self._end(block)

        return timed

    def _end(self, block: Block) -> None:
        block.end()
        with self._ending:
            late = self.judge(block.elapsed_ms)
        if late and self._on_late is not None:
            self._on_late(block)
