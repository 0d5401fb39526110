"""What takes requests, from when it is entered until it is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING

from edge_sdk.errors import ConfigError
from edge_sdk.sharing.requests import Request, Requests

if TYPE_CHECKING:
    from typing_extensions import Self


class Service(ABC):
    """Base of all that callers share. A context manager, for one time: where it cannot be entered it is closed."""

    _requests: Requests | None = None

    def __enter__(self) -> Self:
        if self._requests is not None:
            raise ConfigError(f"{type(self).__name__} runs once; make a new one")
        self._requests = Requests(self._left)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End all: what waits, or runs for longer than a second more, fails, saying so."""

    @abstractmethod
    def _start(self) -> None:
        """Open what runs the requests, and begin."""

    @abstractmethod
    def _left(self, request: Request) -> None:
        """A request has ended without having begun: it was cancelled, or its time is over."""

    def _entered(self) -> Requests:
        if self._requests is None:
            raise ConfigError(f"{type(self).__name__} is not running yet; enter it first, in a with block")
        return self._requests
