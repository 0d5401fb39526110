"""Inputs whose channels stand first: the same numbers as channels-last ones, bit by bit, and what reads them knows where they stand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ContractError
from edge_sdk.tasks import make_task
from edge_sdk.tasks.settings import AnomalySettings, DetectSettings
from edge_sdk.tensors import TensorSpec
from edge_sdk.window_settings import WindowSettings

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64")
SCALINGS = {
    "byte plus a constant": ({"range": (0, 255)}, 1.0),
    "range": ({"range": (-1, 1)}, 2 / 255),
    "one mean": ({"mean": (127.0,), "std": (128.0,)}, 0.01),
    "a mean each": ({"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, 0.02),
}


def both(spec: TensorSpec) -> tuple[TensorSpec, TensorSpec]:
    """An NHWC spec, and the same with its channels first."""
    batch, *others, channels = spec.shape
    return spec, TensorSpec(
        spec.name, (batch, channels, *others), spec.dtype, spec.scale, spec.zero_point, layout="nchw"
    )


def encoded(contract: Contract, spec: TensorSpec, sample: np.ndarray, colour: str = "bgr") -> np.ndarray:
    out, encoder = np.empty(spec.shape, spec.dtype), Encoder(contract, spec)
    for _ in range(2):  # the second time with its kept buffers
        encoder.encode(sample, out, colour=colour)
    return out


@settings(max_examples=300, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    scaling=st.sampled_from(sorted(SCALINGS)),
    wanted=st.sampled_from(["rgb", "bgr", "gray"]),
    has=st.sampled_from(["rgb", "bgr", "gray"]),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    size=st.sampled_from([(20, 30), (41, 17), (12, 60)]),
    form=st.sampled_from(["whole", "mirrored", "part", "one channel"]),
    seed=st.integers(0, 99),
)
def test_planes_hold_what_pixels_do(
    dtype: str, scaling: str, wanted: str, has: str, resize: str, size: tuple[int, int], form: str, seed: int
) -> None:
    told, scale = SCALINGS[scaling]
    if wanted == "gray":
        told = {key: value[:1] if key in ("mean", "std") else value for key, value in told.items()}
    contract = Contract.model_validate({"input": "image", "colour": wanted, "resize": resize, "pad": 114, **told})
    integer = np.dtype(dtype).kind in "iu"
    zero_point = {"int8": -128, "uint8": 3}.get(dtype, 0)
    spec = TensorSpec("image", (1, 20, 30, contract.channels), dtype, scale if integer else 0.0, zero_point * integer)
    frame = np.random.default_rng(seed).integers(0, 256, (size[0], 2 * size[1], 3), dtype=np.uint8)[:, : size[1]]
    frame = {"whole": frame.copy(), "mirrored": frame[:, ::-1], "part": frame, "one channel": frame[:, :, :1]}[form]
    if has == "gray":
        frame = frame[:, :, 0]
    last, first = both(spec)
    np.testing.assert_array_equal(
        encoded(contract, first, frame, has), encoded(contract, last, frame, has).transpose(0, 3, 1, 2)
    )


WITHOUT_OPENCV = """
import sys
sys.modules["cv2"] = None
import numpy as np
from tests.test_layouts import Contract, TensorSpec, both, encoded
for dtype, scale in (("int8", 1.0), ("int8", 0.0078), ("float32", 0.0)):
    contract = Contract(input="image", colour="rgb", range=(0, 255), resize="stretch")
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for sample, colour in ((frame, "bgr"), (frame, "rgb")):
        last, first = (encoded(contract, s, sample, colour) for s in both(TensorSpec("x", (1, 20, 30, 3), dtype, scale)))
        assert np.array_equal(first, last.transpose(0, 3, 1, 2))
"""


def test_without_opencv_planes_hold_what_pixels_do() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_OPENCV], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_numbers_come_channels_last_whatever_the_layout() -> None:
    contract = Contract(input="tensor", mean=(1.0, 2.0, 3.0), std=(2.0,))
    sample = np.random.default_rng(1).normal(0, 9, (4, 5, 3)).astype(np.float32)
    last, first = both(TensorSpec("x", (1, 4, 5, 3), "int8", 0.1, 4))
    for given_ in (sample, sample[None]):
        assert np.array_equal(encoded(contract, first, given_), encoded(contract, last, given_).transpose(0, 3, 1, 2))
    with pytest.raises(ContractError, match=r"takes shape \(1, 4, 5, 3\); found \(3, 4, 5\)"):
        encoded(contract, first, sample.transpose(2, 0, 1))


def test_windows_too() -> None:
    window = WindowSettings(length=8, rate_hz=10, hop=4, channels=("x", "y", "z"), units="g", gap="drop")
    contract = Contract(input="window", window=window, mean=(1.0, 2.0, 3.0), std=(2.0, 3.0, 4.0))
    sample = np.random.default_rng(1).normal(0, 9, (8, 3)).astype(np.float32)
    last, first = both(TensorSpec("x", (1, 8, 3), "float32"))
    assert np.array_equal(encoded(contract, first, sample), encoded(contract, last, sample).transpose(0, 2, 1))
    with pytest.raises(ContractError, match="has shape"):
        Encoder(contract, TensorSpec("x", (1, 8, 3), "float32", layout="nchw"))


@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (1, 1, 16, 16), (2, 3, 16, 16), (3, 16, 16)])
def test_a_tensor_that_cannot_be_made_is_named_with_its_layout(shape: tuple[int, ...]) -> None:
    contract = Contract(input="image", colour="rgb", range=(0, 1), resize="crop")
    wanted = r"shape \(1, 3, height, width\); input 'x' of layout nchw has shape \(" + ", ".join(map(str, shape))
    with pytest.raises(ContractError, match=wanted):
        Encoder(contract, TensorSpec("x", shape, "float32", layout="nchw"))


def test_channels_first_need_axes_behind_them() -> None:
    with pytest.raises(ValueError, match=r"layout nchw and shape \(1, 3\); it needs axes \(batch, channels, ...\)"):
        TensorSpec("x", (1, 3), "float32", layout="nchw").check()


def test_width_and_height_are_read_where_they_stand() -> None:
    last, first = both(TensorSpec("x", (1, 48, 64, 3), "uint8"))
    assert last.image_size == first.image_size == (64, 48)
    assert last.nhwc_shape == first.nhwc_shape == (1, 48, 64, 3)


def test_boxes_of_both_layouts_are_the_same() -> None:
    told = DetectSettings.model_validate({"kind": "detect", "boxes": "found", "anchors": "none", "activation": "none"})
    output = TensorSpec("found", (1, 40, 6), "float32")
    rows = np.random.default_rng(2).uniform(0.1, 1, output.shape).astype(np.float32)
    tasks = [
        make_task(told, input_=spec, outputs=(output,), labels=("cat", "dog"))
        for spec in both(TensorSpec("x", (1, 48, 64, 3), "uint8"))
    ]
    assert len({str(task.decode((rows,), None)) for task in tasks}) == 1


def test_a_reconstruction_is_compared_channel_by_channel() -> None:
    told = AnomalySettings.model_validate({"kind": "anomaly", "score": "reconstruction", "threshold": 1.0})
    last, first = both(TensorSpec("x", (1, 4, 5, 3), "float32"))
    seen = np.random.default_rng(3).normal(0, 1, last.shape).astype(np.float32)
    for spec, input_ in ((last, seen), (first, np.ascontiguousarray(seen.transpose(0, 3, 1, 2)))):
        task = make_task(told, input_=spec, outputs=(last,), labels=())
        assert task.decode((seen,), None, input_=input_).score == pytest.approx(0, abs=1e-9)
