"""ONNX of a float .tflite, without a training framework: the opposite of ``converters.load.onnx``.

The graph is walked operator by operator (``walk``) with the channels where ONNX wants them (``layout``), so that a Transpose stands
only where numbers have to move. One file a family of operators; ``operators`` gathers them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.graph import read_graph
from converters.load.options import fill_options
from converters.targets.onnx.build import NEWEST_OPSET, OLDEST_OPSET
from converters.targets.onnx.values import NCHW, Weight
from converters.targets.onnx.walk import Walk
from edge_sdk.errors import ModelError, needs

if TYPE_CHECKING:
    import onnx

__all__ = ["Exported", "Weight", "export_onnx"]


@dataclass(frozen=True)
class Exported:
    """An ONNX model made of a .tflite.

    Attributes:
        model: checked; its IR version is the lowest that the opset allows.
        tensors: name of each computed float .tflite tensor: name of the ONNX tensor with the same numbers, where there is one. The
            sum before a fused activation has no .tflite tensor, and a tensor that is only seen otherwise (reshaped away) no ONNX one.
        axes: name of those .tflite tensors whose ONNX tensor lies otherwise: the .tflite axis at each of its places, so that
            ``np.transpose(tflite, axes)`` are the ONNX tensor's numbers.
        channels_first: ONNX tensors that are NCHW where the .tflite tensor is NHWC.
        weights: name of each initializer that is the weights of a Conv, ConvTranspose, Gemm or MatMul: where they come from.
    """

    model: onnx.ModelProto
    tensors: dict[str, str]
    axes: dict[str, tuple[int, ...]]
    channels_first: frozenset[str]
    weights: dict[str, Weight]


def export_onnx(content: bytes, *, opset: int = 17, inputs_nchw: bool = True) -> Exported:
    """Translate a float .tflite to ONNX.

    Inputs and outputs keep their names. Inputs of four axes come as NCHW, outputs stay as the .tflite has them.

    Args:
        content: a float .tflite of fixed shapes, as ``converters.load`` gives it.
        opset: of ONNX's own operators, 13 to 21. TensorRT 8.2 takes up to 13, 8.5 and 8.6 up to 17, 10 up to 21 and more.
        inputs_nchw: False leaves inputs as the .tflite has them too.

    Raises:
        ModelError: if the model is quantized, or has what ONNX cannot express; the operator is named.
        MissingPackageError: if onnx is not installed.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ModelError(f"there is no export to opset {opset}; {OLDEST_OPSET} to {NEWEST_OPSET} are allowed")
    with needs("onnx", for_="exporting to ONNX", extra="onnx"):
        import onnx
    model = read_graph(content)
    fill_options(model)
    walk = Walk(model, opset, inputs_nchw)
    made, names = walk.run()
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelError(f"the ONNX that was made of the model is not valid, a fault of this converter: {exc}") from exc
    values = walk.float_values(names)
    return Exported(
        model=made,
        tensors={tensor: names[value.name] for tensor, value in values.items()},
        axes={tensor: value.axes for tensor, value in values.items() if value.stored_otherwise},
        channels_first=frozenset(names[value.name] for value in values.values() if value.axes == NCHW),
        weights={names[key]: weight for key, weight in walk.weights.items() if key in names},
    )
