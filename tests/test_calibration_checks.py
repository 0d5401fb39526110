"""Data that misleads is named: nearly the same samples, numbers of another range, one class, another contract than the model's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.calibrate.alternatives import IMAGENET_MEAN, IMAGENET_STD, image_alternatives, tensor_alternatives
from converters.calibrate.checks import Watch
from converters.calibrate.likeness import MOST_KEPT, Likeness
from converters.calibrate.ranges import measure_ranges
from converters.calibrate.response import check_contract
from converters.calibrate.samples import RawSample, open_samples
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import DataError
from edge_sdk.inputs import read_toml
from edge_sdk.tasks import ClassifySettings, DetectSettings, RawSettings
from edge_sdk.tensors import Array, TensorSpec
from tests.tiny_models import TinyModel, image_net, options

NUMBERS = Contract(input="tensor")
RGB = Contract(input="image", colour="rgb", range=(-1, 1), resize="stretch")
CLASSIFY = ClassifySettings(kind="classify")
SIDE, CLASSES = 8, 24


def images(count: int) -> Iterator[RawSample]:
    """Images of which none is like another."""
    for number in range(count):
        patches = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        yield RawSample(cv2.resize(patches, (64, 48)), "rgb", f"image {number}")


def numbers(*samples: Array) -> list[RawSample]:
    return [RawSample(np.asarray(data), "bgr", f"window {i}") for i, data in enumerate(samples)]


def notes_of(samples: list[RawSample], contract: Contract | None = None) -> str:
    watch = Watch(contract)
    assert sum(1 for _ in watch.over(samples)) == len(samples)
    return "\n".join(watch.notes)


# Nearly the same


def test_good_data_gives_no_note() -> None:
    assert notes_of(list(images(40)), RGB) == ""
    assert notes_of(numbers(*np.random.default_rng(0).normal(0, 1, (40, 128, 3))), NUMBERS) == ""


def test_images_that_differ_by_noise_or_a_pixel_are_near_duplicates() -> None:
    rng, found = np.random.default_rng(0), list(images(20))
    for number in range(5):
        noisy = np.clip(found[3].data + rng.normal(0, 4, found[3].data.shape), 0, 255).astype(np.uint8)
        found.append(RawSample(np.roll(noisy, 1, axis=1), "rgb", f"again {number}"))
    notes = notes_of(found)
    assert notes.startswith("5 of 25 calibration samples are near-duplicates of others (such as again 0 of image 3)")
    assert "?step=" in notes


def test_a_video_of_one_scene_is_noted(carphone: Path) -> None:
    watch = Watch()
    list(watch.over(open_samples(carphone, shape=(1,))))
    assert any("of 120 calibration samples are near-duplicates" in note for note in watch.notes)


def test_brighter_or_darker_images_are_different() -> None:
    first = next(images(1)).data
    found = [RawSample((first * share).astype(np.uint8), "rgb", str(share)) for share in (1, 0.8, 0.6, 0.4)]
    likeness = Likeness()
    for sample in found:
        likeness.see(sample.data, sample.name)
    assert likeness.near == 0


@pytest.mark.parametrize("shape", [(128, 3), (1, 128, 3), (384,), (1, 40, 40, 8)])
def test_windows_that_differ_by_little_are_near_duplicates(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(0, 1, shape)
    likeness = Likeness()
    for data in (one, one + rng.normal(0, 0.02, shape), one + rng.normal(0, 1, shape), rng.normal(0, 1, shape)):
        likeness.see(data.astype(np.float32), "x")
    assert likeness.near == 1


def test_windows_of_a_large_constant_and_a_little_noise_are_different() -> None:
    rng, likeness = np.random.default_rng(0), Likeness()
    for _ in range(50):
        likeness.see(101_325 + rng.normal(0, 0.5, (128, 1)), "pressure")
    assert likeness.near == 0


def test_what_is_kept_is_bounded() -> None:
    rng, likeness = np.random.default_rng(0), Likeness()
    for number in range(MOST_KEPT + 300):
        likeness.see(rng.normal(0, 1, 100), str(number))
    assert len(likeness._signatures) == MOST_KEPT and likeness.near < 50


def test_skipped_samples_are_noted(tmp_path: Path) -> None:
    for sample in images(40):
        cv2.imwrite(f"{tmp_path}/{int(sample.name[6:]):02d}.png", sample.data)
    (tmp_path / "07.png").write_bytes(b"\x89PNG")
    watch = Watch()
    list(watch.over(open_samples(tmp_path, shape=(1, 8, 8, 3))))
    (note,) = watch.notes
    assert note.startswith("1 of 40 samples could not be read and were passed over: ") and "07.png" in note


# Ranges that do not fit the contract


@pytest.mark.parametrize(
    ("low", "high", "match"),
    [
        (0, 1, r"found float32 from 0.* looks like 0\.\.1: multiply by 255 and save as uint8, or use input = tensor"),
        (-1, 1, r"looks like -1\.\.1: save \(x \+ 1\) \* 127\.5 as uint8"),
        (0, 255, r"looks like bytes 0\.\.255 in floats: save as uint8"),
        (-2.1, 2.6, r"looks like normalised by a mean and std: save the images as they were before that"),
    ],
)
def test_floats_given_for_an_image_are_told_by_their_range(low: float, high: float, match: str) -> None:
    data = np.linspace(low, high, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    encoder = Encoder(RGB, TensorSpec("image", (1, 16, 16, 3), "float32"))
    with pytest.raises(DataError, match=rf"window 0: the contract \(input = image\) takes bytes.*{match}"):
        measure_ranges(image_net(), numbers(data), encoder)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bytes_given_for_a_tensor_without_mean_and_std_are_noted(dtype: type) -> None:
    data = numbers(*np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(dtype))
    said = "look like bytes (whole numbers 0 to 255), and the contract has no mean and std"
    assert said in notes_of(data, NUMBERS)
    assert notes_of(data, Contract(input="tensor", mean=(0,), std=(255,))) == notes_of(data) == ""


@pytest.mark.parametrize("scale", [0.5, -1, 4, 1 / 255])
def test_other_numbers_are_no_bytes(scale: float) -> None:
    data = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.float32) * scale
    assert notes_of(numbers(*data), NUMBERS) == ""
    assert notes_of(numbers(*np.random.default_rng(0).integers(0, 10, (20, 8, 8))), NUMBERS) == ""  # counts


# The contract against the float model's response


def trained_net(contract: Contract, *, classes: int = CLASSES) -> bytes:
    """Clips to -1..1, then compares with one pattern a class, as ``contract`` encodes it: each logit is a scalar product."""
    net = TinyModel()
    image, clipped = net.tensor("image", (1, SIDE, SIDE, 3)), net.tensor("clipped", (1, SIDE, SIDE, 3))
    net.operator("RELU_N1_TO_1", [image], [clipped])
    encoder, size = Encoder(contract, TensorSpec("image", (1, SIDE, SIDE, 3), "float32")), SIDE * SIDE * 3
    weights = np.empty((classes, size), np.float32)
    for number in range(classes):
        out = np.empty((1, SIDE, SIDE, 3), np.float32)
        encoder.encode(pattern(number), out, colour="rgb")
        weights[number] = np.clip(out, -1, 1).reshape(-1)
    weights -= weights.mean(axis=1, keepdims=True)
    flat, axes = net.tensor("flat", (1, size)), net.constant("shape", np.array([1, size], np.int32))
    net.operator("RESHAPE", [clipped, axes], [flat])
    kernel, logits = net.constant("kernel", weights), net.tensor("logits", (1, classes))
    net.operator("FULLY_CONNECTED", [flat, kernel, net.constant("bias", np.zeros(classes, np.float32))], [logits])
    scores = net.tensor("scores", (1, classes))
    net.operator("SOFTMAX", [logits], [scores], options("Softmax", beta=1.0))
    return net.build([image], [scores])


def pattern(number: int) -> Array:
    return np.random.default_rng(1000 + number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def patterns(count: int = CLASSES, *, noise: float = 40) -> list[RawSample]:
    """A noisy image of each class, red first."""
    rng = np.random.default_rng(7)
    return [
        RawSample(
            np.clip(pattern(n % CLASSES) + rng.normal(0, noise, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8),
            "rgb",
            f"{n}",
        )
        for n in range(count)
    ]


def told(**changes: object) -> Contract:
    return RGB.model_copy(update=changes)


def test_the_right_contract_is_met_with_silence() -> None:
    assert check_contract(trained_net(RGB), RGB, CLASSIFY, patterns()) == ()
    assert check_contract(trained_net(RGB), RGB, CLASSIFY, patterns(), list(range(CLASSES))) == ()
    about_the_same = told(range=None, mean=(127.0,), std=(128.0,))
    assert check_contract(trained_net(RGB), about_the_same, CLASSIFY, patterns()) == ()


def test_bgr_for_rgb_is_named_with_figures() -> None:
    (said,) = check_contract(trained_net(RGB), told(colour="bgr"), CLASSIFY, patterns())
    assert said.startswith("With colour = rgb the float model is surer on 24 of 24 samples (its best class stands ")
    assert said.endswith("was it trained so? The contract says colour = bgr.")


def test_a_range_of_bytes_where_the_model_was_trained_on_minus_one_to_one_is_named() -> None:
    (said,) = check_contract(trained_net(RGB), told(range=(0, 255)), CLASSIFY, patterns())
    assert (
        said.startswith("With range = -1, 1 the float model is surer on ")
        and "The contract says range = 0, 255." in said
    )


def test_right_answers_decide() -> None:
    wrong, classes = told(range=(0, 255), colour="bgr"), list(range(CLASSES))
    (said,) = check_contract(trained_net(RGB), wrong, CLASSIFY, patterns(), classes)
    assert said.startswith("With colour = rgb") and "the float model is right on 24 of 24 samples, against" in said


def test_a_model_that_says_the_same_of_everything_is_noted() -> None:
    one = [RawSample(s.data, s.colour, s.name) for s in patterns(24 * CLASSES, noise=90) if int(s.name) % CLASSES == 5]
    (said,) = check_contract(trained_net(RGB), RGB, CLASSIFY, one)
    assert said.startswith("The float model says class 5 of all 24 samples")


def test_few_samples_and_other_tasks_are_not_judged() -> None:
    wrong = told(colour="bgr")
    assert check_contract(trained_net(RGB), wrong, CLASSIFY, patterns(7)) == ()
    assert check_contract(trained_net(RGB), wrong, RawSettings(), patterns()) == ()


def test_frames_of_one_scene_are_one_vote() -> None:
    scene = [s for s in patterns(40, noise=1) if int(s.name) % CLASSES < 2] * 10
    assert check_contract(trained_net(RGB), told(colour="bgr"), CLASSIFY, scene) == ()


def test_two_classes_are_judged_by_their_margin_in_colour_alone() -> None:
    content, wrong = trained_net(RGB, classes=2), told(colour="bgr")
    two = [s for s in patterns(20 * CLASSES, noise=60) if int(s.name) % CLASSES < 2]
    (said,) = check_contract(content, wrong, CLASSIFY, two)
    assert said.startswith("With colour = rgb the float model is surer on ") and "two best classes lie" in said
    assert check_contract(content, told(range=(0, 255)), CLASSIFY, two) == ()


def test_bytes_for_a_tensor_are_named_by_the_model() -> None:
    """Each logit compares the distance from 0, which is that of the middle only where bytes became -1..1."""
    net, size = TinyModel(), 64
    classes = np.random.default_rng(3).uniform(-1, 1, (CLASSES, size)).astype(np.float32)
    entry, distance, logits = (
        net.tensor("x", (1, size)),
        net.tensor("distance", (1, size)),
        net.tensor("y", (1, CLASSES)),
    )
    net.operator("ABS", [entry], [distance])
    kernel = net.constant("kernel", np.abs(classes) - np.abs(classes).mean(axis=1, keepdims=True))
    net.operator("FULLY_CONNECTED", [distance, kernel, net.constant("bias", np.zeros(CLASSES, np.float32))], [logits])
    content = net.build([entry], [logits])
    samples = numbers(*((classes[:, None] + 1) * 127.5).astype(np.float32))
    (said,) = check_contract(content, NUMBERS, CLASSIFY, samples)
    assert said.startswith("With mean = 127.5 and std = 127.5 the float model is surer on ")
    assert said.endswith("The contract says no mean and std.")
    assert check_contract(content, Contract(input="tensor", mean=(127.5,), std=(127.5,)), CLASSIFY, samples) == ()


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_the_face_detector_and_its_contract_agree(face_model: Path, carphone: Path, colour: str) -> None:
    given = read_toml(Path(__file__).parents[1] / "examples/face/model.toml", give="a model.toml")
    contract, task = Contract.model_validate(given["contract"]), DetectSettings.model_validate(given["task"])
    samples, content = open_samples(carphone, shape=(1, 128, 128, 3)), face_model.read_bytes()
    if colour == "rgb":
        assert check_contract(content, contract, task, samples) == ()
    wrong = contract.model_copy(update={"range": (0, 255), "mean": None, "std": None, "colour": colour})
    (said,) = check_contract(content, wrong, task, samples)
    assert "range = -1, 1 the float model is surer on " in said and "(best score 0.9" in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter warns of itself
@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("efficientnet_lite0", {"mean": (127.0,), "std": (128.0,)}),
        ("mobilenet_v2", {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}),
    ],
)
def test_real_classifiers_are_silent_on_their_contract_and_name_it_for_others(name: str, right: dict) -> None:  # type: ignore[type-arg]
    torch = pytest.importorskip("torch", reason="the models are PyTorch's")
    litert_torch = pytest.importorskip("litert_torch", reason="the models are PyTorch's")
    from examples.assets.data import imagenet_images
    from examples.train import imagenet

    net = litert_torch.to_channel_last_io(getattr(imagenet, name)(), args=[0])
    content = bytes(litert_torch.convert(net, (torch.zeros(1, 224, 224, 3),)).model_content())
    labelled = imagenet_images()
    samples = [RawSample(cv2.imread(str(file)), "bgr", file.name) for file, _ in labelled]
    base = Contract(input="image", colour="rgb", resize="crop", **right)
    classes = [index for _, index in labelled]
    assert (
        check_contract(content, base, CLASSIFY, samples)
        == check_contract(content, base, CLASSIFY, samples, classes)
        == ()
    )
    for changes in ({"colour": "bgr"}, {"range": (0, 255), "mean": None, "std": None}):
        (said,) = check_contract(content, base.model_copy(update=changes), CLASSIFY, samples)
        assert ("colour = rgb" in said) == ("colour" in changes)


def test_alternatives_are_the_ones_that_people_confuse() -> None:
    found = image_alternatives(RGB, rescaled=True)
    assert len(found) == 7 and RGB not in found
    swapped = [c for c in found if c.colour == "bgr"]
    assert len(swapped) == 4
    assert {c.mean for c in swapped if c.mean} == {IMAGENET_MEAN[::-1]}  # in the order of its channels
    gray = image_alternatives(told(colour="gray"), rescaled=True)
    assert {c.colour for c in gray} == {"gray"} and len(gray) == 2
    assert [c.mean for c in tensor_alternatives(NUMBERS, -30_000, 30_000)] == [(0.0,)]
    assert tensor_alternatives(NUMBERS, -40, 35) == ()
