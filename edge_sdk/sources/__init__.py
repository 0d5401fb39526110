"""Sources give samples: camera frames, video, images, arrays. ``source_from("camera:0")`` makes one from text.

A source of your own is a subclass of ``Source`` with three hooks, passed to ``Loop`` as an object. To be found by text as well, it takes
its settings as ``edge_sdk.kinds.Configured`` says, and joins by an entry point of the group ``edge_sdk.sources``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError
from edge_sdk.kinds import Kinds
from edge_sdk.refusal import refusal
from edge_sdk.tensors import Array

KINDS = Kinds(
    thing="source",
    builtin={
        "camera": "edge_sdk.sources.camera:CameraSource",
        "libcamera": "edge_sdk.sources.libcamera:LibcameraSource",
        "gstreamer": "edge_sdk.sources.gstreamer:GStreamerSource",
        "rtsp": "edge_sdk.sources.rtsp:RtspSource",
        "file": "edge_sdk.sources.video:VideoSource",
        "i2c": "edge_sdk.sources.i2c:I2cSource",
        "iio": "edge_sdk.sources.iio:iio",
        "audio": "edge_sdk.sources.audio:AudioSource",
        "images": "edge_sdk.sources.images:ImagesSource",
        "mqtt": "edge_sdk.sources.mqtt:mqtt",
        "replay": "edge_sdk.sources.replay:replay",
        "wav": "edge_sdk.sources.wav:WavSource",
        "serial": "edge_sdk.sources.serial:SerialSource",
        "synthetic": "edge_sdk.sources.synthetic:synthetic",
    },
    examples=(
        "camera:0",
        "camera:/dev/video0?width=640&height=480",
        "libcamera:0?width=640&height=480",
        "gstreamer:videotestsrc is-live=true?width=640&height=480",
        "rtsp://user:password@host/path",
        "file:clip.mp4?pace=fast",
        "i2c:1?address=0x68&register=0x3b&format=>3h&rate_hz=100",
        "iio:device0/accel?rate_hz=100",
        "audio:default?rate_hz=16000",
        "images:folder",
        "mqtt://host/topic?keys=x,y,z",
        "replay:windows.npz",
        "replay:log.csv?time=t",
        "wav:sound.wav",
        "serial:/dev/ttyUSB0?baud=115200",
        "synthetic:sine?rate_hz=100",
    ),
    group="edge_sdk.sources",
)


def source_from(wanted: str | Mapping[str, object]) -> Source:
    """A source from one line of text, or from a table with the same keys and ``kind``.

    Args:
        wanted: such as ``"file:clip.mp4?pace=fast"`` or ``{"kind": "file", "path": "clip.mp4", "pace": "fast"}``.

    Raises:
        ConfigError: if the kind or a setting is unknown, missing or out of range; the message names what is allowed.
    """
    source: Source = KINDS.make(wanted)
    return source


@dataclass(frozen=True, slots=True)
class Sample:
    """One raw input.

    Attributes:
        data: an image, uint8 (height, width[, 3]); readings of a signal, (count, channels); or numbers in the shape of the input tensor.
            Not reused by the source.
        sequence: counted from 0 by the source, over everything captured.
        captured_ns: when, on the clock of ``time.monotonic_ns``.
        colour: channel order of a 3-channel image.
        name: the file or position it comes from, or "".
        times_ns: when each reading of a signal was taken, int64 (count,), on the clock of ``captured_ns``, which is the last one's;
            None where the data is no signal.
        after_gap: readings are missing between this sample and the one before it: what a model remembers is to be forgotten.
    """

    data: Array
    sequence: int
    captured_ns: int
    colour: Colour = "bgr"
    name: str = ""
    times_ns: Array | None = None
    after_gap: bool = False


class Source(ABC):
    """Base of all sources: open, read until None, close; a context manager that may be opened again after closing.

    Attributes:
        live: samples come at their own pace whether read or not (a camera); the loop then keeps only the newest.
            Otherwise the loop reads when it is ready and nothing is dropped.
        period_s: the longest regular time between two samples, in seconds, where it is known: so much silence is no hang.
        backlog: how many samples of a live source may wait; 1 keeps the newest only, which is right for frames.
        stuck_s: after how many seconds of identical frames it is told that they stand still; None where frames may be identical.
        description: which device it is and through what it is read, for people, where the source chose that.
    """

    live: bool = False
    backlog: int = 1
    period_s: float = 0.0
    stuck_s: float | None = None
    description: str = ""
    _sequence = 0
    _was_opened = False
    _openings = 0
    _closed_in = -1  # the opening in which it was closed last

    def __enter__(self) -> Source:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Get hold of the device or file.

        Raises:
            SourceError: if that is impossible; the message names what was found and what to do. Or it was closed meanwhile.
        """
        self._openings = opening = self._openings + 1
        try:
            self._open()
        except OSError as exc:
            raise SourceError(f"{self.description or type(self).__name__} cannot be opened: {refusal(exc)}") from exc
        self._was_opened = True
        if self._closed_in == opening == self._openings:  # too early for ``_close`` to find what there is to let go of
            self._close()
            raise SourceError("the source was closed while it was being opened")

    def read(self) -> Sample | None:
        """The next sample, or None at the end and after ``close``. Waits for it.

        Raises:
            SourceError: if a sample is broken, and the next read goes on behind it; or the source was never opened.
            SourceLostError: if the device went away.
        """
        self._check_opened()
        got = self._read()
        if got is None:
            return None
        data, colour, name, captured_ns = got
        return self._sample(data, colour, name, captured_ns or time.monotonic_ns(), None)

    def close(self) -> None:
        """Let go of it; harmless if not open.

        Called from any thread and never waits: a ``read`` that waits in another thread returns None, one that hangs in a driver lets go
        when it comes back.
        """
        self._closed_in = self._openings
        self._close()

    def _check_opened(self) -> None:
        if not self._was_opened:
            raise SourceError(f"{type(self).__name__} is not open; call open(), or use it in a with block")

    def _sample(
        self, data: Array, colour: Colour, name: str, captured_ns: int, times_ns: Array | None, after_gap: bool = False
    ) -> Sample:
        sample = Sample(data, self._sequence, captured_ns, colour, name, times_ns, after_gap)
        self._sequence += 1
        return sample

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        """Data, colour order, name, and the capture time if the device knows it."""

    @abstractmethod
    def _close(self) -> None: ...


class SignalSource(Source):
    """Base of sources that give readings: of a sensor, of sound. A sample is what came since the last one, in pieces of any length.

    Where the contract's input is a window, ``edge_sdk.windows`` cuts them from it; otherwise a piece must have the input's shape.

    Attributes:
        channels: the name of each column.
        rate_hz: readings a second, where the device states them.
    """

    live = True
    backlog = 64
    channels: tuple[str, ...] = ()
    rate_hz: float | None = None

    def read(self) -> Sample | None:
        """See the base class; the sample has ``times_ns``."""
        self._check_opened()
        got = self._readings()
        if got is None:
            return None
        data, times_ns = got
        return self._sample(data, "bgr", "", int(times_ns[-1]), times_ns)

    @abstractmethod
    def _readings(self) -> tuple[Array, Array] | None:
        """Readings (count, channels), at least one, and when each was taken, int64 (count,); None at the end. Waits for them."""

    def _read(self) -> None:
        raise NotImplementedError("a signal has readings")
