"""What is known of a tensor, and the two ways across quantization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, shape (outermost axis first), NumPy dtype name and per-tensor quantization.

    real = scale * (stored - zero_point); a float tensor has scale 0 and zero point 0, as in TensorFlow Lite's schema.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @property
    def quantized(self) -> bool:
        """Whether stored numbers stand for real ones by scale and zero point."""
        return self.scale > 0

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor, without padding."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def quantize(self, real: Array) -> Array:
        """Real numbers (any shape) to this tensor's dtype: round half away from zero, then clip.

        That is TensorFlow Lite's own rule (``TfLiteRound`` in ``kernels/internal/quantization_util``). Unquantized tensors are cast.
        """
        if not self.quantized:
            return real.astype(self.dtype)
        steps = real.astype(np.float64) / self.scale
        stored = np.trunc(steps + np.copysign(0.5, steps)) + self.zero_point
        limits = np.iinfo(self.dtype)
        clipped: Array = np.clip(stored, limits.min, limits.max).astype(self.dtype)
        return clipped

    def dequantize(self, stored: Array) -> npt.NDArray[np.float32]:
        """This tensor's stored numbers (any shape) to real ones, float32."""
        if not self.quantized:
            return stored.astype(np.float32, copy=False)
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)
