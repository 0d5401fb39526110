"""The models that are compared, made once with fixed seeds and kept in build/bench/models.

MobileNetV2-224 (alpha 1.0, 1,000 classes; Sandler et al., arXiv:1801.04381): float, int8, and uint8 with MediaPipe's metadata.
DS-CNN 49x10 (the keyword-spotting topology of MLPerf Tiny, arXiv:2106.07597; 12 classes): float and int8.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from time import perf_counter

from benchmarks.environments import BUILD, mediapipe_python, run_quietly, say, tensorflow_python

MODELS = BUILD / "models"
MOBILENET_FLOAT = MODELS / "mobilenet_v2_224_float.tflite"
MOBILENET_INT8 = MODELS / "mobilenet_v2_224_int8.tflite"
MOBILENET_UINT8 = MODELS / "mobilenet_v2_224_uint8.tflite"
DS_CNN_FLOAT = MODELS / "ds_cnn_49x10_float.tflite"
DS_CNN_INT8 = MODELS / "ds_cnn_49x10_int8.tflite"
LABELS = MODELS / "labels.txt"
ALL = (MOBILENET_FLOAT, MOBILENET_INT8, MOBILENET_UINT8, DS_CNN_FLOAT, DS_CNN_INT8, LABELS)


def make_models() -> None:
    """Make what is missing; says what it does and how long it took."""
    if all(path.is_file() for path in ALL):
        return
    python, peer = tensorflow_python(), mediapipe_python()
    say(f"building the models in {MODELS.relative_to(BUILD.parents[1])} with TensorFlow ...")
    started = perf_counter()
    beside = MODELS.with_name("models.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    here = Path(__file__).parent / "elsewhere"
    run_quietly([str(python), str(here / "build_models.py"), str(beside)])
    run_quietly(
        [str(peer), str(here / "mediapipe_metadata.py"), str(beside / MOBILENET_UINT8.name), str(beside / LABELS.name)]
    )
    shutil.rmtree(MODELS, ignore_errors=True)
    beside.replace(MODELS)
    say(f"  {perf_counter() - started:.0f} s")
