"""The result of a segmentation model."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_sdk.tensors import Array


def get_output(interpreter: Any) -> Array:
    """The first output without its batch axis; a copy.

    Returns:
        Where the model gives one number a pixel, its class, uint8 (height, width). Where it gives a score for each class, (height,
        width, classes): uint8 if it is quantized, int8 shifted by 128, else as it is. In each, the highest score is the pixel's class.

    Raises:
        ValueError: if ``allocate_tensors`` was not called.
    """
    stored: Array = interpreter.tensor(interpreter.get_output_details()[0]["index"])()[0]
    if stored.ndim < 3:
        return stored.astype(np.uint8)
    if stored.dtype == np.int8:
        return stored.view(np.uint8) ^ np.uint8(128)
    return stored.copy()
