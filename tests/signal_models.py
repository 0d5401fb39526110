"""Tiny float models that take signals."""

from __future__ import annotations

import numpy as np

from tests.tiny_models import TinyModel, conv_options, options


def keyword_net(*, frames: int = 49, bins: int = 40, classes: int = 3, seed: int = 0) -> bytes:
    """Log-mel (1, frames, bins, 1) -> convolution -> ReLU -> mean -> dense -> softmax, with weights of a fixed seed."""
    rng = np.random.default_rng(seed)
    net = TinyModel()
    entry = net.tensor("log_mel", (1, frames, bins, 1))
    kernel = net.constant("kernel", rng.normal(0, 0.3, (8, 3, 3, 1)).astype(np.float32))
    bias = net.constant("bias", rng.normal(0, 0.1, 8).astype(np.float32))
    maps, active = net.tensor("maps", (1, frames, bins, 8)), net.tensor("active", (1, frames, bins, 8))
    net.operator("CONV_2D", [entry, kernel, bias], [maps], conv_options())
    net.operator("RELU", [maps], [active])
    axes, pooled = net.constant("axes", np.array([1], np.int32)), net.tensor("pooled", (1, bins, 8))
    net.operator("MEAN", [active, axes], [pooled], options("Reducer", keepDims=False))
    flat, shape = net.tensor("flat", (1, bins * 8)), net.constant("shape", np.array([1, bins * 8], np.int32))
    net.operator("RESHAPE", [pooled, shape], [flat], options("Reshape", newShape=[1, bins * 8]))
    weights = net.constant("weights", rng.normal(0, 0.1, (classes, bins * 8)).astype(np.float32))
    offsets = net.constant("offsets", np.zeros(classes, np.float32))
    logits, scores = net.tensor("logits", (1, classes)), net.tensor("scores", (1, classes))
    net.operator("FULLY_CONNECTED", [flat, weights, offsets], [logits], options("FullyConnected"))
    net.operator("SOFTMAX", [logits], [scores], options("Softmax", beta=1.0))
    return net.build([entry], [scores])
