"""A .tflite model as OpenVINO's intermediate representation (IR)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.targets.openvino.lookups import bound_places
from converters.targets.openvino.weights import settle_weights
from edge_sdk.errors import EngineError, ModelError
from edge_sdk.openvino.archive import GRAPH, NOTES, WEIGHTS, Archive
from edge_sdk.openvino.library import load_openvino, openvino_errors
from edge_sdk.tensors import TensorSpec


@dataclass(frozen=True)
class Converted:
    """An IR.

    Attributes:
        archive: it.
        operators: how many of each it has, constants and ends apart.
        settled: convolutions whose weights were brought to the form that plugins take for int8.
    """

    archive: Archive
    operators: dict[str, int]
    settled: int


def to_ir(
    content: bytes, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], *, half: bool = False
) -> Converted:
    """Convert a .tflite model.

    Args:
        content: the model, its buffers inside the flatbuffer.
        inputs, outputs: its tensors; their names, order and quantization go into the IR.
        half: whether weights are stored in half precision.

    Raises:
        MissingPackageError: if OpenVINO is not installed.
        ModelError: if OpenVINO cannot read the model; the message has its reason.
    """
    openvino = load_openvino()
    try:
        with tempfile.TemporaryDirectory(prefix="edge-sdk-openvino-") as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(content)
            with openvino_errors("OpenVINO cannot read the .tflite model"):
                model = openvino.Core().read_model(path)
                if model.is_dynamic():  # by the file's shape signature; what runs is of fixed shape
                    model.reshape({spec.name: list(spec.shape) for spec in inputs})
                model = openvino.Model(_in_order(model.outputs, outputs), _parameters(model, inputs), "model")
                settled = settle_weights(model)
                bound_places(model)
                _note(model, inputs, outputs)
                _rename(model)
                openvino.save_model(model, Path(folder) / GRAPH, compress_to_fp16=half)
            archive = Archive((Path(folder) / GRAPH).read_bytes(), (Path(folder) / WEIGHTS).read_bytes())
            return Converted(archive, _operators(model), settled)
    except EngineError as exc:
        raise ModelError(str(exc)) from exc


def _in_order(ports: list[Any], specs: tuple[TensorSpec, ...]) -> list[Any]:
    """The ports in the order of the .tflite model, found by their names.

    Raises:
        ModelError: if a tensor is missing, or has another shape or type.
    """
    found = []
    for spec in specs:
        port = next((each for each in ports if spec.name in each.names), None)
        if port is None:
            raise ModelError(
                f"OpenVINO's model has no tensor {spec.name!r}; it has {', '.join(p.any_name for p in ports)}"
            )
        shape = port.partial_shape
        if shape.is_dynamic or tuple(port.shape) != spec.shape or port.element_type.to_dtype() != spec.dtype:
            raise ModelError(f"OpenVINO reads tensor {spec} as {port.element_type.get_type_name()} {shape}")
        port.get_tensor().set_names({spec.name})
        found.append(port)
    return found


def _parameters(model: Any, inputs: tuple[TensorSpec, ...]) -> list[Any]:
    nodes = {node.get_friendly_name(): node for node in model.get_parameters()}
    return [nodes[port.get_node().get_friendly_name()] for port in _in_order(model.inputs, inputs)]


def _note(model: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    for kind, specs in (("input", inputs), ("output", outputs)):
        for number, spec in enumerate(specs):
            if spec.quantized:
                model.set_rt_info(f"{spec.scale!r} {spec.zero_point}", [NOTES, f"{kind}_{number}"])


def _rename(model: Any) -> None:
    """OpenVINO numbers operators over the whole process: the same model would not be the same bytes."""
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{number}")


def _operators(model: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in model.get_ordered_ops():
        name = node.get_type_name()
        if name not in ("Constant", "Parameter", "Result"):
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
