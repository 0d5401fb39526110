"""Which camera ``camera:0`` is, on trees of files that stand for boards; and the controls of a V4L2 device, by a driver in Python.

No V4L2 device exists here: the ioctls are answered as the kernel's documentation says. The virtual machine's tests have a real one.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge_sdk.errors import ConfigError, SourceError
from edge_sdk.sources import source_from
from edge_sdk.sources.camera import CameraSettings, CameraSource
from edge_sdk.sources.default_camera import Choice, default_camera
from edge_sdk.sources.v4l2 import captures, first_that_captures, set_controls

HERE = Path(__file__).parent
CAPTURE, CAPTURE_MPLANE, META, M2M, IO_MC, STREAMING = 0x1, 0x1000, 0x800000, 0x8000, 0x20000000, 0x4000000


# id: name, type, minimum, maximum, step, flags
CONTROLS = {
    0x00980001: (b"User Controls", 6, 0, 0, 0, 0x4),
    0x00980900: (b"Brightness", 1, -64, 64, 1, 0),
    0x00980918: (b"Power Line Frequency", 3, 0, 2, 1, 0),
    0x009A0901: (b"Auto Exposure", 3, 0, 3, 1, 0),
    0x009A0902: (b"Exposure Time, Absolute", 1, 1, 5000, 1, 0),
    0x009A0913: (b"Sensor Temperature", 1, 0, 100, 1, 0x4),
    0x009A0920: (b"Gone", 1, 0, 1, 1, 0x1),
}


class Driver:
    """Answers the ioctls of devices by their path."""

    def __init__(self, devices: dict[str, tuple[str, int]]) -> None:
        self.devices = devices  # driver and device_caps
        self.exposure, self.auto, self.powerline = 157, 3, 1

    def __call__(self, fd: int, request: int, said: bytearray) -> None:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        number, size = request & 0xFF, request >> 16 & 0x3FFF
        assert size == len(said) == {0: 104, 36: 68, 37: 44, 27: 8, 28: 8}[number] and chr(request >> 8 & 0xFF) == "V"
        if number == 0:
            if path not in self.devices:
                raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
            driver, caps = self.devices[path]
            whole = 0x80000000 | STREAMING | CAPTURE | META  # of all nodes of the driver together
            said[:] = struct.pack(
                "=16s32s32s3I12x", driver.encode(), b"A camera", b"usb-1", 0x60100, whole, caps | STREAMING
            )
        elif number == 36:
            self._query(said)
        elif number == 37:
            self._menu(said)
        else:
            self._value(number == 28, said)

    def _query(self, said: bytearray) -> None:
        asked = struct.unpack_from("=I", said)[0]
        assert asked & 0x80000000
        later = [one for one in CONTROLS if one > asked & 0x7FFFFFFF]
        if not later:
            raise OSError(errno.EINVAL, "Invalid argument")
        name, kind, minimum, maximum, step, flags = CONTROLS[later[0]]
        inactive = 0x10 if name.startswith(b"Exposure") and self.auto == 3 else 0
        said[:] = struct.pack("=2I32s4iI8x", later[0], kind, name, minimum, maximum, step, minimum, flags | inactive)

    def _menu(self, said: bytearray) -> None:
        control, value = struct.unpack_from("=2I", said)
        names = {
            0x00980918: (b"Disabled", b"50 Hz", b"60 Hz"),
            0x009A0901: (b"", b"Manual Mode", b"", b"Aperture Priority Mode"),
        }
        if not names[control][value]:
            raise OSError(errno.EINVAL, "Invalid argument")
        said[:] = struct.pack("=2I32s4x", control, value, names[control][value])

    def _value(self, is_set: bool, said: bytearray) -> None:
        control, value = struct.unpack("=Ii", said)
        name = {0x009A0902: "exposure", 0x009A0901: "auto", 0x00980918: "powerline"}.get(control, "brightness")
        if is_set:
            if name == "exposure" and self.auto == 3:
                raise OSError(errno.EACCES, "Permission denied")
            if name == "auto" and value not in (1, 3):
                raise OSError(errno.EINVAL, "Invalid argument")
            setattr(self, name, min(max(value, -64), 64) if name == "brightness" else value)
        said[:] = struct.pack("=Ii", control, getattr(self, name))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "video0"
    path.write_bytes(b"")
    return path


def test_controls_are_set_in_their_order(device: Path) -> None:
    driver = Driver({})
    set_controls(device, {"auto_exposure": 1, "exposure_time_absolute": 40, "brightness": -3}, driver)
    assert (driver.auto, driver.exposure, driver.brightness) == (1, 40, -3)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"exposure": 5},
            r"video0 has no control 'exposure'; it has brightness: -64 to 64; power_line_frequency: 0 \(Disabled\), 1 \(50 Hz\), "
            r"2 \(60 Hz\); "
            r"auto_exposure: 1 \(Manual Mode\), 3 \(Aperture Priority Mode\); exposure_time_absolute: 1 to 5000; "
            r"sensor_temperature: 0 to 100$",
        ),
        (
            {"exposure_time_absolute": 40},
            r"does not take control exposure_time_absolute=40; .*an automatic control rules it now",
        ),
        ({"auto_exposure": 2}, r"does not take control auto_exposure=2; it takes 1 \(Manual Mode\), 3 \(Aperture"),
        ({"brightness": 900}, r"does not take control brightness=900: it made 64 of it; it takes -64 to 64"),
        ({"brightness": 2**40}, r"does not take control brightness=1099511627776; it takes -64 to 64"),
        ({"sensor_temperature": 3}, r"does not take control sensor_temperature=3: it can be read only"),
    ],
)
def test_a_control_that_is_not_there_or_does_not_take_names_what_there_is(
    device: Path, wanted: dict[str, int], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        set_controls(device, wanted, Driver({}))


def test_a_device_without_controls_says_so(device: Path) -> None:
    with pytest.raises(SourceError, match="has no control 'gain'; it has none"):
        set_controls(device, {"gain": 1})  # the kernel's own answer, of a file
    with pytest.raises(SourceError, match=r"controls of .*gone cannot be set: No such file"):
        set_controls(device.with_name("gone"), {"gain": 1})


def test_controls_in_text_and_in_a_table_mean_the_same(carphone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = source_from("camera:/dev/video2?control.auto_exposure=1&control.gain=8&fps=30")
    table = source_from(
        {"kind": "camera", "device": "/dev/video2", "controls": {"auto_exposure": 1, "gain": 8}, "fps": 30}
    )
    assert text.settings == table.settings and list(text.settings.controls) == ["auto_exposure", "gain"]
    for wrong, message in (
        ("camera:0?control.gain=high", "controls.gain: Input should be a valid integer"),
        ("camera:0?gain=8", "gain: no such key"),
        (
            {"kind": "camera", "device": "0", "controls": {}, "control.gain": 1},
            "give controls or control.gain, not both",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            source_from(wrong)
    asked: list[tuple[Path, dict[str, int]]] = []
    monkeypatch.setattr("edge_sdk.sources.camera.set_controls", lambda path, controls: asked.append((path, controls)))
    with CameraSource(
        text.settings.model_copy(update={"fps": None}), capture=lambda path: cv2.VideoCapture(str(carphone))
    ):
        assert asked == [(Path("/dev/video2"), {"auto_exposure": 1, "gain": 8})]


def test_the_first_device_that_captures_is_found(tmp_path: Path) -> None:
    devices = {
        "video0": ("uvcvideo", META),
        "video2": ("bcm2835-codec", M2M),
        "video3": ("mxc-isi-cap", CAPTURE | IO_MC),
        "video9": ("bcm2835-isp", CAPTURE),
        "video10": ("uvcvideo", CAPTURE),
        "video11": ("vivid", CAPTURE_MPLANE),
    }
    for name in (*devices, "video1", "videodev"):
        (tmp_path / name).write_bytes(b"")
    driver = Driver({str(tmp_path / name): said for name, said in devices.items()})
    assert [name for name in devices if captures(tmp_path / name, driver)] == ["video10", "video11"]
    assert first_that_captures(tmp_path, driver) == tmp_path / "video10"
    assert first_that_captures(tmp_path) is None  # plain files, says the kernel


def board(root: Path, model: str) -> Path:
    for folder in ("proc/device-tree", "dev", "sys/class/video4linux/video0"):
        (root / folder).mkdir(parents=True)
    (root / "proc/device-tree/model").write_text(model)
    (root / "dev/video0").write_bytes(b"")
    return root


def program(folder: Path, name: str, does: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


CSI = "0 : imx708 [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)"
USB = "0 : HD Webcam [1920x1080] (/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.3:1.0-046d:0825)"


@pytest.fixture
def usb_camera(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    def attach(root: Path) -> None:
        monkeypatch.setattr("edge_sdk.sources.default_camera.first_that_captures", lambda folder: root / "dev/video0")

    return attach


@pytest.mark.parametrize(
    ("model", "programs", "stack", "why"),
    [
        (
            "Raspberry Pi 5 Model B",
            {"rpicam-hello": f'echo; echo "{CSI}"'},
            "libcamera",
            "CSI camera .* raspberry-pi-5",
        ),
        ("Raspberry Pi 5 Model B", {"libcamera-hello": f'echo "{CSI}" >&2'}, "libcamera", "first CSI camera"),
        (
            "Raspberry Pi 5 Model B",
            {"rpicam-hello": f'echo "{USB}"'},
            "v4l2",
            "video0, .* raspberry-pi-5: rpicam-hello lists no CSI",
        ),
        (
            "Raspberry Pi 5 Model B",
            {"rpicam-hello": 'echo "No cameras available!"'},
            "v4l2",
            "rpicam-hello lists no CSI camera",
        ),
        ("Raspberry Pi 5 Model B", {}, "v4l2", "rpicam-hello is not installed"),
        (
            "NVIDIA Jetson Orin Nano Developer Kit",
            {"gst-inspect-1.0": "exit 0"},
            "argus",
            "CSI sensor 0 through nvarguscamerasrc",
        ),
        (
            "NVIDIA Jetson Orin Nano Developer Kit",
            {"gst-inspect-1.0": "exit 1"},
            "v4l2",
            "GStreamer has no nvarguscamerasrc",
        ),
        ("NVIDIA Jetson Orin Nano Developer Kit", {}, "v4l2", "no GStreamer to read it"),
        (
            "Something Else",
            {"rpicam-hello": f'echo "{CSI}"'},
            "v4l2",
            "video0, the first V4L2 device that captures, on generic-",
        ),
    ],
)
def test_the_default_camera_is_that_of_the_board_s_stack(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    usb_camera: Callable[[Path], None],
    model: str,
    programs: dict[str, str],
    stack: str,
    why: str,
) -> None:
    root = board(tmp_path, model)
    (root / "sys/class/video4linux/video0/name").write_text("vi-output, imx219 9-0010\n")
    for name, does in programs.items():
        program(tmp_path / "bin", name, does)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    usb_camera(root)
    choice = default_camera(root)
    assert choice.stack == stack
    assert re.search(why, choice.why), choice.why


def test_a_jetson_without_a_csi_sensor_takes_the_usb_camera(tmp_path: Path, usb_camera: Callable[[Path], None]) -> None:
    root = board(tmp_path, "NVIDIA Jetson Orin Nano Developer Kit")
    (root / "sys/class/video4linux/video0/name").write_text("HD Webcam\n")
    usb_camera(root)
    assert default_camera(root).why.endswith("on jetson-orin-nano: no CSI sensor is bound to the kernel's video input")


def test_no_camera_at_all_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        SourceError, match=r"\(raspberry-pi-5\): libcamera cannot be asked.*; and no V4L2 device captures \(video0\)"
    ):
        default_camera(board(tmp_path, "Raspberry Pi 5 Model B"))


def test_the_source_reads_what_was_chosen_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libcamera's stand-in program for the CSI camera; then it is gone, and a USB camera there."""
    choices = [
        Choice("libcamera", "", "the first CSI camera"),
        Choice("v4l2", "/dev/video-none", "/dev/video-none, the first"),
    ]
    monkeypatch.setattr("edge_sdk.sources.camera.default_camera", lambda: choices[0])
    program(tmp_path / "bin", "rpicam-vid", f'exec {sys.executable} -S {HERE}/rpicam_stand_in.py "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    source = source_from("camera:0?width=128&height=64&fps=60")
    assert isinstance(source, CameraSource)
    with source:
        assert source.read().data.shape == (64, 128, 3)
        assert source.description.startswith(
            "camera:0 is the first CSI camera (camera 0 of libcamera through rpicam-vid"
        )
    assert source.read() is None
    with source:
        assert source.read().sequence == 1
    with pytest.raises(
        SourceError, match=r"first CSI camera; format and controls are those of a V4L2 device: name one"
    ):
        source_from("camera:0?control.gain=1").open()
    choices.pop(0)
    with pytest.raises(SourceError, match="no camera at /dev/video-none"):
        source.open()
    assert source.description == "camera:0 is /dev/video-none, the first"
    assert source.read() is None


def test_a_jetson_s_pipeline_asks_for_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline alone: its elements are a Jetson's."""
    monkeypatch.setattr("edge_sdk.sources.camera.default_camera", lambda: Choice("argus", "", "CSI sensor 0"))
    source = CameraSource(CameraSettings(device="0", width=1280, height=720, fps=59.94))
    with pytest.raises(SourceError, match=r"gst-launch|is not installed"):
        source.open()
    text = " ".join(source._other.command(1))
    assert (
        "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=60000/1001 ! nvvidconv"
        in text
    )
    assert text.endswith("! videoconvert ! video/x-raw,format=BGR,width=1280,height=720 ! fdsink fd=1 sync=false")


def test_a_program_that_does_not_answer_or_run_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usb_camera: Callable[[Path], None]
) -> None:
    """The first gst-inspect of a fresh system looks at every plugin."""
    root = board(tmp_path, "NVIDIA Jetson Orin Nano Developer Kit")
    (root / "sys/class/video4linux/video0/name").write_text("vi-output, imx219 9-0010\n")
    program(tmp_path / "bin", "gst-inspect-1.0", "exec /bin/sleep 30")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("edge_sdk.sources.default_camera._LIST_S", 0.2)
    usb_camera(root)
    assert "gst-inspect-1.0 --exists nvarguscamerasrc did not answer within 0.2 s" in default_camera(root).why
    (tmp_path / "bin/gst-inspect-1.0").write_text("no program")
    assert "nvarguscamerasrc cannot be run: Exec format error" in default_camera(root).why
