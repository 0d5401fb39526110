"""Ground truth: images with the right answers, read from a folder of classes, a CSV file, or COCO-style JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from converters.calibrate.samples import image_files
from converters.verify.overlap import Box
from edge_sdk.contract import describe_validation
from edge_sdk.errors import DataError


@dataclass(frozen=True)
class LabelledImage:
    """One image and the index of its class."""

    file: Path
    index: int


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and its objects: index of the class, and box (xmin, ymin, xmax, ymax) in pixels."""

    file: Path
    objects: tuple[tuple[int, Box], ...]


class _CocoImage(BaseModel):
    id: int
    file_name: str


class _CocoAnnotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]  # x, y, width, height
    iscrowd: int = 0


class _CocoCategory(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    """What is read of a COCO file (cocodataset.org/#format-data); the rest is passed over."""

    images: list[_CocoImage] = Field(min_length=1)
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory] = Field(min_length=1)


def read_classes(path: Path, labels: tuple[str, ...]) -> list[LabelledImage]:
    """Images with their class: a folder that has one folder a class, or a CSV file of file,label (paths relative to it).

    Raises:
        DataError: if it cannot be read, is empty, or has classes that the model's labels do not name.
    """
    named = _from_folder(path) if path.is_dir() else _from_csv(path)
    if not named:
        raise DataError(f"{path} holds no image with a class")
    index = _indices(path, (label for _, label in named), labels)
    return [LabelledImage(file, index[label]) for file, label in named]


def read_boxes(path: Path, labels: tuple[str, ...]) -> list[AnnotatedImage]:
    """Images with their boxes, of a COCO-style JSON file beside the images (or one folder ``images`` beside it). Crowds are left out.

    Raises:
        DataError: if it cannot be read, an image is missing, or it has categories that the model's labels do not name.
    """
    try:
        coco = _Coco.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise DataError(
            f"{path} cannot be read: {exc.strerror}; ground truth for a detector is a COCO-style .json file"
        ) from exc
    except ValidationError as exc:
        raise DataError(
            f"{describe_validation(exc, str(path))}\nground truth for a detector is a COCO-style .json file"
        ) from exc
    names = {category.id: category.name for category in coco.categories}
    files = {image.id: _image(path, image.file_name) for image in coco.images}
    for annotation in coco.annotations:
        if annotation.category_id not in names or annotation.image_id not in files:
            raise DataError(
                f"{path}: an annotation names category {annotation.category_id} and image {annotation.image_id}; one is not listed"
            )
    used = [a for a in coco.annotations if not a.iscrowd]
    index = _indices(path, (names[a.category_id] for a in used), labels)
    objects: dict[int, list[tuple[int, Box]]] = {key: [] for key in files}
    for a in used:
        x, y, width, height = a.bbox
        objects[a.image_id].append((index[names[a.category_id]], (x, y, x + width, y + height)))
    return [AnnotatedImage(files[key], tuple(found)) for key, found in objects.items()]


def _from_folder(folder: Path) -> list[tuple[Path, str]]:
    return [
        (file, file.relative_to(folder).parts[0])
        for file in image_files(folder)
        if len(file.relative_to(folder).parts) > 1
    ]


def _from_csv(path: Path) -> list[tuple[Path, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise DataError(
            f"{path} cannot be read: {exc}; ground truth is a folder of class folders, or a CSV of file,label"
        ) from exc
    if rows and [cell.strip().lower() for cell in rows[0]] == ["file", "label"]:
        rows = rows[1:]
    named = []
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise DataError(f"{path} row {number} has {len(row)} cells; a row is file,label")
        named.append((_image(path, row[0].strip()), row[1].strip()))
    return named


def _image(path: Path, name: str) -> Path:
    for file in (path.parent / name, path.parent / "images" / name):
        if file.is_file():
            return file
    raise DataError(f"{path} names the image {name}, which is not beside it (nor in images/ beside it)")


def _indices(path: Path, found: Iterable[str], labels: tuple[str, ...]) -> dict[str, int]:
    if not labels:
        raise DataError(f"{path} names classes, and the model has no labels to compare them with; give --labels FILE")
    index = {label: number for number, label in reversed(list(enumerate(labels)))}
    if odd := sorted(set(found) - set(index)):
        known = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
        raise DataError(
            f"{path} has classes that the model's labels do not name: {', '.join(odd[:10])}. The labels are {known}"
        )
    return index
