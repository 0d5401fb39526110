"""What OpenVINO makes of a model on the processor here: how many of its layers it computes in int8."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edge_sdk.openvino.archive import Archive
from edge_sdk.openvino.library import load_openvino, openvino_errors

_MATRICES = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_MOVES = (
    "Const",
    "Input",
    "Output",
    "Parameter",
    "Result",
    "Reorder",
    "Reshape",
    "Transpose",
    "Concatenation",
    "Split",
)


@dataclass(frozen=True)
class Executed:
    """Of a compiled model's layers.

    Attributes:
        integer: convolutions and matrix products in int8, of ``matrices`` in all.
        others: further layers that compute in floating point, by their type and precision, such as ``{"Softmax f32": 1}``.
    """

    integer: int
    matrices: int
    others: dict[str, int]

    def __str__(self) -> str:
        """In one sentence."""
        others = ", ".join(f"{count} {name}" for name, count in sorted(self.others.items()))
        rest = f"; other layers in floating point: {others}" if others else ""
        return f"On the processor here {self.integer} of {self.matrices} convolutions and matrix products run in int8{rest}."


def executed(archive: Archive) -> Executed:
    """Compile a model for the processor, and read what OpenVINO tells of it.

    Raises:
        EngineError: if OpenVINO cannot compile it.
    """
    core = load_openvino().Core()
    layers: Counter[tuple[str, str]] = Counter()
    with openvino_errors("OpenVINO cannot compile the model"):
        model = core.read_model(archive.graph, archive.weights)
        made = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"})
        for node in made.get_runtime_model().get_ops():
            told = node.get_rt_info()
            layers[str(told["layerType"].value), str(told["runtimePrecision"].value)] += 1
    matrices = {key: number for key, number in layers.items() if key[0] in _MATRICES}
    others = {
        f"{kind} {precision}": number
        for (kind, precision), number in layers.items()
        if kind not in (*_MATRICES, *_MOVES) and precision.startswith(("f", "bf"))
    }
    integer = sum(number for (_, precision), number in matrices.items() if precision in ("i8", "u8"))
    return Executed(integer, sum(matrices.values()), others)
