"""What TensorFlow Lite's integer kernels exist and demand of their scales, as data.

Each entry was tried in the interpreter against the float operator, with and without XNNPACK (tests/test_quantize_kernels.py does it
again). What an operator needs that has none: a table (``tables``), if its output element depends on one input element alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from converters.quantize.quantization import Quantization


@dataclass(frozen=True)
class Kernel:
    """One operator's integer kernels.

    Attributes:
        dtypes: of the activations that there is a kernel for.
        scales: the output has a scale of its own; or it is tied: output and input have one scale; or joint: the same, of several
            inputs, each of which may have to be requantized.
        fixed: the output's quantization, by dtype, where the kernel prescribes it.
    """

    dtypes: tuple[str, ...] = ("int8", "int16")
    scales: Literal["own", "tied", "joint"] = "own"
    fixed: Mapping[str, Quantization] = field(default_factory=dict)


def _fixed(int8: Quantization, *, int16: bool = True) -> Kernel:
    if not int16:
        return Kernel(("int8",), fixed={"int8": int8})
    return Kernel(fixed={"int8": int8, "int16": Quantization("int16", 1 / 32768)})


WEIGHTED = {  # operator: where its input, weights and bias stand, and the weights' axis of output channels
    "CONV_2D": (0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (0, 1, 2, 0),
    "TRANSPOSE_CONV": (2, 1, 3, 0),
}

_OWN, _OWN_INT8 = Kernel(), Kernel(("int8",))
_TIED, _TIED_INT8 = Kernel(scales="tied"), Kernel(("int8",), "tied")
_JOINT = Kernel(scales="joint")
_UNIT = Quantization("int8", 1 / 256, -128)  # 0 to 1

_COMPARISONS = ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL")  # the int16 ones ignore scales

KERNELS: dict[str, Kernel] = {
    **dict.fromkeys(WEIGHTED, _OWN),
    **dict.fromkeys(("ADD", "SUB", "MUL", "MEAN", "SUM", "REDUCE_PROD", "BATCH_MATMUL", "LEAKY_RELU", "RELU", "RELU6", "ABS", "EXP",
                     "GELU"), _OWN),
    **dict.fromkeys(("PRELU", "RSQRT", "RELU_N1_TO_1", "RELU_0_TO_1", "ELU", "HARD_SWISH", "SQUARED_DIFFERENCE", "ARG_MAX", "ARG_MIN",
                     *_COMPARISONS), _OWN_INT8),
    **dict.fromkeys(("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "MIRROR_PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D",
                     "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "GATHER",
                     "GATHER_ND", "TILE", "REVERSE_V2", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "BROADCAST_TO", "REDUCE_MAX",
                     "REDUCE_MIN", "TOPK_V2"), _TIED),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), _TIED_INT8),
    **dict.fromkeys(("CONCATENATION", "PACK", "MAXIMUM", "MINIMUM", "PADV2", "SELECT", "SELECT_V2", "DYNAMIC_UPDATE_SLICE"), _JOINT),
    "ONE_HOT": Kernel(("int8",), "joint"),
    "CAST": Kernel(fixed={"int8": Quantization("int8", 1.0), "int16": Quantization("int16", 1.0)}),  # of integers to real numbers
    "LOGISTIC": _fixed(_UNIT),
    "SOFTMAX": _fixed(_UNIT),
    "TANH": _fixed(Quantization("int8", 1 / 128)),
    "L2_NORMALIZATION": _fixed(Quantization("int8", 1 / 128), int16=False),
    "LOG_SOFTMAX": _fixed(Quantization("int8", 16 / 256, 127), int16=False),
}  # fmt: skip


def has_kernel(name: str, dtype: str) -> bool:
    """Whether the operator has a kernel for activations of ``dtype``."""
    return name in KERNELS and dtype in KERNELS[name].dtypes
