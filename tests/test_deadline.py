"""Deadlines without the loop: blocks, functions and coroutines, nested, threaded, raising."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from edge_sdk.errors import ConfigError
from edge_sdk.watchdog import Deadline, deadline
from edge_sdk.watchdog.deadline import Block
from edge_sdk.watchdog.durations import Durations

MS = 1_000_000


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 5_000 * MS

    def __call__(self) -> int:
        return self.now_ns

    def go(self, ms: float) -> None:
        self.now_ns += int(ms * MS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline, "monotonic_ns", clock)
    return clock


def test_a_block_says_what_is_left_while_it_runs_and_what_it_took_afterwards(clock: Clock) -> None:
    limit = Deadline(50)
    with limit as block:
        clock.go(20)
        assert (block.elapsed_ms, block.left_ms, block.late) == (20, 30, False)
        clock.go(40)
        assert (block.elapsed_ms, block.left_ms, block.late) == (60, -10, True)
    clock.go(1_000)
    assert (block.elapsed_ms, block.left_ms, block.late) == (60, -10, True)
    assert limit.miss_ratio == 1
    assert (limit.ages.percentiles().count, limit.ages.percentiles().max_ms) == (1, 60)


def test_exactly_the_deadline_is_on_time(clock: Clock) -> None:
    with Deadline(deadline_ms=50) as block:
        clock.go(50)
    assert not block.late


def test_a_block_that_raises_is_judged_and_its_exception_passes(clock: Clock) -> None:
    limit = Deadline(10)
    with pytest.raises(KeyError, match="lost"), limit as block:
        clock.go(11)
        raise KeyError("lost")
    assert block.late and limit.miss_ratio == 1


def test_late_blocks_are_told_and_others_are_not(clock: Clock) -> None:
    told: list[Block] = []
    limit = Deadline(10, on_late=told.append)
    for ms in (9, 12, 10, 30):
        with limit:
            clock.go(ms)
    assert [block.elapsed_ms for block in told] == [12, 30]
    assert limit.miss_ratio == 0.5


def test_blocks_of_one_deadline_nest(clock: Clock) -> None:
    limit = Deadline(10)
    with limit as outer:
        clock.go(4)
        with limit as inner:
            clock.go(8)
        clock.go(1)
    assert (inner.elapsed_ms, outer.elapsed_ms) == (8, 13)
    assert (inner.late, outer.late, limit.miss_ratio) == (False, True, 0.5)


def test_blocks_may_end_in_the_order_they_began(clock: Clock) -> None:
    limits = Deadline(10), Deadline(20)

    def frames() -> Iterator[Block]:
        with limits[0] as block:
            yield block
            clock.go(3)

    reader = frames()
    generators = next(reader)
    with limits[1] as ours:
        clock.go(5)
        assert list(reader) == []
        clock.go(1)
    assert (generators.elapsed_ms, ours.elapsed_ms) == (8, 9)
    assert deadline._open.get() == ()


def test_every_call_of_a_function_is_judged_also_recursive_ones(clock: Clock) -> None:
    limit = Deadline(10)

    @limit
    def step(depth: int, *, ms: float) -> int:
        """Steps."""
        clock.go(ms)
        return step(depth - 1, ms=ms) + 1 if depth else 0

    assert step(2, ms=4) == 2
    assert (step.__name__, step.__doc__) == ("step", "Steps.")
    assert limit.ages.percentiles().count == 3
    assert limit.miss_ratio == pytest.approx(1 / 3)  # 12, 8 and 4 ms

    @Deadline(50)
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()


def test_a_coroutine_is_judged_from_call_to_end_and_tasks_do_not_mix(clock: Clock) -> None:
    limit = Deadline(10)
    blocks: dict[str, Block] = {}

    @limit
    async def fetch(go_on: asyncio.Event) -> str:
        await go_on.wait()
        return "done"

    async def block(name: str, go_on: asyncio.Event) -> None:
        with limit as blocks[name]:
            await go_on.wait()

    async def both() -> str:
        first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(block("a", first)), asyncio.create_task(block("b", second))]
        fetching = asyncio.create_task(fetch(third))
        for event, ms in ((first, 5), (second, 2), (third, 20)):
            await asyncio.sleep(0)
            clock.go(ms)
            event.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return await fetching

    assert asyncio.run(both()) == "done"
    assert (blocks["a"].elapsed_ms, blocks["b"].elapsed_ms) == (5, 7)
    assert (limit.ages.percentiles().count, limit.ages.percentiles().max_ms) == (3, 27)


def test_a_generator_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="frames is a generator: its time is its caller's too"):

        @Deadline(50)
        def frames() -> Iterator[int]:
            yield 1


def test_many_threads_share_a_deadline_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Durations):
        def add(self, duration_ms: float) -> None:
            count = self._count
            time.sleep(0)  # another thread's turn
            super().add(duration_ms)
            self._count = count + 1

    monkeypatch.setattr(deadline, "Durations", Slow)
    told: list[Block] = []
    limit = Deadline(1e-6, window=100_000, on_late=told.append)  # everything is late
    threads, calls = 8, 200
    start = threading.Barrier(threads)

    @limit
    def inner() -> None:
        pass

    def work() -> None:
        start.wait()
        for _ in range(calls):
            with limit as block:
                inner()
            assert block.deadline is limit

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert limit.ages.percentiles().count == len(told) == 2 * threads * calls
    assert limit.miss_ratio == 1


def test_the_miss_ratio_forgets_what_is_out_of_its_window() -> None:
    limit = Deadline(10, window=4)
    assert limit.miss_ratio == 0
    assert [limit.judge(age_ms) for age_ms in (11, 9, 12, 9)] == [True, False, True, False]
    assert limit.miss_ratio == 0.5
    for _ in range(3):
        limit.judge(1)
    assert limit.miss_ratio == 0


@pytest.mark.parametrize("wrong", [0, -1, 1e9, float("nan"), float("inf"), True])
def test_a_deadline_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="deadline_ms is a number of milliseconds above 0"):
        Deadline(wrong)
