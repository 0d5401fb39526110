"""The bundles that every engine runs: a classifier and a detector, each with the variants of four kinds of board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks.environments import BUILD, say
from benchmarks.formats.models import ROWS, Model
from converters import convert
from converters.load import LoadOptions, load

BOARDS = ("coral-usb", "raspberry-pi-5", "jetson-orin-nano", "generic-x86-64")
RECIPES = ("int8", "float16")
KEYS = ("efficientnet-lite0.onnx", "ssd-mobilenetv2.tflite")


@dataclass(frozen=True)
class Subject:
    """A model with all that is measured of it.

    Attributes:
        model: its row among the formats: contract, task, data, judge.
        bundle: its variants.
        float_model: the float .tflite that all of them come from.
    """

    model: Model
    bundle: Path
    float_model: Path


def subject(key: str) -> Subject:
    """Made once, and kept in build/bench/engines."""
    model = next(row for row in ROWS if row.key == key)
    folder = BUILD / "engines" / key
    bundle, float_model = folder / "model.edge", folder / "float.tflite"
    if not bundle.is_file():
        say(f"converting {key} for {', '.join(BOARDS)} ...")
        folder.mkdir(parents=True, exist_ok=True)
        float_model.write_bytes(load(model.file(), LoadOptions.model_validate(model.loading)).content)
        photos = folder / "calibrate"
        photos.mkdir(exist_ok=True)
        for number, image in enumerate(model.data().calibrate):
            cv2.imwrite(str(photos / f"{number:05}.png"), image)
        convert(
            model.file(),
            output=bundle,
            calibrate=photos,
            contract=model.contract,
            task=model.edge_task,
            loading=model.loading,
            recipes=RECIPES,
            boards=BOARDS,
            overwrite=True,
        )
    return Subject(model, bundle, float_model)
