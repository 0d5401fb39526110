"""Sliding windows, of convolutions and pools: their padding, in ONNX's terms and in TensorFlow Lite's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from converters.load.onnx.call import Call
from converters.load.onnx.values import Value
from edge_sdk.errors import ModelError

Pads = tuple[tuple[int, int], ...]
"""Padding before and behind, for each spatial axis."""

_LARGEST = 1 << 16


@dataclass(frozen=True)
class Windows:
    """Windows that slide over the spatial axes, outermost first.

    Attributes:
        sizes: of the input.
        kernel, strides, dilations: of the window.
        pads: around the input.
        counts: how many windows fit, which is the size of the output.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads
    counts: tuple[int, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """How far a window reaches."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def needed(self) -> Pads:
        """The padding of which the windows read something: what lies behind the last one is dropped, what it lacks is added."""
        ends = [
            (n - 1) * s + span - size
            for n, s, span, size in zip(self.counts, self.strides, self.spans, self.sizes, strict=True)
        ]
        return tuple((begin, end - begin) for (begin, _), end in zip(self.pads, ends, strict=True))

    def tflite_padding(self) -> str | None:
        """``"SAME"`` or ``"VALID"`` where TensorFlow Lite's rule gives the same windows, else None."""
        if all(begin == 0 and end <= 0 for begin, end in self.needed):
            valid = (
                -(-(size - span + 1) // s) for size, span, s in zip(self.sizes, self.spans, self.strides, strict=True)
            )
            if tuple(valid) == self.counts:
                return "VALID"
        same = tuple(-(-size // s) for size, s in zip(self.sizes, self.strides, strict=True))
        totals = [
            (n - 1) * s + span - size
            for n, s, span, size in zip(same, self.strides, self.spans, self.sizes, strict=True)
        ]
        begins = [max(total, 0) // 2 for total in totals]
        return "SAME" if same == self.counts and begins == [begin for begin, _ in self.pads] else None

    def lifted(self) -> Windows:
        """The same over an image of height 1, where there is one spatial axis only."""
        if len(self.sizes) == 2:
            return self
        one = {name: (1, *getattr(self, name)) for name in ("sizes", "kernel", "strides", "dilations", "counts")}
        return Windows(pads=((0, 0), *self.pads), **one)


def read_windows(call: Call, sizes: tuple[int, ...], kernel: tuple[int, ...], counts: tuple[int, ...]) -> Windows:
    """The windows of a convolution or pool.

    Args:
        call: its call.
        sizes: of the input's spatial axes.
        kernel: size of the window.
        counts: sizes of the output's spatial axes.
    """
    node, rank = call.node, len(sizes)
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    pads = node.integers("pads") or (0,) * (2 * rank)
    fits = len(kernel) == len(strides) == len(dilations) == rank and len(pads) == 2 * rank
    if (
        not fits
        or not all(0 < n < _LARGEST for n in (*kernel, *strides, *dilations))
        or not all(0 <= n < _LARGEST for n in pads)
    ):
        raise ModelError(
            f"its window {kernel} with strides {strides}, dilations {dilations} and pads {pads} is not possible"
        )
    windows = Windows(sizes, kernel, strides, dilations, tuple(zip(pads[:rank], pads[rank:], strict=True)), counts)
    auto = node.text("auto_pad", "NOTSET") or "NOTSET"
    if auto == "NOTSET":
        return windows
    if auto == "VALID":
        return replace(windows, pads=((0, 0),) * rank)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"auto_pad {auto!r} is not one of NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    return replace(windows, pads=tuple(_same(total, auto) for total in _totals(windows)))


def _totals(windows: Windows) -> list[int]:
    counts = [-(-size // stride) for size, stride in zip(windows.sizes, windows.strides, strict=True)]
    ends = [(n - 1) * s + span for n, s, span in zip(counts, windows.strides, windows.spans, strict=True)]
    return [max(end - size, 0) for end, size in zip(ends, windows.sizes, strict=True)]


def _same(total: int, auto: str) -> tuple[int, int]:
    small, large = total // 2, total - total // 2
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def image(call: Call, value: Value) -> Value:
    """(batch, channels, height, width) or (batch, channels, length) as an NHWC image, of height 1 for a length."""
    if len(value.shape) == 3:
        value = call.layout.reshaped(value, (*value.shape[:2], 1, value.shape[2]))
    if len(value.shape) != 4:
        raise ModelError(
            f"its input has {len(value.shape)} axes; 3 (batch, channels, length) and 4 (batch, channels, height, width) are allowed"
        )
    return call.layout.arranged(value, (0, 2, 3, 1))


def as_before(call: Call, value: Value, shape: tuple[int, ...]) -> Value:
    """The image as ONNX's shape, without the height of 1."""
    return call.layout.reshaped(value, shape)


def pad_zero(call: Call, value: Value, pads: Pads) -> Value:
    """Zeros around an NHWC image; where ``pads`` is below 0, what is not read is cut off."""
    around = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    if not any(n for pad in around for n in pad):
        return value
    grown = (*value.shape[:2], *(size + sum(pad) for size, pad in zip(value.shape[2:], around, strict=True)))
    paddings = call.build.constant(np.array([(0, 0), *around, (0, 0)], np.int32), "paddings")
    return call.build.emit("PAD", [value, paddings], grown, value.axes)
