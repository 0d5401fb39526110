"""What a conversion is told: model.toml, overridden by flags; what is missing is asked for by name, what is unknown is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.config import Config, read_config
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import ClassifySettings, RawSettings

WHOLE = """
labels = "names.txt"
[contract]
input = "image"
colour = "rgb"
mean = 127.5
std = [127.5, 127.5, 127.5]
resize = "crop"
[task]
kind = "classify"
top_k = 3
[calibration]
data = "photos"
max_samples = 50
"""


def read(folder: Path, toml: str | None = None, **overrides: object) -> Config:
    file = None
    if toml is not None:
        file = folder / "settings.toml"
        file.write_text(toml)
        (folder / "names.txt").write_text("cat\ndog\n")
    told = {
        "contract": {},
        "task": {},
        "labels": None,
        "data": {},
        "loading": {},
        "quantize": {},
        "evaluate": {},
        "gate": {},
        **overrides,
    }
    return read_config(folder / "net.tflite", file, **told)  # type: ignore[arg-type]


def test_file_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    assert config.contract.mean == (127.5,)
    assert config.contract.resize == "crop"
    assert config.task == ClassifySettings(kind="classify", top_k=3)
    assert config.labels == ("cat", "dog")
    assert (config.data.data, config.data.max_samples) == (str(tmp_path / "photos"), 50)


def test_overrides_win_key_by_key(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE, contract={"colour": "bgr"}, task={"top_k": 1}, data={"data": "clip.mp4"})
    assert (config.contract.colour, config.contract.resize) == ("bgr", "crop")
    assert config.task == ClassifySettings(kind="classify", top_k=1)
    assert (config.data.data, config.data.max_samples) == ("clip.mp4", 50)


def test_another_task_drops_the_keys_of_the_file_s_task(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE, task={"kind": "raw"}).task == RawSettings()


def test_file_of_the_model_s_name_beside_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text('[contract]\ninput = "tensor"\n[calibration]\ndata = "x.npy"\n')
    config = read(tmp_path)
    assert config.file == tmp_path / "net.toml"
    assert config.contract.input == "tensor"


@pytest.mark.parametrize(
    ("contract", "asked"),
    [
        ({}, ["input (image"]),
        ({"input": "image"}, ["colour (rgb, bgr or gray", "resize (stretch", "range (such as"]),
        ({"input": "image", "colour": "rgb", "resize": "crop", "mean": [1]}, ["range (such as", "both mean and std"]),
        ({"input": "tensor", "std": [1]}, ["mean and std"]),
    ],
)
def test_what_is_missing_is_asked_for_by_name(tmp_path: Path, contract: dict[str, object], asked: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, contract=contract, data={"data": "photos"})
    assert all(words in str(caught.value) for words in asked)


def test_missing_calibration_data_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--calibrate DATA .* data in \[calibration\]"):
        read(tmp_path, contract={"input": "tensor"})


@pytest.mark.parametrize(
    ("toml", "match"),
    [
        (
            "colour = 'rgb'",
            r"settings.toml: no such key: colour; allowed are labels and the tables \[load\], \[contract\]",
        ),
        (
            "[contract]\ninput = 'tensor'\nscale = 2\n[calibration]\ndata = 'x'",
            r"settings.toml \[contract\]: scale: no such key",
        ),
        (
            "[calibration]\nfolder = 'x'",
            r"settings.toml \[calibration\]: folder: no such key; allowed are data, holdout",
        ),
        (
            "[contract]\ninput = 'tensor'\n[task]\nkind = 'detect'\n[calibration]\ndata = 'x'",
            r"settings.toml \[task\]: detect.boxes",
        ),
        (
            "[contract]\ninput = 'tensor'\n[task]\nkind = 'sing'\n[calibration]\ndata = 'x'",
            r"settings.toml \[task\].*'sing'",
        ),
        (
            "[load]\ntrust = true\n[contract]\ninput = 'tensor'\n[calibration]\ndata = 'x'",
            r"\[load\]: no such key: trust",
        ),
        (
            "[load]\ninput_shape = 'big'\n[contract]\ninput = 'tensor'\n[calibration]\ndata = 'x'",
            r"\[load\]: input_shape",
        ),
        ("contract = 1", r"contract is a table: write \[contract\]"),
        ("labels = ", "is not TOML"),
    ],
)
def test_unknown_and_wrong_keys_are_named_with_their_file(tmp_path: Path, toml: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(tmp_path, toml)


def test_labels_file_with_a_gap_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "gap.txt").write_text("cat\n\ndog\n")
    with pytest.raises(ConfigError, match="line 2 is empty"):
        read(tmp_path, contract={"input": "tensor"}, data={"data": "x"}, labels=tmp_path / "gap.txt")
