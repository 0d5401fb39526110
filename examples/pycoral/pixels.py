"""A picture as a model's input wants it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def as_input(interpreter: Any, image: Any, mean: float, std: float) -> npt.NDArray[Any]:
    """Pixels of the model's dtype and quantization.

    Args:
        interpreter: of the model.
        image: RGB, 0..255.
        mean, std: what the model was trained on is (pixel - mean) / std.
    """
    details = interpreter.get_input_details()[0]
    values = (np.asarray(image, np.float32) - mean) / std
    dtype = np.dtype(details["dtype"])
    if dtype.kind == "f":
        return values.astype(dtype)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)
