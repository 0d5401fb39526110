"""Operators that move numbers and compute none: shapes, cuts, joins, padding, resizing, look-ups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.targets.tfserving.call import Call, Translators


def _reshape(call: Call) -> Any:
    return call.tf.reshape(call.x(), call.shape)


def _concatenation(call: Call) -> Any:
    return call.tf.concat([call.x(place) for place in range(len(call.inputs))], int(call.option("axis")))


def _pack(call: Call) -> Any:
    return call.tf.stack([call.x(place) for place in range(len(call.inputs))], int(call.option("axis")))


def _unpack(call: Call) -> Any:
    return call.tf.unstack(call.x(), len(call.made), int(call.option("axis")))


def _split(call: Call) -> Any:
    return call.tf.split(call.x(1), len(call.made), call.integers(0)[0])


def _split_v(call: Call) -> Any:
    return call.tf.split(call.x(), call.integers(1), call.integers(2)[0])


def _slice(call: Call) -> Any:
    return call.tf.slice(call.x(), call.x(1), call.shape)


def _strided_slice(call: Call) -> Any:
    masks = {
        f"{name}_mask": int(call.option(field))
        for name, field in (
            ("begin", "beginMask"),
            ("end", "endMask"),
            ("ellipsis", "ellipsisMask"),
            ("new_axis", "newAxisMask"),
            ("shrink_axis", "shrinkAxisMask"),
        )
    }
    begin, end, strides = call.integers(1), call.integers(2), call.integers(3)
    if call.option("offset", False):  # the end is counted from the begin
        end = [start + length for start, length in zip(begin, end, strict=True)]
    return call.tf.strided_slice(call.x(), begin, end, strides, **masks)


def _gather(call: Call) -> Any:
    return call.tf.gather(
        call.x(), call.x(1), axis=int(call.option("axis")), batch_dims=int(call.option("batchDims", 0))
    )


def _pad(call: Call) -> Any:
    """With zeros: what is quantized is held as real numbers."""
    return call.tf.pad(call.x(), call.constant(1))


def _pad_v2(call: Call) -> Any:
    return call.tf.pad(call.x(), call.constant(1), constant_values=call.tf.reshape(call.x(2), ()))


def _mirror_pad(call: Call) -> Any:
    return call.tf.pad(call.x(), call.constant(1), mode=("REFLECT", "SYMMETRIC")[int(call.option("mode"))])


def _resize(name: str) -> Callable[[Call], Any]:
    def translate(call: Call) -> Any:
        how = {
            "align_corners": bool(call.option("alignCorners", False)),
            "half_pixel_centers": bool(call.option("halfPixelCenters", False)),
        }
        return getattr(call.tf.raw_ops, name)(images=call.x(), size=call.integers(1), **how)

    return translate


def _one_hot(call: Call) -> Any:
    """On and off stand as tensors of one number."""
    on, off = (call.tf.reshape(call.x(place), ()) for place in (2, 3))
    return call.tf.one_hot(call.x(), call.integers(1)[0], on, off, int(call.option("axis", -1)))


def _dynamic_update_slice(call: Call) -> Any:
    """Where it begins is known, so that the update is padded to the whole; it is moved inside where it would stand over."""
    update = call.shape_of(1)
    pads = []
    for begin, size, whole in zip(call.integers(2), update, call.shape, strict=True):
        start = min(max(begin, 0), whole - size)
        pads.append((start, whole - size - start))
    replaced = np.pad(np.ones(update, bool), pads)
    return call.tf.where(replaced, call.tf.pad(call.x(1), pads), call.x())


TRANSLATORS: Translators = {
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": lambda call: call.tf.transpose(call.x(), call.integers(1)),
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "GATHER_ND": lambda call: call.tf.gather_nd(call.x(), call.x(1)),
    "PAD": _pad,
    "PADV2": _pad_v2,
    "MIRROR_PAD": _mirror_pad,
    "TILE": lambda call: call.tf.tile(call.x(), call.integers(1)),
    "BROADCAST_TO": lambda call: call.tf.broadcast_to(call.x(), call.shape),
    "REVERSE_V2": lambda call: call.tf.reverse(call.x(), call.integers(1)),
    "SPACE_TO_DEPTH": lambda call: call.tf.nn.space_to_depth(call.x(), int(call.option("blockSize"))),
    "DEPTH_TO_SPACE": lambda call: call.tf.nn.depth_to_space(call.x(), int(call.option("blockSize"))),
    "SPACE_TO_BATCH_ND": lambda call: call.tf.space_to_batch(call.x(), call.integers(1), call.constant(2)),
    "BATCH_TO_SPACE_ND": lambda call: call.tf.batch_to_space(call.x(), call.integers(1), call.constant(2)),
    "RESIZE_BILINEAR": _resize("ResizeBilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("ResizeNearestNeighbor"),
    "ONE_HOT": _one_hot,
    "DYNAMIC_UPDATE_SLICE": _dynamic_update_slice,
}
MOVES = frozenset(TRANSLATORS) - {"RESIZE_BILINEAR", "PADV2", "ONE_HOT"} | {"MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN"}
"""Where all scales are the same, what they make can be stored as it is."""
