"""Models whose plain int8 is bad, small and of a fixed seed, and what repair needs beside them.

Their last layers are fitted (ridge regression on the features of layers with random weights), so that they have an accuracy to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from converters.calibrate.ranges import measure
from converters.calibrate.samples import RawSample
from converters.calibrate.statistics import Statistics
from converters.load.tflite import normalise
from converters.quantize.recipe import read_recipe
from converters.repair.candidate import Candidate, Inputs, Layers, Quantized, quantize_by
from converters.report.accuracy import Layer
from converters.verify.layers import compare_layers
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.engines.isolation import open_engine
from edge_sdk.heads import Assembler
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.tflite import describe
from tests.tiny_models import TinyModel, conv_options, options, schema

NUMBERS = Contract(input="tensor")


def input_spec(content: bytes) -> TensorSpec:
    model = describe(content)
    tensor = model.tensors[model.inputs[0]]
    return TensorSpec(tensor.name, tensor.shape, "float32")


def samples(inputs: Sequence[Array]) -> list[RawSample]:
    return [RawSample(tensor[0], "bgr", f"sample {number}") for number, tensor in enumerate(inputs)]


def statistics(content: bytes, inputs: Sequence[Array]) -> Statistics:
    return measure(content, samples(inputs), Encoder(NUMBERS, input_spec(content)))


quantize = quantize_by(read_recipe("int8"))


def start_of(content: bytes, inputs: Sequence[Array]) -> tuple[Candidate, Quantized]:
    """The float model as a candidate, and its plain int8 model."""
    candidate = Candidate(content, statistics(content, inputs).ranges())
    return candidate, Quantized(quantize(candidate), content)


def layers_on(inputs: Sequence[Array]) -> Layers:
    few = samples(inputs[:8])

    def layers(quantized: Quantized) -> tuple[Layer, ...]:
        return compare_layers(quantized.float_content, quantized.content, NUMBERS, few)[0]

    return layers


def run(content: bytes, inputs: Sequence[Array], heads: tuple = ()) -> Iterator[list[Array]]:
    """The real outputs of a model, heads put together."""
    engine = open_engine("litert", content, isolation="none")
    assembler, spec = Assembler(heads, engine.outputs), engine.inputs[0]
    for tensor in inputs:
        engine.input_arrays[0][...] = spec.quantize(tensor)
        outputs = assembler.assemble(engine.run())
        yield [s.dequantize(o).copy() for s, o in zip(assembler.outputs, outputs, strict=True)]


def outputs_of(content: bytes, inputs: Sequence[Array], heads: tuple = ()) -> list[Array]:
    """Each output over all samples, stacked."""
    return [np.concatenate(column) for column in zip(*run(content, inputs, heads), strict=True)]


def sqnr(real: Array, made: Array) -> float:
    return float(
        10 * np.log10(np.square(real, dtype=np.float64).sum() / np.square(real - made, dtype=np.float64).sum())
    )


@dataclass
class Net(TinyModel):
    """A model under construction with the layers that these tests use."""

    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = {}
        self.entry = self.out("image", shape)

    def out(self, name: str, shape: tuple[int, ...]) -> int:
        index = self.tensor(name, shape)
        self.shapes[index] = shape
        return index

    def conv(self, name: str, x: int, kernel: Array, bias: Array, *, stride: int = 1, act: str = "RELU") -> int:
        """A convolution, SAME; kernel (out, height, width, in)."""
        batch, height, width, _ = self.shapes[x]
        made = self.out(name, (batch, -(-height // stride), -(-width // stride), kernel.shape[0]))
        inputs = [x, self.constant(f"{name}/kernel", f32(kernel)), self.constant(f"{name}/bias", f32(bias))]
        activation = getattr(schema.ActivationFunctionType, act)
        self.operator(
            "CONV_2D", inputs, [made], conv_options(strideW=stride, strideH=stride, fusedActivationFunction=activation)
        )
        return made

    def depthwise(self, name: str, x: int, kernel: Array, bias: Array, *, act: str = "RELU") -> int:
        """A depthwise convolution, SAME; kernel (1, height, width, channels)."""
        made = self.out(name, self.shapes[x])
        inputs = [x, self.constant(f"{name}/kernel", f32(kernel)), self.constant(f"{name}/bias", f32(bias))]
        wanted = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "depthMultiplier": 1}
        activation = getattr(schema.ActivationFunctionType, act)
        chosen = options("DepthwiseConv2D", padding=schema.Padding.SAME, fusedActivationFunction=activation, **wanted)
        self.operator("DEPTHWISE_CONV_2D", inputs, [made], chosen)
        return made

    def dense(self, name: str, x: int, weights: Array, bias: Array) -> int:
        made = self.out(name, (1, weights.shape[0]))
        inputs = [x, self.constant(f"{name}/weights", f32(weights)), self.constant(f"{name}/bias", f32(bias))]
        self.operator("FULLY_CONNECTED", inputs, [made], options("FullyConnected"))
        return made

    def unary(self, name: str, kind: str, x: int) -> int:
        made = self.out(name, self.shapes[x])
        self.operator(kind, [x], [made], options("Softmax", beta=1.0) if kind == "SOFTMAX" else None)
        return made

    def binary(self, name: str, kind: str, x: int, y: int) -> int:
        made = self.out(name, self.shapes[x])
        self.operator(kind, [x, y], [made], options(kind.capitalize()))
        return made

    def swish(self, name: str, x: int) -> int:
        return self.binary(name, "MUL", x, self.unary(f"{name}/sigmoid", "LOGISTIC", x))

    def reshape(self, name: str, x: int, shape: tuple[int, ...]) -> int:
        made = self.out(name, shape)
        wanted = np.array(shape, np.int32)
        self.operator(
            "RESHAPE", [x, self.constant(f"{name}/shape", wanted)], [made], options("Reshape", newShape=wanted)
        )
        return made

    def transpose(self, name: str, x: int, order: tuple[int, ...]) -> int:
        made = self.out(name, tuple(self.shapes[x][a] for a in order))
        self.operator(
            "TRANSPOSE", [x, self.constant(f"{name}/order", np.array(order, np.int32))], [made], options("Transpose")
        )
        return made

    def concat(self, name: str, xs: list[int], axis: int) -> int:
        shape = list(self.shapes[xs[0]])
        shape[axis] = sum(self.shapes[x][axis] for x in xs)
        made = self.out(name, tuple(shape))
        self.operator("CONCATENATION", xs, [made], options("Concatenation", axis=axis))
        return made

    def mean(self, name: str, x: int) -> int:
        made = self.out(name, (1, self.shapes[x][-1]))
        self.operator(
            "MEAN", [x, self.constant(f"{name}/axes", np.array([1, 2], np.int32))], [made], options("Reducer")
        )
        return made

    def done(self, *outputs: int) -> bytes:
        """As ``load`` gives it: a name for every tensor, a signature."""
        return normalise(self.build([self.entry], list(outputs)), "a test").content


def f32(values: Array) -> Array:
    return np.asarray(values, np.float32)


def he(rng: np.random.Generator, *shape: int) -> Array:
    """Random weights that keep the size of what passes; shape (out, height, width, in)."""
    return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)


def fit(features: Array, targets: Array, weight: float = 1e-2) -> tuple[Array, Array]:
    """Ridge regression with an intercept: weights (outputs, features) and bias (outputs,)."""
    mean, scale = features.mean(0), features.std(0)
    alive = scale > 1e-3 * np.abs(features).max(0) + 1e-9
    x = (features - mean) * alive / np.where(alive, scale, 1)
    solved = np.linalg.solve(x.T @ x + weight * len(x) * np.eye(x.shape[1]), x.T @ (targets - targets.mean(0)))
    weights = (solved * (alive / np.where(alive, scale, 1))[:, None]).T
    return weights, targets.mean(0) - weights @ mean


# The detector: bright squares on a dark ground, a grid of 8x8 cells, boxes in pixels beside scores.
SIDE, GRID, CELL = 64, 8, 8


@cache
def squares(count: int, seed: int) -> tuple[list[Array], list[Array]]:
    """Images (1, 64, 64, 3) in 0..1 with one to three squares each, and their boxes (n, 4): centre and size, times 5 as in 320 pixels."""
    rng = np.random.default_rng(seed)
    images, boxes = [], []
    for _ in range(count):
        image = rng.uniform(0, 0.15, (SIDE, SIDE, 3))
        taken, found = set(), []
        for _ in range(rng.integers(1, 4)):
            cell = tuple(rng.integers(1, GRID - 1, 2))
            if any(abs(cell[0] - o[0]) < 3 and abs(cell[1] - o[1]) < 3 for o in taken):
                continue
            taken.add(cell)
            size = int(rng.integers(5, 14))
            x, y = (int(c * CELL + rng.integers(0, CELL)) for c in cell[::-1])
            left, top = x - size // 2, y - size // 2
            image[max(top, 0) : top + size, max(left, 0) : left + size] = rng.uniform(0.6, 1, 3)
            found.append((left + size / 2, top + size / 2, size, size))
        images.append(f32(image[None]))
        boxes.append(np.array(found) * 5)
    return images, boxes


def _backbone(net: Net, seed: int) -> int:
    rng = np.random.default_rng(seed)
    x = net.conv("c1", net.entry, he(rng, 24, 3, 3, 3), rng.normal(0, 0.1, 24), stride=2)
    x = net.conv("c2", x, he(rng, 48, 3, 3, 24), rng.normal(0, 0.1, 48), stride=2)
    x = net.conv("c3", x, he(rng, 96, 3, 3, 48), rng.normal(0, 0.1, 96), stride=2)
    return net.conv("c4", x, he(rng, 160, 3, 3, 96), rng.normal(0, 0.1, 160))


@cache
def joint_head_detector(kind: str = "concatenation") -> bytes:
    """Output (1, 64, 5): x, y, width, height in pixels of 320, and a score, in one tensor.

    Args:
        kind: ``concatenation`` of boxes and scores; ``convolution``: one with five channels and no sigmoid, nothing to concatenate.
    """
    net = Net((1, SIDE, SIDE, 3))
    features = _backbone(net, 3)
    trunk = net.done(features)
    images, boxes = squares(300, 1)
    seen = outputs_of(trunk, images)[0].reshape(-1, 160).astype(np.float64)
    hot, targets = np.full((len(images), GRID * GRID), -4.0), np.zeros((len(images), GRID * GRID, 4))
    for number, found in enumerate(boxes):
        for box in found:
            place = int(box[1] / 5 // CELL) * GRID + int(box[0] / 5 // CELL)
            hot[number, place], targets[number, place] = 4.0, box
    hot, targets = hot.reshape(-1), targets.reshape(-1, 4)
    rows, columns = np.divmod(np.arange(GRID * GRID), GRID)
    centre = np.stack([columns, rows], 1) * CELL * 5.0 + 20
    targets[:, :2] -= np.tile(centre, (len(images), 1))
    chosen = hot > 0
    often = 1 + 12 * chosen  # cells with a square are rare
    targets[~chosen] = 0
    score_w, score_b = fit(np.repeat(seen, often, 0), np.repeat(hot[:, None], often, 0), 1e-4)
    box_w, box_b = fit(np.repeat(seen, often * 3, 0), np.repeat(targets, often * 3, 0), 1e-4)
    if kind == "convolution":
        both = np.concatenate([box_w, score_w])
        x = net.conv("head", features, both[:, None, None, :], np.concatenate([box_b, score_b]), act="NONE")
        x = net.reshape("flat", x, (1, GRID * GRID, 5))
        grid = np.zeros((1, GRID * GRID, 5))
        grid[0, :, :2] = centre
        return net.done(net.binary("output", "ADD", x, net.constant("grid", f32(grid))))
    box = net.conv("box", features, box_w[:, None, None, :], box_b, act="NONE")
    box = net.reshape("box_flat", box, (1, GRID * GRID, 4))
    offset = np.concatenate([centre, np.zeros_like(centre)], 1)[None]
    box = net.binary("boxes", "ADD", box, net.constant("grid", f32(offset)))
    score = net.conv("score", features, score_w[:, None, None, :], score_b, act="NONE")
    score = net.unary("scores", "LOGISTIC", net.reshape("score_flat", score, (1, GRID * GRID, 1)))
    return net.done(net.concat("output", [box, score], 2))


def average_precision(output: Array, truth: Sequence[Array]) -> float:
    """AP50 in percent of outputs (samples, 64, 5): all-point, after greedy non-maximum suppression."""
    ranked, count = [], 0
    for number, (rows, boxes) in enumerate(zip(output, truth, strict=True)):
        count += len(boxes)
        order = np.argsort(-rows[:, 4], kind="stable")[:20]
        kept: list[int] = []
        for place in order:
            if all(overlap(rows[place, :4], rows[other, :4]) < 0.3 for other in kept):
                kept.append(int(place))
        ranked += [(float(rows[place, 4]), number, rows[place, :4]) for place in kept]
    ranked.sort(key=lambda hit: -hit[0])
    left = [list(boxes) for boxes in truth]
    hits = []
    for _, number, box in ranked:
        best = max(range(len(left[number])), key=lambda i: overlap(box, left[number][i]), default=None)
        hit = best is not None and overlap(box, left[number][best]) >= 0.5
        if hit:
            del left[number][best]
        hits.append(hit)
    right = np.cumsum(hits)
    precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float(100 * np.sum(precision[np.array(hits, bool)]) / count)


def overlap(a: Array, b: Array) -> float:
    """IoU of (x, y, width, height)."""
    low, high = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2), np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(float(max(a[2], 0) * max(a[3], 0) + b[2] * b[3]) - shared, 1e-9)


# The classifiers: noisy gratings of ten directions and widths.
CLASSES, NOISE, RIDGE = 10, 1.1, 0.1


@cache
def gratings(count: int, seed: int) -> tuple[list[Array], Array]:
    """Images (1, 32, 32, 3) around 0 and their classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, CLASSES, count)
    y, x = np.mgrid[:32, :32]
    images = []
    for index in classes:
        angle, width = np.pi * (index % 5) / 5, (4.0, 6.5)[index // 5]
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / width + rng.uniform(0, 2 * np.pi))
        images.append(f32(wave[None, :, :, None] * rng.uniform(0.5, 1, 3) + rng.normal(0, NOISE, (1, 32, 32, 3))))
    return images, classes


def accuracy(output: Array, classes: Array) -> float:
    """Top-1, percent."""
    return float(100 * (output.argmax(-1) == classes).mean())


def _classifier(net: Net, features: int) -> bytes:
    """Mean, and a dense layer that is fitted."""
    pooled = net.mean("pooled", features)
    trunk = net.done(pooled)
    images, classes = gratings(800, 1)
    seen = outputs_of(trunk, images)[0].astype(np.float64)
    weights, bias = fit(seen, np.eye(CLASSES)[classes] * 8, RIDGE)
    return net.done(net.dense("logits", pooled, weights, bias))


def _standardised(net: Net, x: int, kernel: Array, images: Sequence[Array]) -> tuple[Array, Array]:
    """Kernel and bias such that each channel comes out with mean 0 and variance 1, as batch normalisation leaves it."""
    zeros = np.zeros(max(kernel.shape[0], kernel.shape[3] if kernel.shape[0] == 1 else 0))
    layer = net.depthwise if kernel.shape[0] == 1 else net.conv
    trial = layer("trial", x, kernel, zeros, act="NONE")
    seen = outputs_of(net.done(trial), images)[0].astype(np.float64)
    net.graph.operators.pop()
    mean, scale = seen.mean((0, 1, 2)), seen.std((0, 1, 2))
    return kernel / (scale if kernel.shape[0] == 1 else scale[:, None, None, None]), -mean / scale


@cache
def wide_depthwise(spread: float = 3.0, *, act: str = "RELU") -> bytes:
    """Depthwise-separable blocks whose channels are scaled by random powers of ten, undone in the layer after: the function is the same.

    Args:
        spread: powers of ten between the narrowest and the widest channel.
        act: of the layers.
    """
    rng = np.random.default_rng(5)
    net, channels = Net((1, 32, 32, 3)), 32
    images, _ = gratings(40, 4)

    def powers(count: int) -> Array:
        return 10 ** rng.uniform(-spread / 2, spread / 2, count)

    factor = powers(channels)
    kernel, bias = _standardised(net, net.entry, he(rng, channels, 3, 3, 3), images)
    x = net.conv("stem", net.entry, kernel * factor[:, None, None, None], bias * factor, stride=2, act=act)
    for block in range(3):
        undo, factor = factor, powers(channels)
        kernel, bias = _standardised(net, x, rng.normal(0, 0.5, (1, 3, 3, channels)) / undo, images)
        x = net.depthwise(f"dw{block}", x, kernel * factor, bias * factor, act=act)
        undo, factor = factor, powers(2 * channels)
        kernel, bias = _standardised(net, x, he(rng, 2 * channels, 1, 1, channels) / undo, images)
        x = net.conv(f"pw{block}", x, kernel * factor[:, None, None, None], bias * factor, act=act)
        channels *= 2
    return _classifier(net, x)


@cache
def swish_net(outlier: float = 400.0) -> bytes:
    """Convolutions with x * sigmoid(x); in each a few channels meet a rare, huge value, far below what swish lets pass.

    Args:
        outlier: how far below; 0 leaves the net without.
    """
    rng = np.random.default_rng(7)
    net, x, channels = Net((1, 32, 32, 3)), -1, 3
    x = net.entry
    for layer, (wide, stride) in enumerate(((32, 2), (48, 1), (64, 2))):
        kernel, bias = he(rng, wide, 3, 3, channels), rng.normal(0, 0.1, wide)
        bias[:2] -= outlier * (layer < 3)
        made = net.conv(f"c{layer}", x, kernel, bias, stride=stride, act="NONE")
        x, channels = net.swish(f"swish{layer}", made), wide
    return _classifier(net, x)


def inputs_of(images: Sequence[Array]) -> Inputs:
    return lambda: iter(images)


Metric = Callable[[Array], float]
