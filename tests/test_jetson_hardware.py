"""On a Jetson: engine onnx on its TensorRT and CUDA.

EDGE_SDK_HARDWARE=1 python -m pytest -m hardware tests/test_jetson_hardware.py -s
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from edge_sdk.engines.isolation import open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import EngineHangError
from tests.onnx_models import convolution

pytestmark = [pytest.mark.hardware, pytest.mark.slow]
KINDS = {"float": {}, "QDQ int8": {"quantized": True}, "float16": {"half": True}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("providers", ["tensorrt,cuda,cpu", "cuda,cpu"])
def test_it_computes_what_the_processor_does(kind: str, providers: str, tmp_path: Path) -> None:
    content = convolution(**KINDS[kind]).SerializeToString()
    outputs = []
    for names in (providers, "cpu"):
        options = {"providers": names, "cache": str(tmp_path)}
        with open_engine("onnx", content, options) as engine:
            print(engine.description)
            engine.input_arrays[0][...] = np.random.default_rng(0).normal(0, 1, engine.inputs[0].shape)
            outputs.append(engine.run()[0].astype(np.float32))
    assert np.abs(outputs[0] - outputs[1]).max() <= 0.02 * np.abs(outputs[1]).max()


def test_the_second_start_takes_what_the_first_has_built(tmp_path: Path) -> None:
    content = convolution(quantized=True).SerializeToString()
    options = {"providers": "tensorrt,cuda,cpu", "cache": str(tmp_path)}
    took_s = []
    for _ in range(2):
        began = perf_counter()
        open_engine("onnx", content, options).close()
        took_s.append(perf_counter() - began)
    print(f"first start {took_s[0]:.1f} s, second {took_s[1]:.1f} s")
    assert list(tmp_path.glob("engine-*/*.engine")) and list(tmp_path.glob("timing-*/*.timing"))
    assert took_s[1] < took_s[0]


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    options = {"providers": "tensorrt,cuda,cpu", "cache": str(tmp_path), "build_s": "1"}
    with pytest.raises(EngineHangError, match="hang budget of 1000 ms"):
        ProcessEngine("onnx", convolution(half=True).SerializeToString(), options, hang_ms=1_000)
