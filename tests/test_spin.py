"""Waiting with foresight: the answer is always found, a timeout is always kept, and vain waits make it rest."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from time import perf_counter, sleep

import pytest

from edge_sdk.engines.spin import Spin


@pytest.fixture
def answer() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def polling(fd: int) -> select.poll:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll


def answered_after(seconds: float, spin: Spin, fd: int) -> None:
    """One wait whose answer comes after so long."""

    def give() -> None:
        sleep(seconds)  # the length of the wait is what is tested
        os.eventfd_write(fd, 1)

    thread = threading.Thread(target=give)
    thread.start()
    assert spin.wait(polling(fd), 5_000) == [(fd, select.POLLIN)]
    os.eventfd_read(fd)
    thread.join()


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.003, 0.02])
def test_the_answer_is_found_however_long_it_takes(seconds: float, answer: int) -> None:
    spin = Spin()
    for _ in range(20):
        answered_after(seconds, spin, answer)


def test_a_timeout_is_kept_when_an_answer_was_foreseen(answer: int) -> None:
    spin = Spin()
    for _ in range(20):
        answered_after(0.0005, spin, answer)
    started = perf_counter()
    assert spin.wait(polling(answer), 50) == []
    assert 0.05 <= perf_counter() - started < 5


def test_vain_waits_make_it_rest(answer: int) -> None:
    spin = Spin()
    spin._useful = True  # also on a single core
    asked = 0

    def count(poll: select.poll, started: float) -> tuple[list[tuple[int, int]], bool]:
        nonlocal asked
        asked += 1
        return [], False

    spin._foresee = count  # type: ignore[method-assign]
    for _ in range(500):
        spin.expected_s = 0.0001
        spin.wait(polling(answer), 0)
    assert 3 <= asked <= 10


def test_on_too_few_cores_nothing_is_foreseen() -> None:
    assert not Spin(busy_cores=len(os.sched_getaffinity(0)))._useful
