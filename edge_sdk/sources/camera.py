"""A camera through Video4Linux."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.kinds import Settings
from edge_sdk.sources import Source
from edge_sdk.sources.capture import Capture, Held, opencv
from edge_sdk.sources.default_camera import ARGUS, default_camera
from edge_sdk.sources.gstreamer import GStreamerSettings, GStreamerSource, fraction
from edge_sdk.sources.libcamera import LibcameraSettings, LibcameraSource
from edge_sdk.sources.v4l2 import set_controls
from edge_sdk.tensors import Array

_CONTROL = "control."


class CameraSettings(Settings):
    """``camera:0`` or ``camera:/dev/video0?width=640&height=480&fps=30&format=MJPG&control.gain=8``.

    Attributes:
        device: ``0`` for the board's default camera, or a device file.
        width, height: of the frame, in pixels; without them, what the driver gives for 640x480, which OpenCV asks for.
        fps: frames a second; without it, what the driver gives for 30, which OpenCV asks for.
        format: the four characters of a V4L2 pixel format, such as ``MJPG``, which USB 2 needs for large frames at full rate.
        controls: values by the name that ``v4l2-ctl --list-ctrls`` shows, set in this order: a table, or ``control.NAME=VALUE`` in text.
            Exposure by hand: ``control.auto_exposure=1&control.exposure_time_absolute=100``.
    """

    location: ClassVar[str | None] = "device"

    device: str
    width: int | None = Field(default=None, ge=1, le=16384)
    height: int | None = Field(default=None, ge=1, le=16384)
    fps: float | None = Field(default=None, gt=0, le=1000)
    format: str | None = Field(default=None, pattern="^[ -~]{4}$")
    controls: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_controls(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        single = {key.removeprefix(_CONTROL): value for key, value in given.items() if str(key).startswith(_CONTROL)}
        if single and "controls" in given:
            raise ValueError(f"give controls or {_CONTROL}{next(iter(single))}, not both")
        rest = {key: value for key, value in given.items() if not str(key).startswith(_CONTROL)}
        return {**rest, "controls": single} if single else rest

    @field_validator("device")
    @classmethod
    def _form(cls, device: str) -> str:
        if not (device.startswith("/dev/") or (device.isascii() and device.isdigit())):
            raise ValueError(
                f"a camera is 0 (the board's default) or a device file such as /dev/video0; found {device!r}"
            )
        return device

    @model_validator(mode="after")
    def _both(self) -> CameraSettings:
        if (self.width is None) != (self.height is None):
            raise ValueError("give width and height, or neither: the driver takes them together")
        return self


class CameraSource(Source):
    """Frames of a camera, BGR uint8 (height, width, 3), the newest that the driver has.

    The driver is asked to keep two buffers only, so that no old frame waits in them. A hung driver holds up only the thread that opens or
    reads: ``close`` returns at once, the source may be opened again, and the thread that hung releases its device when it comes back. With
    a camera that merely gives nothing that is after ten seconds, OpenCV's limit; until then the device cannot be opened again.

    Args:
        settings: which camera, and how.
        capture: opens the device of this path; a test may give a video file in its place.
    """

    settings_class = CameraSettings
    live = True
    stuck_s = 5.0

    def __init__(self, settings: CameraSettings, *, capture: Callable[[str], Capture] | None = None) -> None:
        self.settings = settings
        self.path = device_path(settings.device)
        self.description = self.path
        self._default = settings.device == "0" and capture is None
        self._make = capture or _open_v4l2
        self._opened: tuple[Held[Capture], DriverClock] | None = None
        self._other: Source | None = None  # that reads the default camera, where that is not V4L2's

    def _open(self) -> None:
        self._close()
        if self._default and self._open_other():
            return
        held = Held(lambda: self._make(self.path))
        self._opened = held, DriverClock()
        try:
            if held.use(self._configure) is None:
                raise SourceError(f"{self.path} was closed while it was being opened")
        except BaseException:
            held.give_up()
            raise

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if self._other is not None:
            sample = self._other.read()
            return None if sample is None else (sample.data, sample.colour, "", sample.captured_ns)
        if self._opened is None:
            return None
        held, clock = self._opened
        got = held.use(_next_frame)
        if got is None:
            return None
        image, stamp_ms = got
        if image is None:
            raise SourceLostError(
                f"{self.path} gives no frame any more: it was unplugged, or its driver hangs. Check the cable and dmesg"
            )
        return image, "bgr", "", clock.captured_ns(stamp_ms, time.monotonic_ns())

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].give_up()
        if self._other is not None:
            self._other.close()

    def _open_other(self) -> bool:
        """Choose the board's default camera anew: what was unplugged may come back as another device. False if it is one of V4L2."""
        choice = default_camera()
        self.description = f"camera:0 is {choice.why}"
        if choice.stack == "v4l2":
            self.path, self._other = choice.path, None
            return False
        if self.settings.format or self.settings.controls:
            raise SourceError(
                f"{self.description}; format and controls are those of a V4L2 device: name one, such as camera:/dev/video0"
            )
        kind = LibcameraSource if choice.stack == "libcamera" else GStreamerSource
        if not isinstance(self._other, kind):
            self._other = _libcamera(self.settings) if choice.stack == "libcamera" else _argus(self.settings)
        self._other.open()
        self.description += f" ({self._other.description})" if self._other.description else ""
        return True

    def _configure(self, capture: Capture) -> bool:
        cv2 = opencv("reading a camera")
        if not capture.isOpened():
            raise SourceError(
                f"{self.path} cannot be opened as a camera: it is in use (fuser -v {self.path} shows by whom; by this program, if a read "
                "of it hangs), or it gives no frames (many cameras have a second device file for metadata). "
                f"{_cameras_there()}. Run: edge-sdk doctor"
            )
        asked = self._asked(cv2)
        for _, prop, value in asked:
            capture.set(prop, value)
        for name, prop, value in asked:
            given = capture.get(prop)
            if abs(given - value) > (0.05 * value if name == "fps" else 0):  # drivers round rates: 29.97 for 30
                raise SourceError(
                    f"{self.path} gives {name}={_shown(name, given)}, not {name}={_shown(name, value)}. Ask for what it has: "
                    f"v4l2-ctl -d {self.path} --list-formats-ext"
                )
        if self.settings.controls:
            set_controls(Path(self.path), self.settings.controls)
        # One is filled while the other is read. With a single one a USB camera loses every second frame: the next is already on the wire.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        return True

    def _asked(self, cv2: Any) -> list[tuple[str, int, float]]:
        """Name, OpenCV property and value of what the settings ask for, the format first as the sizes depend on it."""
        settings = self.settings
        fourcc = None if settings.format is None else int.from_bytes(settings.format.encode(), "little")
        asked = (
            ("format", cv2.CAP_PROP_FOURCC, fourcc),
            ("width", cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
            ("fps", cv2.CAP_PROP_FPS, settings.fps),
        )
        return [(name, prop, value) for name, prop, value in asked if value is not None]


class DriverClock:
    """Decides when a frame was captured.

    OpenCV's CAP_PROP_POS_MSEC of a V4L2 device is the driver's time stamp of the frame. Most drivers take it from CLOCK_MONOTONIC
    (V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC), the clock of ``time.monotonic_ns``. Whether this one does is decided by the first frame, which is
    fresh: its stamp must lie within a second before its reading. If it does not, frames count from when they were read, in this
    opening: the time in the driver is then unknown, and not in the age. A stamp in the future (some drivers add the time that they
    expect a frame to take) counts as its reading.
    """

    def __init__(self) -> None:
        self._monotonic: bool | None = None

    def captured_ns(self, stamp_ms: float, now_ns: int) -> int:
        """When the frame with this stamp, read at ``now_ns``, was captured."""
        stamp_ns = round(stamp_ms * 1e6)
        if self._monotonic is None:
            self._monotonic = 0 <= now_ns - stamp_ns <= 1_000_000_000
        return min(stamp_ns, now_ns) if self._monotonic else now_ns


def device_path(device: str) -> str:
    """The device file of a camera's name; of ``0``, that which it is where nothing else is known."""
    return f"/dev/video{int(device)}" if device.isdigit() else device


def _libcamera(settings: CameraSettings) -> LibcameraSource:
    given = {"camera": 0, "width": settings.width, "height": settings.height, "fps": settings.fps}
    return LibcameraSource(
        LibcameraSettings.model_validate({key: value for key, value in given.items() if value is not None})
    )


def _argus(settings: CameraSettings) -> GStreamerSource:
    """CSI sensor 0 of a Jetson; its image processor scales."""
    width, height, fps = settings.width or 640, settings.height or 480, settings.fps or 30
    pipeline = (
        f"{ARGUS} sensor-id=0 ! video/x-raw(memory:NVMM),width={width},height={height},framerate={fraction(fps)} "
        "! nvvidconv ! video/x-raw,format=BGRx"
    )
    return GStreamerSource(GStreamerSettings(pipeline=pipeline, width=width, height=height))


def _open_v4l2(path: str) -> Capture:
    device = Path(path)
    if not device.exists():
        raise SourceError(f"no camera at {path}. {_cameras_there()}. Run: edge-sdk doctor")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"{path} may not be used by this user. Run: sudo usermod -aG video $USER, log in again; or see edge-sdk doctor"
        )
    cv2 = opencv("reading a camera")
    capture: Capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    return capture


def _cameras_there() -> str:
    there = sorted(str(path) for path in Path("/dev").glob("video*"))
    return (
        f"Video devices here: {', '.join(there)}"
        if there
        else "There is no /dev/video* at all: no camera is connected, or its driver is not loaded"
    )


def _next_frame(capture: Capture) -> tuple[Array | None, float]:
    """The frame, None if there is none, and its stamp in ms (CAP_PROP_POS_MSEC is 0)."""
    done, image = capture.read()
    return (image if done else None), capture.get(0)


def _shown(name: str, value: float) -> str:
    return f"{value:g}" if name != "format" else int(value).to_bytes(4, "little").decode("ascii", "replace")
