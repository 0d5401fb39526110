"""Two routes from the same PyTorch weights, by ONNX and by litert-torch, agree with each other and with PyTorch itself on real images."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.formats.data import photographs
from benchmarks.formats.models import ROWS
from converters import convert
from converters.calibrate.ranges import encoded
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.report.accuracy import Metric
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import Array, TensorSpec
from tests.repair_models import outputs_of

pytestmark = pytest.mark.slow

ROUTES = {"pt2": "litert-torch", "onnx": "importer"}
CONTRACTS = {
    name: next(row.contract for row in ROWS if row.key == key)
    for name, key in (("efficientnet_lite0", "efficientnet-lite0.pt2"), ("mobilenet_v2", "mobilenetv2.pt2"))
}
ENTRY = TensorSpec("image", (1, 224, 224, 3), "float32")
LABELLED, MOST_DIFFERENT = 20, 1e-4  # of the range of the logits


@dataclass(frozen=True)
class Source:
    """A net in both formats, images as its input tensors, the logits of PyTorch, and data for the converter."""

    name: str
    folder: Path
    inputs: list[Array]
    logits: Array
    truth: Array


@pytest.fixture(scope="module", params=CONTRACTS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    for package in ("torch", "litert_torch", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; it comes with the extra torch")
    folder, name, given = tmp_path_factory.mktemp("routes"), request.param, photographs()
    encoder = Encoder(Contract.model_validate(CONTRACTS[name]), ENTRY)
    samples = [RawSample(image, "bgr", f"image {number}") for number, image in enumerate(given.evaluate)]
    inputs = [tensor.copy() for _, tensor in encoded(samples, encoder)]
    np.save(folder / "inputs.npy", np.concatenate(inputs))
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.imagenet_source", name, str(folder)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=quiet)
    assert done.returncode == 0, done.stderr[-3000:]
    write_pictures(folder / "calibrate", given.calibrate)
    write_pictures(folder / "truth", given.evaluate[:LABELLED])
    with (folder / "truth.csv").open("w", newline="") as file:
        named = zip(sorted((folder / "truth").iterdir()), given.truth, strict=True)
        csv.writer(file).writerows([("file", "label"), *((f"truth/{image.name}", label) for image, label in named)])
    return Source(name, folder, inputs, np.load(folder / "logits.npy"), np.array(given.truth))


def write_pictures(folder: Path, images: list[Array]) -> None:
    folder.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:03}.png"), image)


def test_both_routes_agree_with_the_source(source: Source) -> None:
    """100 images: 20 of ImageNet with labels, and crops of them."""
    spread = float(np.ptp(source.logits))
    right = source.logits.argmax(1)[:LABELLED] == source.truth
    assert right.mean() >= 0.9
    found = {}
    for suffix, route in ROUTES.items():
        model = load(source.folder / f"net.{suffix}")
        assert route in model.route
        found[suffix] = outputs_of(model.content, source.inputs)[0]
        assert np.abs(found[suffix] - source.logits).max() < MOST_DIFFERENT * spread
        assert (found[suffix].argmax(1) == source.logits.argmax(1)).all()
    assert np.abs(found["pt2"] - found["onnx"]).max() < MOST_DIFFERENT * spread


def test_the_int8_models_of_both_routes_are_as_good(source: Source) -> None:
    figures = {suffix: int8_top_1(source, suffix) for suffix in ROUTES}
    for suffix, metric in figures.items():
        other = next(figures[key] for key in ROUTES if key != suffix)
        assert metric.float_value == other.float_value
        assert other.int8_interval is not None and metric.drop_interval is not None
        assert other.int8_interval.low <= metric.int8_value <= other.int8_interval.high
        assert metric.drop_interval.low <= 0 <= metric.drop_interval.high


def int8_top_1(source: Source, suffix: str) -> Metric:
    result = convert(
        source.folder / f"net.{suffix}",
        output=source.folder / f"{suffix}.edge",
        calibrate=source.folder / "calibrate",
        max_samples=60,
        contract=CONTRACTS[source.name],
        task="classify",
        evaluate=source.folder / "truth.csv",
        repair=False,
    )
    assert result.figures.proof.full_integer and result.figures.evaluation is not None
    return result.figures.evaluation.metrics[0]
