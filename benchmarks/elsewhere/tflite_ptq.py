"""TFLiteConverter's own post-training quantization of a float .tflite: ``python tflite_ptq.py FLOAT.tflite SAMPLES.npy INT8.tflite``.

Runs in an environment that has TensorFlow. These are the steps of ``TFLiteConverterBase._quantize`` (tensorflow/lite/python/lite.py) with
its defaults and int8 input and output: ranges by its calibrator, then its MLIR quantizer. A float model that has left TFLiteConverter,
or was never in it, is quantized as it would have been inside.

SAMPLES.npy holds input tensors (count, *input shape), float32. Prints the seconds that it took, imports aside, and its peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize import calibrator


def quantize(content: bytes, samples: np.ndarray) -> bytes:
    """The int8 model; operators without an int8 kernel stay float, as TFLiteConverter leaves them."""

    def representative() -> Iterator[list[np.ndarray]]:
        yield from ([sample] for sample in samples)

    ranges = calibrator.Calibrator(calibrator.add_intermediate_tensors(content)).calibrate(representative)
    return bytes(mlir_quantize(ranges, input_data_type=tf.int8, output_data_type=tf.int8))


if __name__ == "__main__":
    source, data, target = map(Path, sys.argv[1:])
    content, samples = source.read_bytes(), np.load(data, mmap_mode="r")
    started = perf_counter()
    target.write_bytes(quantize(content, samples))
    seconds = perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))
