"""Warm-up requests: a TFRecord file of ``tensorflow.serving.PredictionLog``, which TensorFlow Serving replays before it takes requests.

The messages are written as protobuf's wire format says (https://protobuf.dev/programming-guides/encoding/): the package that
has them brings TensorFlow with it, and a few fields are all that is needed. Their numbers stand in prediction_log.proto,
predict.proto and model.proto of tensorflow_serving/apis, and in tensorflow/core/framework/tensor.proto; the checksums are those
of tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

PATH = "assets.extra/tf_serving_warmup_requests"
MOST_REQUESTS = 1000  # TensorFlow Serving reads no more
_DATA_TYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10, "uint16": 17, "float16": 19,
    "uint32": 22, "uint64": 23,
}  # fmt: skip


def warm_up_requests(model: str, signature: str, requests: Sequence[Mapping[str, Array]]) -> bytes:
    """The file.

    Args:
        model: its name on the server.
        signature: of the SavedModel.
        requests: input tensors by name.
    """
    return b"".join(_record(_prediction_log(model, signature, each)) for each in requests[:MOST_REQUESTS])


def _prediction_log(model: str, signature: str, inputs: Mapping[str, Array]) -> bytes:
    """PredictionLog { predict_log = 6 { request = 1 { ... } } }.

    The request is { model_spec = 1 { name = 1, signature_name = 3 }, inputs = 2 { key = 1, value = 2 } }.
    """
    spec = _field(1, _field(1, model.encode()) + _field(3, signature.encode()))
    tensors = (_field(2, _field(1, name.encode()) + _field(2, _tensor(array))) for name, array in inputs.items())
    return _field(6, _field(1, spec + b"".join(tensors)))


def _tensor(array: Array) -> bytes:
    """TensorProto { dtype = 1, tensor_shape = 2 { dim = 2 { size = 1 } }, tensor_content = 4 }."""
    if array.dtype.name not in _DATA_TYPES:
        raise ModelError(f"TensorFlow Serving takes no tensor of {array.dtype.name}")
    dims = b"".join(_field(2, _number(1, size)) for size in array.shape)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return _number(1, _DATA_TYPES[array.dtype.name]) + _field(2, dims) + _field(4, content)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*made, value))


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return b"".join((length, _masked_crc(length), content, _masked_crc(content)))


def _masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    table = _crc32c_table()
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _crc32c_table() -> tuple[int, ...]:
    """Castagnoli's polynomial, reflected."""
    made = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # noqa: PLW2901
        made.append(byte)
    return tuple(made)
