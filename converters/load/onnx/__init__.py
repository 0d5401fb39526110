"""ONNX: from an .onnx file to a float .tflite, without a training framework.

The graph is folded (``fold``), walked node by node (``walk``), and written with the channels last (``layout``). One file a family of
operators; ``operators`` gathers them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.axes import plain
from converters.graph import write_graph
from converters.load.loaded import Loaded, LoadOptions
from converters.load.onnx.read import read_source
from converters.load.onnx.reference import reference
from converters.load.onnx.values import Value, channels_last
from converters.load.onnx.walk import Walk
from converters.load.worker import translate

__all__ = ["Imported", "import_onnx", "read", "reference"]


def read(path: Path, options: LoadOptions) -> Loaded:
    """See ``Reader``; ONNX Runtime, which runs the model for the numeric check, is native code and works in a process of its own."""
    return translate("converters.load.onnx.child", path, options)


@dataclass(frozen=True)
class Imported:
    """A float .tflite made of an ONNX model.

    Attributes:
        content: the .tflite.
        notes: what was changed, one sentence each.
        nhwc_input: whether the axes of the ONNX input were (batch, channels, ...) and now end with the channels.
        nhwc_outputs: the same of each output.
    """

    content: bytes
    notes: tuple[str, ...]
    nhwc_input: bool
    nhwc_outputs: tuple[bool, ...]


def import_onnx(content: bytes, *, input_shape: tuple[int, ...] | None = None, folder: Path | None = None) -> Imported:
    """Translate an ONNX model to a float .tflite.

    Args:
        content: the .onnx file.
        input_shape: of its input, in the order of the file, where the file leaves axes open.
        folder: where the model lies; weights stored outside the file are read from there, and from nowhere else.

    Raises:
        ModelError: if it is damaged, hostile, quantized, or has what TensorFlow Lite cannot express; all problems are listed.
    """
    source = read_source(content, input_shape, folder)
    model, entry, outputs = Walk(source).run()
    turned = tuple(_turned(value) for value in outputs)
    notes = list(source.notes)
    if _turned(entry):
        notes.append(f"Input {source.input!r} became {entry.stored}: the channels stand last.")
    notes += [
        f"Output {name!r} became {value.stored}: the channels stand last."
        for name, value, moved in zip(source.outputs, outputs, turned, strict=True)
        if moved
    ]
    del source  # its weights are in the graph now: they need not be in memory a third time when it is written
    return Imported(write_graph(model), tuple(notes), _turned(entry), turned)


def _turned(value: Value) -> bool:
    rank = len(value.shape)
    return value.axes == channels_last(rank) != plain(rank)
