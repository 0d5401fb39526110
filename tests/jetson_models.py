"""Small float models for the Jetson target, and ways to quantize them there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from onnx import ModelProto

from converters.calibrate.statistics import Statistics
from converters.targets.jetson.build import Builder, Candidate
from converters.targets.jetson.graph import Graph
from converters.targets.jetson.make import channels_first
from converters.targets.jetson.run import Runner
from edge_sdk.tensors import Array
from tests import repair_models as models
from tests.repair_models import Net, he

RESIDUAL_LAYERS = {"Conv": 4, "Add": 1, "Gemm": 1}


@cache
def residual_net() -> bytes:
    """A convolution with RELU6, a depthwise and two 1x1 ones, one of which is added to the stem's output, a mean and a dense layer."""
    rng = np.random.default_rng(11)
    net = Net((1, 16, 16, 3))
    stem = net.conv("stem", net.entry, he(rng, 8, 3, 3, 3), rng.normal(0, 0.1, 8), act="RELU6")
    deep = net.depthwise("deep", stem, rng.normal(0, 0.5, (1, 3, 3, 8)), rng.normal(0.2, 0.1, 8), act="RELU6")
    back = net.conv("back", deep, he(rng, 8, 1, 1, 8), np.zeros(8), act="NONE")
    summed = net.binary("summed", "ADD", stem, back)
    head = net.conv("head", summed, he(rng, 16, 1, 1, 8), rng.normal(0, 0.1, 16))
    return net.done(net.dense("scores", net.mean("mean", head), he(rng, 5, 16), rng.normal(0, 0.1, 5)))


def images_of(shape: tuple[int, ...], count: int, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, shape).astype(np.float32) for _ in range(count)]


def residual_images(count: int, seed: int) -> list[Array]:
    return images_of((1, 16, 16, 3), count, seed)


def statistics_of(content: bytes, tensors: Sequence[Array]) -> Statistics:
    return models.statistics(content, tensors)


def graph_of(content: bytes, tensors: Sequence[Array], opset: int = 17) -> Graph:
    return Graph.of(content, statistics_of(content, tensors), lambda: nchw(tensors), opset)


def builder_of(tensors: Sequence[Array], weights_as: str = "float32") -> Builder:
    return Builder(lambda content: statistics_of(content, tensors), lambda: nchw(tensors), 17, weights_as)  # type: ignore[arg-type]


def qdq_of(content: bytes, tensors: Sequence[Array], **how: object) -> ModelProto:
    """A QDQ graph; ``how`` is of a ``Candidate``."""
    return builder_of(tensors).build(Candidate(content, **how)).model  # type: ignore[arg-type]


def nchw(tensors: Iterable[Array]) -> list[Array]:
    return [channels_first(tensor) for tensor in tensors]


def outputs_of(model: ModelProto, tensors: Iterable[Array]) -> Array:
    """The first output over all samples, stacked; the tensors are as the .tflite takes them."""
    runner = Runner(model)
    return np.concatenate([next(iter(runner.run(tensor).values())) for tensor in nchw(tensors)])
