"""Calibration data: every kind streams in order, and what is missing, broken or misleading is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import measure_ranges
from converters.calibrate.samples import RawSample, open_samples, spaced
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import DataError, ModelError
from edge_sdk.tensors import TensorSpec
from tests.tiny_models import TinyModel, image_net

SHAPE = (1, 4)
IMAGES = Contract(input="image", colour="rgb", range=(-1, 1), resize="stretch")


def photos(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03d}.png"), rng.integers(0, 256, (20, 30, 3), np.uint8))
    return folder


def test_folder_is_read_in_the_order_of_names_nested_folders_too(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 3)
    photos(folder / "more", 2)
    (folder / ".hidden").write_text("passed over")
    samples = open_samples(folder, shape=SHAPE)
    assert [Path(s.name).relative_to(folder).as_posix() for s in samples] == [
        "000.png",
        "001.png",
        "002.png",
        "more/000.png",
        "more/001.png",
    ]
    assert (len(samples), samples.available) == (5, 5)
    np.testing.assert_array_equal(next(iter(samples)).data, cv2.imread(str(folder / "000.png")))


def test_cap_takes_evenly_spaced_samples(tmp_path: Path) -> None:
    samples = open_samples(photos(tmp_path / "photos", 9), shape=SHAPE, max_samples=3)
    assert [Path(s.name).stem for s in samples] == ["000", "004", "008"]
    assert (len(samples), samples.available) == (3, 9)
    assert spaced(3, 10) == (0, 1, 2)


def test_video_frames_by_number(carphone: Path) -> None:
    samples = open_samples(f"{carphone}?start=10&stop=20&step=4", shape=SHAPE)
    assert [s.name for s in samples] == [f"{carphone.name} frame {n}" for n in (10, 14, 18)]
    everything = list(open_samples(carphone, shape=SHAPE))
    assert len(everything) == 120
    np.testing.assert_array_equal(next(iter(samples)).data, everything[10].data)


def test_array_file_counts_samples_on_its_first_axis(tmp_path: Path) -> None:
    windows = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "windows.npy", windows)
    np.savez(tmp_path / "windows.npz", windows)
    for name in ("windows.npy", "windows.npz"):
        np.testing.assert_array_equal([s.data for s in open_samples(tmp_path / name, shape=SHAPE)], windows)


def test_array_of_images_must_say_its_channel_order(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((2, 5, 5, 3), np.uint8))
    with pytest.raises(DataError, match=r"channel order: give .*\?colour=rgb or .*\?colour=bgr"):
        open_samples(path, shape=SHAPE)
    assert {s.colour for s in open_samples(f"{path}?colour=rgb", shape=SHAPE)} == {"rgb"}


@pytest.mark.parametrize("header", ["", "a,b,c,d\n"])
def test_table_with_and_without_names(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(header + "1,2,3,4\n5,6,7,8\n")
    rows = [s.data for s in open_samples(path, shape=SHAPE)]
    np.testing.assert_array_equal(rows, np.arange(1, 9, dtype=np.float32).reshape(2, 1, 4))


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def text_among_images(folder: Path) -> Path:
    photos(folder / "photos", 2)
    (folder / "photos" / "notes.txt").write_text("hello")
    return folder / "photos"


def written(name: str, content: bytes):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def objects(folder: Path) -> Path:
    np.save(folder / "objects.npy", np.array([{}], object), allow_pickle=True)
    return folder / "objects.npy"


def two_arrays(folder: Path) -> Path:
    np.savez(folder / "two.npz", a=np.zeros(3), b=np.zeros(3))
    return folder / "two.npz"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda folder: folder / "absent", "does not exist"),
        (empty_folder, "is empty"),
        (text_among_images, "not images: notes.txt"),
        (written("clip.mp4", b"not a video"), "cannot be read as a video"),
        (written("data.xyz", b"?"), "not data that can be read: a folder of images"),
        (written("broken.npy", b"\x93NUMPY"), "cannot be read as arrays"),
        (objects, "cannot be read as arrays"),
        (two_arrays, r"2 arrays \(a, b\)"),
        (written("empty.csv", b""), "is empty"),
        (written("words.csv", b"1,2,3,4\n1,2,x,4\n"), "line 2 is not numbers"),
        (written("short.csv", b"1,2,3,4\n1,2,3\n"), "line 2 has 3 numbers; the model's input takes 4"),
    ],
)
def test_unusable_data_is_named(tmp_path: Path, make, match: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=match):
        open_samples(make(tmp_path), shape=SHAPE)


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("start=200", "frames 0 to 119; start=200"),
        ("step=0", "leave none"),
        ("start=x", "start is a frame number"),
        ("begin=3", "no option begin; it takes start, stop, step"),
    ],
)
def test_frames_that_are_not_there_are_named(carphone: Path, query: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_samples(f"{carphone}?{query}", shape=SHAPE)


def test_image_that_is_none_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 2)
    (folder / "broken.jpg").write_bytes(b"no jpeg at all")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read as an image"):
        list(open_samples(folder, shape=SHAPE))


def numbers(*rows: list[float]) -> list[RawSample]:
    return [RawSample(np.array([row], np.float32), "bgr", f"row {i}") for i, row in enumerate(rows)]


def test_constant_data_is_refused() -> None:
    with pytest.raises(DataError, match="every one of its 2 samples is one single value"):
        list(Watch().over(numbers([1, 1, 1, 1], [2, 2, 2, 2])))
    with pytest.raises(DataError, match="2 samples are all the same"):
        list(Watch().over(numbers([1, 2, 3, 4], [1, 2, 3, 4])))


def test_few_and_repeated_samples_are_noted_not_refused() -> None:
    watch = Watch()
    assert len(list(watch.over(numbers([1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 0, 0])))) == 4
    assert any("Only 4 calibration samples" in note for note in watch.notes)
    assert any("1 of 4 calibration samples repeat others" in note for note in watch.notes)
    assert any("1 of 4 calibration samples are one single value" in note for note in watch.notes)


def small_net(operator: str = "TANH", folder: Path | None = None) -> tuple[bytes, Encoder]:
    net = TinyModel()
    entry, last = net.tensor("input", SHAPE), net.tensor("last", SHAPE)
    net.operator(operator, [entry], [last])
    return net.build([entry], [last]), Encoder(Contract(input="tensor"), TensorSpec("input", SHAPE, "float32"))


def test_nan_in_a_sample_is_named() -> None:
    content, encoder = small_net()
    with pytest.raises(DataError, match=r"row 1: .*NaN or infinity"):
        measure_ranges(content, numbers([1, 2, 3, 4], [1, float("nan"), 3, 4]), encoder)


def test_sample_of_another_shape_is_named() -> None:
    content, encoder = small_net()
    with pytest.raises(DataError, match=r"row 0: input 'input' takes shape \(1, 4\); found \(1, 3\)"):
        measure_ranges(content, numbers([1, 2, 3]), encoder)


def test_tensor_that_becomes_nan_is_named_with_its_sample() -> None:
    content, encoder = small_net("LOG")
    with pytest.raises(ModelError, match="'last' of the float model becomes NaN or infinite on sample row 1"):
        measure_ranges(content, numbers([1, 2, 3, 4], [-1, 2, 3, 4]), encoder)


def test_output_that_does_not_react_is_said() -> None:
    net = TinyModel()
    entry, dull, lively = net.tensor("input", SHAPE), net.tensor("dull", SHAPE), net.tensor("lively", SHAPE)
    net.operator("RELU", [entry], [dull])
    net.operator("TANH", [entry], [lively])
    encoder = Encoder(Contract(input="tensor"), TensorSpec("input", SHAPE, "float32"))
    rows = numbers(*np.random.default_rng(0).uniform(-2, -1, (12, 4)).tolist())
    ranges = measure_ranges(net.build([entry], [dull, lively]), rows, encoder)
    assert any("'dull' does not react" in warning for warning in ranges.warnings)
    assert not any("lively" in warning for warning in ranges.warnings)


def test_ranges_are_the_true_minimum_and_maximum() -> None:
    content, encoder = small_net("TANH")
    ranges = measure_ranges(content, numbers([-3, 0, 0, 0.5], [0, 0, 7, 1]), encoder)
    assert (ranges.minima["input"], ranges.maxima["input"]) == (-3, 7)
    assert ranges.minima["last"] == pytest.approx(np.tanh(-3), abs=1e-6)
    assert ranges.maxima["last"] == pytest.approx(np.tanh(7), abs=1e-6)
    assert ranges.samples == 2


def test_every_activation_of_a_net_is_measured_under_the_default_kernels() -> None:
    encoder = Encoder(IMAGES, TensorSpec("image", (1, 16, 16, 3), "float32"))
    rng = np.random.default_rng(0)
    samples = [RawSample(rng.integers(0, 256, (16, 16, 3), np.uint8), "rgb", f"{i}") for i in range(3)]
    ranges = measure_ranges(image_net(), samples, encoder)
    assert set(ranges.minima) == {"image", "features", "active", "pooled", "logits", "scores"}
    assert ranges.minima["features"] < 0 == ranges.minima["active"]
    assert ranges.maxima["features"] == ranges.maxima["active"]
