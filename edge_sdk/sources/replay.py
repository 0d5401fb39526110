"""Recorded arrays and tables: samples one after the other, or the readings of a signal at the pace at which they were taken."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from edge_sdk.array_files import READING_ERRORS
from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError
from edge_sdk.inputs import check_plain_file
from edge_sdk.kinds import Names, Settings
from edge_sdk.sources import Source
from edge_sdk.sources.lines import Separator
from edge_sdk.sources.pace import Pace
from edge_sdk.sources.parsed import TimeUnit
from edge_sdk.tensors import Array


class ReplaySettings(Settings):
    """``replay:windows.npz?key=x&rate_hz=50&loop=1``, or a signal: ``replay:log.csv?time=t_ms&time_unit=ms``.

    Attributes:
        path: a .npy, .npz or .csv file; the first axis of an array counts the samples, or the readings.
        key: which array of an .npz that holds several.
        colour: channel order of samples that are 3-channel images, uint8 (height, width, 3); it must be stated for them.
        rate_hz: samples, or readings, a second, given when they are due, like a sensor; without it, samples are given when asked.
        loop: begin again at the end.
        signal: the array holds the readings of a signal, (count,) or (count, channels). A .csv does, and so does what has ``time``.
        time: the array of an .npz, or the column of a .csv (name, or position from 0), that says when each reading was taken.
        time_unit: of it: ``s``, ``ms``, ``us`` or ``ns``; it may count from any moment.
        columns: of a .csv, which are the channels (names, or positions from 0); without it, all but the time.
        separator: of a .csv: ``comma``, ``semicolon``, ``tab`` or ``space``.
        pace: of a signal: ``realtime`` gives readings when they are due; ``fast`` when asked, with times that run ahead of the clock.
    """

    path: Path
    key: str | None = None
    colour: Literal["bgr", "rgb"] | None = None
    rate_hz: float | None = Field(default=None, ge=1e-6, le=1e6)
    loop: bool = False
    signal: bool = False
    time: str | None = None
    time_unit: TimeUnit = "s"
    columns: Names | None = None
    separator: Separator = "comma"
    pace: Literal["realtime", "fast"] = "realtime"

    @property
    def is_table(self) -> bool:
        """Whether it is a .csv."""
        return self.path.suffix.lower() == ".csv"

    @property
    def is_signal(self) -> bool:
        """Whether it holds the readings of a signal."""
        return self.signal or self.is_table or self.time is not None

    @model_validator(mode="after")
    def _fit(self) -> ReplaySettings:
        if self.is_signal and (self.time is None) == (self.rate_hz is None):
            raise ValueError(
                "the readings of a signal need either time=NAME, which says when each was taken, or rate_hz"
            )
        if self.is_signal and self.colour is not None:
            raise ValueError("colour is of images; the readings of a signal have none")
        if not self.is_signal and self.pace != "realtime":
            raise ValueError("pace=fast is of signals; samples are given when asked unless there is a rate_hz")
        if not self.is_table and self.columns is not None:
            raise ValueError("columns are of a .csv; the channels of an array are its second axis")
        return self


class Replay:
    """The source of these settings."""

    settings_class = ReplaySettings

    def __call__(self, settings: ReplaySettings) -> Source:
        """Samples, or a signal."""
        from edge_sdk.sources.recording import RecordingSource

        return RecordingSource(settings) if settings.is_signal else ReplaySource(settings)


replay = Replay()


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
        samples = load_array(self.settings)
        _check_colour(samples, self.settings)
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


def load_array(settings: ReplaySettings, key: str | None = None) -> Array:
    """An array of plain numbers, at least one, mapped from disk where it stands alone in a .npy.

    Args:
        settings: which file.
        key: which array of it; without one, that of the settings.

    Raises:
        SourceError: if there is none.
    """
    path = settings.path
    check_plain_file(path, SourceError, give="a .npy or .npz file")
    try:
        array = (
            _from_npz(path, key or settings.key, other_than=settings.time)
            if zipfile.is_zipfile(path)
            else np.lib.format.open_memmap(path, mode="r")
        )
    except READING_ERRORS as exc:
        raise SourceError(
            f"{path} is not a whole .npy or .npz file of plain numbers (pickled objects are never loaded); "
            "save it by numpy.save or numpy.savez"
        ) from exc
    if array.ndim == 0 or array.size == 0 or array.dtype.kind not in "biuf":
        raise SourceError(
            f"{path} holds {array.dtype} of shape {array.shape}; numbers are needed whose first axis counts at least one sample"
        )
    return array


def _check_colour(samples: Array, settings: ReplaySettings) -> None:
    if samples.dtype == np.uint8 and samples.ndim == 4 and samples.shape[3] == 3 and settings.colour is None:
        raise SourceError(
            f"{settings.path} holds 3-channel images of shape {samples.shape}; say their channel order: colour=rgb or colour=bgr"
        )


def _from_npz(path: Path, key: str | None, other_than: str | None) -> Array:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        others = [name for name in stored.files if name != other_than]
        key = key or (others[0] if len(others) == 1 else None)
        if key not in stored.files:
            there = ", ".join(stored.files) or "none"
            raise SourceError(f"{path}: say which array by key=NAME; found {key or 'no key'}, there are {there}")
        array: Array = stored[key]
        return array
