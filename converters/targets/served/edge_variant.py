"""Runs one variant of a bundle with LiteRT or ONNX Runtime, as ``variant.json`` beside it says. It needs NumPy and that runtime only."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

DATATYPES = {  # of the Open Inference Protocol, by NumPy's names
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "uint16": "UINT16",
    "uint32": "UINT32", "uint64": "UINT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip


class RequestError(ValueError):
    """A request does not fit the model; the message may be shown to who asked."""


class Variant:
    """The model in a folder; ``run`` may be called from several threads, which then take turns.

    Args:
        folder: has ``variant.json`` (runtime, file, sha256, inputs, outputs, threads, providers) and the file that it names.

    Raises:
        RuntimeError: if the file is damaged, or its runtime cannot run it as the settings say.
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / "variant.json").read_text())
        content = (folder / settings["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != settings["sha256"]:
            raise RuntimeError(
                f"{settings['file']} is not the file that was exported: its SHA-256 differs; export it again"
            )
        self.inputs: list[dict[str, Any]] = settings["inputs"]
        self.outputs: list[dict[str, Any]] = settings["outputs"]
        self._model = _RUNTIMES[settings["runtime"]](content, settings)
        self._turn = threading.Lock()

    def run(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name for inputs by name, each an array of the stated shape and dtype.

        Raises:
            RequestError: if an input is missing, unknown, or of another shape or dtype.
        """
        names = [each["name"] for each in self.inputs]
        if sorted(given) != sorted(names):
            raise RequestError(f"the model's inputs are {', '.join(names)}; found {', '.join(sorted(given)) or 'none'}")
        arrays = [_checked(given[each["name"]], each) for each in self.inputs]
        with self._turn:
            made = self._model.run(arrays)
        return {each["name"]: array for each, array in zip(self.outputs, made)}  # noqa: B905 - servers run Python 3.9 too


def _checked(array: Any, wanted: Mapping[str, Any]) -> Any:
    shape = tuple(wanted["shape"])
    if array.dtype.name != wanted["dtype"] or array.shape != shape:
        raise RequestError(
            f"input {wanted['name']} is {wanted['dtype']} of shape {list(shape)}; found {array.dtype.name} of shape {list(array.shape)}"
        )
    return np.ascontiguousarray(array)


class _LiteRt:
    def __init__(self, content: bytes, settings: Mapping[str, Any]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content, num_threads=settings["threads"])
        self._interpreter.allocate_tensors()
        self._inputs = [each["index"] for each in self._interpreter.get_input_details()]
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def run(self, arrays: list[Any]) -> list[Any]:
        self._interpreter.reset_all_variables()  # a layer over a whole sequence begins anew
        for index, array in zip(self._inputs, arrays):  # noqa: B905
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class _OnnxRuntime:
    def __init__(self, content: bytes, settings: Mapping[str, Any]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings["threads"]
        self._session = onnxruntime.InferenceSession(content, options, providers=settings["providers"])
        if missing := [name for name in settings["providers"] if name not in self._session.get_providers()]:
            raise RuntimeError(
                f"ONNX Runtime did not load {', '.join(missing)}; change providers in variant.json, or install it"
            )
        self._inputs = [each.name for each in self._session.get_inputs()]

    def run(self, arrays: list[Any]) -> list[Any]:
        return list(self._session.run(None, dict(zip(self._inputs, arrays))))  # noqa: B905


_RUNTIMES: dict[str, Any] = {"litert": _LiteRt, "onnxruntime": _OnnxRuntime}
