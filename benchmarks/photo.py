"""A real frame."""

from __future__ import annotations

import cv2
import numpy as np

from edge_sdk.tensors import Array
from examples.assets import carphone_video


def photo() -> Array:
    """A real frame, (480, 640, 3) uint8, BGR: the first of the carphone video, enlarged."""
    video = cv2.VideoCapture(str(carphone_video()))
    found, frame = video.read()
    video.release()
    if not found:
        raise SystemExit(f"{carphone_video()} cannot be decoded by OpenCV")
    return np.ascontiguousarray(cv2.resize(frame, (640, 480), interpolation=cv2.INTER_CUBIC))
