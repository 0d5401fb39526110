"""A serial line, by termios: readings as lines of text, or as packets of bytes."""

from __future__ import annotations

import fcntl
import os
import re
import termios
import time
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.kinds import Names, Positions, Settings
from edge_sdk.sources.held import HeldFile
from edge_sdk.sources.lines import SEPARATORS, LineDecoder, Separator
from edge_sdk.sources.packets import Fields, Format, Layout, PacketDecoder
from edge_sdk.sources.parsed import UNIT_NS, Decoder, Parsed, ParsedSource, TimeUnit
from edge_sdk.sources.stamps import PIECE_NS

BAUDS = {int(name[1:]): getattr(termios, name) for name in dir(termios) if re.fullmatch(r"B[1-9]\d*", name)}
_MOST_BYTES = 1 << 20  # in one go
_PARITIES = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}


class SerialSettings(Settings):
    """``serial:/dev/ttyUSB0?baud=115200&channels=ax,ay,az``, or ``serial:/dev/ttyACM0?format=<I6h&sync=aa55&time=0&time_unit=us``.

    Attributes:
        path: the device; one in /dev/serial/by-id stays the same wherever it is plugged in.
        baud: bits a second.
        parity: ``none``, ``even`` or ``odd``.
        stop_bits: 1 or 2.
        separator: of the columns of a line: ``comma``, ``semicolon``, ``tab`` or ``space``.
        format: of a packet, in place of lines: numbers as in Python's module ``struct``.
        sync: of a packet: the bytes before the numbers, in hexadecimal.
        columns: which columns of a line, or numbers of a packet, are the channels (positions from 0); without it, all but the time.
        channels: their names; without them, their positions.
        time: the position of the time, by the device's clock, which may count from any moment.
        time_unit: of it: ``s``, ``ms``, ``us`` or ``ns``.
        rate_hz: readings a second, where that is known: without a ``time``, they are then taken to be evenly spaced.
    """

    path: Path
    baud: int = 115200
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: int = Field(default=1, ge=1, le=2)
    separator: Separator = "comma"
    format: Format | None = None
    sync: str = Field(default="", pattern="^([0-9a-fA-F]{2}){0,16}$")
    columns: Positions | None = None
    channels: Names = ()
    time: int | None = Field(default=None, ge=0)
    time_unit: TimeUnit = "ms"
    rate_hz: float | None = Field(default=None, ge=1e-6, le=1e6)

    @field_validator("baud")
    @classmethod
    def _allowed(cls, baud: int) -> int:
        if baud not in BAUDS:
            raise ValueError(f"{baud} is no rate of a serial line; allowed are {', '.join(map(str, sorted(BAUDS)))}")
        return baud

    @model_validator(mode="after")
    def _fit(self) -> SerialSettings:
        if (self.format is None) == bool(self.sync):
            raise ValueError(
                "packets need format and sync, lines neither: without the bytes that a packet begins with, such as sync=aa55, "
                "a single lost byte would spoil all that follow"
            )
        taken = self.columns if self.format is None else Fields(*self._fields()).taken
        if self.channels and taken is not None and len(taken) != len(self.channels):
            raise ValueError(f"{len(self.channels)} names of channels are given for {len(taken)} columns")
        if self.time is not None and self.rate_hz is not None:
            raise ValueError("give the time or rate_hz: readings with times need no rate")
        return self

    def _fields(self) -> tuple[int, tuple[int, ...] | None, int | None, int]:
        return Layout(self.format or "b").count, self.columns, self.time, UNIT_NS[self.time_unit]

    def decoder(self) -> Decoder:
        """A new one for what comes over the line."""
        unit_ns = UNIT_NS[self.time_unit]
        if self.format is None:
            return LineDecoder(SEPARATORS[self.separator], self.columns, self.time, unit_ns, self.channels)
        sync = bytes.fromhex(self.sync)
        return PacketDecoder(Layout(self.format), sync, self.columns, self.time, unit_ns, self.channels)


class SerialSource(ParsedSource):
    """Readings that a device sends without being asked, float64 (count, channels), in pieces of 20 ms where they are so many.

    The first line may have begun before the device was opened and is left out. Only one program reads a line: it is locked (flock), which
    other programs that do the same respect.
    """

    settings_class = SerialSettings

    def __init__(self, settings: SerialSettings) -> None:
        self.settings = settings
        self.rate_hz = settings.rate_hz
        self.period_s = 0.0 if settings.rate_hz is None else 1 / settings.rate_hz
        self.channels = settings.channels
        self._held: HeldFile | None = None

    def _open(self) -> None:
        self._close()
        self._decoder = self.settings.decoder()
        self._read_ns = 0
        self.begin(str(self.settings.path), self.settings.rate_hz)
        self._held = HeldFile(_opened(self.settings))

    def _arrived(self) -> tuple[Parsed, int, int] | None:
        held = self._held
        if held is None:
            return None
        with held.use() as is_held:
            while is_held and held.wait():
                began_ns = time.monotonic_ns()
                if not held.rest((self._read_ns + PIECE_NS - began_ns) / 1e9):
                    return None
                data = self._bytes(held)
                self._read_ns = time.monotonic_ns()
                parsed = self._decoder.feed(data)
                if parsed.count:
                    self.channels = self._decoder.channels
                    return parsed, began_ns, self._read_ns
        return None

    def _bytes(self, held: HeldFile) -> bytes:
        try:
            return held.read(_MOST_BYTES)
        except EOFError:
            reason = "it is at its end"
        except OSError as exc:
            reason = str(exc.strerror)
        raise SourceLostError(f"{self.settings.path} is gone: {reason}. It was unplugged, or lost its power; see dmesg")

    def _close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.give_up()


def _opened(settings: SerialSettings) -> int:
    """A descriptor of the line, set up, locked, and emptied of what came before."""
    path = settings.path
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise SourceError(f"no serial line at {path}. {_lines_there()}") from exc
    except PermissionError as exc:
        raise SourceError(
            f"{path} may not be read by this user. Run: sudo usermod -aG dialout $USER, and log in again"
        ) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise SourceError(f"{path} cannot be opened: {reason}. fuser -v {path} shows who uses it") from exc
    try:
        _lock(fd, path)
        _set_up(fd, settings)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise SourceError(f"{path} is in use by another program, or this one; fuser -v {path} shows by whom") from exc


def _set_up(fd: int, settings: SerialSettings) -> None:
    """Raw bytes of eight bits, no flow control, the modem's lines ignored."""
    rate = BAUDS[settings.baud]
    flags = termios.CS8 | termios.CREAD | termios.CLOCAL | _PARITIES[settings.parity]
    if settings.stop_bits == 2:
        flags |= termios.CSTOPB
    try:
        characters = termios.tcgetattr(fd)[6]
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, [0, 0, flags, 0, rate, rate, characters])
        termios.tcflush(fd, termios.TCIFLUSH)
        given = termios.tcgetattr(fd)[4]
    except termios.error as exc:
        raise SourceError(f"{settings.path} is no serial line: {exc.args[-1]}. {_lines_there()}") from exc
    if given != rate:
        raise SourceError(f"{settings.path} cannot do baud={settings.baud}: its driver chose another rate")


def _lines_there() -> str:
    patterns = ("serial/by-id/*", "ttyUSB*", "ttyACM*", "ttyAMA*", "serial[0-9]*")
    there = sorted(str(path) for pattern in patterns for path in Path("/dev").glob(pattern))
    if there:
        return f"Serial lines here: {', '.join(there)}"
    return "There is no /dev/ttyUSB*, ttyACM* or ttyAMA*: nothing is plugged in, or its driver is not loaded; see dmesg"
