"""ONNX Runtime: an ONNX model on TensorRT, CUDA or the processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_sdk.engines import Engine, Options
from edge_sdk.errors import EngineError
from edge_sdk.onnx.model import read_model
from edge_sdk.onnx.providers import board_providers, choose
from edge_sdk.onnx.runtime import find_runtime
from edge_sdk.onnx.session import open_session
from edge_sdk.onnx.settings import settings_from
from edge_sdk.printable import printable
from edge_sdk.tensors import DTYPES, Array, TensorSpec

_DTYPES = {f"tensor({name})": name for name in DTYPES} | {"tensor(float)": "float32", "tensor(double)": "float64"}
_TRY_HANG_MS = 10_000


class OnnxEngine(Engine):
    """Runs an ONNX model of fixed shapes, its weights inside, by operators of ONNX alone.

    ONNX does not say how numbers at its border are quantized: its tensors have no scale.

    Args:
        model_path: the model.
        options: ``providers`` (some of tensorrt, cuda, cpu, in the order in which they may take operators; default those of the board that
            this onnxruntime has; without cpu, nothing may run there), ``threads`` (default 1), ``spin`` (on or off), ``cache`` (folder of
            what TensorRT builds), ``build_s`` (the longest for a build), ``int8`` and ``fp16`` (on or off; default as the model is),
            ``workspace_mb``, ``gpu`` (number).

    Raises:
        ConfigError: if an option is unknown or out of range.
        MissingPackageError: if onnxruntime is not installed.
        EngineError: if the model is refused, or a provider did not load.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        settings = settings_from(options)
        runtime = find_runtime()
        opened = open_session(runtime, model_path, read_model(model_path), settings)
        self._session: Any = opened.session
        self.inputs = tuple(_spec("input", each) for each in self._session.get_inputs())
        self.outputs = tuple(_spec("output", each) for each in self._session.get_outputs())
        self.input_arrays = tuple(np.zeros(spec.shape, spec.dtype) for spec in self.inputs)
        self._outputs = tuple(np.empty(spec.shape, spec.dtype) for spec in self.outputs)
        threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
        self.description = f"onnxruntime {runtime.__version__}, {opened.said}, {threads}"
        self._bound: tuple[Array, ...] | None = None
        self._binding: Any = None

    @classmethod
    def warm(cls) -> None:
        """See the base class."""
        find_runtime()
        board_providers()

    @classmethod
    def try_out(cls, model: bytes, options: Options) -> None:
        """What TensorRT builds, it builds in a process of its own, where it can be ended; then it is in the cache."""
        from edge_sdk.engines.process import ProcessEngine

        if "tensorrt" in choose(find_runtime(), settings_from(options).providers).names:
            ProcessEngine("onnx", model, options, hang_ms=_TRY_HANG_MS).close()

    @classmethod
    def hint(cls, options: Options) -> str:
        """See the base class."""
        named = settings_from(options).providers or board_providers()
        return "if TensorRT was building, allow it more seconds with the option build_s" if "tensorrt" in named else ""

    def run(self) -> tuple[Array, ...]:
        """See the base class. Input and output arrays are ONNX Runtime's own tensors: nothing is copied."""
        if self._bound is not self.input_arrays:
            self._bind()
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as exc:
            raise EngineError(f"onnxruntime failed: {exc}") from exc
        return self._outputs

    def close(self) -> None:
        """See the base class."""
        self._session = self._binding = self._bound = None

    def _bind(self) -> None:
        if self._session is None:
            raise EngineError("the engine is closed")
        binding = self._session.io_binding()
        for spec, array in zip(self.inputs, self.input_arrays, strict=True):
            if array.shape != spec.shape or array.dtype != spec.dtype or not array.flags.c_contiguous:
                raise EngineError(
                    f"input {spec.name!r} takes a contiguous array of {spec.dtype} and {spec.shape}; "
                    f"found {array.dtype} and {array.shape}"
                )
            binding.bind_input(spec.name, "cpu", 0, array.dtype.type, list(spec.shape), array.ctypes.data)
        for spec, array in zip(self.outputs, self._outputs, strict=True):
            binding.bind_output(spec.name, "cpu", 0, array.dtype.type, list(spec.shape), array.ctypes.data)
        self._binding, self._bound = binding, self.input_arrays


def _spec(side: str, found: Any) -> TensorSpec:
    name = printable(found.name)
    if found.type not in _DTYPES:
        raise EngineError(
            f"engine onnx refuses the model: {side} {name!r} is {found.type}; tensors of numbers can be used. Export the model without it"
        )
    if not all(isinstance(axis, int) for axis in found.shape):
        shape = ", ".join(printable(str(axis or "?")) for axis in found.shape)
        raise EngineError(
            f"engine onnx refuses the model: {side} {name!r} has shape ({shape}): it is dynamic. Export the model with fixed shapes"
        )
    spec = TensorSpec(found.name, tuple(found.shape), _DTYPES[found.type])
    try:
        spec.check()
    except ValueError as exc:
        raise EngineError(f"engine onnx refuses the model: {exc}") from exc
    return spec
