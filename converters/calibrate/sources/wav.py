"""Windows of sound: a .wav file, or all below a folder: ``speech/?rate=16000&window=16000&hop=8000&channel=0``.

The format is RIFF/WAVE (Microsoft, "Multiple Channel Audio Data and WAVE Files"): PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64.
Python's own reader has no floats, and WAVE_FORMAT_EXTENSIBLE only from 3.12 on.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from converters.calibrate.sources.found import Found, RawSample, Skipped, at, files_of, take, whole
from converters.calibrate.sources.suffixes import WAVES
from converters.calibrate.sources.windows import fitted
from edge_sdk.errors import DataError
from edge_sdk.tensors import Array

Sound = npt.NDArray[np.float32]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TO_THE_END = 0xFFFFFFFF  # the size that a writer leaves which cannot go back to its header, such as a pipe's


@dataclass(frozen=True)
class Wave:
    """Where the values of a .wav file are: ``frames`` of ``channels`` values of ``bits`` each, from byte ``start`` on."""

    path: Path
    rate: int
    channels: int
    bits: int
    floating: bool
    start: int
    frames: int

    def read(self, first: int, count: int, channel: int) -> Sound:
        """Frames ``first`` to ``first + count`` of one channel, -1 to 1; silence behind the end.

        Raises:
            DataError: if the file has become shorter.
        """
        sound = np.zeros(count, np.float32)
        values = self._values(first, count)[:, channel]
        sound[: len(values)] = _real(np.ascontiguousarray(values), self.floating)
        return sound

    @property
    def sixteen_bits(self) -> bool:
        """Whether it is 16-bit PCM."""
        return self.bits == 16 and not self.floating

    def raw(self, first: int, count: int) -> npt.NDArray[np.int16]:
        """Frames ``first`` to ``first + count`` of 16-bit PCM as they are, (frames, channels), as far as there are any."""
        values = self._values(first, count)
        return values.view("<i2").reshape(values.shape[:2]).astype(np.int16)

    def real(self, first: int, count: int) -> npt.NDArray[np.float64]:
        """The same of any coding, -1 to 1."""
        values = self._values(first, count)
        return _real(values.reshape(-1, values.shape[2]), self.floating).reshape(values.shape[:2])

    def _values(self, first: int, count: int) -> npt.NDArray[np.uint8]:
        """The bytes of frames that are there, (frames, channels, bytes)."""
        count = max(0, min(count, self.frames - first))
        size = self.channels * self.bits // 8
        try:
            with self.path.open("rb") as file:
                file.seek(self.start + first * size)
                content = file.read(count * size)
        except OSError as exc:
            raise DataError(f"{self.path} cannot be read: {exc.strerror}") from exc
        if len(content) < count * size:
            raise DataError(f"{self.path} was changed while it was read")
        return np.frombuffer(content, np.uint8).reshape(count, self.channels, self.bits // 8)


def open_wave(path: Path) -> Wave:
    """Read a file's header.

    Raises:
        DataError: if it is no .wav file, is cut off, or of a coding that is not read; the message names it.
    """
    try:
        with path.open("rb") as file:
            return _header(path, file)
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}") from exc
    except struct.error as exc:
        raise DataError(f"{path} is not a whole .wav file: it ends within its header. Get it again") from exc


def find(path: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    """See ``converters.calibrate.sources``; a file that cannot be read is skipped, counted as one sample."""
    take(options, path, ("rate", "window", "hop", "channel"))
    window = whole(path, options, "window", int(np.prod(shape)), least=1, what="number of values")
    hop = whole(path, options, "hop", window, least=1, what="number of values")
    fitted(np.zeros((window, 1), np.float32), shape, path)  # or it is said now
    recordings = Recordings(path, window, hop)
    rate = _common_rate(path, recordings.good, options)
    channel = _channel(path, recordings.good, options)

    def cut(wave: Wave, first: int) -> Array:
        return fitted(wave.read(first, window, channel)[:, None], shape, path)

    return recordings.found(f"{rate}", cut)


class Recordings:
    """A .wav file or those below a folder, cut into windows; one that cannot be read counts as one sample, which is skipped.

    Args:
        path: the file or folder.
        length, hop: of the windows, in values.

    Attributes:
        good: the files that can be read.
    """

    def __init__(self, path: Path, length: int, hop: int) -> None:
        self._path, self._length, self._hop = path, length, hop
        files = files_of(path, WAVES, "recordings") if path.is_dir() else [path]
        self._waves = [_open(file, path) for file in files]
        self._ends = list(accumulate(map(self._count, self._waves)))
        self.good = [wave for wave in self._waves if isinstance(wave, Wave)]

    def found(self, rate: str, cut: Callable[[Wave, int], Array]) -> Found:
        """All windows; ``cut`` reads the one that begins at a frame of a recording, ``rate`` is theirs in Hz, to be said."""
        count = self._ends[-1] if self._ends else 0
        short = sum(wave.frames < self._length for wave in self.good)
        filled = f", {short} files shorter than that and filled with silence" if short else ""
        many = f"{self._path.name}, {len(self._waves)} recordings"
        said = f"{many}, {count} windows of {self._length} values at {rate} Hz{filled}"
        return Found(said, count, lambda chosen: self._read(chosen, cut))

    def _read(self, chosen: tuple[int, ...], cut: Callable[[Wave, int], Array]) -> Iterator[RawSample | Skipped]:
        for number in chosen:
            place = bisect_right(self._ends, number)
            wave, first = self._waves[place], (number - (self._ends[place - 1] if place else 0)) * self._hop
            if isinstance(wave, Skipped):
                yield wave
                continue
            name = at(wave.path, self._path)
            try:
                data = cut(wave, first)
            except DataError as exc:
                yield Skipped(name, str(exc))
            else:
                yield RawSample(data, "bgr", f"{name} from {first / wave.rate:.2f} s")

    def _count(self, wave: Wave | Skipped) -> int:
        if isinstance(wave, Skipped) or wave.frames < self._length:
            return 1
        return 1 + (wave.frames - self._length) // self._hop


def _open(file: Path, folder: Path) -> Wave | Skipped:
    try:
        return open_wave(file)
    except DataError as exc:
        return Skipped(at(file, folder), str(exc))


def _common_rate(path: Path, waves: list[Wave], options: dict[str, str]) -> int:
    stated = whole(path, options, "rate", 0, least=1, what="sampling rate in Hz")
    rate = stated or (waves[0].rate if waves else 1)
    for wave in waves:
        if wave.rate != rate:
            wanted = f"rate={rate} is wanted" if stated else f"{waves[0].path.name} has {rate} Hz"
            raise DataError(
                f"{wave.path} has a rate of {wave.rate} Hz; {wanted}. Nothing is resampled here: "
                f"bring all to the rate that the model was trained with, such as by sox IN.wav -r {rate} OUT.wav"
            )
    return rate


def _channel(path: Path, waves: list[Wave], options: dict[str, str]) -> int:
    channel = whole(path, options, "channel", 0, what="channel, counted from 0")
    for wave in waves:
        if channel >= wave.channels:
            raise DataError(f"{wave.path} has {wave.channels} channels, counted from 0; channel={channel} is not there")
        if wave.channels > 1 and "channel" not in options:
            raise DataError(f"{wave.path} has {wave.channels} channels; say which one is used: {path}?channel=0")
    return channel


def _header(path: Path, file: BinaryIO) -> Wave:
    size = file.seek(0, 2)
    file.seek(0)
    riff, _, kind = struct.unpack("<4sI4s", file.read(12))
    if riff != b"RIFF" or kind != b"WAVE":
        raise DataError(f"{path} is not a .wav file: it begins with {riff!r}, one begins with b'RIFF'. Save it as WAV")
    coding = None
    while True:
        name, length = struct.unpack("<4sI", file.read(8))
        start = file.tell()
        if name == b"data":
            if coding is None:
                raise DataError(f"{path} is not a whole .wav file: nothing says how its values are coded")
            return _wave(path, coding, start, size - start, length)
        if name == b"fmt ":
            coding = file.read(min(length, 40))
        file.seek(start + length + length % 2)


def _wave(path: Path, coding: bytes, start: int, there: int, stated: int) -> Wave:
    """Check what the header says of the values, ``there`` bytes from ``start`` on."""
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", coding)
    if tag == _EXTENSIBLE:
        (tag,) = struct.unpack_from("<H", coding, 24)
    floating = tag == _FLOAT
    if (tag, bits) not in ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)):
        raise DataError(
            f"{path} is coded by format {tag} with {bits} bits; read are PCM of 8, 16, 24 or 32 bits and float of 32 or 64. "
            "Save it as one of these"
        )
    if not channels or not rate or block != channels * bits // 8:
        raise DataError(f"{path} states {channels} channels, {rate} Hz and {block} bytes a frame: that is damage")
    if stated == _TO_THE_END:
        stated = there
    if stated > there:
        raise DataError(f"{path} is cut off: it states {stated} bytes of sound and has {there}. Get it again")
    if stated < block:
        raise DataError(f"{path} holds no sound; remove it")
    return Wave(path, rate, channels, bits, floating, start, stated // block)


def _real(values: npt.NDArray[np.uint8], floating: bool) -> npt.NDArray[np.float64]:
    """Values as their little-endian bytes (count, bytes) to real numbers; full scale is 1 (the most negative one is -1)."""
    count, size = values.shape
    if floating:
        return values.view(f"<f{size}").reshape(count).astype(np.float64)
    if size == 1:  # the one unsigned coding
        return (values.reshape(count).astype(np.float64) - 128) / 128
    wide = np.zeros((count, 4), np.uint8)
    wide[:, 4 - size :] = values  # as the upper bytes of 32 bits, so that the sign is right
    return wide.view("<i4").reshape(count) / 2.0**31
