"""Makes models for the programs, with 8-bit pixels as their input, in build/pycoral/: ``python -m examples.pycoral.make [WHICH ...]``.

``detector`` (23 things of OpenImages) and ``segmenter`` (a person in front of a camera) take the extra convert, ``classifier`` (19 breeds
of dogs) keras too. Their weights are published ones from the package indexes, hash checked.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import cv2

from converters import convert
from edge_sdk.bundle import Bundle
from edge_sdk.tasks.anchors import generate_anchors
from edge_sdk.tasks.settings import AnchorSettings
from examples.assets.data import bikes_video, carphone_video, photos
from examples.assets.models import DOG_BREEDS, dog_breeds, object_detector, object_detector_labels, selfie_segmentation
from examples.pycoral.postprocess import add_postprocess

OUT = Path("build/pycoral")
_BOXES, _LOGITS = "raw_outputs/box_encodings", "raw_outputs/class_predictions"
_ANCHORS = AnchorSettings(
    strides=(16, 32, 64, 128, 256, 512), aspect_ratios=(1, 2, 0.5, 3, 0.3333), reduce_boxes_in_lowest_layer=True
)
_STEP = 5  # frames of the videos


def detector(folder: Path) -> Path:
    """SSD MobileNetV2 and the names of its classes."""
    model = _integer(object_detector(), folder, (-1, 1), "detector")
    anchors = generate_anchors(_ANCHORS, (300, 300), 1917)
    names = object_detector_labels().read_text(encoding="utf-8").splitlines()[1:]  # without the background
    (folder / "detector_labels.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return _write(folder / "detector.tflite", add_postprocess(model, anchors, boxes=_BOXES, logits=_LOGITS))


def segmenter(folder: Path) -> Path:
    """MediaPipe's selfie segmentation."""
    (folder / "segmenter_labels.txt").write_text("background\nperson\n", encoding="utf-8")
    return _write(folder / "segmenter.tflite", _integer(selfie_segmentation(), folder, (0, 1), "segmenter"))


def classifier(folder: Path) -> Path:
    """MobileNetV2 for dogs, and the names of the breeds."""
    (folder / "classifier_labels.txt").write_text("\n".join(DOG_BREEDS) + "\n", encoding="utf-8")
    return _write(folder / "classifier.tflite", _integer(dog_breeds(), folder, (-1, 1), "classifier"))


def calibration(folder: Path) -> Path:
    """Photographs, and frames of people in a street and in a car."""
    images = folder / "calibration"
    if not images.is_dir():
        images.mkdir(parents=True)
        for photo in photos():
            shutil.copy(photo, images)
        for video in (bikes_video(), carphone_video()):
            reader, number = cv2.VideoCapture(str(video)), 0
            while (frame := reader.read()[1]) is not None:
                if number % _STEP == 0:
                    cv2.imwrite(str(images / f"{video.stem}{number:03}.png"), frame)
                number += 1
    return images


def _integer(model: Path, folder: Path, values: tuple[float, float], name: str) -> bytes:
    """The int8 .tflite with uint8 ends; ``values`` is what the model was trained on for pixels of 0 and 255."""
    made = convert(
        model,
        calibrate=calibration(folder),
        contract={"input": "image", "colour": "rgb", "range": values, "resize": "stretch"},
        task="raw",
        recipes=["int8-uint8-io"],
        output=folder / f"{name}.edge",
        overwrite=True,
    )
    with Bundle(made.bundle) as bundle:
        return bundle.model_of(bundle.variant())


def _write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


MODELS = {"detector": detector, "segmenter": segmenter, "classifier": classifier}


@click.command(help=__doc__)
@click.argument("which", nargs=-1, type=click.Choice(list(MODELS)))
def main(which: tuple[str, ...]) -> None:
    """Make those, or the two that need no further extra."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in which or ("detector", "segmenter"):
        click.echo(MODELS[name](OUT))


if __name__ == "__main__":
    main()
