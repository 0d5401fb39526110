"""The models that QDQ is measured on: float, with pictures to calibrate on, others to compare on, and what their outputs mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.environments import BUILD, run_quietly, say, tensorflow_python
from converters.calibrate.samples import RawSample
from converters.load import load
from edge_sdk.contract import Contract
from edge_sdk.tasks import TaskSettings
from edge_sdk.tasks.settings import AnchorSettings, ClassifySettings, DetectSettings, SegmentSettings
from examples.assets import data, models
from examples.train.samples import test_digits

_FOLDER = BUILD / "qdq"
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, of bytes

_CLASSIFY = ClassifySettings(kind="classify")
_PERSON = SegmentSettings(kind="segment")
_OBJECTS = DetectSettings(
    kind="detect",
    boxes="raw_outputs/box_encodings",
    scores="raw_outputs/class_predictions",
    anchors=AnchorSettings(
        strides=(16, 32, 64, 128, 256, 512), aspect_ratios=(1, 2, 0.5, 3, 0.3333), reduce_boxes_in_lowest_layer=True
    ),
    box_order="yxhw",
    box_scale=(10, 10, 5, 5),
    exponential=True,
    background=0,
    threshold=0.3,
)
_FACES = DetectSettings(
    kind="detect",
    boxes="regressors",
    scores="classificators",
    box_scale=(128, 128, 128, 128),
    keypoints=6,
    anchors=AnchorSettings(strides=(8, 16, 16, 16), fixed_size=True),
)


class NotHereError(Exception):
    """What a model needs is not installed."""


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: of it.
        content: gives its float .tflite.
        contract, task: as of a bundle.
        pictures: gives so many BGR images of a seed, 0 or 1; the two sets have none in common.
    """

    name: str
    content: Callable[[], bytes]
    contract: Contract
    task: TaskSettings
    pictures: Callable[[int, int], list[Any]]

    def samples(self, count: int, seed: int) -> list[RawSample]:
        """So many samples of a set, or as many as there are."""
        return [RawSample(image, "bgr", f"{seed}.{n}") for n, image in enumerate(self.pictures(count, seed))]


def subjects() -> tuple[Subject, ...]:
    """All of them."""
    efficientnet = _contract(mean=(127.0,), std=(128.0,))
    return (
        Subject("MobileNetV2-0.35, digits", _small_mobilenet, _contract(range=(-1, 1)), _CLASSIFY, _digits),
        Subject("MobileNetV2, ImageNet", _mobilenet, _contract(mean=_MEAN, std=_STD), _CLASSIFY, _crops),
        Subject("EfficientNet-Lite0, ImageNet", _efficientnet, efficientnet, _CLASSIFY, _crops),
        Subject("SSD MobileNetV2", _of(models.object_detector), _contract(range=(-1, 1)), _OBJECTS, _crops),
        Subject("BlazeFace", _of(models.face_detector), _contract(range=(-1, 1), resize="letterbox"), _FACES, _faces),
        Subject("selfie segmentation", _of(models.selfie_segmentation), _contract(range=(0, 1)), _PERSON, _faces),
    )


def _contract(**keys: Any) -> Contract:
    return Contract(**{"input": "image", "colour": "rgb", "resize": "stretch", **keys})


def _of(file: Callable[[], Path]) -> Callable[[], bytes]:
    return lambda: load(file()).content


def _mobilenet() -> bytes:
    return _imagenet("mobilenet_v2")


def _efficientnet() -> bytes:
    return _imagenet("efficientnet_lite0")


def _imagenet(name: str) -> bytes:
    """From PyTorch's weights, exported once."""
    path = _FOLDER / f"{name}.onnx"
    if not path.is_file():
        if find_spec("torch") is None:
            raise NotHereError("it is made with PyTorch: pip install 'edge-device-sdk[torch]'")
        _FOLDER.mkdir(parents=True, exist_ok=True)
        say(f"exporting {name} with PyTorch ...")
        run_quietly([sys.executable, "-m", "examples.train.imagenet", name, str(path)])
    return load(path).content


def _small_mobilenet() -> bytes:
    """Trained once, in TensorFlow's environment."""
    path = _FOLDER / "mobilenet_v2_035.tflite"
    if not path.is_file():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        images, labels = data.digits()
        np.savez(_FOLDER / "digits.npz", images=np.stack([_enlarged(image) for image in images]), labels=labels)
        python = tensorflow_python()
        say("training MobileNetV2-0.35 with TensorFlow ...")
        script = Path(__file__).parent / "elsewhere" / "train_digits.py"
        run_quietly([str(python), str(script), str(_FOLDER / "digits.npz"), str(path)])
    return load(path).content


def _enlarged(digit: Any) -> Any:
    return cv2.cvtColor(cv2.resize(digit, (48, 48)), cv2.COLOR_GRAY2BGR)


def _digits(count: int, seed: int) -> list[Any]:
    """Of those that it was trained on to calibrate, of others to compare."""
    images = data.digits()[0] if seed == 0 else test_digits()[0]
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return [_enlarged(images[n]) for n in chosen]


def _crops(count: int, seed: int) -> list[Any]:
    """Squares out of photos and of frames of films, every second photo and every fourth frame, from another start for each set."""
    rng = np.random.default_rng(seed)
    films = [list(_frames(film))[2 * seed :: 4] for film in (data.bikes_video(), data.bunny_video())]
    photos = [cv2.imread(str(photo)) for photo in data.photos()[seed::2]]
    sources = [*photos, *(frame for film in films for frame in film)]
    made = []
    for _ in range(count):
        image = sources[rng.integers(len(sources))]
        side = int(min(image.shape[:2]) * rng.uniform(0.5, 1))
        y, x = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        made.append(np.ascontiguousarray(image[y : y + side, x : x + side]))
    return made


def _faces(count: int, seed: int) -> list[Any]:
    """A talking man: the first half of the film to calibrate on, the second to compare on."""
    return list(_frames(data.carphone_video()))[60 * seed : 60 * seed + min(count, 60)]


def _frames(path: Path) -> Iterator[Any]:
    film = cv2.VideoCapture(str(path))
    while True:
        there, frame = film.read()
        if not there:
            return
        yield frame
