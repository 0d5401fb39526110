"""A versioned SavedModel: ``MODEL/VERSION/saved_model.pb``, warm-up requests of the golden vectors, and the contract beside them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from converters.load.loaded import LoadOptions
from converters.load.worker import run_child
from converters.targets.export.folder import refuse_folder, replacing_folder, write_files
from converters.targets.export.made import Export
from converters.targets.export.subject import Agreement, Subject
from converters.targets.tfserving.child import SIGNATURE
from converters.targets.tfserving.warm_up import PATH, warm_up_requests

KINDS = ("tflite-",)
STEPS = 2.0  # of a quantized output: float32 and fixed-point multipliers round an accumulator apart
RELATIVE = 1e-3  # of a float output, as ``converters.load.numeric_check`` has it


def make(subject: Subject, folder: Path, *, overwrite: bool) -> Export:
    """Write ``FOLDER/MODEL``, once TensorFlow has loaded it and computed what the variant does.

    Raises:
        MissingPackageError: if TensorFlow is not installed.
        ModelError: if an operator has no translation, or the SavedModel does not compute what the variant does.
        OutputError: if the folder cannot be written.
    """
    path = folder / subject.name
    refuse_folder(path, overwrite=overwrite)  # before TensorFlow has worked for nothing
    with tempfile.TemporaryDirectory(prefix="edge-sdk-export-") as name:
        work = Path(name)
        agreement = _translate(subject, work)
        with replacing_folder(path, overwrite=overwrite) as beside:
            version = beside / str(subject.version)
            shutil.copytree(work / "saved_model", version)
            write_files(version, {PATH: _warm_up(subject)})
            write_files(beside, subject.beside())
    start = f"tensorflow_model_server --model_name={subject.name} --model_base_path={path.resolve()} --port=8500 --rest_api_port=8501"
    return Export("tfserving", path, agreement, (start,))


def _translate(subject: Subject, work: Path) -> Agreement:
    (work / "model.tflite").write_bytes(subject.content)
    given = {f"{i}.{n}": array for i, tensors in enumerate(subject.golden) for n, array in enumerate(tensors)}
    np.savez(work / "golden.npz", **given)  # type: ignore[arg-type]
    request: dict[str, JsonValue] = {
        "path": str(work / "model.tflite"),
        "golden": str(work / "golden.npz"),
        "inputs": [spec.name for spec in subject.variant.inputs],
        "outputs": [spec.name for spec in subject.variant.outputs],
    }
    run_child("converters.targets.tfserving.child", work, Path(subject.source), LoadOptions(), request)
    with np.load(work / "outputs.npz", allow_pickle=False) as made:
        count = len(subject.variant.outputs)
        found = [[made[f"{i}.{n}"] for n in range(count)] for i in range(len(subject.golden))]
    return subject.agreement(found, steps=STEPS, relative=RELATIVE)


def _warm_up(subject: Subject) -> bytes:
    names = [spec.name for spec in subject.variant.inputs]
    requests = [dict(zip(names, tensors, strict=True)) for tensors in subject.golden]
    return warm_up_requests(subject.name, SIGNATURE, requests)
