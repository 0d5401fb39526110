"""What every client of a server promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from edge_sdk.remote.settings import ServerSettings
from edge_sdk.tensors import Array, TensorSpec


class Client(ABC):
    """Asks one model on one server; connects at the first request, and again where the connection is lost.

    Not thread-safe, but for ``cancel``.

    Args:
        settings: which server.
        inputs, outputs: the tensors as the variant states them; the server's are told by name, or by their order where it has one each.
    """

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        self.settings, self.inputs, self.outputs = settings, inputs, outputs

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    @abstractmethod
    def description(self) -> str:
        """Such as ``"v2-rest https://host:8443, model face"``, without secrets."""

    @abstractmethod
    def infer(self, inputs: Sequence[Array], timeout_s: float | None = None) -> tuple[Array, ...]:
        """The outputs for these inputs, each of the stated shape and dtype; valid for good.

        Args:
            inputs: one array an input.
            timeout_s: no longer than the settings' own.

        Raises:
            RemoteTimeoutError: if the answer was not there in time; the connection is given up.
            RemoteError: if the server cannot be reached, refuses, or answers something else than the stated tensors.
        """

    @abstractmethod
    def check(self, timeout_s: float | None = None) -> None:
        """Ask whether the server has the model, ready, with tensors of the stated form.

        Raises:
            RemoteError: if it has not; the message says what was found.
        """

    def cancel(self) -> None:  # noqa: B027 - some cannot
        """From any thread: a request in work ends soon with a RemoteError."""

    @property
    def sent_bytes(self) -> int:
        """Bytes sent so far, headers included, as far as the client knows."""
        return 0

    @property
    def received_bytes(self) -> int:
        """Bytes received so far."""
        return 0

    @property
    def connections(self) -> int:
        """Connections made so far; behind each there may be another server. 0 where the client does not know."""
        return 0

    def close(self) -> None:  # noqa: B027 - as above
        """Let go of the connection; harmless if closed already."""
