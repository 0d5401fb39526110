"""Clients by the protocol that they speak."""

from __future__ import annotations

from importlib import import_module

from edge_sdk.errors import ConfigError
from edge_sdk.remote.client import Client
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.remote.v2 import DATATYPES
from edge_sdk.tensors import TensorSpec

_CLIENTS = {
    "v2-rest": "edge_sdk.remote.v2_rest:V2RestClient",
    "v2-grpc": "edge_sdk.remote.v2_grpc:V2GrpcClient",
    "tfserving-rest": "edge_sdk.remote.tfserving_rest:TfServingRestClient",
    "tfserving-grpc": "edge_sdk.remote.tfserving_grpc:TfServingGrpcClient",
    "torchserve": "edge_sdk.remote.torchserve:TorchServeClient",
}


def open_client(settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Client:
    """A client of this server; it connects at the first request.

    Raises:
        ConfigError: if a tensor has a dtype that no protocol carries.
        MissingPackageError: if the protocol's library is not installed.
    """
    for spec in (*inputs, *outputs):
        if spec.dtype not in DATATYPES:
            raise ConfigError(f"tensor {spec} cannot be sent; allowed dtypes are {', '.join(DATATYPES)}")
    module, _, name = _CLIENTS[settings.protocol].partition(":")
    client: Client = getattr(import_module(module), name)(settings, inputs, outputs)
    return client
