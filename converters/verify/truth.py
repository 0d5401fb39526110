"""Ground truth: samples with the right answers, from a folder of classes, a CSV file, or arrays. COCO files have a reader of their own.

photos/CLASS/...                 class folders of images; folders named 0, 1, ... are indices where the model has no labels
truth.csv                        file,label (paths relative to it)
truth.npz, truth.npz?colour=rgb  two arrays of one length: ``inputs``, and ``truth`` with the right numbers
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

import numpy as np

from converters.calibrate.samples import RawSample, Skipped, image_files, read_image
from converters.calibrate.sources import find_samples
from converters.calibrate.sources.found import Found, visible_files
from edge_sdk.array_files import READING_ERRORS
from edge_sdk.contract import Contract
from edge_sdk.errors import ConfigError, DataError
from edge_sdk.tensors import Array
from edge_sdk.window_settings import WindowSettings

Right = TypeVar("Right")
Read = Callable[[], RawSample]


@dataclass(frozen=True)
class Answer(Generic[Right]):
    """One sample, read when it is needed, and what is right for it."""

    read: Read
    right: Right


def locate(where: str) -> tuple[Path, dict[str, str]]:
    """The path of ground truth, and the options behind it.

    Raises:
        DataError: if there is nothing, or an option that ground truth does not have.
    """
    path, options = Path(where), {}
    if not path.exists():  # a name may itself hold a question mark
        before, _, query = where.partition("?")
        path, options = Path(before), dict(parse_qsl(query, keep_blank_values=True))
    if not path.exists():
        forms = "a folder of class folders, a .csv of file,label, a COCO .json, images/ with masks/, or .npz"
        raise DataError(f"{path} does not exist; ground truth is {forms}")
    if odd := sorted(set(options) - ({"colour"} if path.suffix.lower() == ".npz" else set())):
        raise DataError(f"{path} has no option {', '.join(odd)}; colour=rgb or colour=bgr goes with .npz, nothing else")
    return path, options


def image_answers(path: Path, contract: Contract, named: Iterable[tuple[Path, Right]]) -> list[Answer[Right]]:
    """Answers on image files, which must be what the model takes.

    Raises:
        ConfigError: if it takes numbers.
        DataError: if there is none.
    """
    if contract.input != "image":
        raise ConfigError(
            f"{path} holds images, and the model takes numbers (input = {contract.input}); ground truth for it is .npz with inputs and "
            "truth"
        )
    answers = [Answer(partial(_read_file, file), right) for file, right in named]
    if not answers:
        raise DataError(f"{path} holds no image with a right answer")
    return answers


def read_classes(path: Path, contract: Contract, labels: tuple[str, ...]) -> list[Answer[int]]:
    """Images with the index of their class: a folder that has one folder a class, or a CSV file of file,label. Windows likewise.

    Raises:
        ConfigError, DataError: if it cannot be read, is empty, or has classes that the model's labels do not name.
    """
    if contract.window is not None:
        windows = named_windows(path, contract.window)
        index = class_indices(path, windows, labels)
        return [Answer(read, index[label]) for label, reads in windows.items() for read in reads]
    named = named_images(path)
    index = class_indices(path, (label for _, label in named), labels)
    return image_answers(path, contract, [(file, index[label]) for file, label in named])


def named_images(path: Path) -> list[tuple[Path, str]]:
    """Images with the name of their class, of class folders or a CSV file.

    Raises:
        DataError: if there is none, or it cannot be read.
    """
    named = _from_folder(path) if path.is_dir() else _from_csv(path)
    if not named:
        raise DataError(f"{path} holds no image with a class")
    return named


def named_windows(path: Path, window: WindowSettings) -> dict[str, list[Read]]:
    """Windows by the name of their class, of class folders of .wav, .csv or captured files.

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    folders = sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    folders = [folder for folder in folders if not folder.name.startswith(".") and visible_files(folder)]
    if not folders:
        raise DataError(
            f"{path} holds no class folders of .wav, .csv or captured .npz files; or give .npz with inputs and truth"
        )
    named: dict[str, list[Read]] = {}
    for folder in folders:
        found = find_samples(folder, {}, window.shape, window)
        in_order = _InOrder(found)
        named[folder.name] = [partial(in_order, number) for number in range(found.count)]
    return named


class _InOrder:
    """Reads windows by number; those of a table one after the other, so that it is not begun anew for each."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._next = 0
        self._reading = found.read(())

    def __call__(self, number: int) -> RawSample:
        if number != self._next or not number:
            self._reading = self._found.read(tuple(range(number, self._found.count)))
        self._next = number + 1
        sample = next(self._reading)
        if isinstance(sample, Skipped):
            raise DataError(sample.reason)
        return sample


def class_indices(path: Path, found: Iterable[str], labels: tuple[str, ...]) -> dict[str, int]:
    """The index of each class that was found. Without labels, names that are numbers are indices.

    Raises:
        DataError: if the labels do not name one.
    """
    names = sorted(set(found))
    if not labels:
        if not all(name.isascii() and name.isdecimal() for name in names):
            shown = ", ".join(names[:10])
            raise DataError(
                f"{path} names classes ({shown}), and the model has no labels to compare them with; give --labels FILE, "
                "or name the classes by their indices: 0, 1, ..."
            )
        return {name: int(name) for name in names}
    index = {label: number for number, label in reversed(list(enumerate(labels)))}
    if odd := [name for name in names if name not in index]:
        known = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
        raise DataError(
            f"{path} has classes that the model's labels do not name: {', '.join(odd[:10])}. The labels are {known}"
        )
    return index


def read_arrays(path: Path, options: dict[str, str], contract: Contract) -> tuple[list[Read], Array]:
    """Samples and right answers of an .npz file: ``inputs`` and ``truth``, the first axis of both counts the samples.

    Raises:
        DataError: if they are not there, not numbers, or not of one length.
    """
    if path.suffix.lower() != ".npz":
        raise DataError(
            f"{path} is not ground truth that this metric can read; numbers are in .npz, as inputs and truth"
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = sorted(stored.files)
            if names != ["inputs", "truth"]:
                raise DataError(f"{path} holds the arrays {', '.join(names) or 'none'}; inputs and truth are needed")
            inputs, truth = stored["inputs"], stored["truth"]
    except READING_ERRORS as exc:
        raise DataError(f"{path} cannot be read as arrays of numbers: {exc}") from exc
    for name, array in (("inputs", inputs), ("truth", truth)):
        if array.dtype.kind not in "fiub" or array.ndim == 0 or not np.isfinite(array).all():
            raise DataError(f"{path}: {name} is {array.dtype} of shape {array.shape}; finite numbers are needed")
    if len(inputs) != len(truth) or len(inputs) == 0:
        raise DataError(f"{path} has {len(inputs)} inputs and {len(truth)} right answers; one each is needed")
    colour = options.get("colour")
    if contract.input == "image" and inputs.shape[-1] == 3 and colour not in ("rgb", "bgr"):
        raise DataError(
            f"{path} holds images and does not say their channel order: give {path}?colour=rgb or {path}?colour=bgr"
        )
    return [partial(_read_row, inputs, row, colour == "rgb", path.name) for row in range(len(inputs))], truth


def whole_numbers(path: Path, truth: Array, count: int) -> list[int]:
    """One whole number a sample, such as the index of a class.

    Raises:
        DataError: if ``truth`` is something else.
    """
    if truth.size != count or not np.array_equal(truth, np.trunc(truth)):
        raise DataError(f"{path}: truth has shape {truth.shape}; one whole number for each of {count} inputs is needed")
    return [int(number) for number in truth.reshape(-1)]


def beside(path: Path, name: str) -> Path:
    """The image of this name beside ``path``, or in ``images`` beside it.

    Raises:
        DataError: if there is none.
    """
    for file in (path.parent / name, path.parent / "images" / name):
        if file.is_file():
            return file
    raise DataError(f"{path} names the image {name}, which is not beside it (nor in images/ beside it)")


def _read_file(file: Path) -> RawSample:
    return RawSample(read_image(file), "bgr", str(file))


def _read_row(inputs: Array, row: int, rgb: bool, name: str) -> RawSample:
    return RawSample(np.ascontiguousarray(inputs[row]), "rgb" if rgb else "bgr", f"{name}[{row}]")


def _from_folder(folder: Path) -> list[tuple[Path, str]]:
    parts: Sequence[tuple[Path, tuple[str, ...]]] = [
        (file, file.relative_to(folder).parts) for file in image_files(folder)
    ]
    return [(file, names[0]) for file, names in parts if len(names) > 1]


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
        named.append((beside(path, row[0].strip()), row[1].strip()))
    return named
