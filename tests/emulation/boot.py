"""A boot of the machine: one that does not come up is said, and tried again; each wait has its end, and an error shows the console."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.emulation import end_session
from tests.supervised import eventually

UP = "up"  # a file that the machine's session makes first of all, in the shared folder
_UP_S = 240  # 20 s on a quiet machine
_BOOTS = 3
_TAIL = 5_000  # of the console, in an error


class StuckBootWarning(UserWarning):
    """The emulator, or the kernel in it, stood still before anything of ours was run."""


@dataclass(frozen=True)
class Boot:
    """A machine that is up."""

    process: subprocess.Popen[bytes]
    console: Path

    @property
    def said(self) -> str:
        """What it wrote to its console so far."""
        return self.console.read_text(errors="replace")

    def wait_for(self, text: str, within_s: float = 300) -> None:
        """Wait for a text on its console."""
        try:
            eventually(lambda: text in self.said or self.process.poll() is not None, within_s)
        finally:
            assert text in self.said, f"the machine did not say {text!r}:\n{self.said[-_TAIL:]}"

    def wait_for_end(self, within_s: float) -> str:
        """What its console had when it had ended, by power-off or reset, or was killed after a time."""
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return f"{self.said}\nkilled after {within_s:g} s"
        return self.said


@contextmanager
def booted(command: Sequence[str], shared: Path) -> Iterator[Boot]:
    """A machine that is up; at the end of the block its power is cut, if it still has any."""
    for last in (False,) * (_BOOTS - 1) + (True,):
        with _started(command, shared) as boot:
            if _comes_up(boot, shared):
                yield boot
                return
            stuck = f"the machine did not come up in {_UP_S} s:\n{boot.said[-_TAIL:]}"
            assert not last, stuck
            warnings.warn(stuck, StuckBootWarning, stacklevel=3)


@contextmanager
def _started(command: Sequence[str], shared: Path) -> Iterator[Boot]:
    (shared / UP).unlink(missing_ok=True)
    console = shared.with_name(f"{shared.name}.console")
    with console.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield Boot(process, console)
    finally:
        end_session(process.pid)
        process.wait()


def _comes_up(boot: Boot, shared: Path) -> bool:
    try:
        eventually(lambda: (shared / UP).exists() or boot.process.poll() is not None, _UP_S)
    except AssertionError:
        return False
    return (shared / UP).exists()
