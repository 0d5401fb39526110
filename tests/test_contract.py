"""The contract: the folded table against the float formula, resizing and colour orders, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract import Contract, contract_from
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError, ContractError
from edge_sdk.tensors import TensorSpec

CONTRACTS = {
    "range -1..1": {"colour": "rgb", "range": (-1, 1)},
    "range 0..1": {"colour": "bgr", "range": (0, 1)},
    "ImageNet mean and std": {"colour": "rgb", "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
    "gray, one mean": {"colour": "gray", "mean": (127.0,), "std": (128.0,)},
}
TENSORS = {
    "int8": ("int8", 2 / 255, -1),
    "int8, odd scale": ("int8", 0.018658448, -14),
    "uint8": ("uint8", 1 / 255, 0),
    "int16": ("int16", 3.0518e-05, 0),
    "float32": ("float32", 0.0, 0),
    "float16": ("float16", 0.0, 0),
}


def image_contract(name: str, resize: str = "stretch", **more: object) -> Contract:
    return Contract.model_validate({"input": "image", "resize": resize} | CONTRACTS[name] | more)


def spec_of(name: str, contract: Contract, height: int = 16, width: int = 16) -> TensorSpec:
    return TensorSpec("image", (1, height, width, contract.channels), *TENSORS[name])


def by_formula(contract: Contract, spec: TensorSpec, pixels: np.ndarray) -> np.ndarray:
    """(x - mean) / std or the range, then round half away from zero and clip, number by number in float64."""
    pixels = pixels.reshape(*pixels.shape[:2], contract.channels).astype(np.float64)
    if contract.range is not None:
        real = contract.range[0] + pixels * ((contract.range[1] - contract.range[0]) / 255)
    else:
        real = (pixels - np.array(contract.mean)) / np.array(contract.std)
    if not spec.scale:
        return real.astype(spec.dtype)[None]
    steps = real / spec.scale
    rounded = np.where(steps < 0, np.ceil(steps - 0.5), np.floor(steps + 0.5)) + spec.zero_point
    limits = np.iinfo(spec.dtype)
    return np.clip(rounded, limits.min, limits.max).astype(spec.dtype)[None]


@pytest.mark.parametrize("contract_name", CONTRACTS)
@pytest.mark.parametrize("tensor_name", TENSORS)
def test_the_table_is_the_float_formula_on_every_byte(contract_name: str, tensor_name: str) -> None:
    contract = image_contract(contract_name)
    spec = spec_of(tensor_name, contract)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    if contract.channels == 3:
        pixels = np.stack([pixels, pixels.T, pixels[::-1]], axis=-1)
    out = np.empty(spec.shape, spec.dtype)
    Encoder(contract, spec).encode(pixels, out, colour=contract.colour)
    np.testing.assert_array_equal(out, by_formula(contract, spec, pixels))


def test_halves_are_rounded_away_from_zero() -> None:
    spec = TensorSpec("x", (1, 6), "int8", 0.5, 0)
    real = np.array([0.25, -0.25, 0.75, -0.75, 1.25, -1.25])
    assert spec.quantize(real).tolist() == [1, -1, 2, -2, 3, -3]


def resized(image: np.ndarray, mode: str, width: int, height: int, pad: int) -> np.ndarray:
    """The resize told plainly, with OpenCV's exact bilinear one."""
    rows, columns = image.shape[:2]
    if mode == "crop":
        scale = max(width / columns, height / rows)
        w, h = min(columns, round(width / scale)), min(rows, round(height / scale))
        x, y = (columns - w) // 2, (rows - h) // 2
        image = image[y : y + h, x : x + w]
    if mode != "letterbox":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    scale = min(width / columns, height / rows)
    w, h = round(columns * scale), round(rows * scale)
    x, y = (width - w) // 2, (height - h) // 2
    canvas = np.full((height, width, *image.shape[2:]), pad, np.uint8)
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR_EXACT)
    return canvas


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("size", [(144, 176), (60, 31), (32, 48), (7, 200), (64, 96)], ids=str)
@pytest.mark.parametrize("contract_name", ["range -1..1", "gray, one mean"])
def test_a_frame_is_resized_reordered_and_normalised_bit_exactly(
    mode: str, size: tuple[int, int], contract_name: str
) -> None:
    contract = image_contract(contract_name, mode, pad=77)
    spec = spec_of("int8", contract, 32, 48)
    frame = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    out = np.empty(spec.shape, np.int8)
    encoder = Encoder(contract, spec)
    for _ in range(2):  # the second time with its kept buffers
        encoder.encode(frame, out, colour="bgr")
        code = cv2.COLOR_BGR2RGB if contract.channels == 3 else cv2.COLOR_BGR2GRAY
        np.testing.assert_array_equal(
            out, by_formula(contract, spec, cv2.cvtColor(resized(frame, mode, 48, 32, 77), code))
        )


def test_frames_of_changing_size_leave_nothing_of_each_other() -> None:
    contract = image_contract("range -1..1", "letterbox")
    spec = spec_of("int8", contract)
    encoder, out = Encoder(contract, spec), np.empty(spec.shape, np.int8)
    rng = np.random.default_rng(2)
    for size in ((40, 20, 3), (20, 40, 3), (40, 20), (30, 30, 1), (16, 16, 3), (40, 20, 3)):
        frame = rng.integers(0, 256, size, dtype=np.uint8)
        encoder.encode(frame, out)
        alone = np.empty_like(out)
        Encoder(contract, spec).encode(frame, alone)
        np.testing.assert_array_equal(out, alone)


@pytest.mark.parametrize("has", ["bgr", "rgb", "gray"])
@pytest.mark.parametrize("wanted", ["bgr", "rgb", "gray"])
@pytest.mark.parametrize("layout", ["whole", "mirrored", "part", "read-only"])
def test_every_colour_order_goes_to_every_other(has: str, wanted: str, layout: str) -> None:
    contract = Contract(input="image", colour=wanted, range=(0, 255), resize="stretch")
    spec = TensorSpec("image", (1, 8, 8, contract.channels), "uint8", 1.0, 0)
    frame = np.random.default_rng(3).integers(0, 256, (8, 24, 3), dtype=np.uint8)[:, :8]
    frame = frame[:, ::-1] if layout == "mirrored" else frame if layout == "part" else frame.copy()
    if has == "gray":
        frame = frame[:, :, 0]
    if layout == "read-only":
        frame.flags.writeable = False
    out = np.empty(spec.shape, np.uint8)
    Encoder(contract, spec).encode(frame, out, colour=has)
    rgb = {
        "rgb": frame,
        "bgr": frame[..., ::-1],
        "gray": np.repeat(frame[..., None], 3, 2) if has == "gray" else frame,
    }[has]
    if wanted == "gray":
        luma = rgb @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
        assert np.abs(out[0, :, :, 0] - luma).max() <= 0.51
    else:
        np.testing.assert_array_equal(out[0], rgb if wanted == "rgb" else rgb[..., ::-1])


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(["stretch", "letterbox", "crop"]),
    width=st.integers(2, 300),
    height=st.integers(2, 300),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_points_go_back_to_source_pixels(mode: str, width: int, height: int, x: float, y: float) -> None:
    """The ends of what was taken of the source lie at the ends of what was filled in the tensor."""
    contract = image_contract("range -1..1", mode)
    spec = spec_of("int8", contract, 64, 96)
    placement = Encoder(contract, spec).encode(np.zeros((height, width, 3), np.uint8), np.empty(spec.shape, np.int8))
    assert placement is not None
    source = np.array([x * width, y * height])
    box = np.tile(source * placement.scale + placement.offset, 2).astype(np.float32)
    np.testing.assert_allclose(placement.to_source(box), np.tile(source, 2), atol=1e-2)
    corners = placement.to_source(np.array([[0, 0], [96, 64]], np.float32))
    inside = np.array([[0, 0], [width, height]])
    if mode == "stretch":
        np.testing.assert_allclose(corners, inside, atol=1e-2)
    elif mode == "letterbox":
        assert (corners[0] <= 1e-2).all() and (corners[1] >= inside[1] - 1e-2).all()
    else:
        assert (corners[0] >= -1e-2).all() and (corners[1] <= inside[1] + 1e-2).all()


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "crop"])
def test_a_marked_pixel_is_found_again(mode: str) -> None:
    contract = image_contract("gray, one mean", mode)
    spec = spec_of("float32", contract, 64, 64)
    frame = np.zeros((100, 200), np.uint8)
    frame[40:44, 120:124] = 255
    out = np.empty(spec.shape, np.float32)
    placement = Encoder(contract, spec).encode(frame, out)
    assert placement is not None
    y, x = np.unravel_index(out[0, :, :, 0].argmax(), (64, 64))
    np.testing.assert_allclose(placement.to_source(np.array([x + 0.5, y + 0.5], np.float32)), [122, 42], atol=3.2)


NUMPY_ONLY = """
import sys
import numpy as np
{block}
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import TensorSpec
assert ("cv2" in sys.modules) == {has_cv2}
import hashlib
total = hashlib.sha256()
for colour, channels in (("rgb", 3), ("gray", 1)):
    for dtype, scale in (("int8", 0.0078), ("uint8", 0.0091), ("int16", 1e-4), ("float32", 0.0)):
        contract = Contract(input="image", colour=colour, mean=(120.5,), std=(61.25,), resize="letterbox")
        spec = TensorSpec("x", (1, 20, 30, channels), dtype, scale, 3 if scale else 0)
        image = np.random.default_rng(9).integers(0, 256, (20, 30, 3)[: 2 + (channels == 3)], dtype=np.uint8)
        out = np.empty(spec.shape, dtype)
        for given in ("rgb", "bgr") if channels == 3 else ("gray",):
            Encoder(contract, spec).encode(image, out, colour=given)
            total.update(out.tobytes())
print(total.hexdigest())
"""


def test_without_opencv_the_bytes_are_the_same() -> None:
    found = []
    for block in ("", "sys.modules['cv2'] = None", "import cv2"):
        program = NUMPY_ONLY.format(block=block, has_cv2=bool(block))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert len(set(found)) == 1


# What it refuses


@pytest.mark.parametrize(
    "out", [np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 8, 8, 3), np.int8), np.zeros((16, 16, 3), np.int8)]
)
def test_an_input_array_that_is_not_the_tensor_is_refused_not_left_unwritten(out: np.ndarray) -> None:
    contract = image_contract("range -1..1")
    with pytest.raises(ContractError, match=r"'image' is int8 of shape \(1, 16, 16, 3\); the array to write has"):
        Encoder(contract, spec_of("int8", contract)).encode(np.zeros((16, 16, 3), np.uint8), out)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"model.toml: missing: input \(image"),
        (
            {"input": "image"},
            r"missing: colour \(rgb, bgr or gray.*; resize \(stretch, letterbox or crop\); range .* or both mean and std",
        ),
        ({"input": "image", "colour": "rgb", "resize": "crop", "mean": (1,)}, "missing: range .* or both mean and std"),
        ({"input": "tensor", "mean": (1,)}, r"missing: mean and std \(both or neither\)"),
        ({"input": "tensor", "colour": "rgb"}, "colour, range and resize are for input = image"),
        ({"input": "image", "colour": "rgb", "resize": "crop", "range": (1, 1)}, "range must rise"),
        ({"input": "image", "colour": "rgb", "resize": "crop", "range": (0, float("nan"))}, "finite"),
        ({"input": "image", "colour": "rgb", "resize": "crop", "mean": (0,), "std": (0,)}, "std must be above 0"),
        ({"input": "image", "colour": "rgb", "resize": "crop", "range": (0, 1), "mean": (0,)}, "not both"),
        ({"input": "image", "colour": "rgb", "resize": "crop", "range": (0, 1), "pad": 256}, "pad is a byte"),
        ({"input": "image", "colour": "hsv", "resize": "crop", "range": (0, 1)}, "colour: .*'bgr', 'rgb' or 'gray'"),
        ({"input": "tensor", "color": "rgb"}, "model.toml: color: no such key"),
    ],
)
def test_what_is_missing_or_wrong_is_asked_for_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        contract_from(settings, "model.toml")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "an image of bytes is needed.*found float32.*use input = tensor"),
        (np.zeros((4, 4, 4), np.uint8), r"found uint8 of shape \(4, 4, 4\)"),
        (np.zeros(4, np.uint8), r"found uint8 of shape \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), "4x0 pixels has nothing in it"),
    ],
)
def test_samples_that_are_no_image_are_refused(sample: np.ndarray, message: str) -> None:
    contract = image_contract("range -1..1")
    spec = spec_of("int8", contract)
    with pytest.raises(ContractError, match=message):
        Encoder(contract, spec).encode(sample, np.empty(spec.shape, np.int8))


@pytest.mark.parametrize(
    ("shape", "more", "message"),
    [
        ((1, 16, 16, 1), {}, r"shape \(1, height, width, 3\); input 'x' of layout nhwc has shape \(1, 16, 16, 1\)"),
        ((1, 3, 16, 16), {}, "has shape"),
        ((16, 16, 3), {}, "has shape"),
        ((1, 16, 16, 3), {"range": None, "mean": (1, 2), "std": (1,)}, "mean has 2 numbers; input 'x' has 3 channels"),
    ],
)
def test_a_tensor_that_cannot_be_made_is_named(shape: tuple[int, ...], more: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Encoder(image_contract("range -1..1", **more), TensorSpec("x", shape, "int8", 0.1, 0))


@pytest.mark.parametrize("dtype", ["int64", "uint32", "uint64", "bool"])
def test_a_tensor_of_a_dtype_that_no_image_becomes_is_named(dtype: str) -> None:
    with pytest.raises(ContractError, match=f"makes images of int8, .*; input 'x' is {dtype}"):
        Encoder(image_contract("range -1..1"), TensorSpec("x", (1, 16, 16, 3), dtype))


def test_numbers_are_normalised_and_quantized_with_or_without_the_batch_axis() -> None:
    spec = TensorSpec("window", (1, 2, 3), "int8", 0.5, 1)
    encoder = Encoder(Contract(input="tensor", mean=(1.0, 2.0, 3.0), std=(2.0,)), spec)
    sample = np.array([[1, 3, 5], [-1, 2, 300]])
    for given_ in (sample, sample[None], sample.astype(np.float32)):
        out = np.empty(spec.shape, np.int8)
        assert encoder.encode(given_, out) is None
        assert out.tolist() == [[[1, 2, 3], [-1, 1, 127]]]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((3, 2)), r"takes shape \(1, 2, 3\); found \(3, 2\)"),
        (np.full((2, 3), np.nan), "holds NaN or infinity"),
        (np.full((2, 3), -np.inf, np.float32), "holds NaN or infinity"),
        (np.full((2, 3), "a"), "takes numbers; found"),
        (np.zeros((2, 3), complex), "takes numbers; found complex128"),
    ],
)
def test_numbers_that_are_none_are_refused(sample: np.ndarray, message: str) -> None:
    spec = TensorSpec("window", (1, 2, 3), "int8", 0.5, 1)
    with pytest.raises(ContractError, match=message):
        Encoder(Contract(input="tensor"), spec).encode(sample, np.empty(spec.shape, np.int8))
