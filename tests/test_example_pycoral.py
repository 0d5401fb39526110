"""The programs for pycoral see what is in real photographs, with models from the package indexes and Google's own."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from examples.assets.data import imagenet_images, photos
from tests.examples_run import run
from tests.shared_data import EDGETPU, needs_edgetpu_pairs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="Pillow is not installed: pip install pillow"),
]
CAT, PERSON = 8, 15  # of PASCAL VOC
EGYPTIAN_CAT, CUP, DALMATIAN = 286, 968, 252  # of ImageNet, behind a background


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which make has run."""
    folder = tmp_path_factory.mktemp("pycoral")
    run(folder, "-m", "examples.pycoral.make")
    return folder


def photo(name: str) -> str:
    return next(str(each) for each in photos() if each.stem == name)


def of_imagenet(label: int) -> str:
    return next(str(file) for file, found in imagenet_images() if found == label)


def shares(said: str) -> dict[str, int]:
    return {name: int(share) for name, share in re.findall(r"^(.+): (\d+)%$", said, re.MULTILINE)}


class TestDetectImage:
    @pytest.mark.parametrize(
        ("picture", "thing"),
        [("chelsea", "Cat"), ("astronaut", "Person"), (243, "Dog"), (609, "Car")],
        ids=["cat", "astronaut", "bull mastiff", "jeep"],
    )
    def test_it_finds_what_is_there(self, made: Path, picture: str | int, thing: str) -> None:
        file = photo(picture) if isinstance(picture, str) else of_imagenet(picture)
        words = [
            "--model",
            "build/pycoral/detector.tflite",
            "--labels",
            "build/pycoral/detector_labels.txt",
            "--count",
            "1",
        ]
        said = run(made, "-m", "examples.pycoral.detect_image", *words, "--input", file, "--output", "found.png")
        first = said.splitlines()[1]
        assert re.match(rf"{thing}: 0\.[5-9]\d at \(", first), said
        assert painted(made / "found.png")

    def test_it_says_when_nothing_is_there(self, made: Path) -> None:
        words = ["--model", "build/pycoral/detector.tflite", "--input", photo("retina"), "--threshold", "0.9"]
        assert run(made, "-m", "examples.pycoral.detect_image", *words).endswith("nothing found\n")


def painted(file: Path) -> bool:
    from PIL import Image

    pixels = np.asarray(Image.open(file))
    return bool((pixels == (255, 60, 30)).all(axis=-1).sum() > 500)


class TestSemanticSegmentation:
    def test_a_model_of_the_index_finds_the_person(self, made: Path) -> None:
        words = ["--model", "build/pycoral/segmenter.tflite", "--labels", "build/pycoral/segmenter_labels.txt"]
        words += ["--input_mean", "0", "--input_std", "255", "--input", photo("astronaut"), "--output", "mask.png"]
        found = shares(run(made, "-m", "examples.pycoral.semantic_segmentation", *words))
        assert 45 <= found["person"] <= 65 and found["person"] + found["background"] in (99, 100, 101)

    @needs_edgetpu_pairs
    @pytest.mark.parametrize("keep", [[], ["--keep_aspect_ratio"]], ids=["stretched", "padded"])
    @pytest.mark.parametrize(("name", "number", "share"), [("chelsea", CAT, 70), ("astronaut", PERSON, 35)])
    def test_google_s_own_finds_cat_and_person(
        self, tmp_path: Path, name: str, number: int, share: int, keep: list[str]
    ) -> None:
        model = str(EDGETPU / "deeplabv3_mnv2_dm05_pascal_quant.tflite")
        words = ["--model", model, "--input", photo(name), "--output", "mask.png", *keep]
        found = shares(run(tmp_path, "-m", "examples.pycoral.semantic_segmentation", *words))
        assert share <= found[str(number)] <= 85, found
        assert (tmp_path / "mask.png").is_file()


class TestClassifyImage:
    @needs_edgetpu_pairs
    @pytest.mark.parametrize(
        ("picture", "number"),
        [("chelsea", EGYPTIAN_CAT), ("coffee", CUP), (251, DALMATIAN)],
        ids=["cat", "cup", "dalmatian"],
    )
    def test_it_says_what_it_is(self, tmp_path: Path, picture: str | int, number: int) -> None:
        file = photo(picture) if isinstance(picture, str) else of_imagenet(picture)
        model = str(EDGETPU / "mobilenet_v1_0.25_128_quant.tflite")
        said = run(tmp_path, "-m", "examples.pycoral.classify_image", "--model", model, "--input", file, "--count", "2")
        assert re.match(rf"([\d.]+ ms\n){{2}}{number}: 0\.\d{{5}}\n", said), said

    @pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None,
        reason="TensorFlow is not installed; it comes with the extra keras",
    )
    def test_a_model_of_the_index_tells_the_breed(self, tmp_path: Path) -> None:
        run(tmp_path, "-m", "examples.pycoral.make", "classifier")
        words = [
            "--model",
            "build/pycoral/classifier.tflite",
            "--labels",
            "build/pycoral/classifier_labels.txt",
            "--top_k",
            "1",
        ]
        said = run(tmp_path, "-m", "examples.pycoral.classify_image", *words, "--input", of_imagenet(243))
        assert re.search(r"^bull mastiff: 0\.[3-9]\d+\n", said, re.MULTILINE), said
