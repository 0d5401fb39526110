"""Sinks take results elsewhere: the console, JSON lines, annotated pictures or video, raw samples to calibrate on.

``sink_from("jsonl:results.jsonl")`` makes one from text. A sink of your own is a subclass of ``Sink``. To be found by text as well,
it takes its settings as ``edge_sdk.kinds.Configured`` says, and joins by an entry point of the group ``edge_sdk.sinks``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Literal

from edge_sdk.errors import ConfigError
from edge_sdk.kinds import Kinds
from edge_sdk.result import Event, Result

KINDS = Kinds(
    thing="sink",
    builtin={
        "console": "edge_sdk.sinks.console:ConsoleSink",
        "jsonl": "edge_sdk.sinks.jsonl:JsonlSink",
        "pictures": "edge_sdk.sinks.pictures:PicturesSink",
        "video": "edge_sdk.sinks.video:VideoSink",
        "capture": "edge_sdk.sinks.capture:CaptureSink",
    },
    examples=(
        "console",
        "jsonl:results.jsonl",
        "pictures:folder?every=30",
        "video:annotated.mp4",
        "capture:folder?every=30",
    ),
    group="edge_sdk.sinks",
)


Stream = Literal["stdout", "stderr"]


def sink_from(
    wanted: str | Mapping[str, object],
    *,
    deadline_ms: float | None = None,
    overwrite: bool = False,
    print_to: Stream = "stdout",
) -> Sink:
    """A sink from one line of text, or from a table (such as a ``[[sink]]`` of app.toml) with the same keys and ``kind``.

    Args:
        wanted: such as ``"jsonl:results.jsonl"`` or ``{"kind": "jsonl", "path": "results.jsonl"}``.
        deadline_ms: of the loop, for sinks that show it.
        overwrite: whether sinks that write files may replace what is there, where ``wanted`` does not say.
        print_to: where sinks print, where ``wanted`` does not say.

    Raises:
        ConfigError: if the kind or a setting is unknown, missing or out of range; the message names what is allowed.
        OutputError: if the output exists already, or cannot be written.
    """
    sink: Sink = KINDS.make(wanted, deadline_ms=deadline_ms, overwrite=overwrite, print_to=print_to)
    return sink


def sinks_from(
    wanted: Sequence[str | Mapping[str, object]],
    *,
    deadline_ms: float | None = None,
    overwrite: bool = False,
    print_to: Stream = "stdout",
) -> list[Sink]:
    """Several sinks, as ``sink_from`` makes each, that do not write over each other.

    Raises:
        ConfigError, OutputError: as ``sink_from``; ConfigError also if two have the same path.
    """
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(sink_from(each, deadline_ms=deadline_ms, overwrite=overwrite, print_to=print_to))
            for each in wanted
        ]
        paths = [path.resolve() for path in map(_path_of, sinks) if path is not None]
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigError(
                    f"two sinks write to {path}, and would destroy each other's output; give each its own path"
                )
        stack.pop_all()
    return sinks


def in_a_later_life(wanted: str | Mapping[str, object], *, new_run: bool = False) -> dict[str, object]:
    """The sink of a program that was started again: it neither refuses nor replaces what the life before wrote.

    JSON lines go on in their file; what cannot go on takes the next free name: ``clip-2.mp4``.

    Args:
        wanted: the sink.
        new_run: somebody has started the program, not the supervisor again: what may be overwritten is.

    Raises:
        ConfigError: if the kind is unknown, or the text not of its form.
    """
    table = KINDS.below(Path(), wanted)
    fields = KINDS.find(str(table["kind"])).settings_class.model_fields
    path = table.get("path")
    if new_run and table.get("overwrite"):
        return table
    if "append" in fields:
        return {**table, "append": True}
    if "overwrite" in fields and not table.get("overwrite") and isinstance(path, str):
        return {**table, "path": str(_free(Path(path)))}
    return table


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(each for each in chain([path], names) if not each.exists())


def _path_of(sink: Sink) -> Path | None:
    path = getattr(getattr(sink, "settings", None), "path", None)
    return path if isinstance(path, Path) else None


class Sink(ABC):
    """Base of all sinks; a context manager."""

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def result(self, result: Result) -> None:
        """Take one result.

        Raises:
            OutputError: if it cannot be written.
        """

    def event(self, event: Event) -> None:  # noqa: B027 - most sinks have no place for events
        """Take one event."""

    def close(self) -> None:  # noqa: B027 - a sink without a file has nothing to close
        """Finish: files are whole afterwards."""
