"""TFLiteConverter's post-training quantization as a person calls it: ``python tflite_converter.py SAMPLES.npy INT8.tflite``.

Runs in an environment that has TensorFlow, on the MobileNetV2-224 of build_models.py. SAMPLES.npy holds input tensors, float32,
(count, 1, 224, 224, 3). Prints the seconds of the conversion, the model being there already, and the process's peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import tensorflow as tf
from build_models import convert, mobilenet_v2

if __name__ == "__main__":
    data, target = map(Path, sys.argv[1:])
    model = mobilenet_v2()
    samples = np.load(data, mmap_mode="r")[:, 0]
    started = perf_counter()
    target.write_bytes(convert(model, samples, tf.int8))
    seconds = perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))
