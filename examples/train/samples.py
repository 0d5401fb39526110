"""What the models are trained on and tested with: windows and digits, the two sets disjoint. Loads no framework."""

from __future__ import annotations

import numpy as np

from examples.assets.data import Bytes, Labels, Numbers, digits, heartbeats, more_digits, watch_exercises

EXERCISE_WINDOW, _EXERCISE_STEP = 100, 50
"""Samples of a window and between the starts of two: 2 s and 1 s."""
TEST_SUBJECTS = (8, 9, 10)
"""Whom the exercises' model has never seen."""
HEARTBEAT_WINDOW, _HEARTBEAT_STEP = 128, 8
"""Steps of a window, a little more than one beat, and between the starts of two."""


def test_digits() -> tuple[Bytes, Labels]:
    """The 5,000 of ``more_digits`` that are not in ``digits``: images (5000, 28, 28) and labels (5000), in an order of chance."""
    known = {image.tobytes() for image in digits()[0]}
    images, labels = more_digits()
    fresh = np.array([image.tobytes() not in known for image in images])
    order = np.random.default_rng(0).permutation(int(fresh.sum()))
    return images[fresh][order], labels[fresh][order]


def exercise_windows(*, test: bool) -> tuple[Numbers, Labels]:
    """Windows (n, 100, 6) as the watch gives them, and their exercises (n), of the people to train on or to test with."""
    watch = watch_exercises()
    found: list[Numbers] = []
    labels: list[int] = []
    for series, exercise, subject in zip(watch.series, watch.exercise, watch.subject, strict=True):
        if (subject in TEST_SUBJECTS) == test:
            starts = range(0, len(series) - EXERCISE_WINDOW + 1, _EXERCISE_STEP)
            found += [series[start : start + EXERCISE_WINDOW] for start in starts]
            labels += [exercise] * len(starts)
    return np.array(found), np.array(labels, np.int64)


def heartbeat_windows(part: str) -> tuple[Numbers, Labels]:
    """Windows (n, 128, 1) of ``heartbeats``, and 1 where at least a quarter of the steps is anomalous (n)."""
    series, odd = heartbeats(part)
    starts = range(0, len(series) - HEARTBEAT_WINDOW + 1, _HEARTBEAT_STEP)
    cut = np.array([series[start : start + HEARTBEAT_WINDOW, None] for start in starts])
    anomalous = [odd[start : start + HEARTBEAT_WINDOW].mean() >= 0.25 for start in starts]
    return cut, np.array(anomalous, np.int64)
