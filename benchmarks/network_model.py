"""The model, the camera and the right answers of the sections that have a server: small, but real."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Colour, Contract
from edge_sdk.encoder import Encoder
from edge_sdk.engines.isolation import open_engine
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.tasks import make_task
from edge_sdk.tasks.settings import ClassifySettings
from edge_sdk.tensors import Array
from tests.tiny_models import image_net

SIDE, RATE_HZ, DEADLINE_MS = 224, 15.0, 100.0
_SHADES = 8


class Frames(Source):
    """Live: one of eight images after the other, whose first pixel says which."""

    live = True

    def __init__(self, rate_hz: float = RATE_HZ) -> None:
        self._rate_hz = rate_hz
        self._images = images()

    def _open(self) -> None:
        self._pace, self._given = Pace(), 0

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        due_ns = self._pace.wait(round(self._given * 1e9 / self._rate_hz))
        if due_ns is None:
            return None
        self._given += 1
        return self._images[self._given % _SHADES], "rgb", "", max(due_ns, time.monotonic_ns() - 1_000_000)

    def _close(self) -> None:
        self._pace.stop()


def images() -> list[Array]:
    """Eight noisy images, (height, width, 3) RGB."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 32 * number + 31, (SIDE, SIDE, 3), np.uint8) for number in range(_SHADES)]
    for number, image in enumerate(made):
        image[0, 0, 0] = number
    return made


def image_bundle(folder: Path) -> Path:
    """A classifier of images whose golden vectors are two of them."""
    model = image_net(size=SIDE)
    engine = open_engine("litert", model, {"threads": "1"}, isolation="none")
    contract = Contract(input="image", colour="rgb", range=(0, 1), resize="stretch")
    encoder, outputs = Encoder(contract, engine.inputs[0]), []
    samples = images()[:2]
    for sample in samples:
        encoder.encode(sample, engine.input_arrays[0])  # golden images are BGR
        outputs.append([output.copy() for output in engine.run()])
    files = {"model.tflite": model, "golden/in.npz": golden_inputs(samples), "golden/out.npz": golden_outputs(outputs)}
    variant = Variant(
        id="tflite-float32",
        kind="tflite-float32",
        file="model.tflite",
        inputs=engine.inputs,
        outputs=engine.outputs,
        golden="golden/out.npz",
        golden_tolerance=1e-3,
    )
    manifest = Manifest(
        name="images",
        created_by="benchmarks",
        contract=contract,
        task=ClassifySettings(kind="classify", top_k=1),
        variants=(variant,),
        golden_inputs="golden/in.npz",
        files=stored_files(files),
    )
    write_bundle(folder / "images.edge", manifest, files, overwrite=True)
    return folder / "images.edge"


def right_answers(bundle: Path) -> dict[int, float]:
    """The score of the best class of each image, by its number."""
    with Bundle(bundle) as opened:
        variant = opened.variant("tflite-float32")
        encoder = Encoder(opened.contract_of(variant), variant.inputs[0])
        task = make_task(opened.task_of(variant), input_=variant.inputs[0], outputs=variant.outputs, labels=())
        engine = open_engine("litert", opened.model_of(variant), {"threads": "1"}, isolation="none")
        found = {}
        for number, image in enumerate(images()):
            placement = encoder.encode(image, engine.input_arrays[0], colour="rgb")
            found[number] = task.decode(engine.run(), placement)[0].score
    return found
