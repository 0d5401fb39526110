"""Sinks take results elsewhere: the console, JSON lines, annotated pictures or video.

A sink of your own is a subclass of ``Sink``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from edge_sdk.result import Event, Result


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
