"""Ring 4: the board's own watchdog, which resets it when nobody feeds it any more. It works when the kernel's scheduler does not.

with HardwareWatchdog("/dev/watchdog", timeout_s=15) as watchdog:
    while making_progress():
        watchdog.feed()  # at least every watchdog.timeout_s seconds

Opening the device arms it. A character ``V`` written just before closing disarms it, where the driver offers that (magic close) and was not
loaded or built with ``nowayout``. Open it after other processes were forked: it is closed only when nobody has it open any more.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import ConfigError, WatchdogError
from edge_sdk.watchdog.device import (
    ALARM_ONLY,
    CAN_SET_TIMEOUT,
    GETBOOTSTATUS,
    GETSUPPORT,
    GETTIMEOUT,
    INFO,
    INT,
    MAGIC_CLOSE,
    SETTIMEOUT,
    Device,
    Facts,
    KernelDevice,
    Opens,
    causes_of,
    facts,
)

if TYPE_CHECKING:
    from types import TracebackType

_LONGEST_S = 86_400
_RAISING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HardwareWatchdog:
    """An armed watchdog. A context manager: an orderly end, and Ctrl-C, disarm it; an error does not, and the board is reset.

    Args:
        path: the device.
        timeout_s: within how many seconds it must be fed; the driver may hold to another number, see ``timeout_s``.
        opens: opens the device.
        root: where the file system begins.

    Attributes:
        timeout_s: the time-out that holds, in seconds, as the driver says.
        identity: the driver's name for it.
        magic_close: whether it can be disarmed by closing, unless ``nowayout``.
        nowayout: whether it cannot; None where that is not known.
        causes: why the board was reset the last time, as far as the driver knows.
        notes: what a person should know, one sentence each.

    Raises:
        ConfigError: if ``timeout_s`` is not within 1 to 86400.
        WatchdogError: if the device cannot be had. It is not armed then, or the message says that it could not be disarmed.
    """

    def __init__(
        self,
        path: str = "/dev/watchdog",
        *,
        timeout_s: int = 15,
        opens: Opens = KernelDevice,
        root: Path = Path("/"),
    ) -> None:
        if isinstance(timeout_s, bool) or not 1 <= timeout_s <= _LONGEST_S:
            raise ConfigError(f"a watchdog's time-out is a number of seconds from 1 to {_LONGEST_S}; found {timeout_s}")
        self.path, self._root = path, root
        self._device: Device | None = None
        self.magic_close = True  # until the driver says otherwise
        try:
            with _signals_held_back():  # between the opening and its record no exception may come
                self._open(opens, int(timeout_s))
        except WatchdogError as exc:
            opened = self._device is not None
            end = self.close()
            raise WatchdogError(f"{exc}; {end}" if opened and "stays armed" in end else str(exc)) from exc.__cause__
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> HardwareWatchdog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(disarm=kind is None or not issubclass(kind, Exception))

    def feed(self) -> None:
        """Start its time-out anew.

        Raises:
            WatchdogError: if it is closed, or the device went away.
        """
        if self._device is None:
            raise WatchdogError(f"{self.path} is closed and cannot be fed")
        try:
            self._device.write(b"\0")
        except OSError as exc:
            raise WatchdogError(f"{self.path} cannot be fed: {exc.strerror}; the board may be reset") from exc

    def close(self, *, disarm: bool = True) -> str:
        """Close it; a second call does nothing.

        Args:
            disarm: whether the board must not be reset; else it is, ``timeout_s`` after the last feeding.

        Returns:
            What becomes of the board, in a sentence.
        """
        device, self._device = self._device, None
        if device is None:
            return f"{self.path} is closed"
        failed = ""
        try:
            with _signals_held_back(), closing(device):
                if disarm and self.magic_close:
                    device.write(b"V")
        except OSError as exc:
            failed = f" ({exc.strerror})"
        active = facts(self.path, root=self._root).active
        if active is None:  # not known: closing stops it, unless it was told not to
            active = bool(self.nowayout or failed or (self.magic_close and not disarm))
        if not active:
            return f"{self.path} is disarmed"
        why = (
            "as wanted" if not disarm else "its driver is nowayout" if self.nowayout else f"it was not stopped{failed}"
        )
        return f"{self.path} stays armed, {why}: {self._reset_said()}"

    def _reset_said(self) -> str:
        return f"the board is reset within {self.timeout_s} s unless something feeds it"

    def _open(self, opens: Opens, wanted_s: int) -> None:
        known = facts(self.path, root=self._root)
        self.nowayout, self.timeout_s = known.nowayout, wanted_s
        try:
            self._device = opens(self.path)
            options, _, identity = INFO.unpack(self._asked(GETSUPPORT, INFO.size))
        except OSError as exc:
            if exc.errno in (errno.ENOTTY, errno.EINVAL) and self._device is not None:
                self.magic_close = False  # some other device: nothing is written to it
            raise WatchdogError(_fix(self.path, exc)) from exc
        self.magic_close = bool(options & MAGIC_CLOSE)
        self.identity = identity.split(b"\0")[0].decode(errors="replace")
        try:
            self.timeout_s = self._settle(options, known, wanted_s)
            status = self._answer(GETBOOTSTATUS)
        except OSError as exc:
            raise WatchdogError(f"{self.path} ({self.identity}) does not answer: {exc.strerror}") from exc
        self.causes = known.causes or causes_of(status or 0)
        self.notes = tuple(self._notes(options, wanted_s))

    def _settle(self, options: int, known: Facts, wanted_s: int) -> int:
        """Set the time-out: the one wanted, within the driver's range, or the next shorter one that it takes; as it reads back."""
        tried_s = min(max(wanted_s, known.shortest_s or 1), known.longest_s or _LONGEST_S)
        set_s: int | None = None
        while options & CAN_SET_TIMEOUT and tried_s >= 1:
            try:
                (set_s,) = INT.unpack(self._asked(SETTIMEOUT, INT.size, INT.pack(tried_s)))
            except OSError as exc:
                if exc.errno not in (errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP):
                    raise
                if exc.errno == errno.EINVAL and tried_s > 1:
                    tried_s //= 2
                    continue
            break
        holds_s = self._answer(GETTIMEOUT) or set_s
        if not holds_s or holds_s < 1:
            raise WatchdogError(
                f"{self.path} ({self.identity}) does not say its time-out, so that it is not known how often to feed it"
            )
        return holds_s

    def _notes(self, options: int, wanted_s: int) -> Iterator[str]:
        if self.timeout_s != wanted_s:
            yield f"{self.path} ({self.identity}) holds to {self.timeout_s} s instead of the {wanted_s} s wanted"
        if options & ALARM_ONLY:
            yield f"{self.path} ({self.identity}) only raises an alarm and does not reset the board"
        if self.nowayout:
            yield f"{self.path} ({self.identity}) cannot be disarmed (nowayout): {self._reset_said()}"

    def _answer(self, request: int) -> int | None:
        """A number that the driver may know."""
        try:
            (value,) = INT.unpack(self._asked(request, INT.size))
        except OSError as exc:
            if exc.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
                return None
            raise
        return int(value)

    def _asked(self, request: int, size: int, given: bytes = b"") -> bytes:
        assert self._device is not None  # noqa: S101 - asked while it is open only
        buffer = bytearray(given.ljust(size, b"\0"))
        self._device.ioctl(request, buffer)
        return bytes(buffer)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Signals whose handlers may raise, as that of Ctrl-C does, are handled after the block. They only come in the main thread."""
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _RAISING:
                if callable(handler := signal.getsignal(number)):
                    before[number] = handler
                    signal.signal(number, lambda came_now, _: came.append(came_now))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for came_before in came:
            signal.raise_signal(came_before)


def _fix(path: str, exc: OSError) -> str:
    if exc.errno == errno.ENOENT:
        return (
            f"{path} does not exist: no watchdog driver is loaded. On a Raspberry Pi write dtparam=watchdog=on into config.txt; "
            "elsewhere load the driver of the board; sudo modprobe softdog gives one in software. ls /dev/watchdog* shows those there are"
        )
    if exc.errno == errno.EBUSY:
        return (
            f"{path} is in use. It is systemd's where RuntimeWatchdogSec is set in /etc/systemd/system.conf: set it to off there and run "
            "sudo systemctl daemon-reexec, or leave it to systemd and name no hardware watchdog here; sudo fuser -v "
            f"{path} names another owner"
        )
    if exc.errno in (errno.EACCES, errno.EPERM):
        rule = 'KERNEL=="watchdog*", GROUP="watchdog", MODE="0660"'
        return (
            f"{path} may not be opened by this user: run as root, or make a group watchdog with this user in it, write {rule} into "
            "/etc/udev/rules.d/60-watchdog.rules and run sudo udevadm control --reload && sudo udevadm trigger"
        )
    if exc.errno in (errno.ENOTTY, errno.EINVAL):
        return f"{path} is no watchdog; give a device such as /dev/watchdog or /dev/watchdog0"
    return f"{path} cannot be opened: {exc.strerror}"
