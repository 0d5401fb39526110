"""Recorded arrays, one sample after the other: sensor windows, or frames."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError
from edge_sdk.inputs import check_plain_file
from edge_sdk.kinds import Settings
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array


class ReplaySettings(Settings):
    """``replay:windows.npz?key=x&rate_hz=50&loop=1``.

    Attributes:
        path: a .npy or .npz file; the first axis of the array counts the samples.
        key: which array of an .npz that holds several.
        colour: channel order of samples that are 3-channel images, uint8 (height, width, 3); it must be stated for them.
        rate_hz: samples a second, given when they are due, like a sensor; without it, given when asked.
        loop: begin again at the end.
    """

    path: Path
    key: str | None = None
    colour: Literal["bgr", "rgb"] | None = None
    rate_hz: float | None = Field(default=None, ge=1e-6, le=1e6)
    loop: bool = False


class ReplaySource(Source):
    """Samples of an array, copied, named ``windows.npz#17``. Pickled objects are refused."""

    settings_class = ReplaySettings

    def __init__(self, settings: ReplaySettings) -> None:
        self.settings = settings
        self.live = settings.rate_hz is not None
        self.period_s = 1 / settings.rate_hz if settings.rate_hz else 0.0
        self._opened: tuple[Array, Pace] | None = None
        self._given = 0

    def _open(self) -> None:
        self._close()
        samples = _load(self.settings)
        self._given = 0
        self._opened = samples, Pace()

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if self._opened is None:
            return None
        samples, pace = self._opened
        given = self._given
        if given >= len(samples) and not self.settings.loop:
            return None
        due_ns = None
        if self.settings.rate_hz is not None:
            due_ns = pace.wait(round(given / self.settings.rate_hz * 1e9))
            if due_ns is None:
                return None
        self._given += 1
        index = given % len(samples)
        return np.array(samples[index]), self.settings.colour or "bgr", f"{self.settings.path.name}#{index}", due_ns

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].stop()


def _load(settings: ReplaySettings) -> Array:
    """The array of the settings, mapped from disk where it stands alone in a .npy."""
    path = settings.path
    check_plain_file(path, SourceError, give="a .npy or .npz file")
    try:
        samples = _from_npz(settings) if zipfile.is_zipfile(path) else np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile) as exc:
        raise SourceError(
            f"{path} is not a whole .npy or .npz file of plain numbers (pickled objects are never loaded); "
            "save it by numpy.save or numpy.savez"
        ) from exc
    if samples.ndim == 0 or samples.size == 0 or samples.dtype.kind not in "biuf":
        raise SourceError(
            f"{path} holds {samples.dtype} of shape {samples.shape}; numbers are needed whose first axis counts at least one sample"
        )
    if samples.dtype == np.uint8 and samples.ndim == 4 and samples.shape[3] == 3 and settings.colour is None:
        raise SourceError(
            f"{path} holds 3-channel images of shape {samples.shape}; say their channel order: colour=rgb or colour=bgr"
        )
    return samples


def _from_npz(settings: ReplaySettings) -> Array:
    with settings.path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        key = settings.key or (stored.files[0] if len(stored.files) == 1 else None)
        if key not in stored.files:
            there = ", ".join(stored.files) or "none"
            raise SourceError(
                f"{settings.path}: say which array by key=NAME; found {settings.key or 'no key'}, there are {there}"
            )
        samples: Array = stored[key]
        return samples
