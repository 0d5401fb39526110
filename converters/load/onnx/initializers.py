"""Initializers, in the file or beside it; and the types and sizes that a tensor may have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from converters.load.onnx.values import Constant
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

MAX_BYTES = 2 << 30  # of one tensor: a flatbuffer's offsets reach no further
MAX_AXES = 8
_KNOWN_DTYPES = (
    "float32",
    "float16",
    "float64",
    "bfloat16",
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
)


def read_constants(initializers: Iterable[Any], folder: Path | None = None) -> dict[str, Constant]:
    """Initializers by name; their numbers are read when they are asked for."""
    constants = {}
    for tensor in initializers:
        try:
            constants[tensor.name] = constant_of_tensor(tensor, folder)
        except ModelError as exc:
            raise ModelError(f"initializer {tensor.name!r}: {exc}") from exc
    return constants


def constant_of_tensor(tensor: Any, folder: Path | None = None) -> Constant:
    """What a ``TensorProto`` holds."""
    import onnx

    shape, dtype = tuple(int(n) for n in tensor.dims), numpy_dtype(tensor.data_type)
    check_size(shape, np.dtype("float16" if dtype == "bfloat16" else dtype).itemsize)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return Constant(shape, dtype, _outside(tensor, shape, dtype, folder))
    return Constant(shape, dtype, partial(onnx.numpy_helper.to_array, tensor))


def _outside(tensor: Any, shape: tuple[int, ...], dtype: str, folder: Path | None) -> partial[Array]:
    """Reads weights that lie in a file beside the model, and in no other."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    if folder is None:
        raise ModelError(f"its numbers lie in the file {location!r} beside the model; give the model by its path")
    name = PurePosixPath(location)
    path = folder / name
    inside = not name.is_absolute() and ".." not in name.parts and "\\" not in location and location
    if not inside or not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"its numbers lie in {location!r}; only files in the model's own folder are read")
    if not path.is_file():
        raise ModelError(f"its numbers lie in {location!r}, which is not beside the model. Copy both files together")
    count = math.prod(shape)
    try:
        offset = int(told.get("offset", "0"))
    except ValueError as exc:
        raise ModelError(f"its offset {told['offset'][:40]!r} in {location!r} is no number; export it again") from exc
    if dtype == "bfloat16":
        raise ModelError("it is bfloat16 outside the file, which is not read; export it in float32")
    if offset < 0 or offset + count * np.dtype(dtype).itemsize > path.stat().st_size:
        raise ModelError(f"the file {location!r} is cut off: {count} numbers from byte {offset} are not in it")
    return partial(np.fromfile, path, dtype, count, offset=offset)


def numpy_dtype(element_type: int) -> str:
    """NumPy's name of an ONNX element type.

    Raises:
        ModelError: if it is no plain number.
    """
    import onnx

    names = {getattr(onnx.TensorProto, _field(name)): name for name in _KNOWN_DTYPES}
    if element_type not in names:
        known = onnx.TensorProto.DataType.values()
        name = onnx.TensorProto.DataType.Name(element_type) if element_type in known else f"number {element_type}"
        raise ModelError(f"it is of type {name}; allowed are {', '.join(_KNOWN_DTYPES)}. Export the model in float32")
    return names[element_type]


def element_type(dtype: str) -> int:
    """ONNX's element type of a NumPy type."""
    import onnx

    return int(getattr(onnx.TensorProto, _field(dtype)))


def _field(dtype: str) -> str:
    return {"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype, dtype.upper())


def check_size(shape: tuple[int, ...], item_bytes: int = 4) -> None:
    """Raise ModelError if no tensor can have this shape."""
    if len(shape) > MAX_AXES or any(n < 0 for n in shape) or math.prod(shape) * item_bytes > MAX_BYTES:
        raise ModelError(
            f"shape {list(shape)} is not possible: at most {MAX_AXES} axes and {MAX_BYTES >> 20} MB are allowed"
        )
