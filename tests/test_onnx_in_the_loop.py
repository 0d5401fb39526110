"""A bundle whose input has its channels first, on engine onnx: through the loop, the golden vectors and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper

from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.cli import group
from edge_sdk.contract import Contract
from edge_sdk.engines.isolation import Isolation
from edge_sdk.loop import Loop
from edge_sdk.sources import Source
from edge_sdk.tasks.settings import ClassifySettings
from edge_sdk.tensors import TensorSpec
from tests.onnx_models import FLOAT, node

LABELS = ("red", "green", "blue")
FRAMES = {name: np.full((12, 20, 3), colour, np.uint8) for name, colour in
          {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}.items()}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says which channel is the brightest: wrong as soon as channels, rows or columns are mixed up."""
    graph = helper.make_graph(
        [node("Add", ["x", "pattern"], ["s"]), node("GlobalAveragePool", ["s"], ["p"]), node("Flatten", ["p"], ["y"])],
        "brightest",
        [helper.make_tensor_value_info("x", FLOAT, (1, 3, 6, 8))],
        [helper.make_tensor_value_info("y", FLOAT, (1, 3))],
        [numpy_helper.from_array(np.zeros((1, 3, 6, 8), np.float32), "pattern")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    frames = list(FRAMES.values())
    files = {
        "model.onnx": model.SerializeToString(),
        "labels.txt": "\n".join(LABELS).encode(),
        "inputs.npz": golden_inputs(frames),
        "outputs.npz": golden_outputs([[np.eye(3, dtype=np.float32)[i : i + 1]] for i in range(3)]),
    }
    variant = Variant(
        id="onnx-qdq",
        kind="onnx-qdq",
        file="model.onnx",
        inputs=(TensorSpec("x", (1, 3, 6, 8), "float32", layout="nchw"),),
        outputs=(TensorSpec("y", (1, 3), "float32"),),
        golden="outputs.npz",
        golden_tolerance=1e-6,
    )
    manifest = Manifest(
        schema_version=5,
        name="brightest",
        created_by="a test",
        contract=Contract(input="image", colour="rgb", range=(0, 1), resize="stretch"),
        task=ClassifySettings(kind="classify", activation="none"),
        labels="labels.txt",
        golden_inputs="inputs.npz",
        variants=(variant,),
        files=stored_files(files),
    )
    path = tmp_path_factory.mktemp("onnx") / "brightest.edge"
    write_bundle(path, manifest, files)
    return path


class Frames(Source):
    """Each colour once."""

    def _open(self) -> None:
        self._left = list(FRAMES.values())

    def _read(self) -> tuple[np.ndarray, str, str, int | None] | None:
        return (self._left.pop(0), "bgr", "", None) if self._left else None

    def _close(self) -> None: ...


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_channels_that_stand_first_come_out_right(bundle: Path, isolation: Isolation) -> None:
    with Loop(bundle, Frames(), deadline_ms=5_000, isolation=isolation) as loop:
        found = [result.value[0].label for result in loop]
    assert found == ["red", "green", "blue"]


def test_golden_vectors_are_replayed_and_the_engine_named(bundle: Path) -> None:
    done = CliRunner().invoke(group, ["bench", str(bundle), "--runs", "5", "--engine-option", "providers=cpu"])
    assert done.exit_code == 0, done.output
    assert "golden vectors: 3 replayed, largest difference 0" in done.output
    assert "onnxruntime" in done.output and "CPU, 1 thread" in done.output
