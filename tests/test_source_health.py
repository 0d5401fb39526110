"""What is told of a source's health: once when it begins, once when it ends, and nothing of a picture that is merely dull."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.result import Event
from edge_sdk.sources import Sample, source_from
from edge_sdk.sources.health import Health, Limits, SourceHealth

SECOND = 1_000_000_000
RNG = np.random.default_rng(7)


STUCK = Limits(stuck_s=5)


class Watched:
    """A source's health, fed with pictures at a rate on a clock of its own."""

    def __init__(self, limits: Limits = STUCK, rate_hz: float = 30) -> None:
        self.events: list[Event] = []
        self.health = Health(self.events.append, limits)
        self.now_ns = 100 * SECOND
        self.step_ns = round(SECOND / rate_hz)
        self.sequence = 0

    def sees(self, *images: np.ndarray) -> list[str]:
        """Kinds of the events of these pictures."""
        before = len(self.events)
        for image in images:
            self.now_ns += self.step_ns
            self.health.seen(Sample(image, self.sequence, self.now_ns), self.now_ns)
            self.sequence += 1
        return [event.kind for event in self.events[before:]]

    def snapshot(self) -> SourceHealth:
        return self.health.snapshot(self.now_ns)


def noisy(level: float, shape: tuple[int, ...] = (480, 640, 3), noise: float = 2) -> np.ndarray:
    return np.clip(RNG.normal(level, noise, shape), 0, 255).astype(np.uint8)


SCENE = [noisy(100) for _ in range(4)]
NIGHT = [noisy(6) for _ in range(4)]


def test_a_black_picture_is_told_once_and_its_end_once() -> None:
    watched = Watched()
    assert watched.sees(*SCENE * 3) == []
    assert watched.sees(*NIGHT * 15) == []  # 60 frames: a little less than 2 s
    assert watched.sees(*NIGHT * 30) == ["source_dark"]
    assert watched.snapshot().now == ("dark",)
    assert watched.sees(*SCENE * 3) == ["source_cleared"]
    assert watched.snapshot().now == () and watched.snapshot().faults["dark"] == 1
    dark, cleared = watched.events
    assert "black: the lens is covered" in dark.message and "(for 2.0 s)" in dark.message
    assert cleared.took_ms == pytest.approx(6000, abs=40) and "not dark any more, after 6.0 s" in cleared.message


@pytest.mark.parametrize("seen", ["dim", "a lamp", "a moment", "few frames", "not looked at"])
def test_what_is_merely_dark_is_not_told(seen: str) -> None:
    lamp = noisy(6)
    lamp[:48, :64] = 200  # 1 % of the picture in front of a black wall, and its light around
    lamp[48:60, :64] = 40
    pictures = {"dim": [noisy(20)] * 200, "a lamp": [lamp] * 200, "a moment": NIGHT * 14, "few frames": NIGHT * 2}
    limits = Limits(dark_s=None) if seen == "not looked at" else Limits()
    watched = Watched(limits, rate_hz=2 if seen == "few frames" else 30)
    assert watched.sees(*pictures.get(seen, NIGHT * 50)) == []


def test_a_picture_that_stands_still_is_told_once_and_its_end_once() -> None:
    watched = Watched()
    watched.sees(*SCENE)
    still = noisy(100)
    assert watched.sees(*[still.copy() for _ in range(158)]) == []  # 5 s, and the 10 frames that are compared wholly
    assert watched.sees(*[still.copy() for _ in range(100)]) == ["source_stuck"]
    assert watched.snapshot().now == ("stuck",)
    assert watched.sees(*SCENE * 3) == ["source_cleared"]
    assert watched.sees(*[still] * 200) == ["source_stuck"]
    assert watched.snapshot().faults["stuck"] == 2


@pytest.mark.parametrize("seen", ["noise", "one pixel", "black", "a file"])
def test_a_still_scene_is_not_told(seen: str) -> None:
    """One pixel between those of the grid, that differs, is enough to know that frames still come."""
    still = noisy(100)
    corner = still.copy()
    corner[1, 1] += 1
    pictures = {"noise": SCENE * 100, "one pixel": [still, corner] * 200, "black": [np.zeros_like(still)] * 400}
    watched = Watched(Limits() if seen == "a file" else Limits(dark_s=None, stuck_s=5))
    assert watched.sees(*pictures.get(seen, [still] * 400)) == []


def test_frames_of_another_size_are_told_and_counted() -> None:
    watched = Watched()
    small, gray = [noisy(100, (240, 320, 3))], [noisy(100, (240, 320))]
    assert watched.sees(*SCENE, *small, *small) == ["source_changed"]
    assert watched.events[0].message == "its frames are 320x240x3 now; they were 640x480x3"
    assert watched.sees(*SCENE, *small, *gray) == []  # again within 10 s: counted
    watched.now_ns += 20 * SECOND
    assert watched.sees(*SCENE) == ["source_changed"]
    assert watched.snapshot().faults["changed"] == 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000, 3), (5000, 1), (7, 9, 3), (1080, 1920, 3)])
def test_pictures_of_any_size_are_looked_at(shape: tuple[int, ...]) -> None:
    watched = Watched()
    assert watched.sees(*[np.zeros(shape, np.uint8)] * 100) == ["source_dark"]
    watched = Watched()
    assert watched.sees(*[noisy(100, shape)] * 400) == ["source_stuck"]


def test_what_is_no_picture_is_only_counted() -> None:
    watched = Watched()
    assert watched.sees(*[np.zeros((10, 3), np.float32)] * 400, *[np.zeros((0, 4), np.uint8)] * 400) == []
    assert watched.snapshot().samples == 800


def test_a_source_that_goes_and_comes_back() -> None:
    watched = Watched()
    assert watched.snapshot() == SourceHealth("opening", 0, 0.0, None, 0, watched.snapshot().faults, (), "")
    watched.health.opened()
    assert watched.snapshot().state == "open"
    watched.sees(*NIGHT * 50)
    watched.health.away("it was unplugged", watched.now_ns)
    watched.health.away("it was silent", watched.now_ns, hung=True)
    assert [event.kind for event in watched.events] == ["source_dark", "source_cleared"]
    assert "it went away" in watched.events[-1].message
    was = watched.snapshot()
    assert (was.state, was.reason, was.now, was.rate_hz) == ("hung", "it was silent", (), 0)
    watched.health.back()
    watched.health.bad()
    watched.sees(*SCENE)
    assert watched.snapshot().reopenings == 1
    assert dict(watched.snapshot().faults) == {"lost": 1, "hung": 1, "bad": 1, "dark": 1, "stuck": 0, "changed": 0}
    watched.health.ended()
    assert watched.snapshot().state == "ended"


@pytest.mark.parametrize("rate_hz", [0.1, 2, 30, 2000])
def test_the_rate_is_measured_and_falls_to_0_in_silence(rate_hz: float) -> None:
    watched = Watched(rate_hz=rate_hz)
    sample = np.zeros((1, 1))
    watched.sees(*[sample] * round(max(10, 7 * rate_hz)))
    assert watched.snapshot().rate_hz == pytest.approx(rate_hz, rel=0.01)
    assert watched.snapshot().age_ms == 0
    watched.now_ns += round(20 * max(1 / rate_hz, 1) * SECOND)
    assert watched.snapshot().rate_hz < rate_hz / 10
    assert watched.snapshot().age_ms == 20 * max(1 / rate_hz, 1) * 1000


def test_the_rate_of_a_signal_is_that_of_its_readings() -> None:
    watched = Watched(rate_hz=10)
    for _ in range(100):
        watched.now_ns += watched.step_ns
        times = watched.now_ns - np.arange(99, -1, -1) * 1_000_000
        watched.health.seen(Sample(np.zeros((100, 6)), 0, watched.now_ns, times_ns=times), watched.now_ns)
    assert watched.snapshot().rate_hz == pytest.approx(1000, rel=0.01)


def test_a_handler_may_ask_for_the_health_in_another_thread() -> None:
    def ask(event: Event) -> None:
        other = threading.Thread(target=health.snapshot, args=(0,))
        other.start()
        other.join(5)
        assert not other.is_alive()

    health = Health(ask)
    for number in range(100):
        health.seen(Sample(NIGHT[0], 0, 0), number * SECOND)
    assert health.snapshot(0).now == ("dark",)


def test_a_real_video_is_neither_dark_nor_still(carphone: Path) -> None:
    watched = Watched(Limits(dark_s=0, stuck_s=0.3))
    with source_from(f"file:{carphone}?pace=fast") as source:
        assert watched.sees(*(sample.data for sample in iter(source.read, None))) == []


def test_looking_costs_little() -> None:
    """About 12 us a frame of 640x480; the limit leaves room for a busy machine."""
    watched = Watched()
    frames = [noisy(100) for _ in range(20)]
    costs = []
    for frame in frames * 10:
        sample = Sample(frame, 0, 0)
        began = time.perf_counter_ns()
        watched.health.seen(sample, began)
        costs.append(time.perf_counter_ns() - began)
    assert np.median(costs) < 50_000, f"{np.median(costs) / 1000:.1f} us"
