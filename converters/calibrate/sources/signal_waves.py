"""Windows of sound as the contract cuts them: ``speech/?hop=8000&channel=0``. 16-bit values stay the integers that a device captures."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, RawSample, Skipped, at, files_of, take, whole
from converters.calibrate.sources.suffixes import WAVES
from converters.calibrate.sources.wav import Wave, open_wave
from edge_sdk.errors import DataError
from edge_sdk.tensors import Array
from edge_sdk.window_settings import FULL_SCALE, WindowSettings


def find(path: Path, options: dict[str, str], window: WindowSettings) -> Found:
    """See ``converters.calibrate.sources.signals``; a file that cannot be read is skipped, counted as one sample."""
    take(options, path, ("hop", "channel"))
    hop = whole(path, options, "hop", window.hop, least=1, what="number of values")
    files = files_of(path, WAVES, "recordings") if path.is_dir() else [path]
    waves = [_open(file, path) for file in files]
    good = [wave for wave in waves if isinstance(wave, Wave)]
    channels = [_channels(wave, path, options, window) for wave in good][:1]
    ends = list(accumulate(_count(wave, window.length, hop) for wave in waves))
    short = sum(wave.frames < window.length for wave in good)

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        for number in chosen:
            place = bisect_right(ends, number)
            wave, first = waves[place], (number - (ends[place - 1] if place else 0)) * hop
            if isinstance(wave, Skipped):
                yield wave
                continue
            name = at(wave.path, path)
            try:
                data = _read(wave, first, window)[:, channels[0]]
            except DataError as exc:
                yield Skipped(name, str(exc))
            else:
                yield RawSample(np.ascontiguousarray(data), "bgr", f"{name} from {first / wave.rate:.2f} s")

    filled = f", {short} files shorter than that and filled with silence" if short else ""
    count = ends[-1] if ends else 0
    said = f"{path.name}, {len(files)} recordings, {count} windows of {window.length} values at {window.rate_hz:g} Hz"
    return Found(said + filled, count, read)


def _open(file: Path, folder: Path) -> Wave | Skipped:
    try:
        return open_wave(file)
    except DataError as exc:
        return Skipped(at(file, folder), str(exc))


def _count(wave: Wave | Skipped, length: int, hop: int) -> int:
    return 1 if isinstance(wave, Skipped) or wave.frames < length else 1 + (wave.frames - length) // hop


def _channels(wave: Wave, path: Path, options: dict[str, str], window: WindowSettings) -> slice:
    """Which channels are taken of a recording, that must fit the contract.

    Raises:
        DataError: if its rate, channels or coding do not.
    """
    if wave.rate != window.rate_hz:
        raise DataError(
            f"{wave.path} has a rate of {wave.rate} Hz, the contract's windows have {window.rate_hz:g} Hz. Nothing is resampled here: "
            f"bring it to the rate that the model was trained with, such as by sox IN.wav -r {window.rate_hz:g} OUT.wav"
        )
    if not wave.sixteen_bits and window.units != FULL_SCALE:
        raise DataError(
            f"{wave.path} is not 16-bit PCM, and what its values are in units of {window.units} is not known; save it as 16-bit PCM"
        )
    wanted = len(window.channels)
    channel = whole(path, options, "channel", 0, what="channel, counted from 0")
    if "channel" in options and (wanted != 1 or channel >= wave.channels):
        raise DataError(
            f"{path}?channel={channel}: {wave.path.name} has {wave.channels} channels, the contract {wanted}"
        )
    if "channel" not in options and wave.channels != wanted:
        raise DataError(
            f"{wave.path} has {wave.channels} channels, the contract {wanted} ({', '.join(window.channels)})"
            + (f"; say which one is used: {path}?channel=0" if wanted == 1 else "")
        )
    return slice(channel, channel + wanted)


def _read(wave: Wave, first: int, window: WindowSettings) -> Array:
    """A window (length, channels of the file): int16, or float64 of -1 to 1; silence behind the end."""
    data = wave.raw(first, window.length) if wave.sixteen_bits else wave.real(first, window.length)
    return np.pad(data, ((0, window.length - len(data)), (0, 0)))
