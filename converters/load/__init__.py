"""Loading: from a trained model's file to a normalised float .tflite. One file a format, found by the suffix."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from edge_sdk.errors import ModelError
from edge_sdk.inputs import read_plain_file

MAX_BYTES = 2 << 30  # a flatbuffer's offsets reach no further

_LOADERS = {".tflite": "converters.load.tflite"}

_ON_THE_WAY = {
    ".keras": "from Keras: model.export('model.tflite', format='litert')",
    ".h5": "from Keras: keras.models.load_model(...).export('model.tflite', format='litert')",
    ".hdf5": "from Keras: keras.models.load_model(...).export('model.tflite', format='litert')",
    ".pb": "with TensorFlow: tf.lite.TFLiteConverter.from_saved_model(folder).convert(), without optimizations",
    ".onnx": "with onnx2tf: onnx2tf -i model.onnx, and take the float32 .tflite",
    ".pt2": "with litert-torch: litert_torch.convert(model, sample_inputs).export('model.tflite')",
    ".pt": "with litert-torch: litert_torch.convert(model, sample_inputs).export('model.tflite')",
    ".pth": "with litert-torch: litert_torch.convert(model, sample_inputs).export('model.tflite')",
}


@dataclass(frozen=True)
class FloatModel:
    """A float .tflite, normalised: one subgraph, one signature, fixed shapes, float32 constants, unique tensor names.

    Attributes:
        name: the file's stem.
        content: the normalised model.
        file: name of the file it came from, without the folder.
        format: such as ``"float .tflite"``.
        sha256: of the file it came from.
        size_bytes: of the file it came from.
        float16_weights_folded: constants that stood as float16.
        notes: what else was changed, one sentence each.
    """

    name: str
    content: bytes
    file: str
    format: str
    sha256: str
    size_bytes: int
    float16_weights_folded: int = 0
    notes: tuple[str, ...] = ()


def load(path: str | Path) -> FloatModel:
    """Read a trained model.

    Raises:
        ModelError: if the file is missing, damaged, of a format that this version does not read, or of a form that cannot be
            made integer.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_dir():
        hint = _ON_THE_WAY[".pb"] if (path / "saved_model.pb").is_file() else "give the model's file"
        raise ModelError(f"{path} is a folder; this version reads float .tflite files. To get one: {hint}")
    if suffix not in _LOADERS:
        known = _ON_THE_WAY.get(suffix)
        hint = f" To get one: {known}" if known else ""
        raise ModelError(f"{path}: this version reads float .tflite, not {suffix or 'files without a suffix'}.{hint}")
    content = read_plain_file(path, ModelError, give="a float .tflite model", most_bytes=MAX_BYTES)
    loaded = import_module(_LOADERS[suffix]).normalise(content, str(path))
    return FloatModel(
        name=path.stem,
        content=loaded.content,
        file=path.name,
        format="float .tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        float16_weights_folded=loaded.float16_weights_folded,
        notes=loaded.notes,
    )
