"""The hardware watchdog's logic, against a stand-in that behaves as the kernel's drivers/watchdog/watchdog_dev.c does."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.errors import ConfigError, WatchdogError
from edge_sdk.watchdog import device as requests
from edge_sdk.watchdog.device import Facts, KernelDevice, facts
from edge_sdk.watchdog.hardware import HardwareWatchdog

NAMES = {
    requests.GETSUPPORT: "support",
    requests.GETBOOTSTATUS: "bootstatus",
    requests.SETTIMEOUT: "settimeout",
    requests.GETTIMEOUT: "gettimeout",
}
SETTABLE, MAGIC, ALARM = 0x80, 0x100, 0x400


class Board:
    """A driver and what it drives. ``fails`` is what to raise at the step of that name."""

    def __init__(
        self,
        root: Path,
        *,
        options: int = SETTABLE | MAGIC | 0x8000,
        shortest_s: int = 1,
        longest_s: int = 65_535,
        timeout_s: int = 60,
        nowayout: bool = False,
        bootstatus: int = 0,
        sysfs: bool = True,
        fails: dict[str, BaseException] | None = None,
    ) -> None:
        self.options, self.range_s, self.timeout_s = options, (shortest_s, longest_s), timeout_s
        self.nowayout, self.bootstatus, self.fails = nowayout, bootstatus, fails or {}
        self.armed = self.open = self.may_stop = False
        self.fed = 0
        self.asked: list[str] = []
        self.folder = root / "sys/class/watchdog/watchdog0" if sysfs else None
        self.root = root
        self._say()

    def _say(self) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        said = {
            "identity": "Software Watchdog",
            "min_timeout": self.range_s[0],
            "max_timeout": self.range_s[1],
            "nowayout": int(self.nowayout),
            "state": "active" if self.armed else "inactive",
            "bootstatus": self.bootstatus,
        }
        for name, value in said.items():
            (self.folder / name).write_text(f"{value}\n")

    def _step(self, name: str) -> None:
        self.asked.append(name)
        if name in self.fails:
            raise self.fails[name]

    def __call__(self, path: str) -> Board:
        self._step("open")
        self.open = self.armed = True
        self._say()
        return self

    def ioctl(self, request: int, buffer: bytearray) -> None:
        assert self.open
        name = NAMES[request]
        self._step(name)
        if name == "support":
            buffer[:] = requests.INFO.pack(self.options, 0, b"Software Watchdog")
            return
        if name == "settimeout":
            if not self.options & SETTABLE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            (wanted_s,) = requests.INT.unpack(buffer)
            if not self.range_s[0] <= wanted_s <= self.range_s[1]:
                raise OSError(errno.EINVAL, "Invalid argument")
            self.timeout_s = wanted_s
        buffer[:] = requests.INT.pack(self.bootstatus if name == "bootstatus" else self.timeout_s)

    def write(self, data: bytes) -> None:
        assert self.open
        self._step("write")
        self.may_stop = b"V" in data
        self.fed += 1

    def close(self) -> None:
        assert self.open
        self.open = False
        if (self.may_stop or not self.options & MAGIC) and not self.nowayout:
            self.armed = False
        self._say()
        self._step("close")


def opened(board: Board, **given: object) -> HardwareWatchdog:
    return HardwareWatchdog("/dev/watchdog", opens=board, root=board.root, **given)  # type: ignore[arg-type]


def test_it_is_opened_fed_and_disarmed(tmp_path: Path) -> None:
    board = Board(tmp_path)
    with opened(board, timeout_s=20) as watchdog:
        assert (watchdog.identity, watchdog.timeout_s, board.timeout_s) == ("Software Watchdog", 20, 20)
        assert (watchdog.magic_close, watchdog.nowayout, watchdog.notes, watchdog.causes) == (True, False, (), ())
        for _ in range(3):
            watchdog.feed()
        assert board.armed and board.fed == 3 and not board.may_stop
    assert not board.armed and not board.open
    assert watchdog.close() == "/dev/watchdog is closed"
    with pytest.raises(WatchdogError, match="is closed and cannot be fed"):
        watchdog.feed()


@pytest.mark.parametrize("sysfs", [True, False])
@pytest.mark.parametrize(
    ("wanted_s", "shortest_s", "longest_s", "holds_s"),
    [(15, 1, 16, 15), (60, 1, 16, 15), (2, 5, 100, 60), (1, 1, 1, 1), (86_400, 1, 10, 10)],
)
def test_the_time_out_is_within_the_drivers_range_and_read_back(
    tmp_path: Path, sysfs: bool, wanted_s: int, shortest_s: int, longest_s: int, holds_s: int
) -> None:
    board = Board(tmp_path, shortest_s=shortest_s, longest_s=longest_s, sysfs=sysfs)
    watchdog = opened(board, timeout_s=wanted_s)
    if sysfs:
        holds_s = min(max(wanted_s, shortest_s), longest_s)
    assert watchdog.timeout_s == board.timeout_s
    assert watchdog.timeout_s <= max(holds_s, longest_s)
    if holds_s == wanted_s:
        assert watchdog.timeout_s == wanted_s and watchdog.notes == ()
    else:
        held = f"holds to {watchdog.timeout_s} s instead of the {wanted_s} s wanted"
        assert held in watchdog.notes[0]
        assert watchdog.timeout_s >= shortest_s and (
            sysfs or watchdog.timeout_s > longest_s / 2 or wanted_s < shortest_s
        )


def test_a_driver_of_one_time_out_keeps_it(tmp_path: Path) -> None:
    watchdog = opened(Board(tmp_path, options=MAGIC, timeout_s=32), timeout_s=15)
    assert watchdog.timeout_s == 32
    assert watchdog.notes == ("/dev/watchdog (Software Watchdog) holds to 32 s instead of the 15 s wanted",)


def test_a_driver_that_rounds_is_read_back(tmp_path: Path) -> None:
    class Rounds(Board):
        def ioctl(self, request: int, buffer: bytearray) -> None:
            super().ioctl(request, buffer)
            if request == requests.SETTIMEOUT:
                self.timeout_s = -(-self.timeout_s // 16) * 16
                buffer[:] = requests.INT.pack(self.timeout_s)

    assert opened(Rounds(tmp_path), timeout_s=20).timeout_s == 32


@pytest.mark.parametrize("sysfs", [True, False])
def test_a_driver_that_does_not_know_its_time_out_is_taken_at_its_word(tmp_path: Path, sysfs: bool) -> None:
    unknown = {"gettimeout": OSError(errno.EOPNOTSUPP, "Operation not supported")}
    assert opened(Board(tmp_path, sysfs=sysfs, fails=dict(unknown)), timeout_s=20).timeout_s == 20
    board = Board(tmp_path, sysfs=sysfs, options=MAGIC, fails=dict(unknown))
    with pytest.raises(
        WatchdogError, match=r"does not say its time-out, so that it is not known how often to feed it$"
    ):
        opened(board)
    assert not board.armed


@pytest.mark.parametrize("sysfs", [True, False])
def test_a_driver_that_cannot_be_stopped_says_so_from_the_start(tmp_path: Path, sysfs: bool) -> None:
    board = Board(tmp_path, nowayout=True, sysfs=sysfs)
    watchdog = opened(board, timeout_s=10)
    assert watchdog.nowayout is (True if sysfs else None)
    if sysfs:
        assert "cannot be disarmed (nowayout): the board is reset within 10 s" in watchdog.notes[0]
    said = watchdog.close()
    assert board.armed and not board.open
    if sysfs:  # without it nobody can know
        assert said == (
            "/dev/watchdog stays armed, its driver is nowayout: the board is reset within 10 s unless something feeds it"
        )


def test_without_magic_close_no_v_is_written_and_closing_disarms(tmp_path: Path) -> None:
    board = Board(tmp_path, options=SETTABLE)
    watchdog = opened(board)
    assert watchdog.close() == "/dev/watchdog is disarmed"
    assert not board.armed and board.fed == 0


def test_it_can_be_left_armed(tmp_path: Path) -> None:
    for sysfs in (True, False):
        board = Board(tmp_path / str(sysfs), sysfs=sysfs)
        said = opened(board, timeout_s=10).close(disarm=False)
        assert said == "/dev/watchdog stays armed, as wanted: the board is reset within 10 s unless something feeds it"
        assert board.armed and not board.open


@pytest.mark.parametrize(("error", "armed"), [(RuntimeError, True), (KeyboardInterrupt, False), (SystemExit, False)])
def test_an_error_leaves_it_armed_and_a_wanted_end_does_not(
    tmp_path: Path, error: type[BaseException], armed: bool
) -> None:
    board = Board(tmp_path)
    with pytest.raises(error), opened(board):
        raise error
    assert (board.armed, board.open) == (armed, False)


@pytest.mark.parametrize("sysfs", [True, False])
@pytest.mark.parametrize("step", ["open", "support", "settimeout", "gettimeout", "bootstatus"])
@pytest.mark.parametrize(
    "failure", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt(), MemoryError(), RuntimeError("plugin")]
)
def test_no_failure_while_opening_leaves_it_armed(
    tmp_path: Path, sysfs: bool, step: str, failure: BaseException
) -> None:
    board = Board(tmp_path, sysfs=sysfs, fails={step: failure})
    with pytest.raises(WatchdogError if isinstance(failure, OSError) else type(failure)):
        opened(board)
    assert board.asked[-1] == ("open" if step == "open" else "close")
    assert not board.armed and not board.open


def test_one_that_stays_armed_after_a_failure_is_said_to(tmp_path: Path) -> None:
    board = Board(tmp_path, nowayout=True, fails={"bootstatus": OSError(errno.EIO, "Input/output error")})
    with pytest.raises(
        WatchdogError, match=r"does not answer: Input/output error; .* stays armed, its driver is noway"
    ):
        opened(board)
    assert not board.open


class Interrupted(Board):
    """Ctrl-C comes while the device is being opened: armed already, and not yet known to whoever opens it."""

    def __call__(self, path: str) -> Board:
        super().__call__(path)
        signal.raise_signal(signal.SIGINT)
        return self


def test_a_signal_while_it_opens_comes_when_it_can_be_disarmed(tmp_path: Path) -> None:
    board = Interrupted(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        opened(board)
    assert not board.armed and not board.open
    assert signal.getsignal(signal.SIGINT) is handler


def test_in_another_thread_it_opens_as_well(tmp_path: Path) -> None:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(opened(Board(tmp_path)).close()))
    thread.start()
    thread.join()
    assert said == ["/dev/watchdog is disarmed"]


def test_one_that_cannot_be_fed_or_disarmed_is_said_to(tmp_path: Path) -> None:
    board = Board(tmp_path)
    watchdog = opened(board)
    board.fails = {"write": OSError(errno.ENODEV, "No such device")}
    with pytest.raises(WatchdogError, match="/dev/watchdog cannot be fed: No such device; the board may be reset"):
        watchdog.feed()
    assert "stays armed, it was not stopped (No such device): the board is reset within 15 s" in watchdog.close()
    assert not board.open


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOENT, "does not exist: no watchdog driver is loaded. On a Raspberry Pi write dtparam=watchdog=on"),
        (errno.EBUSY, "RuntimeWatchdogSec is set in /etc/systemd/system.conf"),
        (errno.EACCES, r'may not be opened by this user: .* KERNEL=="watchdog\*", GROUP="watchdog", MODE="0660"'),
        (errno.EPERM, "run as root"),
        (errno.ENODEV, "cannot be opened: No such device"),
    ],
)
def test_errors_name_the_fix(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(WatchdogError, match=said):
        opened(Board(tmp_path, fails={"open": OSError(number, os.strerror(number))}))


def test_what_is_no_watchdog_is_refused_by_the_kernel_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "watchdog"
    file.write_bytes(b"mine")
    for path in (str(file), str(tmp_path), "/dev/null"):
        with pytest.raises(WatchdogError, match=rf"{path} is no watchdog; give a device such as /dev/watchdog"):
            HardwareWatchdog(path)
    with pytest.raises(WatchdogError, match="watchdog97 does not exist"):
        HardwareWatchdog("/dev/watchdog97")
    assert file.read_bytes() == b"mine"


def test_nothing_is_written_to_a_terminal_that_was_named_by_mistake() -> None:
    control, terminal = os.openpty()
    try:
        with pytest.raises(WatchdogError, match="is no watchdog"):
            HardwareWatchdog(os.ttyname(terminal))
        os.set_blocking(control, False)
        with pytest.raises(BlockingIOError):
            os.read(control, 1)
    finally:
        os.close(control)
        os.close(terminal)


def test_causes_of_the_last_reset_are_said_by_the_driver_or_the_kernels_files(tmp_path: Path) -> None:
    said = ("the supply voltage was too low", "the watchdog was not fed in time")
    for sysfs in (True, False):
        board = Board(tmp_path / str(sysfs), bootstatus=0x30, sysfs=sysfs)
        assert opened(board).causes == said
    assert facts(root=tmp_path / "True").causes == said


def test_facts_are_known_without_opening(tmp_path: Path) -> None:
    board = Board(tmp_path, nowayout=True, longest_s=16)
    assert facts(root=tmp_path) == Facts("Software Watchdog", 1, 16, True, False, ())
    assert facts("/dev/watchdog1", root=tmp_path) == Facts()
    assert board.asked == []
    (board.folder / "max_timeout").write_text("0\n")  # type: ignore[operator]
    assert facts(root=tmp_path).longest_s is None


def test_one_that_only_raises_an_alarm_is_noted(tmp_path: Path) -> None:
    watchdog = opened(Board(tmp_path, options=SETTABLE | MAGIC | ALARM))
    assert watchdog.notes == ("/dev/watchdog (Software Watchdog) only raises an alarm and does not reset the board",)


@pytest.mark.parametrize("wrong", [0, -1, 86_401, True])
def test_a_time_out_that_is_none_is_refused_before_anything_is_armed(tmp_path: Path, wrong: int) -> None:
    board = Board(tmp_path)
    with pytest.raises(ConfigError, match="a watchdog's time-out is a number of seconds from 1 to 86400"):
        opened(board, timeout_s=wrong)
    assert board.asked == []


REQUESTS: dict[str, Callable[[], int]] = {
    "WDIOC_GETSUPPORT": lambda: requests.GETSUPPORT,
    "WDIOC_GETBOOTSTATUS": lambda: requests.GETBOOTSTATUS,
    "WDIOC_SETTIMEOUT": lambda: requests.SETTIMEOUT,
    "WDIOC_GETTIMEOUT": lambda: requests.GETTIMEOUT,
    "WDIOF_SETTIMEOUT": lambda: requests.CAN_SET_TIMEOUT,
    "WDIOF_MAGICCLOSE": lambda: requests.MAGIC_CLOSE,
    "WDIOF_ALARMONLY": lambda: requests.ALARM_ONLY,
    "sizeof(struct watchdog_info)": lambda: requests.INFO.size,
}


def test_numbers_of_requests() -> None:
    assert [requests.GETSUPPORT, requests.GETBOOTSTATUS] == [0x80285700, 0x80045702]
    assert [requests.SETTIMEOUT, requests.GETTIMEOUT] == [0xC0045706, 0x80045707]


@pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/usr/include/linux/watchdog.h").exists(),
    reason="needs a C compiler and the kernel's headers",
)
def test_numbers_are_those_of_the_kernels_headers(tmp_path: Path) -> None:
    source = "#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/watchdog.h>\nint main(void) {\n"
    source += "".join(f'printf("%lu\\n", (unsigned long)({name}));\n' for name in REQUESTS) + "}\n"
    (tmp_path / "numbers.c").write_text(source)
    subprocess.run(["cc", "-o", tmp_path / "numbers", tmp_path / "numbers.c"], check=True)
    printed = subprocess.run([tmp_path / "numbers"], check=True, capture_output=True, text=True).stdout
    assert [int(line) for line in printed.split()] == [ours() for ours in REQUESTS.values()]


def test_a_device_is_not_inherited_by_programs_that_are_started() -> None:
    device = KernelDevice("/dev/null")
    try:
        listed = "import os; print(os.listdir('/proc/self/fd'))"
        started = subprocess.run([sys.executable, "-c", listed], close_fds=False, capture_output=True, check=True)
        assert f"'{device._descriptor}'" not in started.stdout.decode()
    finally:
        device.close()
