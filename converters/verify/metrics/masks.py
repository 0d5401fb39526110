"""Mean IoU of segmentation masks, compared in the pixels of the output, under the same resize as the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.calibrate.samples import image_files
from converters.verify.metrics.base import Floats, Kind, Measure, Scores, real_output
from converters.verify.sides import Side
from converters.verify.truth import Answer, image_answers, read_arrays
from edge_sdk.contract import Contract, Placement
from edge_sdk.errors import ConfigError, DataError, needs
from edge_sdk.tasks import SegmentSettings
from edge_sdk.tasks.segment import Segmentation, is_decided
from edge_sdk.tensors import Array, TensorSpec

IGNORED = 255
"""Pixels of this value count neither way where there are more than two classes, as in PASCAL VOC."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mask:
    """Where the class of every pixel stands: a PNG file, or an array; in pixels of the raw image."""

    name: str
    array: Array | None = None

    def read(self) -> Array:
        """Integers, (height, width).

        Raises:
            DataError: if the file is not a mask.
        """
        return self.array if self.array is not None else _read_mask(Path(self.name))


class Overlaps(Scores):
    """Intersection and union of each class in each sample; the metric sums both over the samples, then takes the mean over the classes."""

    def __init__(self, kind: Kind, shared: Counts, either: Counts) -> None:
        super().__init__(kind, len(shared))
        self._shared, self._either = shared, either

    def value(self, counts: Floats) -> Floats:
        """The mean over the classes that a draw has, 0 where it has none."""
        shared, either = counts @ self._shared, counts @ self._either
        present = either > 0
        share = np.where(present, shared / np.maximum(either, 1), 0)
        mean: Floats = share.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        return mean


class MeanIou(Measure[Mask, tuple[Counts, Counts]]):
    """The right answer is a mask: the index of the class, or 0 and 255 where there are two.

    Pixels of a letterbox's border, and what a crop cut away, count neither way.
    """

    kinds = (
        Kind(
            "iou",
            "%",
            True,
            "Intersection over union of the masks, summed over the samples, the mean over the classes.",
        ),
    )
    tasks = ("segment", "raw")
    fits = "one score a pixel and class, (1, height, width, classes), or one a pixel, (1, height, width[, 1])"

    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[Mask]]:
        """Of a folder with ``images`` and ``masks``, files of the same stem, or .npz with truth (samples, height, width)."""
        if path.is_dir():
            return image_answers(path, contract, _pairs(path))
        samples, truth = read_arrays(path, options, contract)
        if truth.ndim != 3 or truth.dtype.kind not in "iub":
            raise DataError(
                f"{path}: truth is {truth.dtype} of shape {truth.shape}; masks are integers, (samples, height, width)"
            )
        masks = [Mask(f"{path.name}[{row}]", array.astype(np.int64)) for row, array in enumerate(truth)]
        return [Answer(read, mask) for read, mask in zip(samples, masks, strict=True)]

    def check(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Answer[Mask]]
    ) -> None:
        """An image goes in and a map comes out; a map of one channel needs a threshold."""
        spec = outputs[self.output(outputs)]
        if len(spec.shape) not in (3, 4) or spec.shape[0] != 1 or min(spec.shape[1:3]) < 2:
            raise self.refuse(spec)
        if len(inputs[0].shape) != 4:
            raise ConfigError(
                f"metric iou is for models that take images; input {inputs[0].name!r} has shape {inputs[0].shape}"
            )
        if _classes(spec) == 1 and self.settings.threshold is None and not isinstance(self.told, SegmentSettings):
            raise ConfigError(
                f"[evaluate] threshold is missing: output {spec.name!r} has one channel; from which value on does it mean the object "
                "(0.5 for probabilities, 0 for raw scores)?"
            )

    def see(self, side: Side, value: Any, right: Mask) -> tuple[Counts, Counts]:
        """Intersection and union of each class, in pixels of the output; of one channel, those of the object alone."""
        spec = side.outputs[self.output(side.outputs)]
        classes = _classes(spec)
        found: Array
        if isinstance(value, Segmentation):
            found = value.mask
            classes = IGNORED if is_decided(spec) else classes  # it may be any
        else:
            real = real_output(side, self.output(side.outputs))
            real = real.reshape(*spec.shape[1:3], classes)
            found = real.argmax(axis=2) if classes > 1 else real[:, :, 0] >= (self.settings.threshold or 0)
        mask = _placed(
            _as_classes(right, max(2, classes)), side.placement_now, side.inputs[0].nhwc_shape[1:3], found.shape
        )
        wanted = range(classes) if classes > 1 else (1,)
        valid = mask >= 0
        shared = [np.count_nonzero((found == c) & (mask == c)) for c in wanted]
        either = [np.count_nonzero(((found == c) | (mask == c)) & valid) for c in wanted]
        return np.array(shared, np.int64), np.array(either, np.int64)

    def gather(self, seen: Sequence[tuple[Counts, Counts]], outputs: Sequence[TensorSpec]) -> tuple[Scores, ...]:
        """One metric."""
        shared, either = zip(*seen, strict=True)
        return (Overlaps(self.kinds[0], np.stack(shared), np.stack(either)),)


def _classes(spec: TensorSpec) -> int:
    return spec.shape[3] if len(spec.shape) == 4 else 1


def _pairs(path: Path) -> list[tuple[Path, Mask]]:
    """Images and masks of the same stem."""
    folders = (path / "images", path / "masks")
    if not all(folder.is_dir() for folder in folders):
        raise DataError(f"{path} has no folders images and masks; masks are PNG files with the stem of their image")
    images, masks = ({file.stem: file for file in image_files(folder)} for folder in folders)
    if odd := sorted(set(images) ^ set(masks)):
        raise DataError(f"{path}: {len(odd)} of images and masks have no partner, such as {', '.join(odd[:3])}")
    return [(images[stem], Mask(str(masks[stem]))) for stem in sorted(images)]


def _read_mask(path: Path) -> Array:
    with needs("cv2", for_="reading masks", extra="convert"):
        import cv2
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise DataError(f"{path} cannot be read as a mask; save it again as a PNG with one channel")
    if mask.ndim == 3:
        if (mask[:, :, :1] != mask[:, :, :3]).any():
            raise DataError(
                f"{path} is in colour; a mask holds the index of each pixel's class in one channel (a palette is read as colour)"
            )
        mask = mask[:, :, 0]
    return mask.astype(np.int64)  # type: ignore[no-any-return]


def _as_classes(mask: Mask, classes: int) -> Array:
    """Indices of classes, and -1 for pixels that count neither way."""
    pixels = mask.read()
    values = set(np.unique(pixels).tolist())
    if classes == 2:
        if {1, IGNORED} <= values:
            raise DataError(f"mask {mask.name} holds both 1 and 255; the object is one of them")
        pixels = np.where(pixels == IGNORED, 1, pixels)
        values = {1 if v == IGNORED else v for v in values}
    elif IGNORED not in range(classes):
        pixels = np.where(pixels == IGNORED, -1, pixels)
        values -= {IGNORED}
    if odd := sorted(values - set(range(classes))):
        allowed = (
            "0 and 1, or 0 and 255" if classes == 2 else f"0 to {classes - 1}, and 255 for pixels that do not count"
        )
        raise DataError(f"mask {mask.name} holds {', '.join(map(str, odd[:10]))}; allowed are {allowed}")
    return pixels


def _placed(mask: Array, placement: Placement | None, size: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """The mask at the centre of every pixel of the output, -1 where the raw image does not reach.

    Args:
        mask: in pixels of the raw image.
        placement: of the raw image in the input tensor; None where they are the same.
        size: height and width of the input tensor.
        shape: height and width of the output.
    """
    placed = placement or Placement((1.0, 1.0), (0.0, 0.0))
    rows, columns = (
        np.floor(((np.arange(count) + 0.5) * whole / count - placed.offset[axis]) / placed.scale[axis]).astype(np.int64)
        for count, whole, axis in zip(shape, size, (1, 0), strict=True)
    )
    inside = ((rows >= 0) & (rows < mask.shape[0]))[:, None] & ((columns >= 0) & (columns < mask.shape[1]))
    taken: Array = mask[np.clip(rows, 0, mask.shape[0] - 1)][:, np.clip(columns, 0, mask.shape[1] - 1)]
    return np.where(inside, taken, -1)
