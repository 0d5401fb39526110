"""A server of one model in a process of its own: ``python -m benchmarks.remote_server rest|grpc``; prints its url, ends with its input."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.models import MOBILENET_INT8
from edge_sdk.tensors import Array, TensorSpec
from tests.inference_servers import LitertModel, RestServer

INPUTS = (TensorSpec("image", (1, 224, 224, 3), "int8"),)
OUTPUTS = (TensorSpec("scores", (1, 1000), "int8"),)
_SCORES = np.zeros((1, 1000), np.int8)


def instant(inputs: list[Array]) -> list[Array]:
    """No model at all, so that only the way is measured."""
    return [_SCORES]


def main(protocol: str, model: str) -> None:
    """Serve until standard input ends."""
    run = LitertModel(Path(MOBILENET_INT8)) if model == "mobilenet" else instant
    if protocol == "rest":
        server = RestServer(run, INPUTS, OUTPUTS)
    else:
        from tests.inference_grpc import GrpcServer

        server = GrpcServer(run, INPUTS, OUTPUTS)  # type: ignore[assignment]
    with server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
