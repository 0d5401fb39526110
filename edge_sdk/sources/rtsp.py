"""A network camera through RTSP, by OpenCV's FFmpeg."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.kinds import Settings
from edge_sdk.redact import redacted
from edge_sdk.sources import Source
from edge_sdk.sources.capture import Capture, Held, opencv
from edge_sdk.tensors import Array

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_TURN = threading.Condition()
_opening: dict[
    str, int
] = {}  # how many are opened with these options just now: one entry at most, as there is one environment
_PORTS = {"rtsp": 554, "rtsps": 322}


class RtspSettings(Settings):
    """``rtsp://user:password@host:554/path?transport=tcp``; a URL that has a ``?`` itself goes into a table, as ``url``.

    Attributes:
        url: with user and password, where the camera wants them; what stands in them of ``@ : / ? #`` is written as %40 %3A %2F %3F %23.
        transport: tcp loses nothing; udp is a little faster on a good network, and its lost packets smear the picture.
        timeout_s: silence for longer is a loss, in opening and in reading.
        threads: of the decoder. More of them hold back frames: with OpenCV's default two were seen, 67 ms at 30 frames/s.
        latency_ms: how long a frame takes from its capture to its arrival, if you measured it.
    """

    location: ClassVar[str | None] = "url"

    url: SecretStr
    transport: Literal["tcp", "udp"] = "tcp"
    timeout_s: float = Field(default=5, gt=0, le=60)
    threads: int = Field(default=1, ge=1, le=16)
    latency_ms: float = Field(default=0, ge=0, le=60_000)

    @field_validator("url", mode="before")
    @classmethod
    def _whole(cls, url: object) -> object:
        if isinstance(url, SecretStr):
            url = url.get_secret_value()
        if not isinstance(url, str):
            raise ValueError("is not text")
        url = "rtsp:" + url if url.startswith("//") else url
        try:
            parts = urlsplit(url)
            good = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good or not re.fullmatch(r"[!-~]+", url):
            raise ValueError(
                f"{redacted(url)!r} is not of the form rtsp://user:password@host:554/path, of ASCII without spaces; in user and "
                "password, @ : / ? # are written as %40 %3A %2F %3F %23"
            )
        return url

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return redacted(self.url.get_secret_value())


class RtspSource(Source):
    """Frames BGR uint8 (height, width, 3), as they come.

    A frame counts from its arrival: the time in the camera's encoder and in the network is unknown, and not in its age unless
    ``latency_ms`` states it. Nothing is buffered here on purpose. A camera that stops sending is lost after ``timeout_s``; ``close``
    returns at once, and a read that waits ends by then. The password is in no message of ours.
    """

    settings_class = RtspSettings
    live = True
    stuck_s = 60.0  # a still scene is repeated by the encoder until its next key frame

    def __init__(self, settings: RtspSettings) -> None:
        self.settings = settings
        self.description = settings.shown_url
        self._held: Held[Capture] | None = None

    def _open(self) -> None:
        self._close()
        held = self._held = Held(lambda: open_ffmpeg(self.settings))
        try:
            opened = held.use(lambda capture: capture.isOpened())
            if opened is None:
                raise SourceError(f"{self.description} was closed while it was being opened")
            if not opened:
                raise SourceError(f"{self.description} cannot be read: {why_not(self.settings)}")
        except BaseException:
            held.give_up()
            raise

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        began = time.monotonic()
        got = self._held.use(lambda capture: capture.read()) if self._held is not None else None
        if got is None:
            return None
        done, image = got
        silent = (
            time.monotonic() - began > 0.9 * self.settings.timeout_s
        )  # what comes then is an old frame that the decoder held back
        if not done or image is None or silent:
            raise SourceLostError(
                f"{self.description} sends no more frames, or none for {self.settings.timeout_s:g} s: the camera or the network is down"
            )
        return image, "bgr", "", time.monotonic_ns() - round(self.settings.latency_ms * 1e6)

    def _close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.give_up()


def open_ffmpeg(settings: RtspSettings) -> Capture:
    """The stream, opened or not. Options of FFmpeg that stand in OPENCV_FFMPEG_CAPTURE_OPTIONS already replace ours."""
    cv2 = opencv("reading RTSP")
    options = {
        "rtsp_transport": settings.transport,
        "fflags": "nobuffer",
        "flags": "low_delay",
        "max_delay": "0"
        if settings.transport == "tcp"
        else "100000",  # microseconds in which packets may come out of order
    }
    timeout_ms = round(settings.timeout_s * 1000)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    limits += [cv2.CAP_PROP_N_THREADS, settings.threads]
    with _ffmpeg_options("|".join(f"{key};{value}" for key, value in options.items())):
        capture: Capture = cv2.VideoCapture(settings.url.get_secret_value(), cv2.CAP_FFMPEG, limits)
    return capture


@contextmanager
def _ffmpeg_options(options: str) -> Iterator[None]:
    """The options in the environment, where alone OpenCV looks for them; streams of the same options may open at once."""
    with _TURN:
        _TURN.wait_for(lambda: not _opening or options in _opening)
        ours = bool(_opening) or _OPTIONS not in os.environ
        if ours:
            os.environ[_OPTIONS] = options
            _opening[options] = _opening.get(options, 0) + 1
    try:
        yield
    finally:
        with _TURN:
            if ours:
                _opening[options] -= 1
                if not _opening[options]:
                    del _opening[options], os.environ[_OPTIONS]
                    _TURN.notify_all()


def why_not(settings: RtspSettings) -> str:
    """What the camera says to one who asks for its stream: FFmpeg keeps that to itself."""
    parts = urlsplit(settings.url.get_secret_value())
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    if parts.scheme == "rtsps":
        return f"it is not reached at {host}:{port}, or refuses; try it: ffplay {settings.shown_url}"
    bare = parts._replace(netloc=f"{host}:{port}").geturl()
    try:
        with socket.create_connection((host, port), settings.timeout_s) as connection:
            connection.sendall(f"DESCRIBE {bare} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
            status = connection.recv(4096).decode("latin-1").partition("\r\n")[0]
    except socket.gaierror:
        return f"there is no host {host!r}; check the name, and the network's name server"
    except TimeoutError:
        return f"{host}:{port} does not answer within {settings.timeout_s:g} s; check that the camera is on and in this network"
    except OSError as exc:
        return (
            f"{host}:{port} cannot be reached: {exc.strerror}; check the address, the port, and that the camera is on"
        )
    who = (
        f"refuses user {unquote(parts.username)!r} with this password" if parts.username else "wants user and password"
    )
    meanings = {
        "401": f"the camera {who}; write rtsp://user:password@{host}{parts.path}",
        "404": f"the camera has no stream {parts.path!r}; its manual or ONVIF tells the path",
        "200": f"the camera answers, but gave no video over {settings.transport} within {settings.timeout_s:g} s; try the other transport",
    }
    code = status[9:12] if re.match(r"RTSP/\d\.\d \d{3}", status) else ""
    return meanings.get(code, f"{host}:{port} answers {status!r}; is it an RTSP camera?")
