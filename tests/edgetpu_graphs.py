"""Tiny full-integer models, built operator by operator, for the planner of the Edge TPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.tiny_models import TinyModel, conv_options, options


class IntegerModel(TinyModel):
    """A model whose 8-bit tensors have a scale."""

    def quantized(
        self,
        name: str,
        shape: tuple[int, ...],
        data: Any = None,
        dtype: str = "INT8",
        *,
        scales: int = 1,
        signature: Any = None,
    ) -> int:
        """Add a tensor with a scale, or one a channel."""
        index = self.tensor(name, shape, data, dtype, signature)
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.full(scales, 0.1, np.float32)
        quantization.zeroPoint = np.zeros(scales, np.int64)
        self.graph.tensors[index].quantization = quantization
        return index

    def convolution(
        self,
        before: int,
        channels: int,
        *,
        kernel: int = 1,
        dtype: str = "INT8",
        scales: bool = True,
        name: str = "conv",
        **fields: Any,
    ) -> int:
        """A CONV_2D that keeps the size."""
        shape = tuple(int(n) for n in self.graph.tensors[before].shape)
        kernel_shape = (channels, kernel, kernel, shape[-1])
        weights = self.quantized(
            f"{name}/weights",
            kernel_shape,
            np.ones(kernel_shape, dtype.lower()),
            dtype,
            scales=channels if scales else 1,
        )
        bias = self.constant(f"{name}/bias", np.zeros(channels, np.int32))
        made = self.quantized(name, (*shape[:-1], channels), dtype=dtype)
        self.operator("CONV_2D", [before, weights, bias], [made], conv_options(**fields))
        return made


def one_operator(
    name: str,
    *,
    shape: tuple[int, ...] = (1, 8, 8, 16),
    output_shape: tuple[int, ...] | None = None,
    constants: tuple[Any, ...] = (),
    first: tuple[Any, ...] = (),
    op_options: Any = None,
    dtype: str = "INT8",
    output_dtype: str | None = None,
    scale: bool = True,
    signature: Any = None,
    twice: bool = False,
) -> bytes:
    """Input -> the operator.

    Args:
        name: of the operator.
        shape: of the input; ``output_shape`` of the output is the same by default.
        constants: further inputs behind it; ``first`` before it.
        op_options: of the operator.
        dtype: of input and output; ``output_dtype`` where the output's is another.
        scale: whether they have one.
        signature: of the input's shape, -1 where it is open.
        twice: it takes the input twice.
    """
    net = IntegerModel()
    add = net.quantized if scale else net.tensor
    entry = add("input", shape, dtype=dtype, signature=signature)
    before = [_constant(net, f"f{i}", values) for i, values in enumerate(first)]
    behind = [_constant(net, f"c{i}", values) for i, values in enumerate(constants)]
    made = add("output", output_shape or shape, dtype=output_dtype or dtype)
    net.operator(name, [*before, entry, *([entry] if twice else []), *behind], [made], op_options)
    return net.build([entry], [made])


def _constant(net: IntegerModel, name: str, values: Any) -> int:
    array = np.asarray(values)
    if array.dtype in (np.int8, np.uint8):
        return net.quantized(name, array.shape, array, array.dtype.name.upper())
    return net.constant(name, array)


def with_a_gap() -> bytes:
    """CONV_2D -> RELU -> FLOOR -> RELU -> CONV_2D, and beside it CONV_2D -> LOGISTIC: the Edge TPU has no FLOOR."""
    net = IntegerModel()
    entry = net.quantized("input", (1, 8, 8, 3))
    before = net.convolution(entry, 16, name="before")
    active, floored, again = (net.quantized(name, (1, 8, 8, 16)) for name in ("active", "floored", "again"))
    net.operator("RELU", [before], [active])
    net.operator("FLOOR", [active], [floored])
    net.operator("RELU", [floored], [again])
    behind = net.convolution(again, 4, name="behind")
    side = net.convolution(before, 4, name="side")
    squashed = net.quantized("squashed", (1, 8, 8, 4))
    net.operator("LOGISTIC", [side], [squashed])
    return net.build([entry], [behind, squashed])


def float_ends() -> bytes:
    """QUANTIZE from float -> CONV_2D -> DEQUANTIZE to float."""
    net = IntegerModel()
    entry, inside = net.tensor("input", (1, 8, 8, 3)), net.quantized("inside", (1, 8, 8, 3))
    net.operator("QUANTIZE", [entry], [inside], options("Quantize"))
    made = net.convolution(inside, 4)
    leaving = net.tensor("output", (1, 8, 8, 4))
    net.operator("DEQUANTIZE", [made], [leaving], options("Dequantize"))
    return net.build([entry], [leaving])
