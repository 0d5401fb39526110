"""What TensorFlow Serving's REST and gRPC share: names of dtypes, and what a model's state means."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.errors import RemoteError
from edge_sdk.remote.faults import shown

NUMBERS = {  # of tensorflow/core/framework/types.proto
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "int64": 9,
    "bool": 10,
    "uint16": 17,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}
_ODD = {"float16": "DT_HALF", "float32": "DT_FLOAT", "float64": "DT_DOUBLE"}
DTYPES = {_ODD.get(dtype, f"DT_{dtype.upper()}"): dtype for dtype in NUMBERS}


def check_available(versions: Sequence[tuple[str, str, str]]) -> None:
    """Raise RemoteError unless one of the versions (number, state, message of an error) is available."""
    if any(state == "AVAILABLE" for _, state, _ in versions):
        return
    said = [
        f"version {shown(number)} is {shown(state)}{': ' + shown(why) if why else ''}"
        for number, state, why in versions
    ]
    raise RemoteError(f"the model is not ready: {'; '.join(said[:8]) or 'the server has no version of it'}")
