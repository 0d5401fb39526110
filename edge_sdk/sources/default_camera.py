"""Which camera ``camera:0`` is: by the stack that the board's profile names, and what is attached."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_sdk.errors import SourceError
from edge_sdk.profiles import our_boards
from edge_sdk.sources.libcamera import PROGRAMS
from edge_sdk.sources.v4l2 import first_that_captures

ARGUS = "nvarguscamerasrc"
_LIST_S = 10.0


@dataclass(frozen=True)
class Choice:
    """The board's default camera.

    Attributes:
        stack: through what it is read.
        path: the device file, of stack v4l2.
        why: what decided, for people.
    """

    stack: Literal["libcamera", "argus", "v4l2"]
    path: str
    why: str


def default_camera(root: Path = Path("/")) -> Choice:
    """The CSI camera where the board's stack has one, else the first V4L2 device that captures.

    Args:
        root: where proc, sys, etc and dev are.

    Raises:
        SourceError: if there is none; the message says where it was looked for.
        BoardError: if the profiles are gone or broken.
    """
    board, stack = _board(root)
    missing = ""
    if stack == "libcamera":
        missing = _no_libcamera()
        if not missing:
            return Choice("libcamera", "", f"the first CSI camera of libcamera, on {board}")
    elif stack == "argus":
        missing = _no_argus(root)
        if not missing:
            return Choice("argus", "", f"CSI sensor 0 through {ARGUS}, on {board}")
    path = first_that_captures(root / "dev")
    if path is None:
        there = ", ".join(sorted(one.name for one in (root / "dev").glob("video*"))) or "there is no /dev/video* at all"
        raise SourceError(
            f"camera:0 finds no camera on this board ({board}): {missing + '; and ' if missing else ''}no V4L2 device captures "
            f"({there}). Check the cable and dmesg, or name the device: camera:/dev/video2. Run: edge-sdk doctor"
        )
    return Choice(
        "v4l2",
        str(path),
        f"{path}, the first V4L2 device that captures, on {board}" + (f": {missing}" if missing else ""),
    )


def _board(root: Path) -> tuple[str, str]:
    """Name of the board, and the stack of its camera."""
    with our_boards():
        from boards import Computer, load
        from boards.detect import detect
    name = detect(root).board
    board = load(name) if name else None
    return name or "unknown", board.camera.stack if isinstance(board, Computer) else "v4l2"


def _no_libcamera() -> str:
    """Why libcamera has no CSI camera, or ""."""
    program = next(filter(shutil.which, (name.replace("-vid", "-hello") for name in PROGRAMS)), None)
    if program is None:
        return "libcamera cannot be asked, as rpicam-hello is not installed (sudo apt install rpicam-apps)"
    done, why_not = _asked(program, "--list-cameras")
    if done is None:
        return why_not
    # "0 : imx708 [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)"; libcamera lists USB cameras too, at a path with usb in it
    listed = re.findall(r"^\s*\d+ : .*\((\S+)\)\s*$", done.stdout + done.stderr, re.MULTILINE)
    return "" if any("i2c" in path for path in listed) else f"{program} lists no CSI camera"


def _no_argus(root: Path) -> str:
    """Why Argus has no CSI camera, or ""."""
    if not any("vi-output" in _text(name) for name in (root / "sys/class/video4linux").glob("video*/name")):
        return "no CSI sensor is bound to the kernel's video input"
    if shutil.which("gst-inspect-1.0") is None:
        return "there is a CSI sensor, but no GStreamer to read it (sudo apt install gstreamer1.0-tools)"
    found, why_not = _asked("gst-inspect-1.0", "--exists", ARGUS)
    if found is None:
        return f"there is a CSI sensor, but {why_not}"
    return (
        "" if found.returncode == 0 else f"there is a CSI sensor, but GStreamer has no {ARGUS} (nvidia-l4t-gstreamer)"
    )


def _asked(*command: str) -> tuple[subprocess.CompletedProcess[str] | None, str]:
    """A program that has ended, or why it has not."""
    asked = " ".join(command)
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIST_S,
            check=False,
        ), ""
    except subprocess.TimeoutExpired:
        return None, f"{asked} did not answer within {_LIST_S:g} s"
    except OSError as exc:
        return None, f"{asked} cannot be run: {exc.strerror}"


def _text(path: Path) -> str:
    """What a device's file says; "" of one that has just gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
