"""OpenVINO: Intel's processors, GPUs and NPUs, and with its release 2022.3 the Movidius Neural Compute Stick 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.engines import OPTIONS, Engine, Options
from edge_sdk.engines.options import check_options, threads_of
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.openvino.archive import NOTES, Archive, read_archive
from edge_sdk.openvino.cache import compiled, key_of
from edge_sdk.openvino.library import (
    check_device_name,
    check_execution,
    find_device,
    is_old,
    load_openvino,
    openvino_errors,
    reason,
    version_of,
)
from edge_sdk.tensors import Array, TensorSpec

_WITHOUT_FUSION = {"SNIPPETS_MODE": "DISABLE"}
"""On one thread OpenVINO 2026.4 makes one layer of matrix products that follow each other (its pass TokenizeMLPSeqSnippets), and of int8
ones this layer can compute nonsense. The property is not among those that a device states, and taken all the same."""
PRECISIONS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}  # by how OpenVINO prints its types


class OpenVinoEngine(Engine):
    """Runs a variant of kind ``openvino``.

    Nothing is taken by chance: the device is the one that was named, or the processor; floating-point operators run in ``precision``, which
    OpenVINO would lower to bfloat16 on processors that have it; and what OpenVINO does otherwise is an error. Inputs and outputs are
    arrays that OpenVINO reads and writes in place.

    Args:
        model_path: the model, see ``edge_sdk.openvino.archive``.
        options: ``device`` (CPU, GPU, GPU.1, NPU, MYRIAD or AUTO; default CPU), ``threads`` (of the processor, default 1), ``precision``
            (f32, f16 or bf16; default f32 on the processor, elsewhere the device's own) and ``cache`` (a folder for compiled models;
            default none).

    Raises:
        ConfigError: if an option is unknown or of another form.
        MissingPackageError: if OpenVINO is not installed.
        DeviceError: if there is no such device.
        EngineError: if the model is damaged, or OpenVINO cannot run it there and so.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        check_options("openvino", options, OPTIONS["openvino"])
        self._threads = threads_of("openvino", options)
        self._precision = _precision(options)
        self._request: Any = None
        device = options.get("device") or "CPU"
        check_device_name(device)
        self._openvino = load_openvino()
        self._how = {} if is_old(self._openvino) else {"share_outputs": True}  # else it copies each of them once more
        archive = read_archive(Path(model_path))
        if is_old(self._openvino) and b'"FakeQuantize"' in archive.graph:
            raise EngineError(
                f"OpenVINO {version_of(self._openvino)} crashes on int8 models, and its MYRIAD has no int8; run the variant "
                "openvino-float16"
            )
        core = self._openvino.Core()
        find_device(core, device)
        with openvino_errors("OpenVINO refuses the model"):
            model = core.read_model(archive.graph, archive.weights)
        self._load(core, model, archive, device, options.get("cache", ""))

    def _load(self, core: Any, model: Any, archive: Archive, device: str, cache: str) -> None:
        self.inputs = tuple(_spec(model, "input", number, port) for number, port in enumerate(model.inputs))
        self.outputs = tuple(_spec(model, "output", number, port) for number, port in enumerate(model.outputs))
        properties = self._properties(core, device, archive.graph)
        if cache:
            key = key_of(self._openvino, core, archive.graph + archive.weights, device, properties)
            made, done = compiled(core, model, key, properties, Path(cache))
        else:
            with openvino_errors(f"OpenVINO cannot compile the model for {device}"):
                made, done = core.compile_model(model, device, properties), ""
        self.description = self._described(made, device, done)
        with openvino_errors("OpenVINO cannot prepare the model"):
            self._request = made.create_infer_request()
            self._states = self._request.query_state()
        self.stateful = bool(self._states)
        self.input_arrays = tuple(np.zeros(s.shape, s.dtype) for s in self.inputs)
        self._output_arrays = tuple(np.zeros(s.shape, s.dtype) for s in self.outputs)
        with openvino_errors("OpenVINO does not take our outputs"):
            for number, array in enumerate(self._output_arrays):
                self._request.set_output_tensor(number, self._openvino.Tensor(array, shared_memory=True))
        self._bind()

    @classmethod
    def warm(cls) -> None:
        """See the base class. The library starts its threads when a model is compiled, and opens devices when they are asked for."""
        load_openvino()

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        if self.input_arrays is not self._bound:
            self._bind()
        try:
            self._request.infer(**self._how)
        except Exception as exc:
            if self._request is None:
                raise EngineError("the engine is closed") from None
            raise EngineError(f"OpenVINO failed: {reason(exc)}") from exc
        return self._output_arrays

    def reset(self) -> None:
        """See the base class."""
        with openvino_errors("OpenVINO cannot reset the model"):
            for state in self._states:
                state.reset()

    def close(self) -> None:
        """See the base class."""
        self._request, self._states = None, []

    def _bind(self) -> None:
        """Have OpenVINO read the arrays that stand in ``input_arrays`` now, where they lie."""
        with openvino_errors("OpenVINO does not take the input arrays"):
            for number, array in enumerate(self.input_arrays):
                self._request.set_input_tensor(number, self._openvino.Tensor(array, shared_memory=True))
        self._bound = self.input_arrays

    def _properties(self, core: Any, device: str, graph: bytes) -> dict[str, Any]:
        """What the model is compiled with: of these, what the device knows."""
        wanted: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "AUTO":
            return wanted
        precision = self._precision or ("f32" if device == "CPU" else "")
        if precision:
            wanted["INFERENCE_PRECISION_HINT"] = precision
        wanted["NUM_STREAMS"] = "1"
        if device == "CPU":
            # Pinned threads of two engines, each of one thread, would share the first core.
            wanted |= {"INFERENCE_NUM_THREADS": self._threads, "ENABLE_CPU_PINNING": False}
        with openvino_errors(f"OpenVINO cannot open {device}"):
            known = set(core.get_property(device, "SUPPORTED_PROPERTIES"))
        if self._precision and "INFERENCE_PRECISION_HINT" not in known:
            raise EngineError(
                f"precision {self._precision} was asked for, and {device} has no such choice; leave it out"
            )
        told = {name: value for name, value in wanted.items() if name in known}
        return told | (_WITHOUT_FUSION if device == "CPU" and _has_int8_products(graph) else {})

    def _described(self, made: Any, device: str, done: str) -> str:
        """What runs the model; raises EngineError if that is not what was asked for."""
        runs_on = check_execution(device, _property(made, "EXECUTION_DEVICES"))
        precision = PRECISIONS.get(_type_name(_property(made, "INFERENCE_PRECISION_HINT")), "")
        if self._precision and device != "AUTO" and precision != self._precision:
            raise EngineError(
                f"precision {self._precision} was asked for, and OpenVINO runs the model on {runs_on} in {precision or 'another'}; "
                "name that, or leave it out"
            )
        threads = f"{self._threads} thread{'s' if self._threads > 1 else ''}" if device == "CPU" else ""
        version = version_of(self._openvino).partition("-")[0]
        return ", ".join(filter(None, (f"openvino {version} on {runs_on}", precision, threads, done)))


def _has_int8_products(graph: bytes) -> bool:
    """Whether there are quantized matrix products that OpenVINO may fuse."""
    return b'"FakeQuantize"' in graph and graph.count(b'type="MatMul"') > 1


def _precision(options: Options) -> str:
    precision = options.get("precision", "")
    if precision and precision not in PRECISIONS.values():
        raise ConfigError(f"engine openvino: precision is {', '.join(PRECISIONS.values())}; found {precision!r}")
    return precision


def _type_name(of: object) -> str:
    """Of ``<Type: 'float32'>``, what stands in quotes; empty of anything else."""
    return str(of).partition("'")[2].partition("'")[0]


def _property(made: Any, name: str) -> Any:
    """Of a compiled model; None where its device does not know it."""
    with openvino_errors(f"OpenVINO does not tell {name}"):
        return made.get_property(name) if name in made.get_property("SUPPORTED_PROPERTIES") else None


def _spec(model: Any, kind: str, number: int, port: Any) -> TensorSpec:
    """An input or output, with the quantization that stands in the model's notes.

    Raises:
        EngineError: if its shape is not fixed, no engine can have it, or the note is damaged.
    """
    with openvino_errors("OpenVINO refuses the model"):
        name = port.any_name if port.names else f"{kind} {number}"
        if port.partial_shape.is_dynamic:
            raise EngineError(f"{kind} {name!r} has shape {port.partial_shape}; convert the model with fixed shapes")
        dtype = np.dtype(port.element_type.to_dtype()).name
        path = [NOTES, f"{kind}_{number}"]
        note = model.get_rt_info(path) if model.has_rt_info(path) else "0 0"
        scale, zero_point = str(getattr(note, "value", note)).split()  # text up to release 2022.3
        spec = TensorSpec(name, tuple(port.shape), dtype, float(scale), int(zero_point))
        spec.check()
    return spec
