"""The order of the recovery ladder's steps, and the waits between them, in simulated time."""

from __future__ import annotations

import pytest

from edge_sdk.watchdog.steps import Patience, Step, Steps

PATIENCE = Patience(soon_s=10, first_wait_s=1, longest_wait_s=60)


@pytest.mark.parametrize(
    ("kind", "can_reset", "expected"),
    [
        ("engine_error", True, ["reopen", "restart", "reset", "reset"]),
        ("hang", True, ["restart", "reset", "reset"]),
        ("crash", True, ["restart", "reset", "reset"]),
        ("start", True, ["restart", "reset", "reset"]),
        ("engine_error", False, ["reopen", "restart", "restart"]),
        ("crash", False, ["restart", "restart"]),
    ],
)
def test_each_kind_of_failure_has_its_first_step_and_the_last_comes_again(
    kind: str, can_reset: bool, expected: list[Step]
) -> None:
    steps = Steps(PATIENCE, can_reset=can_reset)
    steps.failed(kind, 0)
    taken = [steps.next() for _ in expected]
    assert [step for _, step in taken] == expected
    assert [wait > 0 for wait, _ in taken] == [False] * (len(expected) - 1) + [True]


def test_the_waits_double_from_one_second_to_one_minute_with_jitter() -> None:
    steps = Steps(PATIENCE, can_reset=True)
    steps.failed("crash", 0)
    waits = [steps.next()[0] for _ in range(14)][2:]
    for wait, longest in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60], strict=True):
        assert longest / 2 <= wait <= longest


def test_failing_soon_again_goes_on_and_failing_later_begins_anew() -> None:
    steps = Steps(PATIENCE, can_reset=True)
    for now_s, expected in ((0, "restart"), (5, "reset"), (100, "restart")):
        steps.failed("crash", now_s)
        assert steps.next() == (0.0, expected)
        steps.back(now_s + 1)


def test_a_start_is_no_failure_that_comes_again() -> None:
    steps = Steps(PATIENCE, can_reset=True)
    steps.failed("start", 0)
    steps.next()
    steps.back(1)
    steps.failed("engine_error", 2)
    assert steps.next() == (0.0, "reopen")
