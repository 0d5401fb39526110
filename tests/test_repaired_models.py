"""Models whose plain int8 is bad, through the public way: mended to within a point of float on data that repair never saw, or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_sdk
from converters import ConvertResult, convert
from converters.load import load
from converters.report.accuracy import Metric
from converters.report.figures import Figures
from converters.verify.evaluate import compare, measure, read_truth
from converters.verify.settings import EvaluateSettings
from edge_sdk.bundle.read import Bundle
from edge_sdk.errors import GateError
from edge_sdk.tensors import Array
from tests import repair_models as models
from tests.test_repair import exponential_net

pytestmark = pytest.mark.slow

CALIBRATION, HELD_OUT, STEERED_BY, UNSEEN = 3, 5, 2, 11  # seeds: four sets that share no sample
POINT = 0.01


@dataclass(frozen=True)
class Case:
    """A model, its data, and what mends it.

    Attributes:
        content: makes the float model.
        settings: of ``convert``: contract, task, metric.
        write: writes a set of so many samples of a seed, with the right answers, as ``--evaluate`` takes it, or without.
        action: a step that must be among those kept.
        loss: by so much of the metric plain int8 is worse than float at least.
    """

    content: Callable[[], bytes]
    settings: dict[str, Any]
    write: Callable[[Path, int, int, bool], Path]
    action: str
    loss: float


def write_gratings(folder: Path, count: int, seed: int, with_truth: bool) -> Path:
    images, classes = models.gratings(count, seed)
    inputs = np.concatenate(images)
    if with_truth:
        np.savez(folder / "truth.npz", inputs=inputs, truth=classes)
        return folder / "truth.npz"
    np.save(folder / "inputs.npy", inputs)
    return folder / "inputs.npy"


def write_squares(folder: Path, count: int, seed: int, with_truth: bool) -> Path:
    images, boxes = models.squares(count, seed)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.round(image[0, :, :, ::-1] * 255).astype(np.uint8))
    if not with_truth:
        return folder
    found = [
        {"id": 0, "image_id": number, "category_id": 0, "bbox": [*(box[:2] - box[2:] / 2) / 5, *box[2:] / 5]}
        for number, some in enumerate(boxes)
        for box in some
    ]
    coco = {
        "images": [{"id": number, "file_name": f"{number:03}.png"} for number in range(count)],
        "annotations": [{**one, "id": number} for number, one in enumerate(found, start=1)],
        "categories": [{"id": 0, "name": "0"}],
    }
    (folder / "truth.json").write_text(json.dumps(coco))
    return folder / "truth.json"


CLASSIFIER = {"contract": {"input": "tensor"}, "task": {"kind": "classify"}}
DETECTOR = {
    "contract": {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "stretch"},
    "task": {"kind": "detect", "boxes": "output", "anchors": "none", "box_scale": (320,) * 4, "activation": "none"},
    "metric": "AP50",
}
CASES = {
    "joint head": Case(models.joint_head_detector, DETECTOR, write_squares, "split head", 0.1),
    "wide depthwise": Case(lambda: models.wide_depthwise(3), CLASSIFIER, write_gratings, "equalise activations", 0.2),
    "swish with outliers": Case(models.swish_net, CLASSIFIER, write_gratings, "ranges by saturation", 0.2),
}  # fmt: skip


class Prepared:
    """A case with its model and data in files."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.model = folder / "net.tflite"
        self.model.write_bytes(case.content())
        sets = {"calibrate": (100, CALIBRATION, False), "holdout": (24, HELD_OUT, False),
                "evaluate": (500, STEERED_BY, True), "unseen": (1000, UNSEEN, True)}  # fmt: skip
        for name in sets:
            (folder / name).mkdir()
        self.data = {name: case.write(folder / name, *wanted) for name, wanted in sets.items()}

    def convert(self, name: str, **settings: object) -> ConvertResult:
        given = {key: self.data[key] for key in ("calibrate", "holdout", "evaluate")}
        return convert(self.model, output=self.folder / f"{name}.edge", **given, **self.case.settings, **settings)  # type: ignore[arg-type]

    def on_unseen_data(self, bundle: Path) -> Metric:
        """The bundle's model against float on the set that nobody went by."""
        with Bundle(bundle) as opened:
            manifest = opened.manifest
            (variant,) = manifest.variants
            content = opened.read(variant.file)
        told = (manifest.contract, manifest.task, manifest.labels)
        settings = EvaluateSettings(metric=self.case.settings.get("metric"))
        truth = read_truth(str(self.data["unseen"]), *told, settings)
        sides = truth.side(load(self.model).content, *told), truth.side(content, *told, variant.heads)
        return compare(*measure(truth, sides))[0]


@pytest.mark.parametrize("name", CASES)
def test_it_is_mended_to_within_a_point_of_float(name: str, tmp_path: Path) -> None:
    prepared = Prepared(CASES[name], tmp_path)
    with pytest.raises(GateError, match="max-drop"):
        prepared.convert("refused", repair=False, max_drop="1%")
    plain = prepared.on_unseen_data(prepared.convert("plain", repair=False).bundle)
    assert plain.drop is not None and plain.drop > prepared.case.loss

    result = prepared.convert("repaired", max_drop="1%")
    repaired = prepared.on_unseen_data(result.bundle)
    assert repaired.drop is not None and repaired.drop <= POINT
    assert result.figures.gate is not None and result.figures.gate.verdict != "failed"
    check_report(result, prepared.case.action)
    check_device(result, prepared, repaired)


def check_report(result: ConvertResult, action: str) -> None:
    """Both forms show the way: every step with its gain and its cost."""
    told = Figures.model_validate_json(result.json.read_text()).repair
    assert told is not None and told.reason == "the gate failed" and told.reached
    kept = [step for step in told.steps if step.kept]
    assert action in [step.action for step in kept]
    assert all(step.after is not None and step.latency_ratio is not None for step in kept)
    page = result.html.read_text()
    assert "Repair" in page and all(step.action in page for step in kept)


def check_device(result: ConvertResult, prepared: Prepared, metric: Metric) -> None:
    """The device's loop, its engine in a process of its own, gives what was measured here."""
    with Bundle(result.bundle) as bundle:
        heads = bundle.manifest.variants[0].heads
    assert bool(heads) == ("split head" in prepared.case.action)
    if prepared.case.write is write_gratings:
        unseen = np.load(prepared.data["unseen"])
        np.save(prepared.folder / "replay.npy", unseen["inputs"])
        with edge_sdk.Loop(result.bundle, source=f"replay:{prepared.folder / 'replay.npy'}", deadline_ms=5000) as loop:
            best = [taken.value[0].index for taken in loop]
        assert np.mean(np.array(best) == unseen["truth"]) == pytest.approx(metric.int8_value / 100)
        return
    images = sorted(prepared.data["unseen"].parent.glob("*.png"))[:40]
    truth = json.loads(prepared.data["unseen"].read_text())["annotations"]
    found = total = 0
    with edge_sdk.Loop(result.bundle, source=f"images:{images[0].parent}", deadline_ms=5000) as loop:
        for number, taken in zip(range(len(images)), loop, strict=False):
            centres = [np.array([d.box[0] + d.box[2], d.box[1] + d.box[3]]) / 2 for d in taken.value]
            boxes: list[Array] = [np.array(one["bbox"]) for one in truth if one["image_id"] == number]
            total += len(boxes)
            found += sum(any(np.abs(c - b[:2] - b[2:] / 2).max() < 4 for c in centres) for b in boxes)
    assert found / total > 0.75


def test_what_cannot_be_mended_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Values from 10^-4 to 10^4 in one tensor, of which the small ones count as much."""
    (tmp_path / "net.tflite").write_bytes(exponential_net())
    rng = np.random.default_rng(0)
    inputs = rng.normal(0, 1, (200, 8, 8, 3)).astype(np.float32)
    truth = models.outputs_of(exponential_net(), list(inputs[:, None]))[0] + rng.normal(0, 0.02, (200, 8, 8, 8))
    for name, part in (("calibrate", inputs[:40]), ("holdout", inputs[40:60])):
        np.save(tmp_path / f"{name}.npy", part)
    np.savez(tmp_path / "truth.npz", inputs=inputs[60:], truth=truth[60:])
    (tmp_path / "net.toml").write_text('[contract]\ninput = "tensor"\n[evaluate]\nmetric = "mse"\n')
    command = [sys.executable, "-m", "edge_sdk.cli", "convert", str(tmp_path / "net.tflite"), "--max-drop", "1%"]
    for option, name in (
        ("calibrate", "calibrate.npy"),
        ("holdout", "holdout.npy"),
        ("evaluate", "truth.npz"),
        ("output", "net.edge"),
    ):
        command += [f"--{option}", str(tmp_path / name)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "mse" in done.stderr and "max-drop" in done.stderr
    assert not (tmp_path / "net.edge").exists()
    figures = Figures.model_validate_json((tmp_path / "net.report.json").read_text())
    assert figures.gate is not None and figures.gate.verdict == "failed"
    assert figures.repair is not None and not figures.repair.reached
    assert figures.repair.ended == "Nothing is left to try, and the goal is not met."
    assert len(figures.repair.steps) > 3
    assert figures.repair.ended in (tmp_path / "net.report.html").read_text()
