"""Loading: from a trained model's file to a normalised float .tflite. One reader a format, found by the suffix."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from converters.load.loaded import FloatModel, Loaded, LoadOptions, NumericCheck, Reader, Reference
from converters.load.numeric_check import check_inputs, check_numbers, run_float
from converters.load.tflite import Normalised, normalise
from edge_sdk.errors import ModelError
from edge_sdk.inputs import check_plain_file
from edge_sdk.tflite import describe

__all__ = ["FloatModel", "LoadOptions", "NumericCheck", "load"]

MAX_BYTES = 2 << 30  # a flatbuffer's offsets reach no further

_READERS = {
    ".tflite": "tflite",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".onnx": "onnx",
    ".pt2": "torch",
    ".pt": "torch",
    ".pth": "torch",
    ".py": "torch",
}
_FORMATS = ".keras, .h5, a SavedModel folder, .onnx, .pt2, .pt, .py and float .tflite"


def load(path: str | Path, options: LoadOptions | None = None) -> FloatModel:
    """Read a trained model, and check its numbers against the source framework.

    Args:
        path: the file or folder. ``model.py:function`` names a function of a Python file that returns a PyTorch module.
        options: see ``LoadOptions``.

    Raises:
        ModelError: if it is missing, damaged, of a format that is not read, of a form that cannot be made integer, or if its
            translation is wrong.
        MissingPackageError: if the framework that its format needs is not installed.
    """
    path, options = Path(path), options or LoadOptions()
    file = _file(path)
    reader: Reader = import_module(f"converters.load.{_reader(file)}")
    loaded = reader.read(path, options)
    translated = loaded.reference is not None  # from the signature that was asked for: the .tflite has no other
    normal = normalise(loaded.content, str(path), signature=None if translated else options.signature)
    return FloatModel(
        name=file.stem,
        content=normal.content,
        file=path.name,
        format=loaded.format,
        route=loaded.route,
        check=_check(loaded, normal, options, path),
        sha256=_hash(file),
        size_bytes=sum(each.stat().st_size for each in _files(file)),
        float16_weights_folded=normal.float16_weights_folded,
        notes=(*loaded.notes, *normal.notes),
    )


def _file(path: Path) -> Path:
    """The file or folder itself: ``model.py:function`` without the function."""
    name, colon, _ = path.name.rpartition(":")
    return path.with_name(name) if colon and name.endswith(".py") else path


def _reader(file: Path) -> str:
    if file.is_dir():
        if (file / "saved_model.pb").is_file() or (file / "saved_model.pbtxt").is_file():
            return "saved_model"
        raise ModelError(f"{file} is a folder without a saved_model.pb; a model is {_FORMATS}")
    suffix = file.suffix.lower()
    if suffix == ".pb":
        raise ModelError(
            f"{file}: give the SavedModel's folder, {file.parent}, not the file in it; a frozen graph alone is not read"
        )
    if suffix not in _READERS:
        raise ModelError(
            f"{file} is no model that is read: {suffix or 'a file without a suffix'} was found; a model is {_FORMATS}"
        )
    check_plain_file(file, ModelError, give="a trained model", most_bytes=None if suffix == ".onnx" else MAX_BYTES)
    return _READERS[suffix]


def _check(loaded: Loaded, normal: Normalised, options: LoadOptions, path: Path) -> NumericCheck:
    reference = loaded.reference
    if reference is None:
        model = describe(normal.runnable)
        inputs = check_inputs(model.tensors[model.inputs[0]].shape, options.real_range)
        reference = Reference("the .tflite as it was", inputs, run_float(normal.runnable, inputs))
    try:
        return check_numbers(normal.content, reference)
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc


def _files(file: Path) -> Iterator[Path]:
    return iter(sorted(p for p in file.rglob("*") if p.is_file())) if file.is_dir() else iter([file])


def _hash(file: Path) -> str:
    """SHA-256 of a file; of a folder, over the hash and relative name of every file in it."""
    if not file.is_dir():
        return _hash_of_one(file)
    lines = (f"{_hash_of_one(each)}  {each.relative_to(file)}\n" for each in _files(file))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hash_of_one(file: Path) -> str:
    with file.open("rb") as opened:
        digest = hashlib.sha256()
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()
