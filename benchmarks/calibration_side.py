"""Runs calibration and bare inference over made-up images: ``python -m benchmarks.calibration_side rounds|whole IMAGES``.

Images are in memory, 224x224, and are encoded on both sides; none is decoded from a file. Bare inference has the interpreter that
calibration has, with ``experimental_preserve_all_tensors`` and all threads, and reads no tensor.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt

from benchmarks.models import MOBILENET_FLOAT
from converters.calibrate.checks import Watch
from converters.calibrate.ranges import encoded, measure
from converters.calibrate.samples import RawSample
from converters.interpreter import open_interpreter
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import describe

_BLOCK = 100
_CONTRACT = Contract(input="image", colour="rgb", mean=(128,), std=(128,), resize="stretch")


def main(side: str, images: int) -> None:
    """Print the seconds of both sides for every block in turn, or the peak memory of one calibration."""
    content = MOBILENET_FLOAT.read_bytes()
    model = describe(content)
    entry = model.tensors[model.inputs[0]]
    encoder = Encoder(_CONTRACT, TensorSpec(entry.name, entry.shape, entry.dtype))
    if side == "whole":
        measure(content, Watch(_CONTRACT).over(_images(images)), encoder)
        print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    rounds = _Rounds(content, model.inputs[0], encoder)
    measure(content, Watch(_CONTRACT).over(rounds.blocks(images)), encoder)
    print(json.dumps(rounds.taken))


class _Rounds:
    """Gives calibration its images, and between two blocks runs bare inference over the block before.

    Attributes:
        taken: of every block, seconds an image of calibration and of inference, then the same of processor time.
    """

    def __init__(self, content: bytes, entry: int, encoder: Encoder) -> None:
        self.taken: list[tuple[float, ...]] = []
        self._interpreter = open_interpreter(content)
        self._entry, self._encoder = entry, encoder

    def blocks(self, images: int) -> Iterator[RawSample]:
        """All images; making them is not counted."""
        for first in range(0, images, _BLOCK):
            block = list(_images(_BLOCK, first))
            started = _now()
            yield from block
            between = _now()
            for _, array in encoded(block, self._encoder):
                self._interpreter.set_tensor(self._entry, array)
                self._interpreter.invoke()
            ended = _now()
            seconds = [(between - started) / _BLOCK, (ended - between) / _BLOCK]
            self.taken.append((seconds[0][0], seconds[1][0], seconds[0][1], seconds[1][1]))


def _now() -> npt.NDArray[np.float64]:
    """Wall clock and processor time."""
    return np.array([perf_counter(), process_time()])


def _images(count: int, first: int = 0) -> Iterator[RawSample]:
    for number in range(first, first + count):
        data = np.random.default_rng(number).integers(0, 256, (224, 224, 3), np.uint8)
        yield RawSample(data, "bgr", f"image {number}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
