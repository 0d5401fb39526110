"""A small network with every kind of convolution, and what targets make of it, for tests of the targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters import convert
from converters.conversion import ConvertResult
from tests.tiny_models import TinyModel, conv_options, options

CONTRACT = {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "stretch"}


def depthwise_net(*, size: int = 16, classes: int = 4, seed: int = 0) -> bytes:
    """Image (1, size, size, 3) -> convolution, ReLU -> depthwise convolution, ReLU -> mean -> dense -> softmax."""
    rng = np.random.default_rng(seed)
    net = TinyModel()
    image = net.tensor("image", (1, size, size, 3))
    kernel = net.constant("kernel", rng.normal(0, 0.5, (8, 3, 3, 3)).astype(np.float32))
    bias = net.constant("bias", rng.normal(0, 0.1, 8).astype(np.float32))
    features, active = (net.tensor(name, (1, size, size, 8)) for name in ("features", "active"))
    net.operator("CONV_2D", [image, kernel, bias], [features], conv_options())
    net.operator("RELU", [features], [active])
    each = net.constant("each", rng.normal(0, 0.5, (1, 3, 3, 8)).astype(np.float32))
    shift = net.constant("shift", rng.normal(0, 0.1, 8).astype(np.float32))
    deep, deeper = (net.tensor(name, (1, size, size, 8)) for name in ("deep", "deeper"))
    depthwise = options(
        "DepthwiseConv2D", strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1, depthMultiplier=1
    )
    net.operator("DEPTHWISE_CONV_2D", [active, each, shift], [deep], depthwise)
    net.operator("RELU", [deep], [deeper])
    axes, pooled = net.constant("axes", np.array([1, 2], np.int32)), net.tensor("pooled", (1, 8))
    net.operator("MEAN", [deeper, axes], [pooled], options("Reducer", keepDims=False))
    weights = net.constant("weights", rng.normal(0, 2, (classes, 8)).astype(np.float32))
    offsets = net.constant("offsets", np.zeros(classes, np.float32))
    logits, scores = net.tensor("logits", (1, classes)), net.tensor("scores", (1, classes))
    net.operator("FULLY_CONNECTED", [pooled, weights, offsets], [logits], options("FullyConnected"))
    net.operator("SOFTMAX", [logits], [scores], options("Softmax", beta=1.0))
    return net.build([image], [scores])


def converted(folder: Path, *boards: str, model: bytes | None = None, **told: object) -> ConvertResult:
    """A bundle of the network for these boards, as classifier of noise of different brightness."""
    rng = np.random.default_rng(1)
    bright = rng.uniform(0.1, 1, (40, 1, 1, 3))
    np.save(folder / "noise.npy", (bright * rng.integers(0, 256, (40, 16, 16, 3))).astype(np.uint8))
    (folder / "net.tflite").write_bytes(depthwise_net() if model is None else model)
    given = {"calibrate": f"{folder}/noise.npy?colour=rgb", "contract": CONTRACT, "task": "classify", **told}
    given = {key: value for key, value in given.items() if value is not None}
    return convert(folder / "net.tflite", output=folder / "net.edge", boards=boards, overwrite=True, **given)  # type: ignore[arg-type]
