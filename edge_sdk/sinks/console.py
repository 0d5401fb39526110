"""Results and events for people who watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TextIO

import click
import numpy as np
from pydantic import Field

from edge_sdk.errors import OutputError
from edge_sdk.kinds import Settings
from edge_sdk.printable import printable, printable_lines
from edge_sdk.result import Event, Result
from edge_sdk.sinks import Sink, Stream
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.keyword import Spotting

_SHOWN = 3  # values of one result; the rest is counted


class ConsoleSettings(Settings):
    """``console`` or ``console:?every_s=0``.

    Attributes:
        every_s: seconds of capture time between two lines; the results between them are summed up. 0 gives every result a line.
        print_to: ``stdout`` or ``stderr``.
    """

    location: ClassVar[str | None] = None

    every_s: float = Field(default=1.0, ge=0, le=1e6)
    print_to: Stream = "stdout"


class ConsoleSink(Sink):
    """Prints a line a second (or as set), every event, every word that was heard and where an anomaly begins and ends.

    It is coloured where the output is a terminal.

    Args:
        settings: how often.
        stream: where to, instead of what the settings say.
    """

    settings_class = ConsoleSettings

    def __init__(self, settings: ConsoleSettings, *, stream: TextIO | None = None) -> None:
        self.settings = settings
        self._stream = stream
        self._due_ns = 0
        self._between = _Between()
        self._last: Result | None = None  # not printed yet
        self._anomalous = False

    def result(self, result: Result) -> None:
        """See the base class."""
        if result.captured_ns >= self._due_ns or self._is_news(result.value):
            self._due_ns = result.captured_ns + round(self.settings.every_s * 1e9)
            self._print(result)
            return
        if self._last is not None:
            self._between.add(self._last)
        self._last = result

    def event(self, event: Event) -> None:
        """See the base class."""
        where = "" if event.sequence is None else f" at #{event.sequence}"
        took = "" if event.took_ms is None else f", took {event.took_ms:.0f} ms"
        self._echo(click.style(printable_lines(f"{event.kind}{where}{took}: {event.message}"), fg="yellow"))

    def close(self) -> None:
        """Print the last result, if it was only counted so far."""
        last, self._last = self._last, None
        if last is not None:
            self._print(last)

    def _is_news(self, value: Any) -> bool:
        """Whether this is the one result that reports a word, or the first of an anomaly or after it."""
        before = self._anomalous
        self._anomalous = isinstance(value, Anomaly) and value.anomalous
        return self._anomalous != before or (isinstance(value, Spotting) and value.keyword is not None)

    def _print(self, result: Result) -> None:
        if self._last is not None:
            self._between.add(self._last)
            self._last = None
        mark = click.style("LATE", fg="red", bold=True) if result.late else "    "
        dropped = f", {result.dropped_before} dropped before" if result.dropped_before else ""
        said = printable(in_short(result.value))
        line = f"#{result.sequence:<6} {result.age_ms:7.1f} ms {mark}  {said}{dropped}"
        between, self._between = self._between, _Between()
        self._echo(line + click.style(between.summary(), dim=True))

    def _echo(self, line: str) -> None:
        try:
            click.echo(line, file=self._stream, err=self.settings.print_to == "stderr")
        except BrokenPipeError:
            raise  # the reader has gone: that is no fault of the output
        except OSError as exc:
            raise OutputError(f"cannot write to the console: {exc.strerror}") from exc


@dataclass
class _Between:
    """What happened between two lines."""

    results: int = 0
    late: int = 0
    dropped: int = 0
    worst_ms: float = 0.0

    def add(self, result: Result) -> None:
        self.results += 1
        self.late += result.late
        self.dropped += result.dropped_before
        self.worst_ms = max(self.worst_ms, result.age_ms)

    def summary(self) -> str:
        if not self.results:
            return ""
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return f"   [{self.results} more before: {self.late} late, oldest {self.worst_ms:.1f} ms{dropped}]"


def in_short(value: Any) -> str:
    """A result's value in one short line."""
    if value is None:
        return "nothing found"
    if isinstance(value, Mapping):
        return _join([f"{name} {_array_in_short(array)}" for name, array in value.items()])
    if isinstance(value, np.ndarray):
        return _array_in_short(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _join([_one_in_short(found) for found in value])
    return _one_in_short(value)


def _join(parts: list[str]) -> str:
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(parts[:_SHOWN]) + more if parts else "nothing found"


def _one_in_short(found: Any) -> str:
    if isinstance(found, Detection):
        xmin, ymin, xmax, ymax = found.box
        number = "" if found.track is None else f"#{found.track} "
        return (
            f"{number}{found.label} {found.score:.2f} at {xmin:.0f},{ymin:.0f} size {xmax - xmin:.0f}x{ymax - ymin:.0f}"
        )
    if isinstance(found, ClassScore):
        return f"{found.label} {found.score:.2f}"
    text = str(found)
    return text if len(text) <= 80 else text[:77] + "..."


def _array_in_short(array: Any) -> str:
    array = np.asarray(array)
    if array.size <= 4:
        return np.array2string(array.reshape(-1), precision=4, separator=", ")
    return f"{array.dtype} {'x'.join(str(n) for n in array.shape)}"
