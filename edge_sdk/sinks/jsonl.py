"""Results and events as JSON lines, one record a line, for programs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edge_sdk.errors import OutputError
from edge_sdk.kinds import Settings
from edge_sdk.outputs import refuse_existing
from edge_sdk.result import Event, Result
from edge_sdk.sinks import Sink


@runtime_checkable
class Recorded(Protocol):
    """A value that says itself what its record is."""

    def as_record(self) -> Mapping[str, Any]:
        """What JSON holds of it."""


_BLOCK = 65_536


class JsonlSettings(Settings):
    """``jsonl:results.jsonl?overwrite=1``.

    Attributes:
        path: the file, new unless ``overwrite``.
        overwrite: replace what is there.
        append: go on after the last whole line of what is there.
    """

    path: Path
    overwrite: bool = False
    append: bool = False


class JsonlSink(Sink):
    """Writes each record as it comes, so that the file can be followed; it never ends in a part of a line after ``close``.

    The file is made, or what is there replaced, by the first record: without any, everything is as it was.

    A record has ``type`` (``result`` or ``event``), ``utc`` (when it was written) and the fields of ``edge_sdk.result``; of the sample its
    name only. Arrays become lists, masks run lengths; NaN and infinity, which JSON does not have, become null.

    Raises:
        OutputError: if the file exists without ``overwrite``, or cannot be written.
    """

    settings_class = JsonlSettings

    def __init__(self, settings: JsonlSettings) -> None:
        self.settings = settings
        path = settings.path
        refuse_existing(path, overwrite=settings.overwrite or settings.append)
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a plain file; JSON lines go to one, which can be cut at a whole line")
        self._file: int | None = None
        self._whole_bytes = 0  # up to the end of the last whole line
        self._closed = False

    def result(self, result: Result) -> None:
        """See the base class."""
        taken = {f.name: getattr(result, f.name) for f in fields(result) if f.name != "sample"}
        self._write({"type": "result", "utc": _now(), "name": result.sample.name, **taken})

    def event(self, event: Event) -> None:
        """See the base class."""
        self._write({"type": "event", "utc": _now(), **asdict(event)})

    def close(self) -> None:
        """Cut off what is left of an interrupted line, and close; harmless if closed already."""
        self._closed = True
        file, self._file = self._file, None
        if file is None:
            return
        try:
            self._cut(file)
        finally:
            os.close(file)

    def _write(self, record: dict[str, Any]) -> None:
        text = json.dumps(_plain(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        line = (
            text.encode(errors="backslashreplace") + b"\n"
        )  # a file name that is no UTF-8 becomes JSON's \udc80 and the like
        if self._file is None:
            self._file = self._open()
        file, rest = self._file, memoryview(line)
        self._whole_bytes = min(self._whole_bytes, os.fstat(file).st_size)  # logrotate's copytruncate empties the file
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except BaseException as exc:  # also Ctrl-C: what is written next must not stand behind a part of a line
            self._cut(file)
            if not isinstance(exc, OSError):
                raise
            raise OutputError(
                f"cannot write {self.settings.path}: {exc.strerror}; it ends after its last whole line"
            ) from exc
        self._whole_bytes += len(line)

    def _open(self) -> int:
        if self._closed:
            raise OutputError(f"cannot write {self.settings.path}: this sink was closed")
        what_is_there = 0 if self.settings.append else os.O_TRUNC if self.settings.overwrite else os.O_EXCL
        flags = os.O_RDWR if self.settings.append else os.O_WRONLY
        try:
            file = os.open(self.settings.path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND | what_is_there, 0o644)
        except OSError as exc:
            raise OutputError(f"cannot write {self.settings.path}: {exc.strerror}") from exc
        if self.settings.append:
            self._whole_bytes = _end_of_whole_lines(file)
            self._cut(file)
        return file

    def _cut(self, file: int) -> None:
        if os.fstat(file).st_size > self._whole_bytes:
            os.ftruncate(file, self._whole_bytes)


def _end_of_whole_lines(file: int) -> int:
    """Where the last whole line ends: a program that was killed may have left a part of one behind it."""
    end = os.fstat(file).st_size
    while end > 0:
        begin = max(end - _BLOCK, 0)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """The value in the types that JSON has."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Recorded):
        return _plain(value.as_record())
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise OutputError(
        f"a value of type {type(value).__name__} has no form in JSON; give numbers, text, arrays, tuples, mappings or dataclasses"
    )
