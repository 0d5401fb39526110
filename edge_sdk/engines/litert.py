"""The TensorFlow Lite interpreter, from whichever package has it: ai_edge_litert, tflite_runtime or tensorflow, in this order."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.engines import OPTIONS, Engine, Options
from edge_sdk.engines.options import check_options, number_of, threads_of
from edge_sdk.errors import EngineError, MissingPackageError
from edge_sdk.tensors import Array, TensorSpec

INTERPRETERS = ("ai_edge_litert", "tflite_runtime", "tensorflow")
_MODULES = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
ETHOS_U = "ethos-u"  # the operator of models that vela compiled
_ETHOS_DELEGATE = "libethosu_delegate.so"
_KEEPING = {"VAR_HANDLE", "SVDF", "LSTM", "RNN"}  # operators of streaming models: they go on where the last run ended
_SEQUENCES = {"UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"}
_SEQUENCES |= {"UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"}


def find_interpreter(packages: tuple[str, ...] = INTERPRETERS) -> tuple[str, Any]:
    """The first of these packages that has an interpreter here, and its interpreter module.

    Raises:
        MissingPackageError: if none is installed.
        EngineError: if the first one that is installed cannot be imported: falling back in silence would hide a broken installation.
    """
    for package in packages:
        try:
            return package, import_module(_MODULES[package])
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] != package:
                raise EngineError(
                    f"{package} is installed but cannot be imported: {exc}. Run: edge-sdk doctor"
                ) from exc
        except Exception as exc:  # a broken native library raises anything, numpy's version clash an AttributeError
            raise EngineError(f"{package} is installed but cannot be imported: {exc}. Run: edge-sdk doctor") from exc
    raise MissingPackageError(
        "an interpreter",
        needed_for="running a .tflite model",
        install="pip install edge-device-sdk (64 bits) or see edge-sdk doctor",
    )


class LitertEngine(Engine):
    """Runs a .tflite model on the processor.

    State is of two kinds. What a streaming model keeps in variables lasts until ``reset``. What a layer over a whole sequence keeps
    (a Keras LSTM that is not stateful becomes one such operator) begins anew with every run, as in the framework: the interpreter
    would let it run on.

    Args:
        model_path: the model.
        options: ``threads`` (default 1; more is slower on small models, measure with ``edge-sdk bench``), ``batch`` (default 1; so many
            samples a run, for a model that takes one) and ``delegate`` (name or path of the library that takes the operators of a model
            compiled for Ethos-U, default libethosu_delegate.so; other models need none).

    Raises:
        ConfigError: if an option is unknown.
        EngineError: if the interpreter refuses the model, or a tensor of it has no fixed shape or no numbers.
    """

    _batch = 1
    _ethos_delegate = _ETHOS_DELEGATE
    _delegate = ""  # in use

    def __init__(self, model_path: str, options: Options) -> None:
        check_options("litert", options, OPTIONS["litert"])
        self._ethos_delegate = options.get("delegate") or _ETHOS_DELEGATE
        self._batch = number_of("litert", "batch", options, 1_024)
        self._load(model_path, threads_of("litert", options), find_interpreter())

    def _load(self, model_path: str, threads: int, interpreter: tuple[str, Any]) -> None:
        self._package, self._module = interpreter
        self._threads = threads
        with quiet_native_stderr():
            self._interpreter = self._open(model_path=model_path)
        with _engine_errors(f"{self._package} refuses the model"):
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            self.inputs = tuple(_spec(d) for d in inputs)
            self.outputs = tuple(_spec(d) for d in outputs)
            operators = {each["op_name"] for each in self._interpreter._get_ops_details()}
        self.stateful = not operators.isdisjoint(_KEEPING)
        if self.stateful:
            self._content = Path(model_path).read_bytes()  # the path may be gone when it is reset
        self._begins_anew = not operators.isdisjoint(_SEQUENCES)
        self.input_arrays = tuple(np.zeros(s.shape, s.dtype) for s in self.inputs)
        self._set = tuple(d["index"] for d in inputs)
        self._get = tuple(d["index"] for d in outputs)
        self.description = self._described()

    @classmethod
    def warm(cls) -> None:
        """See the base class."""
        find_interpreter()

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        interpreter = self._interpreter
        try:
            if self._begins_anew:
                interpreter.reset_all_variables()
            for index, array in zip(self._set, self.input_arrays, strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            outputs = tuple([interpreter.get_tensor(index) for index in self._get])
        except Exception as exc:
            raise EngineError(f"the interpreter failed: {exc}") from exc
        for spec, output in zip(self.outputs, outputs, strict=True):
            if output.shape != spec.shape:
                raise EngineError(
                    f"output {spec.name!r} came in shape {output.shape}, the model states {spec.shape}: it is dynamic. "
                    "Convert the model with fixed shapes"
                )
        return outputs

    def reset(self) -> None:
        """See the base class.

        A new interpreter, in 0.1 to 0.3 ms: ``reset_all_variables`` leaves the variables of VAR_HANDLE as they are, and first values
        that are not zero are given by a subgraph that an interpreter runs once.
        """
        if self.stateful:
            self._interpreter = self._open(model_content=self._content)

    def _described(self, by: str = "") -> str:
        if self._delegate:
            by = f" on Ethos-U by {Path(self._delegate).name}"
        threads = f"{self._threads} thread{'s' if self._threads > 1 else ''}"
        return f"{self._package} {version_of(self._package)}{by}, {threads}"

    def _open(self, **model: Any) -> Any:
        try:
            with _engine_errors(f"{self._package} refuses the model"):
                return self._allocated(model)
        except EngineError as exc:
            if f"custom op: {ETHOS_U}" not in str(exc):
                raise
        model["experimental_delegates"] = [self._loaded_delegate()]
        with _engine_errors(f"{self._package} with {self._delegate} refuses the model"):
            return self._allocated(model)

    def _allocated(self, model: dict[str, Any]) -> Any:
        interpreter = self._module.Interpreter(num_threads=self._threads, **model)
        if self._batch > 1:
            _resize(interpreter, self._batch)
        interpreter.allocate_tensors()
        return interpreter

    def _loaded_delegate(self) -> Any:
        self._delegate = self._ethos_delegate
        try:
            ctypes.CDLL(self._delegate)  # load_delegate would print a traceback of its own where it cannot
            return self._module.load_delegate(self._delegate)
        except (OSError, ValueError) as exc:
            raise EngineError(
                f"the model is compiled for Ethos-U, and its delegate {self._delegate} cannot be loaded: {exc}. It comes with the "
                "system of a board that has one; the option delegate names another path"
            ) from exc


@contextlib.contextmanager
def _engine_errors(said: str) -> Iterator[None]:
    """Turn whatever an interpreter raises into EngineError: tflite-runtime under numpy 2 has SystemError, a damaged name UnicodeError."""
    try:
        yield
    except EngineError:
        raise
    except Exception as exc:
        compiled = "edgetpu-custom-op" in str(exc)
        way = ". It is compiled for the Edge TPU: run it with engine edgetpu" if compiled else ""
        raise EngineError(f"{said}: {exc}{way}") from exc


def _resize(interpreter: Any, batch: int) -> None:
    """Have each input take so many samples; each output must then have as many.

    Raises:
        EngineError: if it has not, as where the model reshapes to a fixed size.
    """
    interpreter.allocate_tensors()
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    wanted = [(d["name"], (batch, *map(int, d["shape"][1:]))) for d in details]
    if any(d["shape"].size == 0 or d["shape"][0] != 1 for d in details):
        raise EngineError(f"batch = {batch} needs a model of one sample, whose tensors all begin with an axis of 1")
    for place, each in enumerate(interpreter.get_input_details()):
        interpreter.resize_tensor_input(each["index"], wanted[place][1])
    try:
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as exc:
        raise EngineError(f"the model does not take batch = {batch}, as it is made for one sample: {exc}") from exc
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    for each, (name, shape) in zip(details, wanted, strict=True):
        found = tuple(map(int, each["shape"]))
        if found != shape:
            raise EngineError(f"the model mixes samples: with batch = {batch} {name!r} has shape {found}, not {shape}")


def _spec(details: Any) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    spec = TensorSpec(details["name"], shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))
    spec.check()
    return spec


def version_of(package: str) -> str:
    """The version of an interpreter's package."""
    for distribution in (package.replace("_", "-"), package, "tensorflow-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            return version(distribution)
    return "of unknown version"


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Drop the "INFO: Created TensorFlow Lite XNNPACK delegate" line that the native library prints at the first load."""
    try:
        keep = os.dup(2)
    except OSError:  # closed: nothing that is printed comes anywhere
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
