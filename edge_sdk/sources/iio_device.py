"""An Industrial I/O device in sysfs: its attributes, channels and scales."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from edge_sdk.errors import SourceError
from edge_sdk.printable import printable
from edge_sdk.sources.iio_scan import TIMESTAMP, ScanElement, ScanType

SYSFS = Path("/sys/bus/iio/devices")


class IioDevice:
    """A device.

    Args:
        device: ``device0``, or its name, such as ``bme280``.
        sysfs: where the devices are; a test may give a folder of its own.

    Raises:
        SourceError: if there is none, or several of this name.
    """

    def __init__(self, device: str, sysfs: Path = SYSFS) -> None:
        names = {path: _text(path / "name") for path in sorted(sysfs.glob("iio:device*"))}
        wanted = f"iio:{device.removeprefix('iio:')}"
        found = [path for path, name in names.items() if device == name or path.name == wanted]
        there = ", ".join(f"{path.name.removeprefix('iio:')} ({name})" for path, name in names.items())
        if not found:
            raise SourceError(
                f"no IIO device {device!r}. "
                + (
                    f"There are {there}"
                    if there
                    else f"There is none in {sysfs}: no sensor's driver is loaded; see dmesg"
                )
            )
        if len(found) > 1:
            raise SourceError(f"several IIO devices are named {device!r}: say which by its number; there are {there}")
        self.path = found[0]
        self.name = names[self.path]
        self._sysfs = sysfs

    def get(self, attribute: str) -> str | None:
        """An attribute's text, or None where there is no such attribute.

        Raises:
            SourceError: if it cannot be read.
        """
        try:
            return _read(self.path / attribute)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise SourceError(f"{self.path / attribute} cannot be read: {exc.strerror}") from exc

    def set(self, attribute: str, value: str, *, hint: str = "") -> None:
        """Write an attribute, unless it has this value already.

        Args:
            attribute: its name.
            value: of it.
            hint: what to do when the driver refuses.

        Raises:
            SourceError: if it cannot be written.
        """
        path = self.path / attribute
        if self.get(attribute) == value:
            return
        try:
            path.write_text(value)
        except PermissionError as exc:
            raise SourceError(
                f"{path} may not be written by this user. Let a udev rule give a group the device's attributes: "
                'SUBSYSTEM=="iio", RUN+="/bin/sh -c \'chgrp -R plugdev /sys%p; chmod -R g+w /sys%p\'", GROUP="plugdev", MODE="0660"'
            ) from exc
        except OSError as exc:
            busy = (
                " It is in use, by another program or as a buffer that was left on." if exc.errno == errno.EBUSY else ""
            )
            raise SourceError(f"{path} does not take {value!r}: {exc.strerror}.{busy} {hint}".rstrip()) from exc

    def elements(self) -> list[ScanElement]:
        """What its buffer can hold.

        Raises:
            SourceError: if it has no buffer, or one of an unknown form.
        """
        folder = self.path / "scan_elements"
        if not folder.is_dir():
            raise SourceError(
                f"{self} has no buffer: its driver gives single readings only; use mode=polled&rate_hz=10"
            )
        found = []
        for path in sorted(folder.glob("in_*_type")):
            name = path.name.removesuffix("_type")
            try:
                index = int(self.get(f"scan_elements/{name}_index") or "")
                found.append(ScanElement(name, index, ScanType.parse(self.get(f"scan_elements/{path.name}") or "")))
            except ValueError as exc:
                raise SourceError(f"{self}: {name} has a form that is not known: {exc}") from exc
        return found

    def values(self) -> dict[str, str]:
        """The attribute that holds the value of each channel: ``in_temp_input``, which is in units already, or ``in_accel_x_raw``."""
        found = {}
        for suffix in ("raw", "input"):
            for path in self.path.glob(f"in_*_{suffix}"):
                found[path.name.removesuffix(f"_{suffix}")] = path.name
        return dict(sorted(found.items()))

    def wanted(self, channels: tuple[str, ...], there: list[str]) -> list[str]:
        """The names, of those that are there, that ``channels`` names: ``accel_x``, or ``accel`` for all of them.

        Raises:
            SourceError: if one of them is not there.
        """
        known = [name for name in there if name != TIMESTAMP]
        found = []
        for channel in channels:
            named = re.compile(rf"in_{re.escape(channel)}(?![a-z{'0-9' if channel[-1:].isdigit() else ''}]).*")
            of_it = [f"in_{channel}"] if f"in_{channel}" in known else list(filter(named.fullmatch, known))
            if not of_it:
                names = ", ".join(name.removeprefix("in_") for name in known)
                raise SourceError(f"{self} has no channel {channel!r}; there are {names or 'none'}")
            found += [name for name in of_it if name not in found]
        return found if channels else known

    def scale_and_offset(self, channel: str) -> tuple[float, float]:
        """What makes units of a raw value: (raw + offset) * scale, as the kernel's documentation says."""
        return self._shared(channel, "scale", 1.0), self._shared(channel, "offset", 0.0)

    def set_rate(self, rate_hz: float | None, trigger: str | None) -> float | None:
        """Set the rate where the trigger or the device has one to set.

        Args:
            rate_hz: readings a second; None to leave it as it is.
            trigger: the name of the one in use.

        Returns:
            Readings a second, or None where that is not known.

        Raises:
            SourceError: if the rate cannot be had.
        """
        folder = self.trigger_folder(trigger) if trigger else None
        candidates = [] if folder is None else [str(folder / "sampling_frequency")]
        candidates += ["sampling_frequency", *sorted(path.name for path in self.path.glob("in_*sampling_frequency"))]
        attribute = next((name for name in candidates if self.get(name) is not None), None)
        if attribute is None:
            return rate_hz
        there = self.get(f"{attribute}_available")
        hint = f"There are {there}" if there else ""
        if rate_hz is not None:
            self.set(attribute, f"{rate_hz:.6f}".rstrip("0").rstrip("."), hint=hint)
        try:
            given_hz = float((self.get(attribute) or "").split()[0])
        except (ValueError, IndexError):
            return rate_hz
        if rate_hz is not None and abs(given_hz - rate_hz) > 0.05 * rate_hz:
            raise SourceError(f"{self} gives rate_hz={given_hz:g}, not {rate_hz:g}. {hint}".rstrip())
        return given_hz or None

    def trigger_folder(self, name: str) -> Path | None:
        """The folder of the trigger of this name."""
        return next((path for path in self._sysfs.glob("trigger*") if _text(path / "name") == name), None)

    def triggers(self) -> str:
        """The triggers there are, for a message."""
        names = sorted(_text(path / "name") for path in self._sysfs.glob("trigger*"))
        return f"There are the triggers {', '.join(names)}" if names else "There is no trigger"

    def _shared(self, channel: str, what: str, default: float) -> float:
        """An attribute of the channel, or that which it shares with those of its kind: in_accel_x_scale, in_accel_scale, in_scale."""
        kind = re.sub(r"_[a-z0-9&]+$", "", channel) if channel.count("_") > 1 else channel
        for owner in (channel, kind, re.sub(r"\d+", "", channel), re.sub(r"\d+", "", kind), "in"):
            text = self.get(f"{owner}_{what}")
            if text is not None:
                try:
                    return float(text)
                except ValueError:
                    raise SourceError(f"{self}: {owner}_{what} is {text!r}, no number") from None
        return default

    def __str__(self) -> str:
        return f"{self.path.name} ({self.name})"


def _read(path: Path) -> str:
    return printable(path.read_bytes()[:4096].decode(errors="replace").strip())


def _text(path: Path) -> str:
    """A name, or "" where there is none, or none any more."""
    try:
        return _read(path)
    except OSError:
        return ""
