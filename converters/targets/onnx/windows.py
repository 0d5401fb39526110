"""Padding of windows: TensorFlow Lite's SAME and VALID as the explicit pads of ONNX."""

from __future__ import annotations

from converters.graph import schema


def pads(
    padding: int, sizes: tuple[int, ...], counts: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> list[int]:  # fmt: skip
    """What is put around the spatial axes, all beginnings before all ends; of an odd sum the larger half is at the end.

    tensorflow/lite/kernels/padding.h, ``ComputePaddingWithOffset``.

    Args:
        padding: of the options.
        sizes: of the spatial axes before.
        counts: of the spatial axes after.
        kernel: rows and columns of the window.
        strides: from window to window.
        dilations: from one place of the window to the next.
    """
    if padding == schema().Padding.VALID:
        return [0] * 2 * len(sizes)
    sums = [
        max((count - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        for size, count, width, stride, dilation in zip(sizes, counts, kernel, strides, dilations, strict=True)
    ]
    return [*(n // 2 for n in sums), *(n - n // 2 for n in sums)]
