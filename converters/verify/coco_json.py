"""COCO-style JSON files (cocodataset.org/#format-data): boxes, crowds and keypoints of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from converters.verify.overlap import Box
from converters.verify.truth import beside, class_indices
from edge_sdk.contract import describe_validation
from edge_sdk.errors import DataError

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrueObject:
    """One object of the ground truth.

    Attributes:
        label: of its class, as detections have it.
        box: (xmin, ymin, xmax, ymax) in pixels of the image.
        crowd: whether it is a crowd, in which a detection is neither right nor wrong.
    """

    label: str
    box: Box
    crowd: bool = False


class _Image(BaseModel):
    id: int
    file_name: str


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float] | None = None  # x, y, width, height
    iscrowd: int = 0
    keypoints: list[float] = []


class _Category(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    """What is read of a COCO file; the rest is passed over."""

    images: list[_Image] = Field(min_length=1)
    annotations: list[_Annotation]
    categories: list[_Category] = Field(min_length=1)


def read_boxes(path: Path, labels: tuple[str, ...]) -> list[tuple[Path, tuple[TrueObject, ...]]]:
    """Images with their objects; the images lie beside the file, or in one folder ``images`` beside it.

    Raises:
        DataError: if it cannot be read, an image is missing, or it has categories that the model's labels do not name.
    """
    coco = _read(path)
    names = {category.id: category.name for category in coco.categories}
    used = {names[a.category_id] for a in coco.annotations}
    index = class_indices(path, used, labels)
    shown = {
        name: name if labels else f"class {index[name]}" for name in used
    }  # as a detection is called without labels
    objects: dict[int, list[TrueObject]] = {image.id: [] for image in coco.images}
    for a in coco.annotations:
        if a.bbox is None:
            raise DataError(f"{path}: an annotation of image {a.image_id} has no bbox; a detector needs one each")
        x, y, width, height = a.bbox
        objects[a.image_id].append(
            TrueObject(shown[names[a.category_id]], (x, y, x + width, y + height), bool(a.iscrowd))
        )
    return [(beside(path, image.file_name), tuple(objects[image.id])) for image in coco.images]


def read_keypoints(path: Path) -> list[tuple[Path, Points]]:
    """Images with one set of keypoints each, (keypoints, 3): x, y in pixels of the image, and whether it is labelled (0 is not).

    Images without an annotation are left out.

    Raises:
        DataError: if it cannot be read, an image has several sets, or they are of different length.
    """
    coco = _read(path)
    sets: dict[int, Points] = {}
    for a in coco.annotations:
        if not a.keypoints or len(a.keypoints) % 3:
            raise DataError(
                f"{path}: an annotation of image {a.image_id} has {len(a.keypoints)} keypoint numbers, not 3 each"
            )
        if a.image_id in sets:
            raise DataError(
                f"{path}: image {a.image_id} has several sets of keypoints; the model's output is compared with one"
            )
        sets[a.image_id] = np.array(a.keypoints).reshape(-1, 3)
    if len(lengths := {len(points) for points in sets.values()}) > 1:
        raise DataError(
            f"{path}: annotations have {' and '.join(map(str, sorted(lengths)))} keypoints; one number is needed"
        )
    return [(beside(path, image.file_name), sets[image.id]) for image in coco.images if image.id in sets]


def _read(path: Path) -> _Coco:
    try:
        coco = _Coco.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}; ground truth here is a COCO-style .json file") from exc
    except ValidationError as exc:
        raise DataError(f"{describe_validation(exc, str(path))}\nground truth here is a COCO-style .json file") from exc
    categories, images = {c.id for c in coco.categories}, {image.id for image in coco.images}
    for a in coco.annotations:
        if a.category_id not in categories or a.image_id not in images:
            raise DataError(
                f"{path}: an annotation names category {a.category_id} and image {a.image_id}; one is not listed"
            )
    return coco
