"""Windows of sound as the contract cuts them: ``speech/?hop=8000&channel=0``. 16-bit values stay the integers that a device captures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, take, whole
from converters.calibrate.sources.wav import Recordings, Wave
from edge_sdk.errors import DataError
from edge_sdk.tensors import Array
from edge_sdk.window_settings import FULL_SCALE, WindowSettings


def find(path: Path, options: dict[str, str], window: WindowSettings) -> Found:
    """See ``converters.calibrate.sources.signals``; a file that cannot be read is skipped, counted as one sample."""
    take(options, path, ("hop", "channel"))
    hop = whole(path, options, "hop", window.hop, least=1, what="number of values")
    recordings = Recordings(path, window.length, hop)
    channels = [_channels(wave, path, options, window) for wave in recordings.good][:1]
    return recordings.found(
        f"{window.rate_hz:g}", lambda wave, first: np.ascontiguousarray(_read(wave, first, window)[:, channels[0]])
    )


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
