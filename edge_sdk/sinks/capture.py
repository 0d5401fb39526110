"""Every n-th raw sample as it came from the source, to calibrate a model on what the device really meets.

A folder of .npz files, one sample each: ``sample`` (the array), ``captured_ns`` (int64, the device's monotonic clock) and ``colour``.
``edge-sdk convert --calibrate FOLDER`` reads it.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from pydantic import Field

from edge_sdk.errors import OutputError
from edge_sdk.kinds import Settings
from edge_sdk.outputs import replacing
from edge_sdk.result import Result
from edge_sdk.sinks import Sink


class CaptureSettings(Settings):
    """``capture:folder?every=30&most=500``.

    Attributes:
        path: the folder; it is made if its parent exists. What it holds already is kept and counted, so that a program that is
            started again goes on where it ended.
        every: one sample for so many results, beginning with the first.
        most: samples that the folder holds at most, ...
        most_mb: ... and megabytes of them; nothing is written beyond either.
    """

    path: Path
    every: int = Field(default=30, ge=1)
    most: int = Field(default=500, ge=1, le=1_000_000)
    most_mb: float = Field(default=1000, gt=0)


class CaptureSink(Sink):
    """Writes ``00000000.npz`` and so on, numbered by how many there are; never over a file that exists.

    Attributes:
        full: nothing more is written.

    Raises:
        OutputError: if the folder cannot be made or read.
    """

    settings_class = CaptureSettings

    def __init__(self, settings: CaptureSettings) -> None:
        self.settings = settings
        self.full = False
        self._passed = 0
        folder = settings.path
        try:
            folder.mkdir(exist_ok=True)
            there = [file for file in folder.glob("*.npz") if not file.name.startswith(".")]
            self._bytes = sum(file.stat().st_size for file in there)
        except (OSError, ValueError) as exc:  # ValueError: a zero byte in the name
            raise OutputError(f"cannot make the folder {folder}: {getattr(exc, 'strerror', None) or exc}") from exc
        self._count = len(there)
        self._next = 1 + max((int(file.stem) for file in there if file.stem.isdecimal()), default=-1)

    def result(self, result: Result) -> None:
        """See the base class."""
        self._passed += 1
        if self.full or (self._passed - 1) % self.settings.every:
            return
        sample = result.sample
        file = io.BytesIO()
        np.savez(file, sample=sample.data, captured_ns=np.int64(sample.captured_ns), colour=np.array(sample.colour))
        size = file.getbuffer().nbytes
        self.full = self._count >= self.settings.most or self._bytes + size > self.settings.most_mb * 1e6
        if self.full:
            return
        with replacing(self.settings.path / f"{self._next:08d}.npz", overwrite=False) as beside:
            beside.write_bytes(file.getbuffer())
        self._count, self._next, self._bytes = self._count + 1, self._next + 1, self._bytes + size
