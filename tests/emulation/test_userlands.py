"""The wheel in emulated Arm userlands, 64 and 32 bits: it computes what the converter proved on the workstation, and survives faults.

LiteRT's kernels (XNNPACK) compute on 64-bit Arm what they compute on x86-64, bit by bit. On 32 bits there is only tflite-runtime, whose
fast kernels round otherwise; its reference kernels show that nothing else differs. Videos are decoded differently by other builds of
OpenCV, so the bit-exact comparison is made on recorded frames.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_sdk import Loop, sink_from
from tests.emulation import GUEST
from tests.emulation.guest.reference_kernels import reference_outputs
from tests.emulation.userland import Userland

FRAMES = 24
INTERPRETER = {"arm64": "ai-edge-litert", "armhf": "tflite-runtime"}


@dataclass(frozen=True)
class Shared:
    """What lies in the userland's /mnt/host, and here."""

    bundle: Path
    clip: str
    frames: str


@pytest.fixture(scope="module")
def shared(userland: Userland, face_bundle: Path, carphone: Path) -> Shared:
    folder = userland.shared
    for file in (face_bundle, carphone, *GUEST.glob("*.py")):
        shutil.copy(file, folder)
    capture = cv2.VideoCapture(str(carphone))
    np.savez(folder / "frames.npz", frames=np.stack([capture.read()[1] for _ in range(FRAMES)]))
    clip = f"file:/mnt/host/{carphone.name}?pace=fast&stop={FRAMES}"
    return Shared(folder / face_bundle.name, clip, "replay:/mnt/host/frames.npz?colour=bgr")


def values_there(userland: Userland, bundle: Path, source: str) -> list[Any]:
    report = userland.sdk(
        *("run", f"/mnt/host/{bundle.name}", "--source", source, "--deadline", 60_000),
        *("--sink", "jsonl:/mnt/host/there.jsonl", "--overwrite"),
    )
    assert report["counts"]["captured"] == report["counts"]["on_time"] == FRAMES
    return values(userland.shared / "there.jsonl")


def values_here(userland: Userland, bundle: Path, source: str) -> list[Any]:
    path = userland.shared / "here.jsonl"
    sink = sink_from(f"jsonl:{path}", overwrite=True)
    with Loop(bundle, source.replace("/mnt/host", str(userland.shared)), deadline_ms=60_000, sinks=[sink]) as loop:
        assert len(list(loop)) == FRAMES
    return values(path)


def values(path: Path) -> list[Any]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record["value"] for record in records if record["type"] == "result"]


def assert_the_same_faces(there: list[Any], here: list[Any]) -> None:
    """One face a frame in almost the same place: boxes overlap by four fifths, scores differ by 0.15 at most."""
    for (found,), (expected,) in zip(there, here, strict=True):
        assert overlap(found["box"], expected["box"]) > 0.8
        assert abs(found["score"] - expected["score"]) < 0.15


def overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared, areas = np.prod(np.clip(high - low, 0, None)), [np.prod(np.subtract(box[2:], box[:2])) for box in (a, b)]
    return float(shared / (sum(areas) - shared))


def test_the_installed_wheel_brought_the_interpreter_of_this_processor(userland: Userland) -> None:
    listed = {
        package["name"].lower().replace("_", "-")
        for package in json.loads(userland.run("pip", "list", "--format=json"))
    }
    assert {INTERPRETER[userland.processor.debian], "edge-device-sdk", "numpy"} <= listed
    assert not {*INTERPRETER.values()} - {INTERPRETER[userland.processor.debian]} & listed


def test_the_doctor_finds_no_fault(userland: Userland, shared: Shared) -> None:
    found = {
        finding["check"]: finding for finding in userland.sdk("doctor", f"/mnt/host/{shared.bundle.name}")["findings"]
    }
    assert not [finding for finding in found.values() if finding["state"] == "fault"]
    assert found["bundle"]["found"].endswith("its variant tflite-int8") or userland.processor.debian == "armhf"
    bits, machine = ("64", "aarch64") if userland.processor.debian == "arm64" else ("32", "armv7l")
    assert found["python"]["found"] == f"Python 3.11, {bits} bits, on a kernel that calls itself {machine}"


def test_golden_vectors_come_out_within_their_tolerance(userland: Userland, shared: Shared) -> None:
    golden = userland.sdk("bench", f"/mnt/host/{shared.bundle.name}", "--runs", 3)["golden"]
    assert golden["inputs"] > 0
    assert golden["worst"] <= golden["tolerance"]
    assert (golden["worst"] == 0) is (userland.processor.debian == "arm64")


def test_kernels_without_optimisation_stay_within_the_tolerance_too(userland: Userland, shared: Shared) -> None:
    """Without the two files of /sys the interpreter does not use XNNPACK."""
    folder = userland.root / "sys/devices"
    folder.rename(folder.with_name("hidden"))
    try:
        golden = userland.sdk("bench", f"/mnt/host/{shared.bundle.name}", "--runs", 3)["golden"]
    finally:
        folder.with_name("hidden").rename(folder)
    assert 0 < golden["worst"] <= golden["tolerance"]


def test_reference_kernels_compute_the_same_bit_by_bit(userland: Userland, shared: Shared) -> None:
    userland.run(
        "python", "/mnt/host/reference_kernels.py", f"/mnt/host/{shared.bundle.name}", "/mnt/host/reference.npz"
    )
    expected = reference_outputs(shared.bundle)
    with np.load(userland.shared / "reference.npz") as there:
        assert sorted(there.files) == sorted(expected)
        for name in there.files:
            np.testing.assert_array_equal(there[name], expected[name])


def test_recorded_frames_give_the_results_of_x86(userland: Userland, shared: Shared) -> None:
    there, here = (results(userland, shared.bundle, shared.frames) for results in (values_there, values_here))
    assert_the_same_faces(there, here)
    assert (there == here) is (userland.processor.debian == "arm64")


def test_a_video_gives_the_faces_of_x86(userland: Userland, shared: Shared) -> None:
    there, here = (results(userland, shared.bundle, shared.clip) for results in (values_there, values_here))
    assert_the_same_faces(there, here)


def test_a_video_is_decoded_to_nearly_the_same_frames(userland: Userland, shared: Shared, carphone: Path) -> None:
    """That is why results of a video are not the same bit by bit."""
    script = f"import cv2, numpy; c = cv2.VideoCapture('/mnt/host/{carphone.name}'); "
    script += f"numpy.save('/mnt/host/decoded.npy', numpy.stack([c.read()[1] for _ in range({FRAMES})]))"
    userland.run("python", "-c", script)
    there = np.load(userland.shared / "decoded.npy").astype(int)
    with np.load(userland.shared / "frames.npz") as stored:
        gaps = np.abs(there - stored["frames"])
    assert gaps.max() <= 8
    assert gaps.mean() < 1


def test_a_model_and_a_bundle_can_be_looked_into(userland: Userland, shared: Shared) -> None:
    assert "Whole: each of the" in userland.run("edge-sdk", "inspect", f"/mnt/host/{shared.bundle.name}")


def test_faults_of_the_engine_cost_one_frame_each(userland: Userland, shared: Shared, carphone: Path) -> None:
    faults = ("crash", "stop", "hang", "killed")
    paths = (f"/mnt/host/{shared.bundle.name}", f"/mnt/host/{carphone.name}")
    printed = userland.run("python", "/mnt/host/engine_faults.py", *paths, *faults)
    seen = json.loads(printed.splitlines()[-1])
    for fault in faults:
        assert seen[fault]["sequences"] == [0, 1, 2, 3, 5, 6, 7]
        kind = "hang" if fault in ("hang", "stop") else "crash"
        assert [event["kind"] for event in seen[fault]["events"]] == [kind, "recovered"]
