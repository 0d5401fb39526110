"""Heat and throttling, as the board tells of them; read beside the loop, which never touches a file of the kernel's."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from time import monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from boards.profile import Thermal

_ZONES = "/sys/class/thermal/thermal_zone*/temp"
_COOLING = "/sys/class/thermal/cooling_device*/cur_state"
_POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"
_FIRMWARE = "/sys/devices/platform/soc*/soc*:firmware/get_throttled"  # hexadecimal; kernels of Raspberry Pi OS only
# raspberrypi.com/documentation/computers/os.html, get_throttled: bits 0 to 3 are now, 16 to 19 the same since boot
_PI_BITS = (
    "the supply voltage is too low",
    "the clock is capped",
    "the firmware throttles",
    "the soft temperature limit is active",
)
_COLDEST, _HOTTEST = -60.0, 200.0  # degrees Celsius; outside of it lies garbage
_NOT_THE_CHIP = ("PMIC-Die",)  # on a Jetson Nano it says 100 degrees at all times
_NO_THROTTLE = re.compile(
    "fan|tcc offset|lcd|backlight|batter|charge", re.IGNORECASE
)  # cooling that takes no clock away
_VCGENCMD_S, _VCGENCMD_REST = 1.0, 30  # time-out; readings that are left out after it failed
_JOIN_S = 0.3
Complain = Callable[[str, str], None]
"""Told of a file or command and of what is wrong with it."""


@dataclass(frozen=True)
class Heat:
    """How hot the board is.

    Attributes:
        celsius: of the hottest zone meant, in degrees Celsius; None where none can be read.
        throttle_celsius: from here on the clock sinks; None where that is not known.
        throttled: why clocks or voltage are held down now, one reason each; empty where they are not.
        throttled_before: the same since boot, where the board keeps account.
        cpu_mhz, cpu_max_mhz: clock of the fastest core now, and the highest allowed.
        cpu_governor: the kernel's policy for that clock, such as ``"ondemand"``.
    """

    celsius: float | None = None
    throttle_celsius: float | None = None
    throttled: tuple[str, ...] = ()
    throttled_before: tuple[str, ...] = ()
    cpu_mhz: float | None = None
    cpu_max_mhz: float | None = None
    cpu_governor: str | None = None


class HeatReader:
    """Reads ``Heat`` from the files of the kernel.

    Args:
        thermal: where the board's profile says to look; without it every thermal zone and cooling device is read.
        root: where the file system begins.
        vcgencmd: the Raspberry Pi's command, asked where the kernel has no file for it; None for what is on PATH.
    """

    def __init__(self, thermal: Thermal | None = None, *, root: Path = Path("/"), vcgencmd: str | None = None) -> None:
        self._root = root
        self._temperatures = thermal.temperature_files if thermal is not None else (_ZONES,)
        self._types = thermal.zone_types if thermal is not None else ()
        self._throttles = thermal.throttle_files if thermal is not None else (_COOLING,)
        self._throttle_celsius = thermal.throttle_celsius if thermal is not None else None
        self._vcgencmd = vcgencmd if vcgencmd is not None else which("vcgencmd")
        self._vcgencmd_rests = 0

    def read(self, complain: Complain) -> Heat:
        """Everything, now. What cannot be read is left out and told to ``complain``; nothing is raised."""
        zones = list(self._zones(complain))
        celsius = [value for value in (_celsius(zone, complain) for zone in zones) if value is not None]
        bits = self._firmware_bits(complain)
        throttled = [reason for file in self._found(self._throttles) if (reason := _throttle(file, complain))]
        policies = self._found((_POLICIES,))
        speeds = [mhz for policy in policies if (mhz := _mhz(policy / "scaling_cur_freq")) is not None]
        limits = [mhz for policy in policies if (mhz := _mhz(policy / "scaling_max_freq")) is not None]
        return Heat(
            celsius=max(celsius, default=None),
            throttle_celsius=self._throttle_celsius if self._throttle_celsius is not None else _trip_celsius(zones),
            throttled=tuple(dict.fromkeys((*_reasons(bits), *throttled))),
            throttled_before=_reasons(bits >> 16),
            cpu_mhz=max(speeds, default=None),
            cpu_max_mhz=max(limits, default=None),
            cpu_governor=next((said for policy in policies if (said := _text(policy / "scaling_governor"))), None),
        )

    def _found(self, patterns: tuple[str, ...]) -> list[Path]:
        return [file for pattern in patterns for file in sorted(self._root.glob(pattern.lstrip("/")))]

    def _zones(self, complain: Complain) -> Iterator[Path]:
        """The temperature files that are meant."""
        files = self._found(self._temperatures)
        types = {file: _text(file.with_name("type")) for file in files}
        meant = [file for file in files if types[file] in self._types] if self._types else files
        if files and not meant:
            there = ", ".join(sorted({str(name) for name in types.values()}))
            complain("zone types", f"no thermal zone is one of {', '.join(self._types)}; there are {there}")
        elif self._temperatures and not files:
            complain("temperature files", f"no temperature can be read: {', '.join(self._temperatures)} is not there")
        yield from (file for file in meant if types[file] not in _NOT_THE_CHIP)

    def _firmware_bits(self, complain: Complain) -> int:
        """The Raspberry Pi's account of throttling; 0 on other boards."""
        for file in self._found((_FIRMWARE,)):
            text = _text(file)
            return _hexadecimal(str(file), "" if text is None else text, complain)
        if self._vcgencmd is None:
            return 0
        if self._vcgencmd_rests:
            self._vcgencmd_rests -= 1
            return 0
        try:
            asked = [self._vcgencmd, "get_throttled"]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=_VCGENCMD_S, check=True)
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as exc:
            self._vcgencmd_rests = _VCGENCMD_REST
            complain("vcgencmd", f"vcgencmd get_throttled failed, throttling is not known: {exc}")
            return 0
        return _hexadecimal("vcgencmd", done.stdout.strip().removeprefix("throttled="), complain)


class HeatWatch:
    """Reads heat every ``period_s`` seconds in a thread of its own, so that the loop waits for no file. A context manager.

    Args:
        reader: what is read.
        period_s: between two readings.
        on_problem: told once of every file or command that cannot be read, in that thread.

    Attributes:
        latest: the latest reading; nothing is known before the first.
    """

    def __init__(
        self, reader: HeatReader, *, period_s: float = 2.0, on_problem: Callable[[str], object] | None = None
    ) -> None:
        self.latest, self._read_ns = Heat(), monotonic_ns()
        self._reader, self._period_s, self._on_problem = reader, period_s, on_problem
        self._said: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heat", daemon=True)
        self._thread.start()

    @property
    def age_s(self) -> float:
        """Since the latest reading, or the beginning; longer than a few periods where a reading hangs."""
        return (monotonic_ns() - self._read_ns) * 1e-9

    def __enter__(self) -> HeatWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread; one that hangs in a file of the kernel's is left behind."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.latest = self._reader.read(self._complain)
            self._read_ns = monotonic_ns()
            self._stop.wait(self._period_s)

    def _complain(self, about: str, problem: str) -> None:
        if about not in self._said:
            self._said.add(about)
            if self._on_problem is not None:
                self._on_problem(problem)


def _celsius(file: Path, complain: Complain) -> float | None:
    """A temperature of thousandths of a degree. Sensors that are switched off answer with EAGAIN or EINVAL."""
    value = _number(file, complain)
    if value is None:
        return None
    if not _COLDEST <= value / 1_000 <= _HOTTEST:
        complain(str(file), f"{file} says {value / 1_000:g} degrees Celsius, which is no temperature of a chip")
        return None
    return value / 1_000


def _trip_celsius(zones: list[Path]) -> float | None:
    """Where the kernel begins to throttle: the lowest passive trip point of these zones."""
    points = [
        value / 1_000
        for zone in zones
        for file in zone.parent.glob("trip_point_*_type")
        if _text(file) == "passive"
        and (value := _number(file.with_name(file.name.replace("_type", "_temp")), _ignore)) is not None
    ]
    return min((point for point in points if 20 <= point <= _HOTTEST), default=None)  # 0 and below: switched off


def _throttle(file: Path, complain: Complain) -> str | None:
    """Why this file says that something is held down; None if it does not."""
    kind = _text(file.with_name("type")) or ""
    if _NO_THROTTLE.search(kind):
        return None
    value = _number(file, complain)
    if value is None or value <= 0:
        return None
    if "lcrit" in file.name:
        return _PI_BITS[0]
    return f"{kind or file} is held down, state {value}"


def _hexadecimal(about: str, text: str, complain: Complain) -> int:
    try:
        return int(text, 16)
    except ValueError:
        complain(about, f"{about} says {text[:40]!r}, which is no hexadecimal number; throttling is not known")
        return 0


def _reasons(bits: int) -> tuple[str, ...]:
    return tuple(reason for place, reason in enumerate(_PI_BITS) if bits >> place & 1)


def _mhz(file: Path) -> float | None:
    value = _number(file, _ignore)  # the kernel writes "<unknown>" where it cannot say
    return None if value is None else value / 1_000


def _number(file: Path, complain: Complain) -> int | None:
    try:
        text = file.read_bytes()[:100]
    except OSError as exc:
        complain(str(file), f"{file} cannot be read: {exc.strerror}")
        return None
    try:
        return int(text)
    except ValueError:
        complain(str(file), f"{file} says {text[:40]!r}, which is no number")
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_bytes()[:100].decode(errors="replace").strip()
    except OSError:
        return None


def _ignore(about: str, problem: str) -> None:
    """For what boards may lack."""
