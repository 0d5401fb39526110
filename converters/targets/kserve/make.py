"""A model repository that Triton and MLServer take as it is.

Triton reads ``MODEL/config.pbtxt`` and the version's folder, and leaves all other files alone; MLServer reads
``MODEL/model-settings.json``, whose runtime runs the model of the same version's folder. So one folder serves both, and its
model stands in it once.
"""

from __future__ import annotations

import json
from pathlib import Path

from converters.targets.export.folder import replacing_folder, write_files
from converters.targets.export.made import Export
from converters.targets.export.served import replay, requirements, runner_files
from converters.targets.export.subject import Subject
from converters.targets.kserve.config import triton_config
from converters.targets.served.edge_variant import DATATYPES
from edge_sdk.tensors import TensorSpec

KINDS = ("tflite-", "onnx-")
_HERE = Path(__file__).parent


def make(subject: Subject, folder: Path, *, overwrite: bool) -> Export:
    """Write ``FOLDER/MODEL``, once its files have computed what the variant does.

    Raises:
        ModelError: if they do not compute it.
        OutputError: if the folder cannot be written.
    """
    path = folder / subject.name
    version = str(subject.version)
    with replacing_folder(path, overwrite=overwrite) as beside:
        write_files(beside, _files(subject, version))
        agreement = subject.agreement(replay(subject, beside / version, "variant"))
    needs = f"its Python needs {' and '.join(requirements(subject))}"
    python = "" if subject.runtime == "onnxruntime" else f"   # {needs}"
    start = (f"mlserver start {path}   # {needs}", f"tritonserver --model-repository {folder}{python}")
    return Export("kserve", path, agreement, start)


def _files(subject: Subject, version: str) -> dict[str, bytes]:
    files = {f"{version}/{name}": content for name, content in runner_files(subject).items()}
    if subject.runtime == "litert":  # Triton has a backend of its own for ONNX
        files[f"{version}/model.py"] = (_HERE / "triton_model.py").read_bytes()
    return {
        "config.pbtxt": triton_config(subject).encode(),
        "model-settings.json": _mlserver_settings(subject, version),
        "edge_mlserver.py": (_HERE / "edge_mlserver.py").read_bytes(),
        "requirements.txt": "".join(f"{name}\n" for name in requirements(subject)).encode(),
        **files,
        **subject.beside(),
    }


def _mlserver_settings(subject: Subject, version: str) -> bytes:
    settings = {
        "name": subject.name,
        "implementation": "edge_mlserver.EdgeModel",
        "platform": subject.runtime,
        "inputs": [_metadata(spec) for spec in subject.variant.inputs],
        "outputs": [_metadata(spec) for spec in subject.variant.outputs],
        "parameters": {"uri": f"./{version}", "version": version},
    }
    return json.dumps(settings, indent=2).encode()


def _metadata(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": list(spec.shape)}
