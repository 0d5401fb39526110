"""Which server, which model on it, and how it is spoken to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Protocol = Literal["v2-rest", "v2-grpc", "tfserving-rest", "tfserving-grpc", "torchserve"]
"""v2 is the Open Inference Protocol: Triton, KServe, MLServer and others."""


class ServerSettings(BaseModel):
    """One server.

    Attributes:
        url: such as ``"https://host:8443"`` or, for gRPC, ``"grpc://host:8500"`` and ``"grpcs://host:8500"``.
        protocol: what it speaks.
        model: the model's name on the server.
        version: of the model; None for the server's choice.
        signature: of the SavedModel (TensorFlow Serving).
        timeout_ms: the longest that a request may take, from its first byte sent to its last byte read.
        connect_ms: of it, the longest for a connection, TLS included.
        ca_file: certificates that are trusted, in PEM; default the system's.
        cert_file, key_file: the client's own certificate and key, in PEM.
        token_file, token_env: where the bearer token stands: a file, or an environment variable. The token itself is never a setting.
        max_response_bytes: a longer answer is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    url: str
    protocol: Protocol
    model: str = Field(min_length=1)
    version: str | None = None
    signature: str = "serving_default"
    timeout_ms: float = Field(default=1_000.0, gt=0)
    connect_ms: float = Field(default=500.0, gt=0)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None
    token_env: str | None = None
    max_response_bytes: int = Field(default=64 << 20, gt=0)
