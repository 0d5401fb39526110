"""A hundred faults in one run of the loop, on a real model and a live source: what is lost, and what is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sdk import Loop, Result, Source
from edge_sdk.engines.faulty import order_fault
from tests.processes import descendants, open_descriptors

FAULTS = 100
PERIOD_MS = 1000 / 60
HANG_MS = 100.0


class Metronome(Source):
    """A live source with one frame at 60 a second, each captured when it was due."""

    live = True

    def __init__(self, frame: np.ndarray) -> None:
        self._frame = frame
        self._stopped = False

    def _open(self) -> None:
        self._stopped = False
        self._due_ns = time.monotonic_ns()

    def _read(self):  # type: ignore[no-untyped-def]
        if self._stopped:
            return None
        self._due_ns += round(PERIOD_MS * 1e6)
        time.sleep(max(0, self._due_ns - time.monotonic_ns()) / 1e9)  # the pace of the source, not a synchronisation
        return self._frame, "bgr", "", self._due_ns

    def _close(self) -> None:
        self._stopped = True


def first_frame(video: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(video))
    done, frame = capture.read()
    capture.release()
    assert done
    return frame


@pytest.mark.slow
def test_a_hundred_faults_lose_only_the_frames_of_hang_budget_and_recovery(
    face_bundle: Path, carphone: Path, tmp_path: Path
) -> None:
    orders = tmp_path / "orders"
    before = open_descriptors(), descendants()
    loop = Loop(
        face_bundle,
        Metronome(first_frame(carphone)),
        deadline_ms=50,
        hang_ms=HANG_MS,
        engine="faulty",
        engine_options={"orders": str(orders)},
    )

    def strike(number: int) -> None:
        if number % 3 == 0:
            order_fault(orders, "hang")
        else:
            os.kill(loop.runner.engine.pid, signal.SIGKILL if number % 3 == 1 else signal.SIGSTOP)  # type: ignore[attr-defined]

    results: list[Result] = []
    with loop:
        for result in loop:
            results.append(result)
            if len(results) % 3 == 0:
                if len(results) // 3 > FAULTS:
                    break
                strike(len(results) // 3)
    report = loop.report()
    assert report.counts.lost == len(report.recoveries) == FAULTS
    assert report.counts.in_flight == 0
    assert all(result.value for result in results), "every result still finds the face"
    for recovery in report.recoveries:
        outage_ms = recovery.took_ms + (HANG_MS if recovery.kind == "hang" else 0)
        back = next(r for r in results if r.sequence > recovery.sequence)
        assert back.dropped_before <= outage_ms / PERIOD_MS + 3, (
            recovery,
            back.dropped_before,
        )  # the frame at either end, and the scheduler
    assert (open_descriptors(), descendants()) == before
