"""Which server, which model on it, and how it is spoken to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_sdk.remote.address import Address

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
        tensors: how REST carries them: as ``binary`` or ``json``; ``auto`` is binary where the server says that it can.
        timeout_ms: the longest that a request may take, from its first byte sent to its last byte read.
        connect_ms: of it, the longest for a connection, TLS included.
        ca_file: certificates that are trusted, in PEM; default the system's.
        cert_file, key_file: the client's own certificate and key, in PEM.
        token_file, token_env: where the bearer token stands: a file, or an environment variable. The token itself is never a setting.
        max_response_bytes: a longer answer is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    url: str
    protocol: Protocol
    model: str = Field(min_length=1, max_length=1024)
    version: str | None = Field(default=None, min_length=1, max_length=1024)
    signature: str = "serving_default"
    tensors: Literal["auto", "binary", "json"] = "auto"
    timeout_ms: float = Field(default=1_000.0, gt=0, le=3_600_000)
    connect_ms: float = Field(default=500.0, gt=0, le=3_600_000)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None
    token_env: str | None = None
    max_response_bytes: int = Field(default=64 << 20, gt=0, le=1 << 30)

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        Address.parse(url)
        return url

    @model_validator(mode="after")
    def _fit(self) -> ServerSettings:
        address = Address.parse(self.url)
        wanted = ("grpc", "grpcs") if self.protocol.endswith("grpc") else ("http", "https")
        if address.scheme not in wanted:
            raise ValueError(f"protocol {self.protocol} needs a url that begins with {wanted[0]}:// or {wanted[1]}://")
        if self.protocol.endswith("grpc") and address.path:
            raise ValueError(f"the url of a gRPC server has no path; found {address.path}")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        if not address.tls and (self.ca_file or self.cert_file):
            raise ValueError(f"ca_file and cert_file are for TLS: let the url begin with {wanted[1]}://")
        if self.token_file is not None and self.token_env is not None:
            raise ValueError("the token stands in token_file or in token_env, not in both")
        if not address.tls and not address.is_loopback and (self.token_file or self.token_env):
            raise ValueError(f"a token would be sent unencrypted: let the url begin with {wanted[1]}://")
        return self
