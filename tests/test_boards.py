"""Board profiles: all of ours load, a broken one is refused with its place, and a namesake of the package is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import boards
from boards import Accelerator, Computer, TensorRT, load, lowest_tensorrt, names, read_profile
from boards.position import line_of
from edge_sdk.errors import BoardError

ALL = (
    "coral-dev-board",
    "coral-dev-board-mini",
    "coral-pcie",
    "coral-usb",
    "generic-arm64",
    "generic-x86-64",
    "imx93",
    "intel-gpu",
    "intel-npu",
    "jetson-agx-orin",
    "jetson-nano",
    "jetson-orin-nano",
    "jetson-xavier-nx",
    "movidius-ncs2",
    "raspberry-pi-3",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "raspberry-pi-zero-2w",
)
ROOT = Path(boards.__file__).parent.parent
GOOD = """\
kind = "computer"
title = "A board"
variants = ["tflite-int8"]
unverified = ["variants", "camera"]

[processor]
name = "P"
core = "Arm Cortex-A53"
instruction_set = "Armv8-A"

[camera]
stack = "v4l2"
camera_0 = "the first"

[[systems]]
name = "Debian"
architecture = "aarch64"
python = "3.11"
supported = true

[[systems]]
name = "Old"
architecture = "aarch64"
python = "3.7"
supported = false
way_on = "a container"

[detect]
machines = ["aarch64"]

[sources]
processor = ["a data sheet"]
systems = ["a release note"]
detect = ["a dts"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "a-board.toml"
    path.write_text(text)
    return path


def stated(name: str, section: str) -> set[str]:
    table = getattr(load(name), section, None)
    return table.model_fields_set if table else set()


def edge_sdk(*arguments: str, before: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (before, str(ROOT))))}
    command = [sys.executable, "-m", "edge_sdk.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)


def test_there_is_a_profile_for_every_board():
    assert set(ALL) <= set(names())


@pytest.mark.parametrize("name", names())
def test_profile_loads_and_agrees_with_the_others(name: str):
    board = load(name)
    assert board.name == name
    if isinstance(board, Accelerator):
        assert all(kind.startswith(("edgetpu", "openvino")) for kind in board.variants)
        return
    assert isinstance(board, Computer)
    built_in = [load(accelerator) for accelerator in board.accelerators]
    assert all(isinstance(accelerator, Accelerator) for accelerator in built_in)
    assert ("edgetpu" in board.variants) == bool(built_in)
    assert ("ethos-u" in board.variants) == (board.ethos_u is not None)
    assert "tflite-int8" in board.variants


def test_edge_tpu_ids():
    usb, pci = load("coral-usb"), load("coral-pcie")
    assert isinstance(usb, Accelerator) and usb.connection.ids == ("1a6e:089a", "18d1:9302")
    assert isinstance(pci, Accelerator) and pci.connection.ids == ("1ac1:089a",)


@pytest.mark.parametrize(
    ("asked", "near"),
    [("rasberry-pi-5", "raspberry-pi-5"), ("Raspberry Pi 4", "raspberry-pi-4"), ("coral_usb", "coral-usb")],
)
def test_unknown_board_gives_the_nearest_names(asked: str, near: str):
    with pytest.raises(BoardError, match=rf"no board '{asked}'\. Did you mean {near}"):
        load(asked)


@pytest.mark.parametrize("asked", ["../boards/coral-usb", "", "zzzzzzzz"])
def test_what_is_no_name_is_refused_with_the_list(asked: str):
    with pytest.raises(BoardError, match="List them with: edge-sdk boards"):
        load(asked)


def test_a_good_profile_needs_no_code(tmp_path: Path):
    board = read_profile(written(tmp_path, GOOD))
    assert isinstance(board, Computer)
    assert (board.name, board.systems[1].way_on) == ("a-board", "a container")


@pytest.mark.parametrize(
    ("good", "broken", "message"),
    [
        ("title =", "titel =", r"a-board.toml:2: titel: no such key; allowed are .*\btitle\b"),
        ("core =", "kore =", r"a-board.toml:8: processor.kore: no such key; allowed are clock_mhz, core, cores"),
        ('python = "3.7"', 'pyton = "3.7"', r"a-board.toml:24: systems.1.pyton: no such key; allowed are architecture"),
        ('python = "3.7"', 'python = "3"', r"a-board.toml:24: systems.1.python: "),
        ('name = "P"', 'name = "P"\nclock_mhz = -1', r"a-board.toml:8: processor.clock_mhz: "),
        ("tflite-int8", "tflite-int7", r"a-board.toml:3: variants.0: .*'tflite-int8'"),
        ('way_on = "a container"', "", r"a-board.toml:21: systems.1: a system that is not supported needs way_on"),
        ('detect = ["a dts"]', "", "neither sources nor unverified names detect"),
        ('"camera"]', '"camera", "memory_mb"]', "unverified name memory_mb, which the profile does not state"),
        ('kind = "computer"', 'kind = "toaster"', "kind is 'toaster'; allowed are computer, accelerator"),
        ('title = "A board"', 'name = "x"', r"a-board.toml:2: name: no such key; the file's stem"),
        ('title = "A board"', "title = ", "not a board profile: .*line 2"),
    ],
)
def test_broken_profile_is_refused_with_its_place(tmp_path: Path, good: str, broken: str, message: str):
    assert good in GOOD
    with pytest.raises(BoardError, match=message):
        read_profile(written(tmp_path, GOOD.replace(good, broken, 1)))


@pytest.mark.parametrize("name", names())
def test_every_key_of_a_profile_is_found_on_its_line(name: str):
    text = (Path(boards.__file__).parent / f"{name}.toml").read_text()
    keys = [
        ("title",),
        *((section, key) for section in ("processor", "connection", "thermal") for key in stated(name, section)),
    ]
    for key in keys:
        line = line_of(text, key)
        assert line is not None
        assert text.splitlines()[line - 1].startswith(f"{key[-1]} =")


def test_profiles_that_are_gone_are_told_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards, "_FOLDER", tmp_path)
    names.cache_clear()
    try:
        with pytest.raises(
            BoardError, match=r"holds no board profiles: .* pip uninstall boards; pip install --force-rein"
        ):
            names()
    finally:
        names.cache_clear()


def test_a_namesake_package_is_told_with_the_fix(tmp_path: Path):
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards/__init__.py").write_text("")
    done = edge_sdk("boards", before=str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1
    assert "the package boards that Python finds is not that of edge-device-sdk" in done.stderr
    assert "pip uninstall boards converters; pip install --force-reinstall --no-deps edge-device-sdk" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_has_every_board_and_fits_the_terminal():
    done = edge_sdk("boards")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(names())
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    assert "…" not in done.stdout


def test_one_board_shows_its_facts_its_sources_and_what_is_unverified():
    shown = edge_sdk("boards", "coral-dev-board").stdout
    assert "processor.clock_mhz" in shown
    assert "1500  (unverified)" in shown
    assert "NXP i.MX 8M Quad\n" in shown
    assert "Sources" in shown and "imx8mq-phanbell.dts" in shown


def test_json_is_the_whole_profile():
    one = json.loads(edge_sdk("boards", "raspberry-pi-5", "--json").stdout)
    assert one["processor"]["cores"] == 4
    assert [board["name"] for board in json.loads(edge_sdk("boards", "--json").stdout)] == list(names())


def test_detection_on_this_machine_answers():
    found = json.loads(edge_sdk("boards", "--detect", "--json").stdout)
    assert found["evidence"]
    assert set(found) == {"board", "evidence", "accelerators", "variants"}


def test_wrong_use_ends_with_its_exit_code():
    unknown = edge_sdk("boards", "rasberry-pi-5")
    assert (unknown.returncode, unknown.stderr[:6]) == (1, "error:")
    assert edge_sdk("boards", "coral-usb", "--detect").returncode == 2


@pytest.mark.parametrize(
    ("boards", "lowest"),
    [
        (["jetson-orin-nano"], TensorRT((8, 5), 17)),
        (["jetson-agx-orin", "jetson-xavier-nx"], TensorRT((8, 0), 13)),
        (["jetson-orin-nano", "jetson-nano", "raspberry-pi-5"], TensorRT((8, 0), 13)),
        (["raspberry-pi-5", "coral-usb"], None),
        ([], None),
    ],
)
def test_a_model_for_several_boards_is_for_the_lowest_tensorrt_of_them(
    boards: list[str], lowest: TensorRT | None
) -> None:
    assert lowest_tensorrt(boards) == lowest
