"""A small model of a server, and the tensors of it."""

from __future__ import annotations

import numpy as np

from edge_sdk.remote.client import Client
from edge_sdk.remote.clients import open_client
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.tensors import Array, TensorSpec

INPUTS = (TensorSpec("image", (1, 2, 3), "int8", 0.5, -1), TensorSpec("gain", (1, 1), "float32"))
OUTPUTS = (TensorSpec("sums", (1, 2), "float32"), TensorSpec("last", (1, 3), "int8", 0.25, 2))


def rows(inputs: list[Array]) -> list[Array]:
    """Sums of the image's rows times the gain, and its last row."""
    image, gain = inputs
    return [(image.sum(-1) * gain).astype(np.float32), image[:, -1].copy()]


def sample(seed: int = 0) -> list[Array]:
    """Inputs of it."""
    random = np.random.default_rng(seed)
    return [random.integers(-128, 128, (1, 2, 3), np.int8), random.normal(size=(1, 1)).astype(np.float32)]


def client_of(
    url: str,
    protocol: str = "v2-rest",
    *,
    inputs: tuple[TensorSpec, ...] = INPUTS,
    outputs: tuple[TensorSpec, ...] = OUTPUTS,
    **settings: object,
) -> Client:
    """A client of the model, called ``m`` there."""
    whole = {"timeout_ms": 2_000, "model": "m", **settings}
    return open_client(ServerSettings(url=url, protocol=protocol, **whole), inputs, outputs)  # type: ignore[arg-type]


def assert_right(found: tuple[Array, ...], inputs: list[Array]) -> None:
    """The outputs are what ``rows`` makes, bit for bit."""
    for array, wanted in zip(found, rows(inputs), strict=True):
        assert array.dtype == wanted.dtype and np.array_equal(array, wanted, equal_nan=wanted.dtype.kind == "f")
