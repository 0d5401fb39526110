"""gRPC to one server: messages as bytes, errors in our words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from edge_sdk.errors import RemoteError, RemoteTimeoutError, needs
from edge_sdk.remote.address import Address
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.connection import Bytes, connect
from edge_sdk.remote.credentials import Credentials
from edge_sdk.remote.faults import fault_of_exchange, shown
from edge_sdk.remote.settings import ServerSettings

_FIRST_FRAME_BYTES, _FIRST_FRAME_S = 9, 0.3  # a server's settings, which it sends unasked (RFC 9113, 3.4)
_MEANINGS = {
    "INVALID_ARGUMENT": "it does not take this request; if the model's first axis is a batch, it may be larger than the server takes",
    "NOT_FOUND": "it has no such model or version; check model and version",
    "UNIMPLEMENTED": "it does not speak this protocol, or not on this port; check protocol and url",
    "UNAUTHENTICATED": "the token is missing or wrong; see token_file and token_env",
    "PERMISSION_DENIED": "the token is not allowed to do this",
    "RESOURCE_EXHAUSTED": "the request is larger than it takes, the answer longer than max_response_bytes, or it has too many requests",
    "UNAVAILABLE": "it, or the model, is not ready",
}


class GrpcChannel:
    """One server, connected at the first call and again where it was lost. Not thread-safe.

    grpcio starts threads of its own: never fork a process that has made a call.

    Args:
        settings: which.

    Attributes:
        sent_bytes, received_bytes: of messages.

    Raises:
        MissingPackageError: if grpcio is not installed.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._grpc = _imported()
        self._address = Address.parse(settings.url)
        self._credentials = Credentials(settings)
        self._connect_s, self._most = settings.connect_ms / 1000, settings.max_response_bytes
        self._channel: Any = None
        self.sent_bytes = self.received_bytes = 0

    def call(self, method: str, request: Sequence[Bytes], attempt: Attempt) -> bytes:
        """The answer to a request.

        Args:
            method: such as ``"/inference.GRPCInferenceService/ModelInfer"``.
            request: the message, in parts.
            attempt: the time that it may take.

        Raises:
            RemoteTimeoutError: if it was not there in time.
            RemoteError: if there is none; the message says why.
        """
        content = b"".join(request)
        token = self._credentials.token()
        metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        if self._channel is not None:
            try:
                return self._called(method, content, metadata, attempt)
            except self._grpc.RpcError as exc:  # between two calls: this one was not processed
                if exc.code().name != "UNAVAILABLE":
                    raise self._error(exc, attempt) from None
        try:
            self._channel = self._made(attempt)
            return self._called(method, content, metadata, attempt)
        except self._grpc.RpcError as exc:
            raise self._error(exc, attempt) from None

    def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _called(self, method: str, content: bytes, metadata: Any, attempt: Attempt) -> bytes:
        channel, kept = self._channel, False
        try:
            with attempt.ended_by(channel.close):
                answer: bytes = channel.unary_unary(method)(content, timeout=attempt.left_s(), metadata=metadata)
            kept = True
        except ValueError:  # grpcio's, of a channel that was closed in the meantime
            attempt.left_s()
            raise
        finally:
            if not kept:
                self.close()
        self.sent_bytes += len(content)
        self.received_bytes += len(answer)
        return answer

    def _made(self, attempt: Attempt) -> Any:
        options = {
            "grpc.max_receive_message_length": self._most,
            "grpc.max_send_message_length": -1,
            "grpc.enable_http_proxy": 0,
            "grpc.enable_retries": 0,
            "grpc.use_local_subchannel_pool": 1,  # else a failed connection's back-off is another client's too
            "grpc.min_reconnect_backoff_ms": max(
                1, round(self._connect_s * 1000)
            ),  # that is also the longest for a connection
        }
        target, arguments = self._target(), list(options.items())
        if not self._address.tls:
            return self._grpc.insecure_channel(target, arguments)
        ca, key, certificate = self._credentials.pem()
        credentials = self._grpc.ssl_channel_credentials(ca, key, certificate)
        return self._grpc.secure_channel(target, credentials, arguments)

    def _target(self) -> str:
        host = self._address.host
        if ":" in host:
            return f"ipv6:{self._address.netloc}"
        return f"ipv4:{self._address.netloc}" if host.replace(".", "").isdigit() else f"dns:///{self._address.netloc}"

    def _error(self, exc: Any, attempt: Attempt) -> RemoteError:
        code = exc.code().name
        if code == "CANCELLED":
            attempt.left_s()
        if code == "DEADLINE_EXCEEDED":
            return RemoteTimeoutError(f"no answer in time ({shown(exc.details() or code)})")
        if code == "UNAVAILABLE":
            self._diagnose(attempt)
        said = shown(exc.details() or "")
        meaning = _MEANINGS.get(code)
        return RemoteError(
            f"the server answers {code}" + (f": {said}" if said else "") + (f" ({meaning})" if meaning else "")
        )

    def _diagnose(self, attempt: Attempt) -> None:
        """Raise RemoteError if a connection of our own finds what is wrong: grpcio's texts do not tell names, trust and TLS apart."""
        step = attempt.part(self._connect_s, f"no connection within {self._connect_s * 1000:g} ms")
        connection = connect(self._address, self._tls, step)
        try:
            connection.attempt = attempt.part(_FIRST_FRAME_S, "")
            if not connection.readinto(memoryview(bytearray(_FIRST_FRAME_BYTES))):
                raise ConnectionResetError
        except RemoteTimeoutError:  # it waits for ours: no HTTP/2, perhaps, and grpcio's text says so
            attempt.left_s()
        except OSError as exc:
            raise RemoteError(fault_of_exchange(exc, tls=self._address.tls, received=0)) from exc
        finally:
            connection.close()

    def _tls(self) -> Any:
        context = self._credentials.tls()
        context.set_alpn_protocols(["h2"])
        return context


def _imported() -> Any:
    """grpcio, which prints what it also reports, unless it is told not to before it is imported."""
    with contextlib.ExitStack() as stack:
        if "GRPC_VERBOSITY" not in os.environ:
            os.environ["GRPC_VERBOSITY"] = "NONE"
            stack.callback(os.environ.pop, "GRPC_VERBOSITY", None)
        with needs("grpc", for_="a server that speaks gRPC", extra="remote"):
            import grpc
    return grpc
