"""A small autoencoder, trained in NumPy and written as ONNX: it rebuilds what it was trained on, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_sdk.errors import needs

Floats = npt.NDArray[np.float32]
_HIDDEN, _CODE = 64, 8
_EPOCHS, _BATCH, _RATE = 60, 32, 2e-3
_BETA_1, _BETA_2, _TINY = 0.9, 0.999, 1e-8  # Adam's (Kingma and Ba 2015, arXiv:1412.6980)


class Autoencoder:
    """Four dense layers, wide, narrow, wide, and the output; ReLU behind the wide ones.

    Args:
        size: numbers that it takes and gives.
        seed: of its first weights.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        widths = (size, _HIDDEN, _CODE, _HIDDEN, size)
        pairs = list(pairwise(widths))
        self._weights = [self._random.normal(0, (2 / a) ** 0.5, (a, b)).astype(np.float32) for a, b in pairs]
        self._biases = [np.zeros(b, np.float32) for _, b in pairs]
        self._mean, self._std = 0.0, 1.0

    def train(self, inputs: Floats) -> float:
        """Learn to rebuild ``inputs`` (n, size), by Adam with a rate that falls as a cosine; the mean squared error afterwards."""
        self._mean, self._std = float(inputs.mean()), float(inputs.std())
        x = (inputs - np.float32(self._mean)) / np.float32(self._std)
        parameters = [*self._weights, *self._biases]
        first = [np.zeros_like(p) for p in parameters]
        second = [np.zeros_like(p) for p in parameters]
        batches = max(1, len(x) // _BATCH)
        for epoch in range(_EPOCHS):
            for number, chosen in enumerate(np.array_split(self._random.permutation(len(x)), batches)):
                step = epoch * batches + number + 1
                rate = _RATE * (1 + np.cos(np.pi * step / (_EPOCHS * batches))) / 2
                for p, m, v, slope in zip(parameters, first, second, self._slopes(x[chosen]), strict=True):
                    m[:] = _BETA_1 * m + (1 - _BETA_1) * slope
                    v[:] = _BETA_2 * v + (1 - _BETA_2) * slope * slope
                    p[:] -= rate * (m / (1 - _BETA_1**step)) / (np.sqrt(v / (1 - _BETA_2**step)) + _TINY)
        return float(np.square(self.rebuild(inputs) - inputs).mean())

    def rebuild(self, inputs: Floats) -> Floats:
        """What it makes of ``inputs`` (n, size), in their unit."""
        x = (inputs - np.float32(self._mean)) / np.float32(self._std)
        rebuilt: Floats = self._layers(x)[-1] * np.float32(self._std) + np.float32(self._mean)
        return rebuilt

    def write_onnx(self, path: Path, shape: tuple[int, ...]) -> None:
        """One window a run: input and output ``(1, *shape)``. Mean and deviation become part of the first and last layer."""
        with needs("onnx", for_="writing the model", extra="onnx"):
            import onnx
            from onnx import helper, numpy_helper
        weights, biases = [w.copy() for w in self._weights], [b.copy() for b in self._biases]
        weights[0] /= self._std
        biases[0] -= self._mean * weights[0].sum(axis=0)
        weights[-1] *= self._std
        biases[-1] = biases[-1] * self._std + self._mean
        flat, whole = np.array([1, weights[0].shape[0]]), np.array([1, *shape])
        constants = [numpy_helper.from_array(flat, "flat"), numpy_helper.from_array(whole, "whole")]
        nodes, last = [helper.make_node("Reshape", ["window", "flat"], ["x"])], "x"
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            constants += [numpy_helper.from_array(weight, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
            nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [last := f"dense{layer}"]))
            if layer % 2 == 0:
                nodes.append(helper.make_node("Relu", [last], [last := f"relu{layer}"]))
        nodes.append(helper.make_node("Reshape", [last, "whole"], ["rebuilt"]))
        ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, (1, *shape)) for n in ("window", "rebuilt")]
        graph = helper.make_graph(nodes, "autoencoder", ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)

    def _layers(self, x: Floats) -> list[Floats]:
        """The input, and what each layer gives."""
        outputs = [x]
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            sums = outputs[-1] @ weight + bias
            outputs.append(np.maximum(sums, 0) if layer % 2 == 0 else sums)
        return outputs

    def _slopes(self, x: Floats) -> list[Floats]:
        """Of the mean squared error, by all weights and then by all biases."""
        outputs = self._layers(x)
        slope = 2 * (outputs[-1] - x) / x.size
        by_weights, by_biases = [], []
        for layer in reversed(range(len(self._weights))):
            if layer % 2 == 0:
                slope = slope * (outputs[layer + 1] > 0)
            by_weights.append(outputs[layer].T @ slope)
            by_biases.append(slope.sum(axis=0))
            slope = slope @ self._weights[layer].T
        return [*reversed(by_weights), *reversed(by_biases)]
