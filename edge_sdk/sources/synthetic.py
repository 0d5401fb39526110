"""Made-up signals and frames, for demonstrations and tests: the same for the same seed."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from edge_sdk.contract import Colour
from edge_sdk.kinds import Settings
from edge_sdk.sources import SignalSource, Source
from edge_sdk.sources.pace import Pace
from edge_sdk.sources.stamps import PIECE_NS
from edge_sdk.tensors import Array


class SyntheticSettings(Settings):
    """``synthetic:sine?rate_hz=1000&channels=6&noise=0.1&seed=7`` or ``synthetic:shapes?width=320&height=240&rate_hz=25``.

    Attributes:
        what: ``sine``; ``noise``, normally distributed with a deviation of 1; ``steps``, which keep a level of -1 to 1 for half a
            period; or ``shapes``, frames with bright discs that move over a dark ground.
        rate_hz: readings, or frames, a second.
        count: how many readings or frames there are; without it, no end.
        seed: of everything that is random.
        pace: ``realtime`` gives them when they are due; ``fast`` when asked, readings with times that run ahead of the clock.
        channels: of a signal.
        frequency_hz: of the sine of the first channel; the others have twice, three times as much, and so on. Half its period is a step.
        noise: standard deviation of what is added to sine and steps.
        width, height: of a frame, in pixels.
        shapes: discs in a frame.
    """

    location: ClassVar[str | None] = "what"

    what: Literal["sine", "noise", "steps", "shapes"]
    rate_hz: float = Field(default=25.0, ge=1e-6, le=1e6)
    count: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    pace: Literal["realtime", "fast"] = "realtime"
    channels: int = Field(default=1, ge=1, le=1024)
    frequency_hz: float = Field(default=1.0, gt=0, le=1e6)
    noise: float = Field(default=0.0, ge=0, le=1e6)
    width: int = Field(default=320, ge=16, le=4096)
    height: int = Field(default=240, ge=16, le=4096)
    shapes: int = Field(default=3, ge=0, le=100)


class Synthetic:
    """The source of these settings."""

    settings_class = SyntheticSettings

    def __call__(self, settings: SyntheticSettings) -> Source:
        """Frames, or a signal."""
        return SyntheticFrames(settings) if settings.what == "shapes" else SyntheticSignal(settings)


synthetic = Synthetic()


class SyntheticSignal(SignalSource):
    """Readings, float64 (count, channels)."""

    settings_class = SyntheticSettings

    def __init__(self, settings: SyntheticSettings) -> None:
        self.settings = settings
        self.rate_hz = settings.rate_hz
        self.channels = tuple(str(channel) for channel in range(settings.channels))
        self.live = settings.pace == "realtime"
        self._piece = max(1, int(PIECE_NS / 1e9 * settings.rate_hz))
        self.period_s = self._piece / settings.rate_hz
        self._pace: Pace | None = None

    def _open(self) -> None:
        self._close()
        self._given = 0
        self._random = np.random.default_rng(self.settings.seed)
        self._pace = Pace()

    def _readings(self) -> tuple[Array, Array] | None:
        pace, settings, first = self._pace, self.settings, self._given
        end = first + self._piece if settings.count is None else min(first + self._piece, settings.count)
        if pace is None or first == end:
            return None
        numbers = np.arange(first, end)
        positions_ns = np.rint(numbers * (1e9 / settings.rate_hz)).astype(np.int64)
        last_ns = int(positions_ns[-1])
        due_ns = pace.wait(last_ns) if self.live else pace.due_ns(last_ns)
        if due_ns is None:
            return None
        self._given = end
        return self._values(numbers), positions_ns + (due_ns - last_ns)

    def _values(self, numbers: Array) -> Array:
        settings = self.settings
        shape = len(numbers), settings.channels
        if settings.what == "noise":
            return self._random.standard_normal(shape)
        cycles = np.outer(numbers / settings.rate_hz * settings.frequency_hz, np.arange(1, 1 + settings.channels))
        if settings.what == "sine":
            values = np.sin(2 * np.pi * cycles)
        else:
            levels = np.random.default_rng(settings.seed).uniform(-1, 1, 64)
            values = levels[(2 * cycles).astype(np.int64) % 64]
        return values + self._random.normal(0, settings.noise, shape) if settings.noise else values

    def _close(self) -> None:
        pace, self._pace = self._pace, None
        if pace is not None:
            pace.stop()


class SyntheticFrames(Source):
    """Frames, BGR uint8 (height, width, 3), named ``shapes#17``. The discs turn round at the edges."""

    settings_class = SyntheticSettings

    def __init__(self, settings: SyntheticSettings) -> None:
        self.settings = settings
        self.live = settings.pace == "realtime"
        self.period_s = 1 / settings.rate_hz
        self._pace: Pace | None = None

    def _open(self) -> None:
        self._close()
        self._given = 0
        random = np.random.default_rng(self.settings.seed)
        size = self.settings.width, self.settings.height
        self._start = random.uniform(0, size, (self.settings.shapes, 2))  # (x, y) in pixels
        self._speed = random.uniform(-1, 1, (self.settings.shapes, 2)) * size  # pixels a second
        self._radius = random.uniform(0.05, 0.15, self.settings.shapes) * min(size)
        self._bgr = random.integers(128, 256, (self.settings.shapes, 3), np.uint8)
        self._pace = Pace()

    def centres(self, number: int) -> Array:
        """Where the discs are in a frame, float64 (shapes, 2), (x, y) in pixels."""
        size = np.array([self.settings.width, self.settings.height], np.float64)
        way = (self._start + self._speed * (number / self.settings.rate_hz)) % (2 * size)
        return np.minimum(way, 2 * size - way)

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        pace, number = self._pace, self._given
        if pace is None or number == self.settings.count:
            return None
        position_ns = round(number / self.settings.rate_hz * 1e9)
        due_ns = None
        if self.live:
            due_ns = pace.wait(position_ns)
            if due_ns is None:
                return None
        self._given += 1
        return self._draw(number), "bgr", f"shapes#{number}", due_ns

    def _draw(self, number: int) -> Array:
        frame = np.full((self.settings.height, self.settings.width, 3), 32, np.uint8)
        y, x = np.ogrid[: self.settings.height, : self.settings.width]
        for (centre_x, centre_y), radius, bgr in zip(self.centres(number), self._radius, self._bgr, strict=True):
            frame[(x - centre_x) ** 2 + (y - centre_y) ** 2 <= radius**2] = bgr
        return frame

    def _close(self) -> None:
        pace, self._pace = self._pace, None
        if pace is not None:
            pace.stop()
