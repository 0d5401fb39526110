"""Every command of the README's table of formats is run, as is the gate's, on a small net in each format."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_readme import README, ROOT
from tests.tiny_models import image_net

CONFIG = '[contract]\ninput = "image"\ncolour = "rgb"\nrange = [0, 1]\nresize = "stretch"\n[task]\nkind = "classify"\n'
TORCH_NET = """
import torch

def build():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 4)
    )
    return net.eval(), torch.zeros(1, 3, 16, 16)
"""
EXPORT = "import torch, net; module, example = net.build(); torch.export.save(torch.export.export(module, (example,)), 'net.pt2')"
KERAS_NET = """
import keras
keras.utils.set_random_seed(0)
layers = keras.layers
net = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(4)])
net.save("net.keras")
net.export("saved_model", verbose=False)
"""


def write_tflite(folder: Path) -> None:
    (folder / "net.tflite").write_bytes(image_net())


def write_onnx(folder: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
    rng = np.random.default_rng(0)
    weights = {"k": rng.normal(0, 0.5, (8, 3, 3, 3)), "w": rng.normal(0, 2, (8, 4))}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["c"], ["r"]),
        onnx.helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        onnx.helper.make_node("Flatten", ["p"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "w"], ["y"]),
    ]
    ends = [onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 4]))]
    stored = [onnx.numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    graph = onnx.helper.make_graph(nodes, "net", ends[:1], ends[1:], stored)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
        folder / "net.onnx",
    )


def write_keras(folder: Path) -> None:
    pytest.importorskip("tensorflow", reason="extra keras is not installed")
    python(folder, KERAS_NET)


def write_torch(folder: Path) -> None:
    pytest.importorskip("litert_torch", reason="extra torch is not installed")
    (folder / "net.py").write_text(TORCH_NET)
    python(folder, EXPORT)


def python(folder: Path, code: str) -> None:
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


MAKERS: dict[str, Callable[[Path], None]] = {
    "net.tflite": write_tflite,
    "net.onnx": write_onnx,
    "net.keras": write_keras,
    "saved_model/": write_keras,
    "net.pt2": write_torch,
    "net.py:build": write_torch,
}
FAST = ("net.tflite", "net.onnx")
COMMANDS = re.findall(r"`(edge-sdk convert [^`]+)`", README)


def test_the_table_has_every_format() -> None:
    assert {command.split()[2] for command in COMMANDS} == set(MAKERS)


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, id=c.split()[2], marks=() if c.split()[2] in FAST else pytest.mark.slow) for c in COMMANDS],
)
def test_the_command_of_each_format_runs_as_written(command: str, tmp_path: Path) -> None:
    MAKERS[command.split()[2]](tmp_path)
    said = run(command, tmp_path)
    assert "Proven: full-integer int8" in said
    assert (tmp_path / "net.edge").is_file()


def test_the_gate_s_command_runs_as_written(tmp_path: Path) -> None:
    write_tflite(tmp_path)
    (command,) = re.findall(r"(?m)^    (edge-sdk convert .*--max-drop.*)$", README)
    assert "top-1" in run(command, tmp_path)


def run(command: str, folder: Path) -> str:
    (folder / "net.toml").write_text(CONFIG)
    rng = np.random.default_rng(1)
    for name in ("photos", *(f"truth/{index}" for index in range(4))):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), cv2.resize(coarse, (32, 32)))
    words = command.replace("edge-sdk ", f"{sys.executable} -m edge_sdk.cli ", 1)
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-euc", words], cwd=folder, env=paths, capture_output=True, text=True, check=False)
    assert done.returncode in ((0, 3) if "--max-drop" in command else (0,)), done.stderr
    return done.stdout + done.stderr
