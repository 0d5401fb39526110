"""The tensors of any model.

The arrays that ``input_tensor`` and ``output_tensor`` give are views into the interpreter, as in pycoral: its ``invoke`` refuses to run
while one is held. Copy what is to be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sdk.tensors import Array


def output_tensor(interpreter: Any, i: int) -> Array:
    """A view of output ``i``, in its own dtype: a quantized tensor comes as stored.

    Raises:
        IndexError: if the model has no such output.
        ValueError: if ``allocate_tensors`` was not called.
    """
    view: Array = interpreter.tensor(interpreter.get_output_details()[i]["index"])()
    return view


def input_details(interpreter: Any, key: str) -> Any:
    """What the interpreter says of the first input under ``key``, such as ``"shape"``, ``"dtype"`` or ``"quantization"``.

    Raises:
        KeyError: if it says nothing under that key.
    """
    return interpreter.get_input_details()[0][key]


def input_size(interpreter: Any) -> tuple[int, int]:
    """(width, height) of the first input, in pixels.

    Raises:
        ValueError: if that input is no image, (1, height, width, channels).
    """
    shape = input_details(interpreter, "shape")
    if len(shape) != 4:
        raise ValueError(f"the model's input has shape {shape.tolist()}; an image is (1, height, width, channels)")
    return int(shape[2]), int(shape[1])


def input_tensor(interpreter: Any) -> Array:
    """A view of the first input without its batch axis: (height, width, channels) of an image.

    Raises:
        ValueError: if ``allocate_tensors`` was not called.
    """
    view: Array = interpreter.tensor(input_details(interpreter, "index"))()[0]
    return view


def set_input(interpreter: Any, data: npt.ArrayLike) -> None:
    """Copy to the first input.

    Args:
        interpreter: with its tensors allocated.
        data: of the input's shape, with its batch axis or without; an array, or an image of Pillow. It is stored as it is: where the
            model is quantized otherwise than your image, quantize it first.

    Raises:
        ValueError: if the shape does not fit, or numbers lie outside the input's dtype. NumPy would wrap them round in silence.
    """
    _store(input_tensor(interpreter), data)


def set_resized_input(
    interpreter: Any, size: tuple[int, int], resize: Callable[[tuple[int, int]], Any]
) -> tuple[Any, tuple[float, float]]:
    """Copy an image, made as large as fits with its own proportions, to the upper left of the first input; the rest is zeros.

    Args:
        interpreter: with its tensors allocated.
        size: (width, height) of the image, in pixels.
        resize: makes it (width, height) pixels large; what it returns is stored as ``set_input`` does.

    Returns:
        What ``resize`` returned, and the scale (x, y) from pixels of the image to pixels of the input: the ``image_scale`` of
        ``detect.get_objects``.

    Raises:
        ValueError: if what ``resize`` returned does not have that size, or does not fit the input's dtype.
    """
    width, height = input_size(interpreter)
    scale = min(width / size[0], height / size[1])
    fitted = int(size[0] * scale), int(size[1] * scale)
    resized = resize(fitted)
    tensor = input_tensor(interpreter)
    tensor.fill(0)
    _store(tensor[: fitted[1], : fitted[0]], np.reshape(resized, (fitted[1], fitted[0], tensor.shape[2])))
    return resized, (scale, scale)


def _store(tensor: Array, data: npt.ArrayLike) -> None:
    array = np.asarray(data)
    if array.dtype != tensor.dtype and tensor.dtype.kind in "iu" and array.size:
        limits = np.iinfo(tensor.dtype)
        if (
            array.dtype == np.uint8 and tensor.dtype == np.int8
        ):  # also a dark image, whose numbers would all fit, means another scale
            raise ValueError(
                "the image is uint8, the model's input int8: subtract 128 where its quantization is otherwise the same, "
                "(np.asarray(image) - 128.0).astype(np.int8), else quantize it by input_details(interpreter, 'quantization')"
            )
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(
                f"data from {array.min()} to {array.max()} does not fit the model's input, {tensor.dtype} of {limits.min} to "
                f"{limits.max}: quantize it by input_details(interpreter, 'quantization')"
            )
    tensor[...] = array
