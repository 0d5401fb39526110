"""What the clients of gRPC protocols share."""

from __future__ import annotations

from abc import abstractmethod

from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.grpc_channel import GrpcChannel
from edge_sdk.remote.server_client import ServerClient
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.tensors import TensorSpec


class GrpcClient(ServerClient):
    """A client over gRPC.

    Raises:
        MissingPackageError: if grpcio is not installed.
    """

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        super().__init__(settings, inputs, outputs)
        self._channel = GrpcChannel(settings)
        self._names: tuple[tuple[str, ...], tuple[str, ...]] | None = None  # of inputs and outputs, on the server

    @property
    def sent_bytes(self) -> int:
        """Bytes of messages sent; gRPC tells no more."""
        return self._channel.sent_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes of messages received."""
        return self._channel.received_bytes

    def close(self) -> None:
        """See the base class."""
        self._channel.close()

    def _forget(self) -> None:
        self._names = None

    @abstractmethod
    def _learned(self, attempt: Attempt) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The server's names of the inputs and outputs, whose form fits."""
