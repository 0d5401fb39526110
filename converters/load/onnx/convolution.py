"""Convolutions, forward and transposed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from converters.graph import schema
from converters.load.onnx.build import Inputs
from converters.load.onnx.call import Call, Translator
from converters.load.onnx.linear import Kernel
from converters.load.onnx.padding import zero_padding
from converters.load.onnx.values import Constant, Value
from converters.load.onnx.windows import Windows, as_before, image, pad_zero, read_windows
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_NHWC = (0, 2, 3, 1)
_LARGEST_DENSE = 1 << 26  # weights of a grouped transposed convolution written as one


def _conv(call: Call) -> Value:
    weights = call.constant(1, "the kernel")
    value, pads = _before_padding(call)
    groups, (outputs, depth, *kernel) = call.node.integer("group", 1), weights.shape
    channels = value.shape[1]
    if len(weights.shape) != len(value.shape) or groups < 1 or depth * groups != channels or outputs % groups:
        raise ModelError(f"a kernel {weights.shape} in {groups} groups does not fit an input {value.shape}")
    windows = read_windows(call, call.value(0).shape[2:], tuple(kernel), call.shape[2:])
    pads = tuple((b + p, e + q) for (b, e), (p, q) in zip(windows.pads, pads, strict=True))
    windows = replace(windows, sizes=value.shape[2:], pads=pads).lifted()
    shape = (value.shape[0], outputs, *windows.counts)
    depthwise = groups == channels and groups > 1

    def load() -> Array:
        stored = weights.array()
        return stored if stored.ndim == 4 else stored[:, :, None]

    def emit(kernel: Kernel) -> Value:
        laid = partial(_laid, kernel, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        made = _emit_conv(call, image(call, value), laid, kernel, windows, shape, depthwise)
        return as_before(call, made, call.shape)

    return call.made_linear(Kernel.plain(load, outputs, _bias(call)), emit)


def _laid(kernel: Kernel, order: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(kernel.weights().transpose(order))


def _emit_conv(
    call: Call,
    value: Value,
    laid: partial[Array],
    kernel: Kernel,
    windows: Windows,
    shape: tuple[int, ...],
    depthwise: bool,
) -> Value:
    padding = windows.tflite_padding()
    if padding is None:
        value, padding = pad_zero(call, value, windows.needed), "VALID"
    options = {
        "padding": getattr(schema().Padding, padding),
        "strideH": windows.strides[0],
        "strideW": windows.strides[1],
        "dilationHFactor": windows.dilations[0],
        "dilationWFactor": windows.dilations[1],
    }
    if depthwise:
        options["depthMultiplier"] = shape[1] // value.shape[1]
    inputs: Inputs = [value, call.build.constant(laid, "kernel"), call.build.constant(kernel.biases(), "bias")]
    return call.build.emit("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, shape, _NHWC, **options)


def _before_padding(call: Call) -> tuple[Value, tuple[tuple[int, int], ...]]:
    """The input before a Pad with zeros that only this convolution reads, and that padding of the spatial axes."""
    value = call.value(0)
    none = ((0, 0),) * (len(value.shape) - 2)
    pad = call.source(0)
    if pad is None or pad.node.operator != "Pad" or not call.alone(0):
        return value, none
    pads = zero_padding(pad)
    if pads is None or any(n for pair in pads[:2] for n in pair) or any(n < 0 for pair in pads for n in pair):
        return value, none
    return pad.value(0), tuple(pads[2:])


def _bias(call: Call) -> Array | None:
    if call.given(2) is None:
        return None
    return call.constant(2, "the bias").array().reshape(-1)


def _conv_transpose(call: Call) -> Value:
    value, weights, groups = call.value(0), call.constant(1, "the kernel"), call.node.integer("group", 1)
    inputs, per_group, *kernel = weights.shape
    if len(weights.shape) != len(value.shape) or groups < 1 or inputs != value.shape[1] or inputs % groups:
        raise ModelError(f"a kernel {weights.shape} in {groups} groups does not fit an input {value.shape}")
    outputs = per_group * groups
    if groups > 1 and weights.size * groups > _LARGEST_DENSE:
        raise ModelError(f"it has {groups} groups of a kernel {weights.shape}, too large to be written as one group")
    windows = _transposed_windows(call, value.shape[2:], tuple(kernel)).lifted()
    load = partial(_dense_kernel, weights, groups, windows.dilations)
    windows = replace(windows, kernel=windows.spans, dilations=(1, 1))

    def emit(kernel: Kernel) -> Value:
        return as_before(call, _emit_transposed(call, image(call, value), kernel, windows), call.shape)

    return call.made_linear(Kernel.plain(load, outputs, _bias(call)), emit)


def _transposed_windows(call: Call, counts: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    """The windows of the convolution that it turns round: its input counts them, its output is what they slide over."""
    node, sizes = call.node, call.shape[2:]
    windows = replace(read_windows(call, sizes, kernel, counts), counts=counts)
    extra = node.integers("output_padding") or (0,) * len(sizes)
    auto = node.text("auto_pad", "NOTSET") or "NOTSET"
    if auto == "NOTSET" and node.integers("output_shape") is None:
        return windows
    full = [(n - 1) * s + span + e for n, s, span, e in zip(counts, windows.strides, windows.spans, extra, strict=True)]
    totals = [max(a - b, 0) for a, b in zip(full, sizes, strict=True)]
    if auto == "VALID":
        return replace(windows, pads=((0, 0),) * len(sizes))
    upper = auto == "SAME_UPPER"
    begins = [total // 2 if upper else total - total // 2 for total in totals]
    return replace(windows, pads=tuple((begin, total - begin) for begin, total in zip(begins, totals, strict=True)))


def _dense_kernel(weights: Constant, groups: int, dilations: tuple[int, ...]) -> Array:
    """(outputs, inputs, height, width): groups as blocks beside zeros, dilation as zeros in between."""
    stored = weights.array()
    stored = stored if stored.ndim == 4 else stored[:, :, None]
    inputs, per_group, height, width = stored.shape
    size = [(n - 1) * d + 1 for n, d in zip((height, width), dilations, strict=True)]
    dense = np.zeros((per_group * groups, inputs, *size), np.float32)
    share = inputs // groups
    for group in range(groups):
        rows, columns = slice(group * per_group, (group + 1) * per_group), slice(group * share, (group + 1) * share)
        dense[rows, columns, :: dilations[0], :: dilations[1]] = stored[columns].transpose(1, 0, 2, 3)
    return dense


def _emit_transposed(call: Call, value: Value, kernel: Kernel, windows: Windows) -> Value:
    padding = _transposed_padding(windows)
    sizes = windows.sizes if padding else _uncut(windows)
    shape = (value.shape[0], kernel.channels, *sizes)
    build = call.build
    inputs: list[Value | int] = [
        build.integers((shape[0], *sizes, shape[1])),
        build.constant(partial(_laid, kernel, (0, 2, 3, 1)), "kernel"),
        value,
    ]
    if np.any(kernel.bias):
        inputs.append(build.constant(kernel.biases(), "bias"))
    options = {
        "padding": getattr(schema().Padding, padding or "VALID"),
        "strideH": windows.strides[0],
        "strideW": windows.strides[1],
    }
    made = build.emit("TRANSPOSE_CONV", inputs, shape, _NHWC, **options)
    if padding:
        return made
    begins = (0, *(begin for begin, _ in windows.pads), 0)
    cut = (shape[0], kernel.channels, *windows.sizes)
    sizes_out = build.integers((shape[0], *windows.sizes, kernel.channels))
    return build.emit("SLICE", [made, build.integers(begins), sizes_out], cut, _NHWC)


def _uncut(windows: Windows) -> tuple[int, ...]:
    """The size of the whole output, before the padding is cut off."""
    full = ((n - 1) * s + k for n, s, k in zip(windows.counts, windows.strides, windows.kernel, strict=True))
    wanted = (begin + size for (begin, _), size in zip(windows.pads, windows.sizes, strict=True))
    return tuple(max(a, b) for a, b in zip(full, wanted, strict=True))


def _transposed_padding(windows: Windows) -> str | None:
    if all(begin == 0 for begin, _ in windows.pads) and _uncut(windows) == windows.sizes:
        return "VALID"
    return "SAME" if windows.tflite_padding() == "SAME" else None


TRANSLATORS: dict[str, Translator] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
