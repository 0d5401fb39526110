"""What is known of a tensor, and the two ways across quantization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Layout = Literal["nhwc", "nchw"]
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
DTYPES = (*INTEGERS, "bool", "float16", "float32", "float64")
MAX_BYTES = 1 << 30
MAX_RANK = 32


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, shape (outermost axis first), NumPy dtype name and per-tensor quantization.

    real = scale * (stored - zero_point); a float tensor has scale 0 and zero point 0, as in TensorFlow Lite's schema.
    ``layout`` is where an image's channels stand: last (nhwc), or behind the batch (nchw); of any tensor with channels, whatever its rank.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0
    layout: Layout = "nhwc"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def check(self) -> None:
        """Raise ValueError if no engine can have such a tensor: by its dtype, its shape or its scale."""
        found = f"tensor {self.name!r} has"
        if self.dtype not in DTYPES:
            raise ValueError(f"{found} dtype {self.dtype!r}; allowed are {', '.join(DTYPES)}")
        if len(self.shape) > MAX_RANK:
            raise ValueError(f"{found} {len(self.shape)} axes; at most {MAX_RANK} are allowed")
        if any(axis < 1 for axis in self.shape) or self.size_bytes > MAX_BYTES:
            raise ValueError(f"{found} shape {self.shape}; axes are 1 or more, and it has at most {MAX_BYTES} bytes")
        if not 0 <= self.scale < math.inf or (self.scale and self.dtype not in INTEGERS):
            wanted = "it is 0 (not quantized) or, of integers, above 0 and finite"
            raise ValueError(f"{found} dtype {self.dtype} and scale {self.scale}; {wanted}")
        if self.layout == "nchw" and len(self.shape) < 3:
            raise ValueError(f"{found} layout nchw and shape {self.shape}; it needs axes (batch, channels, ...)")

    def __str__(self) -> str:
        """For messages, such as ``'image' int8 1x128x128x3, scale 0.0078, zero point -1``."""
        scaled = f", scale {self.scale:.6g}, zero point {self.zero_point}" if self.quantized else ""
        return f"{self.name!r} {self.dtype} {'x'.join(map(str, self.shape)) or 'scalar'}{scaled}"

    @property
    def quantized(self) -> bool:
        """Whether stored numbers stand for real ones by scale and zero point."""
        return self.scale > 0

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor, without padding."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def nhwc_shape(self) -> tuple[int, ...]:
        """The shape with the channels last, whatever the layout: (1, height, width, channels) of an image."""
        if self.layout == "nhwc":
            return self.shape
        batch, channels, *others = self.shape
        return (batch, *others, channels)

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) in pixels, of an image's tensor."""
        _, height, width, _ = self.nhwc_shape
        return width, height

    def as_nhwc(self, stored: Array) -> Array:
        """A view of this tensor's array, of ``nhwc_shape``."""
        return stored if self.layout == "nhwc" else np.moveaxis(stored, 1, -1)

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
