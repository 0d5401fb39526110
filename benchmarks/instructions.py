"""What a frame of 640x480 costs on a 64-bit Arm processor, in instructions: the loop, its steps, and the same by hand.

    sudo python -m benchmarks.instructions

The processor is emulated, so that times would mean nothing; instructions repeat to about 10^5 a frame. Each figure is the difference of a
long and a short run. It needs what the tests of emulated userlands need, gcc, and Debian's package qemu-user, which is only unpacked.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from converters import convert
from examples.assets import carphone_video, face_detector
from tests.emulation import ROOT, enter, run, what_is_missing
from tests.emulation.userland import TOOLS, Userland, foreign_programs, make_userland
from tests.emulation.wheels import build_wheel

SHORT, LONG = 10, 110
PARTS = ("loop", "encode", "engine", "decode", "bare")
PLACE = Path("opt/qemu")  # in the root folder


def main() -> None:
    """Print the table."""
    if missing := what_is_missing({**TOOLS, "gcc": "gcc"}):
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as temporary, foreign_programs():
        folder = Path(temporary)
        userland = make_userland("arm64", build_wheel(folder / "wheel"), folder / "arm64")
        prepare(userland.shared)
        install_counter(userland.root, folder)
        each = {part: instructions(userland, part) for part in PARTS}
    print_table(each)


def prepare(shared: Path) -> None:
    """The demo's bundle, frames of 640x480, and what runs them."""
    video = carphone_video()
    config = ROOT / "examples/face/model.toml"
    convert(
        face_detector(),
        config=config,
        calibrate=f"{video}?stop=60",
        holdout=f"{video}?start=60",
        output=shared / "face.edge",
    )
    capture = cv2.VideoCapture(str(video))
    frames = [cv2.resize(capture.read()[1], (640, 480), interpolation=cv2.INTER_CUBIC) for _ in range(4)]
    np.savez(shared / "frames.npz", frames=np.stack(frames))
    shutil.copy(Path(__file__).with_name("instructions_side.py"), shared)


def install_counter(root: Path, folder: Path) -> None:
    """QEMU that takes plugins, its libraries, and the plugin, in the root folder."""
    place = root / PLACE
    place.mkdir(parents=True)
    fetch = f"cd {folder}; apt-get download -qq -o APT::Sandbox::User=root qemu-user; dpkg-deb -x qemu-user_*.deb qemu"
    run("sh", "-ec", fetch, timeout_s=120)
    qemu = shutil.copy(folder / "qemu/usr/bin/qemu-aarch64", place)
    for library in re.findall(r"(/\S+) \(0x", run("ldd", qemu, timeout_s=20)):
        shutil.copy(library, place)
    source = Path(__file__).with_name("count_instructions.c")
    run("gcc", "-O2", "-shared", "-fPIC", "-o", place / "count.so", source, timeout_s=60)


def instructions(userland: Userland, part: str) -> float:
    """For one frame."""
    short, long = (_whole(userland, part, times) for times in (SHORT, LONG))
    return (long - short) / (LONG - SHORT)


def _whole(userland: Userland, part: str, times: int) -> int:
    place = Path("/") / PLACE
    qemu = [
        place / "ld-linux-x86-64.so.2",
        "--library-path",
        place,
        place / "qemu-aarch64",
        "-plugin",
        place / "count.so",
    ]
    program = [
        "/opt/edge/bin/python",
        "/mnt/host/instructions_side.py",
        part,
        times,
        "/mnt/host/face.edge",
        "/mnt/host/frames.npz",
    ]
    said = enter(
        userland.root,
        *(*qemu, *program),
        timeout_s=900,
        shared=userland.shared,
        QEMU_CPU=userland.processor.core,
        PYTHONHASHSEED="0",
    )
    (count,) = re.findall(r"^instructions (\d+)$", said, re.MULTILINE)
    return int(count)


def print_table(each: dict[str, float]) -> None:
    """In millions."""
    rows = {
        "loop, all": each["loop"],
        "  encode": each["encode"],
        "  engine": each["engine"],
        "  decode": each["decode"],
        "  the rest": each["loop"] - each["encode"] - each["engine"] - each["decode"],
        "loop but engine": each["loop"] - each["engine"],
        "by hand, not decoded": each["bare"],
        "by hand but engine": each["bare"] - each["engine"],
    }
    print(f"{'10^6 instructions a frame':<28}{'':>8}")
    for name, count in rows.items():
        print(f"{name:<28}{count / 1e6:>8.3f}")
    print(f"loop / by hand: {each['loop'] / each['bare']:.3f}")


if __name__ == "__main__":
    main()
