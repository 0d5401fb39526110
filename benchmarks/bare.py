"""What a good engineer writes by hand, with nothing but LiteRT and OpenCV: the other side of the comparison."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edge_sdk.tensors import Array


class Bare:
    """The interpreter on one thread.

    Attributes:
        input: the input tensor that ``step`` runs on.
    """

    def __init__(self, model: Path) -> None:
        self._interpreter = Interpreter(model_path=str(model), num_threads=1)
        self._interpreter.allocate_tensors()
        (taken,), (given,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._in, self._out = taken["index"], given["index"]
        self.scale, self.zero_point = given["quantization"]
        self.input: Array = np.zeros(taken["shape"], taken["dtype"])

    def step(self) -> Array:
        """set_tensor, invoke, get_tensor."""
        self._interpreter.set_tensor(self._in, self.input)
        self._interpreter.invoke()
        output: Array = self._interpreter.get_tensor(self._out)
        return output


class BareClassifier:
    """A BGR frame to the three best classes of a model that takes RGB bytes (uint8), or bytes less 128 (int8).

    Resize (INTER_LINEAR) first, as that leaves the least for everything after it; cvtColor into a kept buffer; for int8 the top bit
    is flipped in place (byte - 128 in one integer operation), for uint8 nothing; set_tensor, invoke; argpartition for three of 1,000.

    Attributes:
        step: runs the model.
    """

    def __init__(self, model: Path, labels: list[str]) -> None:
        self._model = Bare(model)
        self.step = self._model.step
        self._labels = labels
        _, height, width, _ = self._model.input.shape
        self._size = (width, height)
        self._resized = np.empty((height, width, 3), np.uint8)
        self._bytes = self._model.input.view(np.uint8)[0]
        self._signed = self._model.input.dtype == np.int8

    def classify(self, frame: Array) -> list[tuple[int, str, float]]:
        """Index, label and score of the best three, the best first."""
        cv2.resize(frame, self._size, dst=self._resized, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(self._resized, cv2.COLOR_BGR2RGB, dst=self._bytes)
        if self._signed:
            np.bitwise_xor(self._bytes, 0x80, out=self._bytes)
        scores = self.step()[0]
        best = np.argpartition(scores, -3)[-3:]
        best = best[np.argsort(scores[best])[::-1]]
        scale, zero_point = self._model.scale, self._model.zero_point
        return [(int(i), self._labels[i], (int(scores[i]) - zero_point) * scale) for i in best]
