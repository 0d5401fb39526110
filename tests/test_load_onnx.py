"""Every ONNX operator that is read computes what ONNX Runtime does, whatever its attributes and the opset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from converters.load.onnx import import_onnx  # noqa: E402 - needs onnx
from tests.tiny_onnx import agrees, chain, f32, i64, model, node, operators  # noqa: E402

IMAGE = (1, 4, 6, 6)
OLD_RUNTIME = tuple(int(n) for n in onnxruntime.__version__.split(".")[:2]) < (1, 24)


def case(name: str, shape: Any = IMAGE, *, id: str = "", opset: int = 17, outputs: int = 1, twice: bool = False,
         low: float = -3, high: float = 3, constants: tuple[Any, ...] = (), **attributes: Any) -> Any:  # fmt: skip
    """One operator of ``x`` (with ``twice`` of ``x`` and half of it too) and of constants."""
    before = [node("Mul", ["x", "half"], ["z"])] if twice else []
    names = [f"c{i}" if c is not None else "" for i, c in enumerate(constants)]
    outs = tuple(f"y{i}" for i in range(outputs))
    made = node(name, ["x", *(["z"] if twice else []), *names], list(outs), **attributes)
    given_ = {n: c for n, c in zip(names, constants, strict=True) if n} | ({"half": np.float32(0.5)} if twice else {})
    label = "-".join(
        [
            name,
            *([id] if id else [f"{k}={v}" for k, v in attributes.items()]),
            *([f"opset{opset}"] if opset != 17 else []),
        ]
    )
    old = pytest.mark.skipif(opset > 23 and OLD_RUNTIME, reason=f"this ONNX Runtime knows no opset {opset}")
    return pytest.param(
        lambda: model([*before, made], shape, outputs=outs, opset=opset, **given_), low, high, id=label, marks=old
    )


CONVOLUTIONS = [
    case("Conv", constants=(f32(5, 4, 3, 3), f32(5))),
    case("Conv", constants=(f32(5, 4, 3, 3),), pads=[1, 1, 1, 1]),
    case("Conv", constants=(f32(5, 4, 3, 3),), pads=[1, 1, 1, 1], strides=[2, 2]),
    case("Conv", constants=(f32(5, 4, 3, 2),), pads=[2, 0, 1, 1], strides=[1, 2]),
    case("Conv", constants=(f32(5, 4, 3, 3),), dilations=[2, 2], pads=[2, 2, 2, 2]),
    case("Conv", constants=(f32(6, 2, 3, 3), f32(6)), group=2, pads=[1, 1, 1, 1]),
    case("Conv", constants=(f32(4, 1, 3, 3), f32(4)), group=4, pads=[1, 1, 1, 1]),
    case("Conv", constants=(f32(8, 1, 3, 3), f32(8)), group=4, id="depth-multiplier"),
    case("Conv", constants=(f32(4, 1, 3, 3),), group=4, strides=[2, 2], auto_pad="SAME_UPPER"),
    case("Conv", constants=(f32(5, 4, 3, 3),), strides=[2, 2], auto_pad="SAME_LOWER"),
    case("Conv", constants=(f32(5, 4, 3, 3),), auto_pad="VALID"),
    case("Conv", (1, 4, 9), constants=(f32(5, 4, 3), f32(5)), pads=[1, 1], strides=[2], id="1-D"),
    case("Conv", (1, 4, 9), constants=(f32(4, 1, 3),), pads=[2, 0], group=4, id="1-D causal depthwise"),
    case("ConvTranspose", constants=(f32(4, 5, 2, 2), f32(5)), strides=[2, 2]),
    case("ConvTranspose", constants=(f32(4, 5, 3, 3), f32(5)), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    case("ConvTranspose", constants=(f32(4, 5, 4, 4),), strides=[2, 2], pads=[1, 1, 1, 1]),
    case("ConvTranspose", constants=(f32(4, 5, 3, 3),), strides=[3, 2], output_padding=[2, 0], id="zeros at the end"),
    case("ConvTranspose", constants=(f32(4, 1, 4, 4),), strides=[2, 2], pads=[1, 1, 1, 1], group=4, id="depthwise"),
    case("ConvTranspose", constants=(f32(4, 5, 3, 3),), dilations=[2, 2], id="dilated"),
    case("ConvTranspose", constants=(f32(4, 5, 3, 3),), strides=[2, 2], auto_pad="SAME_UPPER"),
    case("ConvTranspose", constants=(f32(4, 5, 3, 3),), strides=[2, 2], output_shape=[12, 13], id="output_shape"),
    case("ConvTranspose", (1, 4, 9), constants=(f32(4, 5, 3), f32(5)), strides=[2], id="1-D"),
]  # fmt: skip

POOLS = [
    case("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    case("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("MaxPool", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    case("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[2, 2, 0, 0], id="beyond half the window"),
    case("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    case("MaxPool", (1, 4, 9), kernel_shape=[3], strides=[2], pads=[1, 1]),
    case("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    case("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    case("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    case("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("AveragePool", (1, 4, 7, 7), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1, opset=19),
    case("AveragePool", (1, 4, 9), kernel_shape=[3], strides=[2]),
    case("GlobalAveragePool"),
    case("GlobalMaxPool"),
    case("GlobalAveragePool", (1, 4, 9), id="1-D"),
]  # fmt: skip

DENSE = [
    case("Gemm", (1, 6), constants=(f32(6, 5), f32(5))),
    case("Gemm", (1, 6), constants=(f32(5, 6), f32(5)), transB=1, alpha=0.5, beta=2.0),
    case("Gemm", (6, 3), constants=(f32(6, 5), f32(3, 1)), transA=1),
    case("Gemm", (4, 4), twice=True, transB=1, id="of two values"),
    case("MatMul", (1, 6), constants=(f32(6, 5),)),
    case("MatMul", (1, 3, 6), constants=(f32(6, 5),)),
    case("MatMul", IMAGE, constants=(f32(6, 5),)),
    case("MatMul", (1, 2, 4, 4), twice=True),
    case("MatMul", (1, 6), constants=(f32(6),), id="vector"),
    case("MatMul", (2, 3, 6), constants=(f32(2, 6, 5),), id="batched weights"),
    case("Einsum", (1, 2, 3, 4), twice=True, equation="bhid,bhjd->bhij"),
    case("Einsum", (1, 3, 4), constants=(f32(4, 5),), equation="bij,jk->bki"),
]  # fmt: skip

ACTIVATIONS = [
    case("Relu"),
    case("Clip", constants=(np.float32(0), np.float32(6)), id="0..6"),
    case("Clip", constants=(np.float32(-1), np.float32(1)), id="-1..1"),
    case("Clip", constants=(np.float32(0), np.float32(1)), id="0..1"),
    case("Clip", constants=(np.float32(-0.5), np.float32(2)), id="-0.5..2"),
    case("Clip", constants=(None, np.float32(2)), id="..2"),
    case("LeakyRelu", alpha=0.2),
    case("PRelu", constants=(f32(4, 1, 1),)),
    case("PRelu", constants=(f32(1),), id="one slope"),
    case("Elu"),
    case("Elu", alpha=0.5),
    case("Selu"),
    case("Celu", alpha=2.0),
    case("Sigmoid"),
    case("Tanh"),
    case("HardSigmoid"),
    case("HardSigmoid", alpha=1 / 6, beta=0.5),
    case("HardSwish", low=-6, high=6),
    case("Softplus", low=-200, high=200),
    case("Softsign"),
    case("Mish", opset=18),
    case("Gelu", opset=20),
    case("Gelu", opset=20, approximate="tanh"),
    case("Swish", opset=24),
    case("Erf"),
    case("Softmax", axis=-1),
    case("Softmax", axis=1),
    case("Softmax", opset=11),
    case("Softmax", (1, 7), opset=11),
    case("LogSoftmax", axis=1),
]  # fmt: skip

NORMALISATION = [
    case("BatchNormalization", constants=(f32(4), f32(4), f32(4), np.abs(f32(4)) + 0.1)),
    case("BatchNormalization", (2, 4), constants=(f32(4), f32(4), f32(4), np.abs(f32(4)) + 0.1), id="2-D"),
    case("LayerNormalization", (1, 5, 8), constants=(f32(8), f32(8))),
    case("LayerNormalization", constants=(f32(4, 6, 6), f32(4, 6, 6)), axis=1),
    case("InstanceNormalization", constants=(f32(4), f32(4))),
    case("GroupNormalization", constants=(f32(4), f32(4)), num_groups=2, opset=21),
    case("MeanVarianceNormalization"),
    case("LpNormalization", axis=1),
    case("LRN", size=3),
    case("RMSNormalization", (1, 5, 8), constants=(f32(8),), opset=23),
]  # fmt: skip

ELEMENTWISE = [
    *(case(name, twice=True) for name in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Mean")),
    *(case(name, constants=(f32(4, 1, 1),), id="per channel") for name in ("Add", "Sub", "Mul", "Div", "Min", "Max")),
    *(case(name, constants=(f32(6),), id="per column") for name in ("Add", "Mul")),
    case("Add", (1, 4, 6, 6), constants=(f32(1, 4, 6, 6),), id="whole"),
    case("Add", (6,), constants=(f32(2, 3, 6),), id="a constant of more axes"),
    *(case("Pow", constants=(np.float32(power),), low=0.5, id=str(power)) for power in (-1, -0.5, 0.5, 1, 1.7, 2, 3)),
    *(case(name, low=0.1) for name in ("Sqrt", "Log", "Reciprocal")),
    *(case(name) for name in ("Exp", "Abs", "Neg", "Floor", "Ceil", "Round", "Sin", "Cos", "Sign", "Identity", "Dropout")),
    *(case(name, twice=True) for name in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    case("Cast", to=int(onnx.TensorProto.INT32)),
]  # fmt: skip

SHAPING = [
    case("Concat", twice=True, axis=1),
    case("Concat", constants=(f32(1, 2, 6, 6),), axis=1, id="with a constant"),
    case("Split", outputs=2, axis=1),
    case("Split", outputs=2, constants=(i64(1, 3),), axis=1),
    case("Split", outputs=2, axis=1, split=[1, 3], opset=11),
    case("Split", outputs=3, axis=3, num_outputs=3, opset=18),
    case("Slice", constants=(i64(1), i64(3), i64(1))),
    case("Slice", constants=(i64(0, -1), i64(6, -9), i64(2, 3), i64(2, -1)), id="steps"),
    case("Slice", constants=(i64(-3), i64(2**62), i64(-1)), id="open end"),
    case("Slice", constants=(i64(5), i64(-(2**62)), i64(3), i64(-2)), id="backwards"),
    case("Gather", constants=(i64(2, 0, -1),), axis=1),
    case("Gather", constants=(np.int64(1),), axis=1, id="one"),
    case("Gather", constants=(i64([0, 1], [3, 2]),), axis=2, id="matrix"),
    case("Reshape", constants=(i64(1, 4, 36),)),
    case("Reshape", constants=(i64(1, -1),), id="flat"),
    case("Reshape", constants=(i64(0, 2, 2, 6, 6),), id="channels split"),
    case("Flatten"),
    case("Flatten", (1, 4, 1, 1), id="pooled"),
    case("Squeeze", (1, 4, 1, 6), constants=(i64(2),)),
    case("Squeeze", (1, 4, 1, 6), axes=[2], opset=11),
    case("Unsqueeze", (1, 4, 6), constants=(i64(0, 4),)),
    case("Unsqueeze", (1, 4, 6), axes=[1], opset=11),
    case("Transpose", perm=[0, 2, 3, 1]),
    case("Transpose", (1, 3, 5), perm=[0, 2, 1]),
    case("Transpose", (3, 5)),
    case("Expand", (1, 4, 1, 6), constants=(i64(1, 4, 5, 6),)),
    case("Expand", (4, 1), constants=(i64(2, 4, 3),), id="more axes"),
    case("Tile", constants=(i64(1, 2, 1, 3),)),
    case("DepthToSpace", blocksize=2),
    case("DepthToSpace", (1, 8, 3, 3), blocksize=2, mode="CRD"),
    case("SpaceToDepth", blocksize=2),
    case("CumSum", constants=(np.int64(2),), exclusive=1),
]  # fmt: skip

PADS = [
    case("Pad", constants=(i64(0, 0, 1, 2, 0, 0, 2, 1),)),
    case("Pad", constants=(i64(0, 1, 1, 2, 0, 0, 2, 1), np.float32(1.5)), id="1.5"),
    case("Pad", constants=(i64(0, 0, -1, 2, 0, 0, -2, 1),), id="cut"),
    *(case("Pad", constants=(i64(0, 0, 2, 1, 0, 0, 1, 2),), mode=mode) for mode in ("reflect", "edge")),
    case("Pad", constants=(i64(0, 0, 1, 1, 0, 0, 1, 1),), mode="edge", id="edge by one"),
    case("Pad", constants=(i64(0, 0, 2, 1, 0, 0, 1, 2),), mode="wrap", opset=19),
    case("Pad", constants=(i64(1, 2), None, i64(3)), opset=18, id="axes"),
]  # fmt: skip


def resize(id: str, shape: Any = IMAGE, *, scales: Any = None, sizes: Any = None, **attributes: Any) -> Any:
    nothing = np.zeros(0, np.float32) if attributes.get("opset") == 11 else None
    factors = nothing if scales is None else np.array(scales, np.float32)
    constants = (nothing, factors, *(() if sizes is None else (i64(*sizes),)))
    return case("Resize", shape, constants=constants, id=id, **attributes)


RESIZES = [
    resize("nearest", scales=[1, 1, 2, 2], coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    resize("nearest half pixel", sizes=[1, 4, 9, 13], mode="nearest"),
    resize("nearest smaller", sizes=[1, 4, 4, 3], mode="nearest", nearest_mode="ceil"),
    resize("nearest corners", sizes=[1, 4, 11, 11], coordinate_transformation_mode="align_corners"),
    resize("nearest opset 11", sizes=[1, 4, 12, 9], coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor", opset=11),
    resize("linear", sizes=[1, 4, 12, 9], mode="linear"),
    resize("linear corners", sizes=[1, 4, 12, 9], mode="linear", coordinate_transformation_mode="align_corners"),
    resize("linear asymmetric", scales=[1, 1, 2, 2], mode="linear", coordinate_transformation_mode="asymmetric"),
    resize("linear pytorch", sizes=[1, 4, 3, 4], mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    resize("linear 1-D", (1, 4, 6), sizes=[1, 4, 12], mode="linear"),
    resize("axes", scales=[2, 3], axes=[2, 3], mode="linear", opset=18),
    case("Upsample", constants=(np.array([1, 1, 2, 2], np.float32),), opset=9),
    case("Upsample", constants=(np.array([1, 1, 2, 3], np.float32),), mode="linear", opset=9),
    case("Resize", constants=(np.array([1, 1, 2, 2], np.float32),), opset=10),
    resize("nearest of one axis", scales=[1, 1, 1, 2]),
]  # fmt: skip

REDUCTIONS = [
    *(case(name, axes=[2, 3], low=0.1, opset=11) for name in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
      "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")),
    case("ReduceMean", constants=(i64(1),), keepdims=0, opset=18),
    case("ReduceSum", constants=(i64(-1),), keepdims=0),
    case("ReduceSum", id="all"),
    case("ReduceMax", axes=[1], keepdims=0),
    case("ArgMax", axis=1),
    case("ArgMax", axis=1, keepdims=0),
    case("ArgMin", axis=3, keepdims=0),
    case("TopK", constants=(i64(2),), outputs=2, axis=1),
    case("TopK", constants=(i64(2),), outputs=2, axis=-1, largest=0),
]  # fmt: skip


def recurrent(kind: str, gates: int, *, directions: int = 1, start: bool = False, **attributes: Any) -> Any:
    further = (None, *(f32(directions, 1, 5) for _ in range(2 if kind == "LSTM" else 1))) if start else ()
    constants = (f32(directions, gates * 5, 3), f32(directions, gates * 5, 5), f32(directions, 2 * gates * 5), *further)
    label = "-".join(f"{name}={value}" for name, value in attributes.items()) + ("-started" if start else "")
    return case(
        kind, (4, 1, 3), constants=constants, outputs=3 if kind == "LSTM" else 2, hidden_size=5, id=label, **attributes
    )


RECURRENT = [
    recurrent("LSTM", 4),
    recurrent("LSTM", 4, start=True),
    recurrent("LSTM", 4, directions=2, direction="bidirectional"),
    recurrent("LSTM", 4, direction="reverse"),
    recurrent("GRU", 3),
    recurrent("GRU", 3, start=True),
    recurrent("GRU", 3, linear_before_reset=1),
    recurrent("GRU", 3, start=True, linear_before_reset=1),
    recurrent("GRU", 3, directions=2, direction="bidirectional"),
    recurrent("RNN", 1),
    recurrent("RNN", 1, start=True, activations=["Relu"]),
]


@pytest.mark.parametrize(
    ("made", "low", "high"),
    [
        *CONVOLUTIONS,
        *POOLS,
        *DENSE,
        *ACTIVATIONS,
        *NORMALISATION,
        *ELEMENTWISE,
        *SHAPING,
        *PADS,
        *RESIZES,
        *REDUCTIONS,
        *RECURRENT,
    ],
)
def test_operator_computes_what_onnx_runtime_does(made: Any, low: float, high: float) -> None:
    agrees(made(), low=low, high=high)


@pytest.mark.parametrize("opset", range(9, onnx.defs.onnx_opset_version() + 1))
def test_every_opset_reads_the_same(opset: int) -> None:
    axes: dict[str, Any] = {"axes": [2, 3]} if opset < 18 else {}
    further = [] if opset < 18 else ["axes"]
    bounds: dict[str, Any] = {"min": 0.0, "max": 6.0} if opset < 11 else {}
    constants = {"k": f32(8, 4, 3, 3), "axes": i64(2, 3), "low": np.float32(0), "high": np.float32(6)}
    net = chain(
        ("Conv", ["k"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Clip", [] if bounds else ["low", "high"], bounds),
        ("ReduceMean", further, {**axes, "keepdims": 0}),
        ("Softmax", [], {"axis": 1}),
        opset=opset,
        **{name: constants[name] for name in ("k", *(() if bounds else ("low", "high")), *further)},
    )
    if opset <= 22:  # as far as every ONNX Runtime allowed here goes
        agrees(net)
    else:
        assert operators(import_onnx(net).content) == {"CONV_2D": 1, "MEAN": 1, "SOFTMAX": 1}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.data())
def test_windows_of_any_size_and_padding(data: st.DataObject) -> None:
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    operator = data.draw(st.sampled_from(["Conv", "depthwise", "ConvTranspose", "MaxPool", "AveragePool"]))
    kernel, sizes, strides = ([draw(low, high) for _ in range(2)] for low, high in ((1, 4), (4, 9), (1, 3)))
    pads = [draw(0, k - 1) for k in (*kernel, *kernel)]
    attributes: dict[str, Any] = {"strides": strides, "kernel_shape": kernel}
    if data.draw(st.booleans()):
        attributes["auto_pad"] = data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        if "Pool" in operator:  # ONNX Runtime refuses windows that leave gaps
            attributes["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    else:
        attributes["pads"] = pads
    if operator in ("MaxPool", "AveragePool") and "pads" in attributes:
        attributes["ceil_mode"] = draw(0, 1)
    if operator == "AveragePool":
        attributes["count_include_pad"] = draw(0, 1)
    if operator == "ConvTranspose" and "pads" in attributes:
        attributes["output_padding"] = [draw(0, s - 1) for s in strides]
    weights = {"Conv": (3, 2, *kernel), "depthwise": (2, 1, *kernel), "ConvTranspose": (2, 3, *kernel)}.get(operator)
    if operator == "depthwise":
        operator, attributes["group"] = "Conv", 2
    constants = {} if weights is None else {"k": f32(*weights)}
    made = node(operator, ["x", *constants], ["y"], **attributes)
    agrees(model([made], (1, 2, *sizes), opset=22, **constants))
