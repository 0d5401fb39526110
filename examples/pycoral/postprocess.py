"""Gives an SSD the end that pycoral's ``get_objects`` reads: TFLite_Detection_PostProcess, which every interpreter has.

It takes boxes relative to anchors, probabilities, and the anchors (y, x, height, width), and gives boxes, classes, scores and their number.
Source: tensorflow/lite/kernels/detection_postprocess.cc.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

_MOST = 20  # things in one picture


def add_postprocess(
    model: bytes, anchors: npt.NDArray[np.float32], *, boxes: str, logits: str, scale: float = 10.0
) -> bytes:
    """The model with the four outputs of TFLite_Detection_PostProcess.

    Args:
        model: a .tflite with raw heads, float or quantized.
        anchors: (n, 4): centre x, centre y, width, height, relative to the input.
        boxes: its output of box encodings (1, n, 4), y first; ``logits``: of classes (1, n, classes), the first of which is the background.
        scale: encodings are centres times ``scale`` and sizes times half of it.
    """
    graph = _Graph(model)
    encodings, classes = graph.real(boxes), graph.real(logits)
    scores = graph.tensor("scores", graph.shape(classes))
    graph.operator("LOGISTIC", [classes], [scores])
    constant = graph.tensor("anchors", anchors.shape, anchors[:, [1, 0, 3, 2]])
    shapes = {"boxes": (1, _MOST, 4), "classes": (1, _MOST), "found": (1, _MOST), "count": (1,)}
    outputs = [graph.tensor(f"postprocess_{name}", shape) for name, shape in shapes.items()]
    options = {
        "max_detections": _MOST,
        "max_classes_per_detection": 1,
        "detections_per_class": 100,
        "use_regular_nms": False,
        "nms_score_threshold": 0.05,
        "nms_iou_threshold": 0.5,
        "num_classes": graph.shape(classes)[2] - 1,
        "y_scale": scale, "x_scale": scale, "h_scale": scale / 2, "w_scale": scale / 2,
    }  # fmt: skip
    graph.operator("TFLite_Detection_PostProcess", [encodings, scores, constant], outputs, flexbuffers.Dumps(options))
    return graph.build(outputs)


class _Graph:
    """A model that operators are put behind."""

    def __init__(self, model: bytes) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(model, 0)
        self._graph = self._model.subgraphs[0]

    def real(self, name: str) -> int:
        """The tensor of this name, as float32."""
        index = next(i for i in self._graph.outputs if self._graph.tensors[i].name.decode() == name)
        if self._graph.tensors[index].type == schema.TensorType.FLOAT32:
            return int(index)
        made = self.tensor(f"{name}_real", self.shape(index))
        self.operator("DEQUANTIZE", [index], [made])
        return made

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self._graph.tensors[index].shape)

    def tensor(self, name: str, shape: tuple[int, ...], data: npt.NDArray[np.float32] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = (
            name,
            np.array(shape, np.int32),
            schema.TensorType.FLOAT32,
            0,
        )
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.astype(np.float32).tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            tensor.buffer = len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(self, name: str, inputs: list[int], outputs: list[int], custom: bytes | None = None) -> None:
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        operator: Any = schema.OperatorT()
        if custom is not None:
            code.customCode, operator.customOptions = name, np.frombuffer(custom, np.uint8)
        self._model.operatorCodes.append(code)
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        self._graph.operators.append(operator)

    def build(self, outputs: list[int]) -> bytes:
        self._graph.outputs = np.array(outputs, np.int32)
        self._model.signatureDefs = []  # it names the outputs of before
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
