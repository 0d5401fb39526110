"""A .mar archive: a zip with MAR-INF/MANIFEST.json, the handler, the variant, its contract and its labels."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from converters.targets import served
from converters.targets.export.folder import write_files
from converters.targets.export.made import Export
from converters.targets.export.served import replay, requirements, runner_files
from converters.targets.export.subject import Subject
from edge_sdk.outputs import refuse_existing, replacing

KINDS = ("tflite-", "onnx-")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the same variant gives the same bytes


def make(subject: Subject, folder: Path, *, overwrite: bool) -> Export:
    """Write ``FOLDER/MODEL.mar``, once its handler has computed what the variant does.

    Raises:
        ModelError: if the handler does not compute it.
        OutputError: if the archive cannot be written.
    """
    path = folder / f"{subject.name}.mar"
    refuse_existing_in(folder, path, overwrite=overwrite)
    files = _files(subject)
    with TemporaryDirectory(prefix="edge-sdk-export-") as name:
        write_files(Path(name), files)
        agreement = subject.agreement(replay(subject, Path(name), "torchserve"))
    folder.mkdir(exist_ok=True)
    with replacing(path, overwrite=overwrite) as beside:
        beside.write_bytes(_zipped(files))
    needs = f"its Python needs {' and '.join(requirements(subject))}"
    return Export(
        "torchserve", path, agreement, (f"torchserve --start --model-store {folder} --models {path.name}   # {needs}",)
    )


def refuse_existing_in(folder: Path, path: Path, *, overwrite: bool) -> None:
    """As ``refuse_existing``; the folder itself may still have to be made."""
    refuse_existing(
        path if folder.exists() else folder.with_name(path.name), overwrite=overwrite or not folder.exists()
    )


def _files(subject: Subject) -> dict[str, bytes]:
    manifest = {
        "runtime": "python",
        "model": {"modelName": subject.name, "modelVersion": f"{subject.version}.0", "handler": "edge_handler.py"},
        "archiverVersion": "0.12.0",
    }
    return {
        "MAR-INF/MANIFEST.json": json.dumps(manifest, indent=2).encode(),
        "edge_handler.py": Path(__file__).with_name("edge_handler.py").read_bytes(),
        "edge_v2.py": Path(served.__file__).with_name("edge_v2.py").read_bytes(),
        **runner_files(subject),
        **subject.beside(),
    }


def _zipped(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), files[name])
    return content.getvalue()
