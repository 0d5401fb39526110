"""A model that runs on a server: an engine like any other, for those who want no policy between the two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from edge_sdk.contract import describe_validation
from edge_sdk.engines import OPTIONS, Engine, Options
from edge_sdk.engines.options import check_options
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.remote.clients import open_client
from edge_sdk.remote.content import read_tensors
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.tensors import Array


class RemoteEngine(Engine):
    """Asks a server for every run, and never for longer than its ``timeout_ms``; then the run fails and the next one asks anew.

    Args:
        model_path: what ``edge_sdk.remote.content.content_for`` gives, the variant's tensors; or a .tflite, whose tensors are read.
        options: those of ``ServerSettings``; url, protocol and model are needed.

    Raises:
        ConfigError: if an option is unknown, missing or out of range.
        EngineError: if the tensors cannot be read, or the server does not have the model, ready, with such tensors.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        settings = settings_from(options)
        self.inputs, self.outputs = read_tensors(Path(model_path).read_bytes())
        self.input_arrays = tuple(np.zeros(spec.shape, spec.dtype) for spec in self.inputs)
        self._client = open_client(settings, self.inputs, self.outputs)
        self.description = self._client.description
        try:
            self._client.check()
        except EngineError:
            self._client.close()
            raise

    @classmethod
    def warm(cls) -> None:
        """See the base class. grpcio is left to the child: it starts threads, and a process that has used it must not fork."""
        import edge_sdk.remote.tfserving_rest
        import edge_sdk.remote.torchserve
        import edge_sdk.remote.v2_rest  # noqa: F401

    def run(self) -> tuple[Array, ...]:
        """See the base class.

        Raises:
            RemoteError, RemoteTimeoutError: if the server does not answer, in time, with the stated tensors.
        """
        return self._client.infer(self.input_arrays)

    def close(self) -> None:
        """See the base class."""
        self._client.close()


def settings_from(options: Options) -> ServerSettings:
    """The server in an engine's options.

    Raises:
        ConfigError: if one is unknown, missing or out of range.
    """
    check_options("remote", options, OPTIONS["remote"])
    try:
        return ServerSettings.model_validate(options)
    except ValidationError as exc:
        way = "its options are given as --engine-option url=http://host:8080, or as [model.options] of an app.toml"
        raise ConfigError(f"{describe_validation(exc, 'engine remote')}\n{way}") from exc
