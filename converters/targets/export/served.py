"""The files of an export that runs a variant with LiteRT or ONNX Runtime, and its replay in a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from converters.targets import served
from converters.targets.export.subject import Subject
from edge_sdk.errors import MissingPackageError, ModelError
from edge_sdk.tensors import Array

_HERE = Path(served.__file__).parent
_PACKAGES = {
    "litert": ("ai_edge_litert", "ai-edge-litert", "convert"),
    "onnxruntime": ("onnxruntime", "onnxruntime", "onnx"),
}
_REPLAY_S = 600.0
_MISSING = 3  # exit code of the replay: its runtime is not installed

Outputs = tuple[tuple[Array, ...], ...]


def requirements(subject: Subject) -> tuple[str, ...]:
    """What the server's Python needs, as pip calls it."""
    return ("numpy", _PACKAGES[subject.runtime][1])


def runner_files(subject: Subject) -> dict[str, bytes]:
    """The model, ``variant.json`` and what runs it."""
    file = "model.tflite" if subject.runtime == "litert" else "model.onnx"
    settings = {
        "id": subject.variant.id,
        "runtime": subject.runtime,
        "file": file,
        "sha256": hashlib.sha256(subject.content).hexdigest(),
        "inputs": [asdict(spec) for spec in subject.variant.inputs],
        "outputs": [asdict(spec) for spec in subject.variant.outputs],
        "threads": 1,
        "providers": ["CPUExecutionProvider"],
    }
    return {
        file: subject.content,
        "variant.json": json.dumps(settings, indent=2).encode(),
        "edge_variant.py": (_HERE / "edge_variant.py").read_bytes(),
    }


def replay(subject: Subject, folder: Path, way: str) -> Outputs:
    """What the files in ``folder`` make of the golden inputs.

    Args:
        subject: has them.
        folder: as the server will have it.
        way: ``"variant"`` runs the model, ``"torchserve"`` asks the handler, as TorchServe does.

    Raises:
        MissingPackageError: if the runtime is not installed here.
        ModelError: if they do not run, or never end.
    """
    with tempfile.TemporaryDirectory(prefix="edge-sdk-export-") as name:
        inputs, outputs = Path(name) / "inputs.npz", Path(name) / "outputs.npz"
        given = {f"{i}.{n}": array for i, tensors in enumerate(subject.golden) for n, array in enumerate(tensors)}
        np.savez(inputs, **given)  # type: ignore[arg-type]
        command = [sys.executable, str(_HERE / "replay.py"), way, str(folder.resolve()), str(inputs), str(outputs)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_REPLAY_S, stdin=subprocess.DEVNULL, check=False
            )
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"{subject.source}: the export had not computed the golden vectors after {_REPLAY_S:g} s; nothing was written"
            ) from None
        if done.returncode == _MISSING:
            package, _, extra = _PACKAGES[subject.runtime]
            raise MissingPackageError(
                package,
                needed_for=f"running a variant of kind {subject.variant.kind}",
                install=f"pip install 'edge-device-sdk[{extra}]'",
            )
        if done.returncode:
            last = "\n  ".join(done.stderr.strip().splitlines()[-3:])
            raise ModelError(f"{subject.source}: the export does not run, and nothing was written:\n  {last}")
        with np.load(outputs, allow_pickle=False) as made:
            count = len(subject.variant.outputs)
            return tuple(tuple(made[f"{i}.{n}"] for n in range(count)) for i in range(len(subject.golden)))
