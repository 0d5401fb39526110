"""What the clients of all protocols share: a request within its time, and what is known of the server forgotten when one fails."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge_sdk.errors import RemoteError, RemoteTimeoutError
from edge_sdk.remote.address import Address
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.client import Client
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.sharing.requests import check_inputs
from edge_sdk.tensors import Array, TensorSpec

_T = TypeVar("_T")


class ServerClient(Client):
    """A client whose subclasses ask within an ``Attempt``."""

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        super().__init__(settings, inputs, outputs)
        self._attempt: Attempt | None = None
        self._lock = threading.Lock()

    @property
    def description(self) -> str:
        """See the base class."""
        version = f" version {self.settings.version}" if self.settings.version else ""
        return f"{self.settings.protocol} {Address.parse(self.settings.url)}, model {self.settings.model}{version}"

    def infer(self, inputs: Sequence[Array], timeout_s: float | None = None) -> tuple[Array, ...]:
        """See the base class.

        Raises:
            RemoteError, RemoteTimeoutError: as there.
            ContractError: if the inputs are not of the stated form.
        """
        check_inputs(inputs, self.inputs)
        return self._within(timeout_s, lambda attempt: self._infer(inputs, attempt))

    def check(self, timeout_s: float | None = None) -> None:
        """See the base class."""
        self._within(timeout_s, self._check)

    def cancel(self) -> None:
        """See the base class."""
        with self._lock:
            if self._attempt is not None:
                self._attempt.cancel()

    @abstractmethod
    def _infer(self, inputs: Sequence[Array], attempt: Attempt) -> tuple[Array, ...]: ...

    @abstractmethod
    def _check(self, attempt: Attempt) -> None: ...

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what was learned of the server, which may be another when it comes back."""

    def _within(self, timeout_s: float | None, ask: Callable[[Attempt], _T]) -> _T:
        longest_s = self.settings.timeout_ms / 1000
        attempt = Attempt(longest_s if timeout_s is None else min(timeout_s, longest_s))
        with self._lock:
            self._attempt = attempt
        try:
            return ask(attempt)
        except RemoteTimeoutError as exc:
            raise RemoteTimeoutError(f"{self.description}: {exc}") from exc.__cause__
        except RemoteError as exc:
            self._forget()
            raise RemoteError(f"{self.description}: {exc}") from exc.__cause__
        finally:
            with self._lock:
                self._attempt = None
