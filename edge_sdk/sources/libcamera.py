"""A camera through libcamera, as on a Raspberry Pi: with picamera2 where Python has it, else with rpicam-vid."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.kinds import Settings
from edge_sdk.sources import Source
from edge_sdk.sources.capture import Held, opencv
from edge_sdk.sources.pipe import PIPE_BYTES, Pipe
from edge_sdk.sources.piped import FramePipeSource
from edge_sdk.tensors import Array

PROGRAMS = ("rpicam-vid", "libcamera-vid")  # the second is the name up to 2023
_SYSTEM_PICAMERA2 = Path("/usr/lib/python3/dist-packages/picamera2")
_STAMP = "SensorTimestamp="
_STAMP_WAIT_S = 0.05
_NEED = (
    "Run: sudo apt install python3-picamera2, and let the virtual environment see it: python3 -m venv --system-site-packages. "
    "Or: sudo apt install rpicam-apps"
)


class LibcameraSettings(Settings):
    """``libcamera:0?width=1280&height=720&fps=30``.

    Attributes:
        camera: its place in libcamera's list, which ``rpicam-hello --list-cameras`` shows.
        width, height: of the frames in pixels, even numbers.
        fps: frames a second.
        through: picamera2, rpicam, or auto: picamera2 where this Python can import it.
        timeout_s: a frame that takes longer is a hang.
    """

    location: ClassVar[str | None] = "camera"

    camera: int = Field(ge=0, le=15)
    width: int = Field(default=640, ge=2, le=16384, multiple_of=2)
    height: int = Field(default=480, ge=2, le=16384, multiple_of=2)
    fps: float = Field(default=30, gt=0, le=1000)
    through: Literal["auto", "picamera2", "rpicam"] = "auto"
    timeout_s: float = Field(default=5, gt=0, le=3600)


class LibcameraSource(Source):
    """Frames BGR uint8 (height, width, 3), with the sensor's time stamps.

    Neither way has run on a board yet: picamera2 is used as its manual says, and rpicam-vid is tested with a stand-in program that writes
    what the documentation and the source of rpicam-apps say.
    """

    settings_class = LibcameraSettings
    live = True
    stuck_s = 5.0

    def __init__(self, settings: LibcameraSettings) -> None:
        self.settings = settings
        self.period_s = 1 / settings.fps
        self._way: Source | None = None

    def _open(self) -> None:
        self._way = self._way or self._choose()
        self.description = self._way.description
        self._way.open()

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        sample = self._way.read() if self._way is not None else None
        return None if sample is None else (sample.data, sample.colour, "", sample.captured_ns)

    def _close(self) -> None:
        if self._way is not None:
            self._way.close()

    def _choose(self) -> Source:
        through = self.settings.through
        missing = "" if through == "rpicam" else _why_no_picamera2()
        if through == "picamera2" and missing:
            raise SourceError(f"{missing}. {_NEED}")
        if through != "rpicam" and not missing:
            return _Picamera2Source(self.settings)
        program = next(filter(shutil.which, PROGRAMS), None)
        if program is None:
            why = f"{missing}, and there" if missing else "there"
            raise SourceError(f"libcamera cannot be used: {why} is no {PROGRAMS[0]} on PATH. {_NEED}")
        return _RpicamSource(self.settings, program, missing)


class _Picamera2Source(Source):
    live = True

    def __init__(self, settings: LibcameraSettings) -> None:
        self._settings = settings
        self.description = f"camera {settings.camera} of libcamera through picamera2"
        self._held: Held[_Picamera2] | None = None

    def _open(self) -> None:
        self._close()
        held = self._held = Held(lambda: _Picamera2(self._settings))
        if held.use(lambda camera: True) is None:
            raise SourceError(f"{self.description} was closed while it was being opened")

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        got = self._held.use(lambda camera: camera.frame()) if self._held is not None else None
        if got is None:
            return None
        image, stamp_ns = got
        return image, "bgr", "", captured_ns(stamp_ns, time.monotonic_ns())

    def _close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.give_up()


class _Picamera2:
    """An open camera."""

    def __init__(self, settings: LibcameraSettings) -> None:
        import picamera2

        self._settings = settings
        there = picamera2.Picamera2.global_camera_info()
        if settings.camera >= len(there):
            listed = (
                ", ".join(f"{n} ({one.get('Model')})" for n, one in enumerate(there)) or "none: check the ribbon cable"
            )
            raise SourceError(
                f"libcamera has no camera {settings.camera}; it has {listed}. See rpicam-hello --list-cameras"
            )
        try:
            self._camera = picamera2.Picamera2(settings.camera)
        except (RuntimeError, IndexError) as exc:
            raise SourceError(
                f"camera {settings.camera} cannot be opened: {exc}. Another program may have it: fuser -v /dev/media*"
            ) from exc
        try:
            size = settings.width, settings.height
            config = self._camera.create_video_configuration(  # picamera2's RGB888 is blue, green, red in memory
                main={"size": size, "format": "RGB888"}, controls={"FrameRate": settings.fps}
            )
            self._camera.configure(config)
            given = self._camera.camera_configuration()["main"]["size"]
            if tuple(given) != size:
                raise SourceError(f"the camera gives {given[0]}x{given[1]}, not {size[0]}x{size[1]}; ask for that")
            self._camera.start()
        except RuntimeError as exc:
            self.release()
            raise SourceError(f"camera {settings.camera} cannot be started: {exc}") from exc
        except BaseException:
            self.release()
            raise

    def frame(self) -> tuple[Array, int]:
        try:
            request = self._camera.capture_request(wait=self._settings.timeout_s)
        except (TimeoutError, RuntimeError) as exc:
            raise SourceLostError(
                f"camera {self._settings.camera} gave no frame in {self._settings.timeout_s:g} s: check the ribbon cable and dmesg"
            ) from exc
        try:
            return request.make_array("main"), int(request.get_metadata()["SensorTimestamp"])
        finally:
            request.release()

    def release(self) -> None:
        self._camera.close()


class _RpicamSource(FramePipeSource):
    """YUV 4:2:0 of full range (JPEG's) from rpicam-vid, and the sensor's time stamps from its metadata."""

    def __init__(self, settings: LibcameraSettings, program: str, missing: str) -> None:
        super().__init__()
        self._settings = settings
        self._program = program
        self.description = f"camera {settings.camera} of libcamera through {program}" + (
            f", as {missing}" if missing else ""
        )
        self._stamps: deque[int] = deque()
        self._astray = self._unstamped = 0  # frames in a row

    def _pipe(self) -> Pipe:
        settings = self._settings
        if settings.width % 64:
            raise SourceError(
                f"{self._program} pads rows to 64 pixels, so width={settings.width} cannot be read; use a multiple of 64, such as "
                f"{-(-settings.width // 64) * 64}, or picamera2"
            )
        opencv("reading a camera")
        self._stamps.clear()
        self._astray = self._unstamped = 0
        size = settings.width * settings.height * 3 // 2
        return Pipe(self._program, self._command, size, settings.timeout_s, self._read_line)

    def _command(self, frames: int, lines: int) -> list[str]:
        settings = self._settings
        options = {
            "--camera": settings.camera,
            "--timeout": 0,
            "--width": settings.width,
            "--height": settings.height,
            "--framerate": settings.fps,
            "--codec": "yuv420",
            "--output": f"/dev/fd/{frames}",
            "--metadata": f"/dev/fd/{lines}",
            "--metadata-format": "txt",
        }
        return [self._program, "--nopreview", "--flush", *(str(part) for pair in options.items() for part in pair)]

    def _read_line(self, line: str) -> None:
        if line.startswith(_STAMP):
            self._stamps.append(int(line.removeprefix(_STAMP)))

    def _captured_ns(self, pipe: Pipe) -> int:
        """By the stamp that is written behind each frame.

        Raises:
            SourceLostError: if there are not as many stamps as frames: then the frames are of another size, and cut at the wrong places.
        """
        early = pipe.more_waits()
        pipe.read_lines()
        self._astray = (
            self._astray + 1 if early and not self._stamps else 0
        )  # the stamp is written before the next frame
        pipe.pump(_STAMP_WAIT_S, lambda: bool(self._stamps))
        self._unstamped = 0 if self._stamps else self._unstamped + 1
        in_pipe = PIPE_BYTES // (self._settings.width * self._settings.height * 3 // 2)
        if max(self._astray, self._unstamped) > 2 or len(self._stamps) > in_pipe + 3:
            raise SourceLostError(
                f"{self._program} gives frames of another size than {self._settings.width}x{self._settings.height}, or no metadata; "
                "see what it says: " + " ".join(self._command(1, 2))
            )
        now_ns = time.monotonic_ns()
        return captured_ns(self._stamps.popleft(), now_ns) if self._stamps else now_ns

    def _image(self, frame: Array) -> Array:
        cv2 = opencv("reading a camera")
        width, height = self._settings.width, self._settings.height
        luma = frame[: width * height].reshape(height, width)
        blue, red = (
            cv2.resize(part, (width, height)) for part in frame[width * height :].reshape(2, height // 2, width // 2)
        )
        image: Array = cv2.cvtColor(cv2.merge((luma, red, blue)), cv2.COLOR_YCrCb2BGR)
        return image

    def _advice(self) -> str:
        return ". See: rpicam-hello --list-cameras"


def captured_ns(stamp_ns: int, now_ns: int) -> int:
    """When a frame with this SensorTimestamp was captured, on the clock of ``time.monotonic_ns``.

    libcamera documents the clock as CLOCK_BOOTTIME; on a Raspberry Pi it was CLOCK_MONOTONIC (bugs.libcamera.org, 254). They differ by the
    time that the system was suspended, so that a stamp of the first looks as if it came from the future. The stamp is that of the first
    row's arrival, at the end of its exposure (raspberrypi/picamera2#821).
    """
    if stamp_ns > now_ns:
        stamp_ns -= time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return min(stamp_ns, now_ns)


def _why_no_picamera2() -> str:
    """Why this Python cannot use picamera2, or ""."""
    try:
        import picamera2  # noqa: F401
    except ImportError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in {"picamera2", "libcamera"}:
            return f"picamera2 cannot be imported: {exc}"
        if _SYSTEM_PICAMERA2.exists() and sys.prefix != sys.base_prefix:
            return f"the system's picamera2 is not seen in the virtual environment {sys.prefix}, made without --system-site-packages"
        return "picamera2 is not installed"
    return ""
