"""Sound from a microphone or a line input, through PortAudio: ALSA on Linux."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from edge_sdk.errors import MissingPackageError
from edge_sdk.kinds import Settings
from edge_sdk.sources import SignalSource
from edge_sdk.sources.pipe import Pipe
from edge_sdk.sources.piped import PipeSource
from edge_sdk.sources.recorder import HEADER
from edge_sdk.tensors import Array

_RECORDER = Path(__file__).with_name("recorder.py")
_JUMP_NS = 100_000_000  # a clock that is off by more has missed readings
_LONGEST_NS = 5_000_000_000  # a longer delay is an error of the driver
_FOLLOW = 0.005  # of the time: faster than any two crystals drift apart, and too little to look like a gap


class AudioSettings(Settings):
    """``audio:default?rate_hz=16000&channels=1``.

    Attributes:
        device: ``default``, a part of the name of an input (``hw:1,0``, ``USB``), or its number; an unknown one's message lists them.
        rate_hz: readings a second.
        channels: how many are read.
        format: int16, or float32 from -1 to 1.
        piece_ms: how much sound comes at once.
        timeout_s: so long a silence of the device (it gives readings of a silent room as well) is a loss.
    """

    location: ClassVar[str | None] = "device"

    device: str = Field(min_length=1)
    rate_hz: int = Field(default=16000, ge=1000, le=768_000)
    channels: int = Field(default=1, ge=1, le=64)
    format: Literal["int16", "float32"] = "int16"
    piece_ms: float = Field(default=20, ge=1, le=1000)
    timeout_s: float = Field(default=2, gt=0, le=60)

    @property
    def piece(self) -> int:
        """Readings in a piece."""
        return round(self.rate_hz * self.piece_ms / 1000)


class AudioSource(SignalSource, PipeSource):
    """Sound as int16 or float32 (count, channels), each reading with its time.

    It is recorded in a process of its own, which is killed when it hangs. The times come from the device's count of readings and, at
    every piece, the moment that PortAudio states for its first one at the converter, carried over to the clock of
    ``time.monotonic_ns``. They are evenly spaced, and follow the device's crystal slowly. Where readings are missing, by an overrun of the
    device, the times have a gap, and ``lost`` counts it. What is not read waits, up to 1 MB.

    Attributes:
        lost: how often readings were lost.
    """

    settings_class = AudioSettings

    def __init__(self, settings: AudioSettings) -> None:
        super().__init__()
        self.settings = settings
        self.description = f"audio input {settings.device}"
        self.rate_hz = settings.rate_hz
        self.channels = ("sound",) if settings.channels == 1 else tuple(f"sound{n}" for n in range(settings.channels))
        self.period_s = settings.piece_ms / 1000
        self.lost = 0
        self._clock = StreamClock(settings.rate_hz)

    def _pipe(self) -> Pipe:
        if find_spec("sounddevice") is None:
            raise MissingPackageError(
                "sounddevice", needed_for="reading sound", install="pip install 'edge-device-sdk[audio]'"
            )
        self._clock = StreamClock(self.settings.rate_hz)
        settings = self.settings
        told = json.dumps({**settings.model_dump(), "piece": settings.piece})
        size = HEADER.size + settings.piece * settings.channels * np.dtype(settings.format).itemsize
        return Pipe(
            "the recorder", lambda fd, _: [sys.executable, str(_RECORDER), str(fd), told], size, settings.timeout_s
        )

    def _readings(self) -> tuple[Array, Array] | None:
        got = self._take()
        if got is None:
            return None
        piece = got[0]
        came_ns, delay_ns, overrun = HEADER.unpack(piece[: HEADER.size].tobytes())
        before = self._clock.gaps
        times_ns = self._clock(self.settings.piece, came_ns, delay_ns, bool(overrun))
        self.lost += self._clock.gaps - before
        return piece[HEADER.size :].view(self.settings.format).reshape(-1, self.settings.channels), times_ns


class StreamClock:
    """When the readings of a stream were taken, on the clock of ``time.monotonic_ns``.

    Where the device's moment and the count differ by more than 0.1 s, readings were lost, or the device is none (ALSA's null): the count
    begins anew. A device's crystal is followed by stretching each piece a little, so that no step in it looks like a gap.

    Args:
        rate_hz: readings a second, by the device's crystal.

    Attributes:
        gaps: how often the count began anew.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz
        self._next_ns: float | None = None  # of the first reading of the next piece
        self.gaps = 0

    def __call__(self, count: int, now_ns: int, delay_ns: int, overrun: bool) -> Array:
        """The times of a piece of ``count`` readings, int64 (count,), none after ``now_ns``.

        Args:
            count: at least one.
            now_ns: when the piece came.
            delay_ns: how long before that its first reading was at the converter, as the device says; too little is put right.
            overrun: whether readings are missing in front of it; then a gap of two periods at least is shown.
        """
        lasts_ns = count * self._period_ns
        first_ns = now_ns - (delay_ns if lasts_ns < delay_ns < _LONGEST_NS else lasts_ns)
        end_ns = first_ns + lasts_ns
        if self._next_ns is not None:
            late_ns = first_ns - self._next_ns
            if overrun or abs(late_ns) > _JUMP_NS or now_ns - self._next_ns < lasts_ns / 2:
                self.gaps += 1
                first_ns = max(first_ns, self._next_ns + 2 * self._period_ns) if overrun else first_ns
                end_ns = first_ns + lasts_ns
            else:
                first_ns = self._next_ns
                end_ns = min(first_ns + lasts_ns + min(max(late_ns, -_FOLLOW * lasts_ns), _FOLLOW * lasts_ns), now_ns)
        self._next_ns = end_ns
        times_ns: Array = np.rint(first_ns + (end_ns - first_ns) / count * np.arange(count)).astype(np.int64)
        return np.minimum(times_ns, now_ns)
