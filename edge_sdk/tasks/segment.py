"""Segmentation: the class of every pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task, output_of
from edge_sdk.tasks.scores import ScoreReader, names_of
from edge_sdk.tasks.settings import SegmentSettings
from edge_sdk.tensors import INTEGERS, Array, TensorSpec

UNSEEN = 255
"""The class of pixels that the model did not see: what a crop cut away. As in PASCAL VOC, it counts for nothing."""

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Which class every pixel belongs to.

    Attributes:
        mask: the class of each pixel of the model's output, uint8 (height, width). ``on_frame`` lays it on the source frame.
        labels: the name of each class.
        shares: of each class, by its label, in what of the source frame the model saw; 0 to 1.
        size: (width, height) of the input tensor, in pixels.
        placement: of the source frame in the input tensor; None where the tensor is the frame.
    """

    mask: Mask
    labels: tuple[str, ...]
    shares: dict[str, float]
    size: tuple[int, int] = field(repr=False)
    placement: Placement | None = field(repr=False)

    def on_frame(self, shape: tuple[int, ...]) -> Mask:
        """The mask in pixels of the source frame: of each the class of the model's pixel that it lies on.

        Args:
            shape: of the source frame, (height, width, ...).

        Returns:
            uint8 (height, width); ``UNSEEN`` where the model did not see the frame.
        """
        placed = self.placement or Placement((1.0, 1.0), (0.0, 0.0))
        rows, columns = (
            _cells(shape[axis], placed.scale[1 - axis], placed.offset[1 - axis], self.size[1 - axis], cells)
            for axis, cells in enumerate(self.mask.shape)
        )
        laid = np.take(np.take(self.mask, columns, axis=1, mode="clip"), rows, axis=0, mode="clip")
        laid[(rows < 0) | (rows >= self.mask.shape[0])] = UNSEEN
        laid[:, (columns < 0) | (columns >= self.mask.shape[1])] = UNSEEN
        return laid

    def as_record(self) -> dict[str, Any]:
        """For JSON: the shares, and the mask as run lengths, row by row: class, pixels, class, pixels, ..."""
        height, width = self.mask.shape
        pixels = self.mask.reshape(-1)
        starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
        lengths = np.diff(starts, append=pixels.size)
        runs = np.stack([pixels[starts], lengths], axis=1).reshape(-1)
        return {"shares": self.shares, "labels": self.labels, "width": width, "height": height, "runs": runs.tolist()}

    def __str__(self) -> str:
        most = sorted(self.shares.items(), key=lambda item: -item[1])[:3]
        return ", ".join(f"{label} {share:.0%}" for label, share in most if share > 0)


class Segment(Task):
    """Gives a ``Segmentation``; of equal scores the lower class. Quantized outputs are compared as stored.

    Args:
        settings: which output, and the threshold of a single score.
        input_: the variant's input tensor, (1, height, width, channels).
        outputs: the variant's output tensors.
        labels: one a class, in order, or none at all; of one score a pixel the object's, with or without the background's before it.

    Raises:
        ConfigError: if the output or the labels do not fit.
    """

    def __init__(
        self,
        settings: SegmentSettings,
        input_: TensorSpec,
        outputs: tuple[TensorSpec, ...],
        labels: tuple[str, ...],
    ) -> None:
        if len(input_.shape) != 4:
            found = f"{input_.name!r} has shape {input_.shape}"
            raise ConfigError(f"[task] kind = segment takes an input (1, height, width, channels); {found}")
        self._at = output_of(outputs, settings.output, "output", "segment")
        spec = outputs[self._at]
        shape = spec.shape
        if len(shape) not in (3, 4) or shape[0] != 1 or min(shape[1:3]) < 1:
            raise ConfigError(
                f"[task] kind = segment takes an output (1, height, width, classes) or (1, height, width); {spec.name!r} has shape {shape}"
            )
        self._shape = shape[1:3]
        self._size = input_.image_size
        classes = shape[3] if len(shape) == 4 else 1
        self._decided = is_decided(spec)
        if classes > UNSEEN:
            raise ConfigError(f"[task] kind = segment takes up to {UNSEEN} classes; output {spec.name!r} has {classes}")
        self._classes = classes
        if self._decided:
            self._labels = labels
        elif classes == 1:
            self._lowest = ScoreReader(spec, settings.activation).lowest(settings.threshold)
            self._labels = names_of(2, labels, background=0) if labels else ("background", "object")
        else:
            self._labels = names_of(classes, labels)

    def decode(
        self,
        outputs: Sequence[Array],
        placement: Placement | None,
        captured_ns: int = 0,
        input_: Array | None = None,
    ) -> Segmentation:
        """The mask in pixels of the output; ``placement`` is kept for ``on_frame``."""
        mask = self._mask(outputs[self._at])
        seen = mask[_seen(mask.shape, self._size, placement)]
        labels = self._named(mask) if self._decided else self._labels
        shares = {label: count / seen.size for label, count in zip(labels, _count(seen, len(labels)), strict=True)}
        return Segmentation(mask, labels, shares, self._size, placement)

    def _named(self, mask: Mask) -> tuple[str, ...]:
        """Of a model that gives the classes themselves nothing tells how many there are: those beyond the labels are numbered."""
        return (*self._labels, *(f"class {index}" for index in range(len(self._labels), int(mask.max()) + 1)))

    def _mask(self, stored: Array) -> Mask:
        if self._decided:
            return np.clip(stored.reshape(self._shape), 0, UNSEEN).astype(np.uint8)
        if self._classes == 1:
            return (stored.reshape(self._shape) >= self._lowest).view(np.uint8)
        return best_class(stored.reshape(*self._shape, self._classes))


def is_decided(spec: TensorSpec) -> bool:
    """Whether an output holds classes and not scores: whole numbers that are not quantized, one a pixel."""
    one = len(spec.shape) == 3 or spec.shape[-1] == 1
    return one and not spec.quantized and spec.dtype in INTEGERS


def best_class(scores: Array) -> Mask:
    """Index of the largest of the last axis, of equal ones the lower."""
    if scores.shape[-1] == 2:
        return (scores[..., 1] > scores[..., 0]).view(np.uint8)  # eight times as fast as argmax
    best: Mask = scores.argmax(axis=-1).astype(np.uint8)
    return best


def _count(mask: Mask, classes: int) -> list[int]:
    if classes == 2:
        ones = int(np.count_nonzero(mask))
        return [mask.size - ones, ones]
    counts: list[int] = np.bincount(mask.reshape(-1), minlength=classes)[:classes].tolist()
    return counts


def _cells(pixels: int, scale: float, offset: float, size: int, cells: int) -> npt.NDArray[np.intp]:
    """The cell of the output, of ``cells`` along an axis of ``size`` pixels, that the centre of each source pixel lies in."""
    centres = (np.arange(pixels) + 0.5) * scale + offset
    found: npt.NDArray[np.intp] = np.floor(centres * (cells / size)).astype(np.intp)
    return found


def _seen(shape: tuple[int, ...], size: tuple[int, int], placement: Placement | None) -> tuple[slice, slice]:
    """The part of the mask that shows the source frame: without a letterbox's border, which is as wide on both sides."""
    if placement is None:
        return slice(None), slice(None)
    borders = [max(placement.offset[1 - axis], 0.0) * shape[axis] / size[1 - axis] for axis in range(2)]
    cut = [min(math.ceil(border - 0.5), (cells - 1) // 2) for border, cells in zip(borders, shape, strict=True)]
    return slice(cut[0], shape[0] - cut[0]), slice(cut[1], shape[1] - cut[1])
