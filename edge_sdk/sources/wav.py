"""A recording of sound, at the pace at which it was made."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from edge_sdk.errors import SourceError
from edge_sdk.inputs import check_plain_file
from edge_sdk.kinds import Settings
from edge_sdk.sources import SignalSource
from edge_sdk.sources.pace import Pace
from edge_sdk.sources.stamps import PIECE_NS
from edge_sdk.tensors import Array

_DTYPES = {2: "<i2", 4: "<i4"}  # by bytes of a number
_READING_ERRORS = wave.Error, EOFError, OSError, RuntimeError  # the last of a chunk that ends behind the file


class WavSettings(Settings):
    """``wav:door.wav?channel=0&loop=1``.

    Attributes:
        path: a .wav file of whole numbers of 16 or 32 bits (PCM). Its rate must be the contract's; nothing is resampled.
        channel: the only one to give, counted from 0; without it, all.
        pace: ``realtime`` gives sound when it is due; ``fast`` when asked, with times that run ahead of the clock.
        loop: begin again at the end.
    """

    path: Path
    channel: int | None = Field(default=None, ge=0)
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False


class WavSource(SignalSource):
    """Sound as it stands in the file, int16 or int32 (count, channels), in pieces of 20 ms."""

    settings_class = WavSettings

    def __init__(self, settings: WavSettings) -> None:
        self.settings = settings
        self.live = settings.pace == "realtime"
        self.period_s = PIECE_NS / 1e9
        self._opened: tuple[wave.Wave_read, Pace] | None = None
        self._given = 0

    def _open(self) -> None:
        self._close()
        file = _read(self.settings.path)
        channels, channel = file.getnchannels(), self.settings.channel
        if channel is not None and channel >= channels:
            file.close()
            raise SourceError(f"{self.settings.path} has {channels} channels, counted from 0; found channel {channel}")
        taken = range(channels) if channel is None else [channel]
        self.channels = tuple(f"sound{n}" for n in taken) if len(taken) > 1 else ("sound",)
        self.rate_hz = float(file.getframerate())
        self._given = 0
        self._opened = file, Pace()

    def _readings(self) -> tuple[Array, Array] | None:
        if self._opened is None or self.rate_hz is None:
            return None
        file, pace = self._opened
        count = max(1, round(self.rate_hz * PIECE_NS / 1e9))
        content = self._frames(file, count)
        if not content and self.settings.loop:
            file.rewind()
            content = self._frames(file, count)
        if not content:
            return None
        data = np.frombuffer(content, _DTYPES[file.getsampwidth()]).reshape(-1, file.getnchannels())
        if self.settings.channel is not None:
            data = data[:, [self.settings.channel]]
        positions_ns = np.rint(np.arange(self._given, self._given + len(data)) * (1e9 / self.rate_hz)).astype(np.int64)
        last_ns = int(positions_ns[-1])
        due_ns = pace.wait(last_ns) if self.live else pace.due_ns(last_ns)
        if due_ns is None:
            return None
        self._given += len(data)
        return np.array(data), positions_ns + (due_ns - last_ns)

    def _frames(self, file: wave.Wave_read, count: int) -> bytes:
        """The next ``count`` readings of all channels, as stored; a last one that is cut off is left out."""
        try:
            content = file.readframes(count)
        except _READING_ERRORS as exc:
            raise SourceError(f"{self.settings.path} cannot be read: {exc}") from exc
        size = file.getsampwidth() * file.getnchannels()
        return content[: len(content) // size * size]

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].stop()
            opened[0].close()


def _read(path: Path) -> wave.Wave_read:
    check_plain_file(path, SourceError, give="a .wav file")
    form = "give a .wav of whole numbers of 16 or 32 bits (sox IN.wav -e signed -b 16 OUT.wav)"
    try:
        file = wave.open(str(path), "rb")  # noqa: SIM115 - it stays open until the source is closed
    except _READING_ERRORS as exc:
        raise SourceError(f"{path} is not a .wav file that can be read: {str(exc) or 'it is cut off'}; {form}") from exc
    if file.getsampwidth() in _DTYPES and file.getnframes() and file.getframerate() > 0:
        return file
    found = f"{file.getnframes()} readings of {8 * file.getsampwidth()} bits at {file.getframerate()} Hz"
    file.close()
    raise SourceError(f"{path} holds {found}; {form}")
