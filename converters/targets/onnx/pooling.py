"""Pooling over windows. The padding of an average is not counted."""

from __future__ import annotations

from functools import partial
from typing import Any

from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import NCHW, Value
from converters.targets.onnx.windows import pads


def _pool(operator: str, call: Call, **attributes: Any) -> Value:
    value = call.layout.arranged(call.value(0), NCHW)
    kernel = (call.option("filterHeight"), call.option("filterWidth"))
    strides = (call.option("strideH"), call.option("strideW"))
    around = pads(call.option("padding"), value.shape[1:3], call.shape[1:3], kernel, strides, (1, 1))
    return call.build.emit(
        operator, [value], call.shape, NCHW, kernel_shape=kernel, strides=strides, pads=around, **attributes
    )


TRANSLATORS: dict[str, Translator] = {
    "AVERAGE_POOL_2D": partial(_pool, "AveragePool", count_include_pad=0),
    "MAX_POOL_2D": partial(_pool, "MaxPool"),
}
