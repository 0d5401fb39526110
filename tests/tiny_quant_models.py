"""Tiny float models for quantization: one operator each, and the formulas that real models spell out in several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.calibrate.ranges import Ranges, measure_ranges
from converters.calibrate.samples import RawSample
from converters.interpreter import open_interpreter
from converters.load.tflite import normalise
from converters.quantize.quantize import QuantizedModel, quantize
from converters.quantize.recipe import Recipe, read_recipe
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import Array, TensorSpec
from tests.tiny_models import TinyModel, conv_options, options

INT32 = np.int32
SHAPE = (1, 4, 4, 8)


@dataclass(frozen=True)
class Case:
    """One operator on one tensor.

    Attributes:
        name: of the operator.
        low, high: of the input's values.
        shape, output_shape: of its input and output.
        constants: its other inputs, in order; ``None`` stands for the input tensor.
        op_options: of the operator.
        outputs: how many it has.
        output_dtype: of its output.
    """

    name: str
    low: float = -2.0
    high: float = 2.0
    shape: tuple[int, ...] = SHAPE
    output_shape: tuple[int, ...] | None = None
    constants: tuple[Any, ...] = (None,)
    op_options: Any = None
    outputs: int = 1
    output_dtype: str = "FLOAT32"
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.name

    def build(self) -> bytes:
        net = TinyModel()
        entry = net.tensor("input", self.shape)
        inputs = [entry if c is None else net.constant(f"c{i}", c) for i, c in enumerate(self.constants)]
        shape = self.output_shape or self.shape
        made = [net.tensor(f"after{i or ''}", shape, dtype=self.output_dtype) for i in range(self.outputs)]
        if self.name == "TOPK_V2":
            net.graph.tensors[made[1]].type = schema.TensorType.INT32
        net.operator(self.name, inputs, made, self.op_options)
        net.model.operatorCodes[0].version = 2 if self.name == "BROADCAST_TO" else 1
        return net.build([entry], made)

    def samples(self, count: int = 8) -> list[Array]:
        rng = np.random.default_rng(3)
        return [rng.uniform(self.low, self.high, self.shape).astype(np.float32) for _ in range(count)]


def f32(*values: float) -> Array:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


POOL = options("Pool2D", padding=1, strideW=2, strideH=2, filterWidth=2, filterHeight=2)


def i32(*values: int) -> Array:
    return np.array(values, INT32)


STEPS = np.linspace(-1, 1, 8, dtype=np.float32)
RNG = np.random.default_rng(11)
KERNEL = RNG.normal(0, 0.5, (8, 3, 3, 8)).astype(np.float32)
BIAS = RNG.normal(0, 0.5, 8).astype(np.float32)
TWO = (None, None)
LAST = np.array(3, INT32)

ELEMENTWISE = [
    *(Case(name) for name in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "ABS", "EXP", "ELU", "HARD_SWISH", "LOGISTIC", "TANH")),
    Case("LEAKY_RELU", op_options=options("LeakyRelu", alpha=0.1)),
    Case("PRELU", constants=(None, STEPS.reshape(1, 1, 8))),
    Case("GELU", op_options=options("Gelu", approximate=False)),
    Case("GELU", op_options=options("Gelu", approximate=True), label="GELU approximate"),
    *(Case(name, 0.1, 4.0) for name in ("LOG", "SQRT", "RSQRT")),
    *(Case(name, -4.0, 4.0) for name in ("SIN", "COS", "FLOOR", "CEIL", "ROUND", "SIGN")),
    Case("NEG"), Case("SQUARE"),
    Case("POW", 0.1, 3.0, constants=(None, f32(1.5)), label="POW by a constant"),
    Case("POW", 0.5, 2.0, constants=(f32(2.0), None), label="POW of a constant"),
    Case("DIV", constants=(None, f32(3.0)), op_options=options("Div"), label="DIV by a constant"),
    Case("DIV", 0.5, 2.0, constants=(f32(1.0), None), op_options=options("Div"), label="DIV of a constant"),
    Case("ADD", constants=(None, f32(3.0)), op_options=options("Add"), label="ADD a constant"),
    Case("SQUARED_DIFFERENCE", constants=(None, f32(0.5)), label="SQUARED_DIFFERENCE to a constant"),
    Case("FLOOR_DIV", constants=(None, f32(0.7)), label="FLOOR_DIV by a constant"),
    Case("FLOOR_MOD", constants=(None, f32(0.7)), label="FLOOR_MOD by a constant"),
    Case("CAST", -20, 20, output_dtype="INT32", op_options=options("Cast", inDataType=0, outDataType=2), label="CAST to int32"),
]  # fmt: skip
BINARY = [
    Case("ADD", constants=(None, STEPS), op_options=options("Add"), label="ADD channels"),
    Case("SUB", constants=(None, STEPS), op_options=options("Sub"), label="SUB channels"),
    Case("MUL", constants=(None, STEPS), op_options=options("Mul"), label="MUL channels"),
    Case("ADD", constants=TWO, op_options=options("Add"), label="ADD itself"),
    Case("MUL", constants=TWO, op_options=options("Mul"), label="MUL itself"),
    Case("DIV", constants=(None, STEPS + 2), op_options=options("Div"), label="DIV by channels"),
    Case("SQUARED_DIFFERENCE", constants=(None, STEPS), label="SQUARED_DIFFERENCE to channels"),
    Case("MINIMUM", constants=(None, STEPS)), Case("MAXIMUM", constants=(None, STEPS)),
    *(Case(name, constants=(None, STEPS), output_dtype="BOOL")
      for name in ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL")),
]  # fmt: skip
SHAPING = [
    Case("RESHAPE", output_shape=(1, 16, 8), constants=(None, i32(1, 16, 8)), op_options=options("Reshape", newShape=[1, 16, 8])),
    Case("TRANSPOSE", output_shape=(1, 8, 4, 4), constants=(None, i32(0, 3, 1, 2)), op_options=options("Transpose")),
    Case("SQUEEZE", output_shape=(4, 4, 8), op_options=options("Squeeze", squeezeDims=[0])),
    Case("EXPAND_DIMS", output_shape=(1, 1, 4, 4, 8), constants=(None, np.array(0, INT32)), op_options=options("ExpandDims")),
    Case("PAD", output_shape=(1, 6, 6, 8), constants=(None, i32(0, 0, 1, 1, 1, 1, 0, 0).reshape(4, 2)), op_options=options("Pad")),
    Case("PADV2", output_shape=(1, 6, 6, 8), constants=(None, i32(0, 0, 1, 1, 1, 1, 0, 0).reshape(4, 2), f32(-3.0)),
         op_options=options("PadV2")),
    Case("MIRROR_PAD", output_shape=(1, 6, 6, 8), constants=(None, i32(0, 0, 1, 1, 1, 1, 0, 0).reshape(4, 2)),
         op_options=options("MirrorPad", mode=0)),
    Case("SLICE", output_shape=(1, 2, 4, 8), constants=(None, i32(0, 1, 0, 0), i32(1, 2, 4, 8)), op_options=options("Slice")),
    Case("STRIDED_SLICE", output_shape=(1, 2, 4, 8), constants=(None, i32(0, 0, 0, 0), i32(1, 4, 4, 8), i32(1, 2, 1, 1)),
         op_options=options("StridedSlice")),
    Case("SPLIT", output_shape=(1, 4, 4, 4), constants=(np.array(3, INT32), None), op_options=options("Split", numSplits=2), outputs=2),
    Case("SPLIT_V", output_shape=(1, 4, 4, 4), constants=(None, i32(4, 4), np.array(3, INT32)),
         op_options=options("SplitV", numSplits=2), outputs=2),
    Case("UNPACK", output_shape=(1, 4, 8), op_options=options("Unpack", num=4, axis=1), outputs=4),
    Case("PACK", output_shape=(2, 1, 4, 4, 8), constants=TWO, op_options=options("Pack", valuesCount=2, axis=0)),
    Case("CONCATENATION", output_shape=(1, 4, 4, 16), constants=TWO, op_options=options("Concatenation", axis=3)),
    Case("CONCATENATION", output_shape=(1, 4, 4, 16), constants=(None, RNG.normal(0, 3, SHAPE).astype(np.float32)),
         op_options=options("Concatenation", axis=3), label="CONCATENATION with a constant"),
    Case("GATHER", output_shape=(1, 2, 4, 8), constants=(None, i32(2, 0)), op_options=options("Gather", axis=1)),
    Case("GATHER_ND", output_shape=(2, 4, 8), constants=(None, i32(0, 2, 0, 0).reshape(2, 2)), op_options=options("GatherNd")),
    Case("TILE", output_shape=(1, 8, 4, 8), constants=(None, i32(1, 2, 1, 1)), op_options=options("Tile")),
    Case("REVERSE_V2", constants=(None, i32(1)), op_options=options("ReverseV2")),
    Case("DEPTH_TO_SPACE", output_shape=(1, 8, 8, 2), op_options=options("DepthToSpace", blockSize=2)),
    Case("SPACE_TO_DEPTH", output_shape=(1, 2, 2, 32), op_options=options("SpaceToDepth", blockSize=2)),
    Case("SPACE_TO_BATCH_ND", output_shape=(4, 2, 2, 8), constants=(None, i32(2, 2), np.zeros((2, 2), INT32)),
         op_options=options("SpaceToBatchND")),
    Case("BATCH_TO_SPACE_ND", shape=(4, 2, 2, 8), output_shape=(1, 4, 4, 8), constants=(None, i32(2, 2), np.zeros((2, 2), INT32)),
         op_options=options("BatchToSpaceND")),
    Case("BROADCAST_TO", shape=(1, 1, 4, 8), output_shape=(1, 4, 4, 8), constants=(None, i32(1, 4, 4, 8)),
         op_options=options("BroadcastTo")),
    Case("SELECT", constants=(RNG.random(SHAPE) > 0.5, None, np.full(SHAPE, 0.25, np.float32)), op_options=options("Select")),
    Case("SELECT_V2", constants=(RNG.random(SHAPE) > 0.5, None, f32(0.25)), op_options=options("SelectV2")),
    Case("RESIZE_BILINEAR", output_shape=(1, 8, 8, 8), constants=(None, i32(8, 8)),
         op_options=options("ResizeBilinear", halfPixelCenters=True)),
    Case("RESIZE_NEAREST_NEIGHBOR", output_shape=(1, 8, 8, 8), constants=(None, i32(8, 8)),
         op_options=options("ResizeNearestNeighbor", halfPixelCenters=True)),
    Case("MAX_POOL_2D", output_shape=(1, 2, 2, 8), op_options=POOL),
    Case("AVERAGE_POOL_2D", output_shape=(1, 2, 2, 8),
         op_options=POOL),
    Case("DYNAMIC_UPDATE_SLICE", constants=(None, np.full((1, 2, 4, 8), 0.5, np.float32), i32(0, 1, 0, 0)),
         op_options=options("DynamicUpdateSlice")),
]  # fmt: skip
REDUCING = [
    *(Case(name, low, output_shape=(1, 8), constants=(None, i32(1, 2)), op_options=options("Reducer", keepDims=False))
      for name, low in (("MEAN", -1.0), ("SUM", -1.0), ("REDUCE_MAX", -2.0), ("REDUCE_MIN", -2.0))),
    Case("REDUCE_PROD", 0.5, 1.5, output_shape=(1, 4, 8), constants=(None, i32(1)), op_options=options("Reducer", keepDims=False)),
    Case("L2_NORMALIZATION", op_options=options("L2Norm")),
    Case("LOG_SOFTMAX", op_options=options("LogSoftmax")),
    Case("SOFTMAX", op_options=options("Softmax", beta=1.0)),
    Case("ARG_MAX", output_shape=(1, 4, 4), output_dtype="INT32", constants=(None, LAST), op_options=options("ArgMax", outputType=2)),
    Case("ARG_MIN", output_shape=(1, 4, 4), output_dtype="INT32", constants=(None, LAST), op_options=options("ArgMin", outputType=2)),
    Case("TOPK_V2", output_shape=(1, 4, 4, 3), constants=(None, np.array(3, INT32)), op_options=options("TopKV2"), outputs=2),
    Case("CUMSUM", constants=(None, np.array(1, INT32)), op_options=options("Cumsum")),
]  # fmt: skip
MULTIPLYING = [
    Case("CONV_2D", constants=(None, KERNEL, BIAS), op_options=conv_options()),
    Case("DEPTHWISE_CONV_2D", constants=(None, KERNEL[:1], BIAS), op_options=options("DepthwiseConv2D", padding=0, strideW=1, strideH=1,
         depthMultiplier=1, dilationWFactor=1, dilationHFactor=1)),
    Case("TRANSPOSE_CONV", output_shape=(1, 8, 8, 8), constants=(i32(1, 8, 8, 8), KERNEL, None, BIAS),
         op_options=options("TransposeConv", padding=0, strideW=2, strideH=2)),
    Case("TRANSPOSE_CONV", output_shape=(1, 8, 8, 8), constants=(i32(1, 8, 8, 8), KERNEL, None),
         op_options=options("TransposeConv", padding=0, strideW=2, strideH=2), label="TRANSPOSE_CONV without bias"),
    Case("FULLY_CONNECTED", shape=(1, 8), constants=(None, KERNEL[0, 0], BIAS[:3]), op_options=options("FullyConnected"),
         output_shape=(1, 3)),
    Case("FULLY_CONNECTED", shape=(1, 8), constants=(None, KERNEL[0, 0]), op_options=options("FullyConnected"), output_shape=(1, 3),
         label="FULLY_CONNECTED without bias"),
    Case("BATCH_MATMUL", shape=(1, 4, 8), output_shape=(1, 4, 4), constants=TWO, op_options=options("BatchMatMul", adjY=True)),
    Case("BATCH_MATMUL", shape=(1, 4, 8), output_shape=(1, 4, 3), constants=(None, KERNEL[:1, 0, :, :].transpose(0, 2, 1)),
         op_options=options("BatchMatMul"), label="BATCH_MATMUL by a constant"),
]  # fmt: skip
CASES = [*ELEMENTWISE, *BINARY, *SHAPING, *REDUCING, *MULTIPLYING]


class Net(TinyModel):
    """A model under construction, one call an operator; each returns its output."""

    def op(
        self, name: str, inputs: list[int], shape: tuple[int, ...] = SHAPE, op_options: Any = None, label: str = ""
    ) -> int:
        made = self.tensor(label or f"{name.lower()}_{len(self.graph.tensors)}", shape)
        self.operator(name, inputs, [made], op_options)
        return made

    def number(self, value: float) -> int:
        return self.constant(f"number_{len(self.graph.tensors)}", f32(value))

    def add(self, a: int, b: int, shape: tuple[int, ...] = SHAPE) -> int:
        return self.op("ADD", [a, b], shape, options("Add"))

    def sub(self, a: int, b: int, shape: tuple[int, ...] = SHAPE) -> int:
        return self.op("SUB", [a, b], shape, options("Sub"))

    def mul(self, a: int, b: int, shape: tuple[int, ...] = SHAPE) -> int:
        return self.op("MUL", [a, b], shape, options("Mul"))

    def div(self, a: int, b: int, shape: tuple[int, ...] = SHAPE) -> int:
        return self.op("DIV", [a, b], shape, options("Div"))

    def mean(self, a: int, axes: tuple[int, ...], shape: tuple[int, ...]) -> int:
        return self.op(
            "MEAN",
            [a, self.constant(f"axes_{len(self.graph.tensors)}", i32(*axes))],
            shape,
            options("Reducer", keepDims=True),
        )

    def conv(self, a: int, seed: int, spread: float = 0.3) -> int:
        rng = np.random.default_rng(seed)
        kernel = self.constant(f"kernel_{seed}", rng.normal(0, spread, (8, 3, 3, 8)).astype(np.float32))
        bias = self.constant(f"bias_{seed}", rng.normal(0, 0.3, 8).astype(np.float32))
        return self.op("CONV_2D", [a, kernel, bias], SHAPE, conv_options())

    def normalised(self, x: int, axes: tuple[int, ...], seed: int, form: str) -> int:
        """Layer, instance or group normalisation, as ``form``: frameworks spell it in three ways."""
        rng = np.random.default_rng(seed)
        gamma = self.constant(f"gamma_{seed}", rng.uniform(0.5, 1.5, 8).astype(np.float32))
        beta = self.constant(f"beta_{seed}", rng.normal(0, 0.3, 8).astype(np.float32))
        shape = tuple(1 if i in axes else n for i, n in enumerate(SHAPE))
        mean = self.mean(x, axes, shape)
        if form == "torch":
            centred = self.sub(x, mean)
            variance = self.mean(self.mul(centred, centred), axes, shape)
            spread = self.op("SQRT", [self.add(variance, self.number(1e-5), shape)], shape)
            return self.add(self.mul(self.div(centred, spread), gamma), beta)
        variance = self.mean(self.op("SQUARED_DIFFERENCE", [x, mean]), axes, shape)
        inverse = self.op("RSQRT", [self.add(variance, self.number(1e-3), shape)], shape)
        if form == "plain":
            return self.add(self.mul(self.mul(self.sub(x, mean), inverse), gamma), beta)
        wide = tuple(max(a, b) for a, b in zip(shape, (1, 1, 1, 8), strict=True))
        factor = self.mul(inverse, gamma, wide)  # Keras: x * factor + (beta - mean * factor)
        return self.add(self.mul(x, factor), self.sub(beta, self.mul(mean, factor, wide), wide))

    def scalar(self, name: str, x: int, value: float) -> int:
        """An operator of a tensor and a number."""
        kinds = {"MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum"}
        return self.op(name, [x, self.number(value)], SHAPE, options(kinds.get(name, name.title())))

    def formula(self, name: str, x: int) -> int:
        """An activation as frameworks spell it out."""
        if name == "swish":
            return self.mul(x, self.op("LOGISTIC", [x]))
        if name == "hard swish":
            return self.scalar("MUL", self.mul(x, self.op("RELU6", [self.scalar("ADD", x, 3.0)])), 1 / 6)
        if name == "hard swish by a division":
            return self.mul(
                x, self.scalar("DIV", self.scalar("MINIMUM", self.scalar("MAXIMUM", self.scalar("ADD", x, 3), 0), 6), 6)
            )
        if name == "hard sigmoid":
            return self.scalar("MUL", self.op("RELU6", [self.scalar("ADD", x, 3.0)]), 1 / 6)
        if name == "gelu":
            cube = self.op("POW", [x, self.number(3.0)], SHAPE, options("Pow"))
            bent = self.op("TANH", [self.scalar("MUL", self.add(x, self.scalar("MUL", cube, 0.044715)), 0.7978845608)])
            return self.scalar("MUL", self.mul(x, self.scalar("ADD", bent, 1.0)), 0.5)
        if name == "softsign":
            return self.div(x, self.scalar("ADD", self.op("ABS", [x], SHAPE, options("Abs")), 1.0))
        soft = self.op("LOG", [self.scalar("ADD", self.op("EXP", [x], SHAPE, options("Exp")), 1.0)])
        if name == "softplus":
            return soft
        assert name == "mish"
        return self.mul(x, self.op("TANH", [soft]))


FORMULAS = ("swish", "hard swish", "hard swish by a division", "hard sigmoid", "gelu", "softplus", "mish", "softsign")


def formula_net(name: str) -> bytes:
    """Convolution, the activation spelt out, convolution."""
    net = Net()
    entry = net.tensor("input", SHAPE)
    return net.build([entry], [net.conv(net.formula(name, net.conv(entry, 1)), 2)])


def attention_net() -> bytes:
    """One head of self-attention over 16 tokens, with its residual."""
    net, shape = Net(), (1, 16, 8)
    entry = net.tensor("input", shape)

    def dense(x: int, seed: int) -> int:
        weights = net.constant(f"weights_{seed}", np.random.default_rng(seed).normal(0, 0.5, (8, 8)).astype(np.float32))
        zeros = net.constant(f"zeros_{seed}", np.zeros(8, np.float32))
        return net.op("FULLY_CONNECTED", [x, weights, zeros], shape, options("FullyConnected", keepNumDims=True))

    query, key, value = (dense(entry, seed) for seed in (1, 2, 3))
    scores = net.op("BATCH_MATMUL", [query, key], (1, 16, 16), options("BatchMatMul", adjY=True))
    scores = net.mul(scores, net.number(8**-0.5), (1, 16, 16))
    weights = net.op("SOFTMAX", [scores], (1, 16, 16), options("Softmax", beta=1.0))
    mixed = net.op("BATCH_MATMUL", [weights, value], shape, options("BatchMatMul"))
    return net.build([entry], [net.add(dense(mixed, 4), entry, shape)])


def softmax_net() -> bytes:
    """A softmax spelt out, with a division by a tensor."""
    net, row = Net(), (*SHAPE[:3], 1)
    entry, axis = net.tensor("input", SHAPE), net.constant("axis", i32(3))
    largest = net.op("REDUCE_MAX", [entry, axis], row, options("Reducer", keepDims=True))
    powers = net.op("EXP", [net.sub(entry, largest)], SHAPE, options("Exp"))
    return net.build([entry], [net.div(powers, net.op("SUM", [powers, axis], row, options("Reducer", keepDims=True)))])


def mask_net(kind: str) -> bytes:
    """The input where a comparison (``"greater"``) or its largest channel (``"one hot"``) says so, zero elsewhere."""
    net = Net()
    entry = net.tensor("input", SHAPE)
    if kind == "greater":
        where = net.tensor("where", SHAPE, dtype="BOOL")
        net.operator("GREATER", [entry, net.constant("steps", STEPS)], [where])
        mask = net.op(
            "CAST",
            [where],
            SHAPE,
            options("Cast", inDataType=schema.TensorType.BOOL, outDataType=schema.TensorType.FLOAT32),
        )
    else:
        place = net.tensor("place", SHAPE[:3], dtype="INT32")
        net.operator("ARG_MAX", [entry, net.constant("axis", LAST)], [place], options("ArgMax", outputType=2))
        depth = net.constant("depth", np.array(8, INT32))
        mask = net.op("ONE_HOT", [place, depth, net.number(1.0), net.number(0.0)], SHAPE, options("OneHot", axis=-1))
    return net.build([entry], [net.mul(entry, mask)])


def norm_net(axes: tuple[int, ...], form: str) -> bytes:
    """Two convolutions, each normalised."""
    net = Net()
    entry = net.tensor("input", SHAPE)
    x = net.op("RELU", [net.normalised(net.conv(entry, 1), axes, 3, form)])
    x = net.normalised(net.conv(x, 2), axes, 4, form)
    return net.build([entry], [net.op("TANH", [x])])


def float_model(content: bytes, samples: list[Array]) -> tuple[bytes, Ranges]:
    """A model as the converter loads it, and its ranges over the samples."""
    with patch("converters.load.tflite.probe"):  # our own models need no process of their own
        normalised = normalise(content, "tiny").content
    interpreter = open_interpreter(normalised)
    entry = interpreter.get_input_details()[0]
    spec = TensorSpec(entry["name"], tuple(int(n) for n in entry["shape"]), "float32")
    raw = [RawSample(sample, "bgr", f"sample {i}") for i, sample in enumerate(samples)]
    return normalised, measure_ranges(normalised, raw, Encoder(Contract(input="tensor"), spec))


def quantized(content: bytes, samples: list[Array], recipe: str | Recipe = "int8") -> tuple[bytes, QuantizedModel]:
    """A model as loaded, and quantized by the recipe."""
    before, ranges = float_model(content, samples)
    return before, quantize(before, ranges, read_recipe(recipe) if isinstance(recipe, str) else recipe)


def run(content: bytes, samples: list[Array], *, optimised: bool = True) -> list[list[Array]]:
    """The real outputs for each sample of real numbers."""
    interpreter = open_interpreter(content, optimised=optimised)
    entry, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()
    made = []
    for sample in samples:
        interpreter.set_tensor(entry["index"], specification(entry).quantize(sample))
        interpreter.invoke()
        made.append([specification(o).dequantize(interpreter.get_tensor(o["index"])) for o in outputs])
    return made


def specification(details: Any) -> TensorSpec:
    """A tensor as the interpreter describes it."""
    scale, zero_point = details["quantization"]
    return TensorSpec("", tuple(details["shape"]), np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def sqnr_db(before: list[list[Array]], after: list[list[Array]]) -> float:
    """10 log10(signal / noise) over all outputs of all samples, the worst output's; 200 where they are equal."""
    worst = 200.0
    for place in range(len(before[0])):
        real, near = (np.stack([row[place] for row in side]).astype(np.float64) for side in (before, after))
        noise = float(np.sum((real - near) ** 2))
        worst = min(worst, 10 * np.log10(float(np.sum(real**2)) / noise) if noise else 200.0)
    return worst
