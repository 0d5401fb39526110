"""What a board's profile states for an engine is taken, unless the user says otherwise: a board named is a board used, or an error."""

from __future__ import annotations

import pytest

from boards import load, names
from edge_sdk.engines import OPTIONS, own_options


@pytest.mark.parametrize(
    ("board", "device"),
    [
        ("intel-npu", "NPU"),
        ("intel-gpu", "GPU"),
        ("movidius-ncs2", "MYRIAD"),
        ("generic-x86-64", None),
        ("jetson-nano", None),
    ],
)
def test_the_device_is_that_of_the_board(board: str, device: str | None) -> None:
    stated = load(board).engine_options
    assert own_options("openvino", {}, stated).get("device") == device
    assert own_options("openvino", {"device": "CPU", "providers": "cpu"}, stated)["device"] == "CPU"
    assert own_options("litert", {"threads": "2"}, stated) == {"threads": "2"}


@pytest.mark.parametrize("board", names())
def test_profiles_state_options_that_engines_have(board: str) -> None:
    for engine, options in load(board).engine_options.items():
        assert set(options) <= set(OPTIONS[engine])


def test_a_jetson_that_is_named_is_its_gpu() -> None:
    stated = load("jetson-orin-nano").engine_options
    assert own_options("onnx", {}, stated) == {"providers": "tensorrt,cuda,cpu"}
    assert own_options("onnx", {"providers": "cpu"}, stated) == {"providers": "cpu"}
