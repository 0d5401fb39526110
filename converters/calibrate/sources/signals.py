"""Raw windows of a signal, cut as the contract's ``[contract.window]`` says: of .wav and .csv files, or ready in arrays."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol

from converters.calibrate.sources import arrays, capture
from converters.calibrate.sources.found import Found, RawSample, Skipped, visible_files
from converters.calibrate.sources.suffixes import ARRAYS, TABLES, WAVES
from edge_sdk.errors import DataError
from edge_sdk.window_settings import WindowSettings

KINDS = "a .wav or .csv file or a folder of them, a folder of captured .npz files, .npy or .npz"
_CUT = {**dict.fromkeys(WAVES, "signal_waves"), **dict.fromkeys(TABLES, "signal_tables")}


class _Cutter(Protocol):
    def __call__(self, path: Path, options: dict[str, str], window: WindowSettings) -> Found: ...


def find(path: Path, options: dict[str, str], window: WindowSettings) -> Found:
    """The windows of a folder or file.

    Raises:
        DataError: if it is not of a kind that can be read, or does not fit the window.
    """
    files = visible_files(path) if path.is_dir() else [path]
    suffix = next((s for s in (file.suffix.lower() for file in files) if s in (*_CUT, *ARRAYS)), "")
    if suffix in _CUT:
        cut: _Cutter = import_module(f"converters.calibrate.sources.{_CUT[suffix]}").find
        return cut(path, options, window)
    if suffix in ARRAYS:
        whole = (capture if path.is_dir() else arrays).find(path, options, window.shape)
        return Found(
            whole.description, whole.count, lambda chosen: _fitting(whole.read(chosen), path, window), whole.notes
        )
    raise DataError(f"{path} holds no windows of a signal: {KINDS}")


def _fitting(
    samples: Iterator[RawSample | Skipped], path: Path, window: WindowSettings
) -> Iterator[RawSample | Skipped]:
    length, channels = window.shape
    for sample in samples:
        if isinstance(sample, RawSample) and sample.data.shape not in (
            (length, channels),
            *([(length,)] if channels == 1 else []),
        ):
            raise DataError(
                f"{path} holds samples of shape {sample.data.shape}; the contract's windows have {length} readings of {channels} "
                f"channels, shape {window.shape}"
            )
        yield sample
