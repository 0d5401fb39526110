"""How one tensor stands for real numbers: its integer type, scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from converters.graph import schema
from edge_sdk.tensors import Array, TensorSpec

Scheme = Literal["int8", "int16", "float"]
"""What an operator computes in."""

_LEAST_RANGE = 1e-9


@dataclass(frozen=True)
class Quantization:
    """Of one tensor: real = scale * (stored - zero_point), stored as ``dtype`` (int8, uint8, int16, int32, int64)."""

    dtype: str
    scale: float
    zero_point: int = 0

    @staticmethod
    def of_range(low: float, high: float, dtype: str = "int8") -> Quantization:
        """The scale whose steps cover ``low`` to ``high`` and zero exactly (arXiv:1712.05877, section 3).

        int8 has 256 steps and a zero point; int16 is symmetric, for its kernels know no zero point.
        """
        low, high = min(low, 0.0), max(high, 0.0)
        if dtype == "int16":
            return Quantization(dtype, float(np.float32(max(-low, high, _LEAST_RANGE) / 32767)))
        scale = float(np.float32(max(high - low, _LEAST_RANGE) / 255))
        return Quantization(dtype, scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))

    @staticmethod
    def of(tensor: Any, dtype: str) -> Quantization:
        """That of a quantized tensor."""
        return Quantization(dtype, float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0]))

    def put(self, tensor: Any) -> None:
        """Give ``tensor`` this type and quantization."""
        tensor.type = getattr(schema().TensorType, self.dtype.upper())
        put_scales(tensor, np.array([self.scale], np.float32), zero_point=self.zero_point)

    def quantize(self, values: Array) -> Array:
        """Real numbers as stored ones, rounded and clipped."""
        return TensorSpec("", values.shape, self.dtype, self.scale, self.zero_point).quantize(values)

    def stored(self) -> Array:
        """Every number that can be stored, ascending."""
        limits = np.iinfo(self.dtype)
        return np.arange(limits.min, limits.max + 1).astype(self.dtype)

    def real(self, stored: Array) -> Array:
        """Stored numbers as real ones, float32."""
        return TensorSpec("", stored.shape, self.dtype, self.scale, self.zero_point).dequantize(stored)


def put_scales(tensor: Any, scales: Array, *, axis: int = 0, zero_point: int = 0) -> None:
    """Give ``tensor`` these scales (float32, one, or one for each step along ``axis``)."""
    tensor.quantization = schema().QuantizationParametersT()
    tensor.quantization.scale = scales
    tensor.quantization.zeroPoint = np.full(scales.shape, zero_point, np.int64)
    tensor.quantization.quantizedDimension = axis
