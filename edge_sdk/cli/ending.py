"""How a command ends that is told to by a signal: as tidily as by Ctrl-C."""

from __future__ import annotations

import os
import signal
import stat
import sys
from types import FrameType
from typing import NoReturn


def end_tidily_on_signals() -> None:
    """Let SIGTERM and SIGHUP (a dropped ssh session) end the program as tidily as Ctrl-C does; under nohup SIGHUP stays ignored."""
    signal.signal(signal.SIGTERM, _ended)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _ended)


def _ended(number: int, frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        _leave_terminal()
    sys.exit(128 + number)


def _leave_terminal() -> None:
    """Print nowhere what would go to a terminal that has gone: to write there is an error."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
