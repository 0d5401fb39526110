"""Processes as the supervisor handles them: started so that they die with it, found, weighed and ended with all below them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_PROC = Path("/proc")
_GUARD_ROUNDS = 100
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of all processes below this one that lose theirs: none gets out of sight."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], folder: str | None = None, out: int = 1, err: int = 2
) -> int:
    """Start a program in a session of its own; the kernel kills it when this process dies.

    Args:
        command: the program, looked for in PATH, and its arguments.
        environment: all of it.
        folder: where it runs; default here.
        out, err: descriptors that become its standard output and error.

    Returns:
        Its pid.

    Raises:
        OSError: if it cannot be started.
    """
    parent = os.getpid()
    told, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(command, environment, folder, (out, err), tell, parent)
    os.close(tell)
    refused = os.read(told, 4096)  # nothing once the program is running
    os.close(told)
    if refused:
        os.waitpid(pid, 0)
        number, _, where = refused.decode().partition(" ")
        raise OSError(int(number), os.strerror(int(number)), where)
    return pid


def _become(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None,
    streams: tuple[int, int],
    tell: int,
    parent: int,
) -> NoReturn:
    where = folder or ""
    try:
        os.setsid()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would inherit that
            signal.signal(number, signal.SIG_DFL)
        if folder is not None:
            os.chdir(folder)
        where = command[0]
        for standard, fd in enumerate(streams, start=1):
            if fd != standard:
                os.dup2(fd, standard)
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - no shell is wanted
    except OSError as exc:
        os.write(tell, f"{exc.errno} {where}".encode())
    finally:
        os._exit(127)


def guard(mark: str) -> int:
    """Start a process that does nothing but outlive this one: when it dies, whatever carries ``mark`` in its environment is killed.

    The kernel does that for the application itself (PR_SET_PDEATHSIG), but not for what the application has started.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.closerange(0, 1 << 10)
        waking = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_BLOCK, waking)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        while os.getppid() == parent:
            signal.sigwait(waking)
        for _ in range(_GUARD_ROUNDS):  # what starts processes may do so until it is killed itself
            kill(marked := _carrying(mark.encode()))
            if not marked:
                break
            sleep(0.02)
    finally:
        os._exit(0)


def _carrying(mark: bytes) -> set[int]:
    found = set()
    for pid in _pids():
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def has_terminal() -> bool:
    """Whether this process has a controlling terminal: SIGHUP is its end where it had one and has it no more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def kill(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to each that is still there and may be signalled."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reaped() -> dict[int, int]:
    """Exit codes of the children that have ended since the last call, by pid; negative is a signal's number."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def below(pid: int, *, besides: Iterable[int] = ()) -> set[int]:
    """Every living process below ``pid``; those ``besides`` are left out, with what is below them."""
    parents = {}
    for each in set(_pids()) - set(besides):
        with contextlib.suppress(OSError):
            state, parent = (_PROC / str(each) / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[each] = int(parent)
    found: set[int] = set()
    frontier = {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier} - found
        found |= frontier
    return found


def memory_mb(pids: Iterable[int]) -> float:
    """What processes occupy together, in 10^6 bytes: the sum of PSS (shared pages count once); of RSS where the kernel hides PSS."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            kilobytes += _kilobytes(_PROC / str(pid))
    return kilobytes * 1024e-6


def _kilobytes(process: Path) -> int:
    try:
        return _field(process / "smaps_rollup", "Pss:")  # Linux 4.14
    except OSError:
        return _field(process / "status", "VmRSS:")


def _field(path: Path, name: str) -> int:
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir(_PROC) if entry.isdecimal()]  # noqa: PTH208 - names only, many of them
