"""What the clients of REST protocols share: paths, statuses, and what a server says of an error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from edge_sdk.errors import RemoteError
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.connection import Bytes
from edge_sdk.remote.faults import shown
from edge_sdk.remote.http import Answer, HttpConnection
from edge_sdk.remote.server_client import ServerClient
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.tensors import TensorSpec

_MEANINGS = {
    400: "it does not take this request; if the model's first axis is a batch, it may be larger than the server takes",
    401: "the token is missing or wrong; see token_file and token_env",
    403: "the token is not allowed to do this",
    404: "it has no such model, version or path; check model, version, protocol and url",
    405: "it has no such method there; check protocol and url",
    413: "the request is larger than it takes",
    429: "it has too many requests",
    503: "it, or the model, is not ready",
}


class RestClient(ServerClient):
    """A client over HTTP."""

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        super().__init__(settings, inputs, outputs)
        self._http = HttpConnection(settings)

    @property
    def sent_bytes(self) -> int:
        """See the base class."""
        return self._http.sent_bytes

    @property
    def received_bytes(self) -> int:
        """See the base class."""
        return self._http.received_bytes

    @property
    def connections(self) -> int:
        """See the base class."""
        return self._http.connections

    def close(self) -> None:
        """See the base class."""
        self._http.close()

    def _ask(
        self,
        method: str,
        path: str,
        attempt: Attempt,
        *,
        body: Sequence[Bytes] = (),
        head: dict[str, str] | None = None,
    ) -> Answer:
        """An answer of status 200.

        Raises:
            RemoteError: if there is none; the message says what the server said.
        """
        answer = self._http.request(method, path, attempt, body=body, head=head)
        if answer.status != 200:
            raise RemoteError(refused(answer))
        return answer


def escaped(name: str) -> str:
    """A name as one step of a path."""
    return quote(name, safe="")


def refused(answer: Answer) -> str:
    """What an answer of another status than 200 means."""
    status = f"{answer.status} {shown(answer.reason)}".strip()
    if 300 <= answer.status < 400:
        to = shown(answer.head.get("Location", "nowhere"))
        return f"the server redirects to {to} ({status}), which is not followed; set url to the server itself"
    said = _said(answer)
    meaning = _MEANINGS.get(answer.status)
    return f"the server answers {status}" + (f": {said}" if said else "") + (f" ({meaning})" if meaning else "")


def _said(answer: Answer) -> str:
    """The error in an answer's body: every protocol has it in JSON, under another key; proxies send pages."""
    text = bytes(answer.body[:4096]).decode(errors="replace")
    try:
        found = json.loads(answer.body) if len(answer.body) <= 4096 else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        for key in ("error", "message", "detail"):
            if isinstance(found.get(key), str):
                return shown(found[key])
    return "" if text.lstrip().startswith("<") else shown(text)
