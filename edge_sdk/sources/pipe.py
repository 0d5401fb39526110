"""Frames of a fixed size that another program writes into a pipe: GStreamer, rpicam-vid.

A camera's vendor library may hang, crash, or go with another Python only. In a program of its own it is killed when it does, and this
process is never harmed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import termios
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.redact import redacted
from edge_sdk.sources.held import Wake, files_may_run_out
from edge_sdk.tensors import Array

OPEN_S = 10.0  # until the first frame
GRACE_S = 1.0  # from the interrupt to the kill
_LINES = 20  # of what the program says, that are kept
PIPE_BYTES = 1 << 20  # an ordinary user's limit: fewer wake-ups a frame


class Pipe:
    """One run of a program that writes frames.

    Args:
        name: of the program, for messages.
        command: gives the command line that writes frames to the first descriptor and, if wanted, lines of text to the second.
        frame_bytes: the size of a frame.
        silent_s: a frame that takes longer is a hang.
        on_line: told of each line of the second descriptor.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int, int], Sequence[str]],
        frame_bytes: int,
        silent_s: float,
        on_line: Callable[[str], object] = len,  # they are read and forgotten
    ) -> None:
        self._name, self._command, self._on_line = name, command, on_line
        self._silent_s = silent_s
        self._frame = np.empty(frame_bytes, np.uint8)
        self._filled = 0
        self._ended = False
        self._failure = ""
        self._said: deque[str] = deque(maxlen=_LINES)
        self._lock = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._end: threading.Thread | None = None
        self._wake: Wake | None = Wake()
        self._poll = select.poll()
        self._readers: dict[int, Callable[[int], bool]] = {}  # by descriptor; False: nothing more is wanted of it now
        self._data = -1

    def start(self) -> None:
        """Run the program.

        Raises:
            SourceError: if it cannot be run.
        """
        ours, theirs = _pipes(3)
        self._data = ours[0]
        readers = self._read_frame, _Lines(self._on_line).read, _Lines(self._said.append).read
        self._readers = dict(zip(ours, readers, strict=True))
        for fd in ours:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
        with contextlib.suppress(OSError):  # above the limit of this user: the pipe keeps its size
            fcntl.fcntl(self._data, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            with self._lock:
                if self._stopped or self._wake is None:
                    return
                self._poll.register(self._wake, select.POLLIN)
                self._process = subprocess.Popen(
                    self._command(theirs[0], theirs[1]),
                    stdin=subprocess.DEVNULL,
                    stdout=theirs[2],
                    stderr=theirs[2],
                    pass_fds=theirs[:2],
                    start_new_session=True,
                )
        except OSError as exc:
            raise SourceError(f"{self._name} cannot be run: {exc.strerror}") from exc
        finally:
            for fd in theirs:
                os.close(fd)

    def frame(self, within_s: float | None = None) -> Array | None:
        """The next frame, uint8 (frame_bytes,), or None if ``stop`` was called.

        Raises:
            SourceLostError: if the program ended, or gives no whole frame in time.
        """
        within_s = within_s or self._silent_s
        if self._failure:
            raise SourceLostError(self._failure)
        if not self._stopped:
            self._poll.register(self._data, select.POLLIN)
        whole = self.pump(within_s, lambda: self._filled == self._frame.size or self._ended)
        if self._stopped:
            return None
        if self._ended:
            self._failure = self._why_it_ended()
            raise SourceLostError(self._failure)
        if not whole:
            had = f"{self._filled} of the {self._frame.size} bytes of a frame" if self._filled else "nothing"
            raise SourceLostError(f"{self._name} gave {had} in {within_s:g} s: it hangs{self._last_said()}")
        frame, self._frame, self._filled = self._frame, np.empty_like(self._frame), 0
        return frame

    def pump(self, within_s: float, done: Callable[[], bool]) -> bool:
        """Read what comes until ``done``; False if that does not happen in time, or ``stop`` was called."""
        return any(
            self._pump(within_s / 2, done) for _ in range(2)
        )  # if this process was stopped, half of the time is left

    def _pump(self, within_s: float, done: Callable[[], bool]) -> bool:
        until = time.monotonic() + within_s
        while not done():
            left_s = until - time.monotonic()
            if left_s <= 0 or self._stopped:
                return False
            for fd, _ in self._poll.poll(left_s * 1000):
                if fd in self._readers and not self._readers[fd](fd):
                    self._poll.unregister(fd)
        return True

    def read_lines(self) -> None:
        """Read what was said by now."""
        for fd, read in self._readers.items():
            if fd != self._data:
                read(fd)

    def more_waits(self) -> bool:
        """Whether bytes of a further frame are there."""
        count = array("i", [0])
        fcntl.ioctl(self._data, termios.FIONREAD, count)
        return count[0] > 0

    def stop(self) -> None:
        """End the program, and every ``frame``; from any thread, without waiting, harmless when repeated."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            if self._wake is not None:
                self._wake()
            if (
                self._process is not None
            ):  # this Python does not end before the thread has: else the program could outlive it
                self._end = threading.Thread(target=_end, args=(self._process,), name="edge-sdk-pipe-end")
                self._end.start()

    def wait_ended(self, within_s: float) -> bool:
        """Whether the program has ended after ``stop``."""
        if self._end is not None:
            self._end.join(within_s)
        return self._process is None or self._process.poll() is not None

    def release(self) -> None:
        """Stop it and close what it is read through."""
        self.stop()
        with self._lock:
            wake, self._wake = self._wake, None
            readers, self._readers = self._readers, {}
        for fd in readers:
            os.close(fd)
        if wake is not None:
            wake.close()

    def _read_frame(self, fd: int) -> bool:
        got = os.readv(fd, [self._frame[self._filled :].data])
        self._filled += got
        self._ended = got == 0
        return not self._ended and self._filled < self._frame.size

    def _why_it_ended(self) -> str:
        half = f" in the middle of a frame ({self._filled} of {self._frame.size} bytes)" if self._filled else ""
        self.stop()
        self.wait_ended(2 * GRACE_S)
        self.read_lines()
        code = self._process.returncode if self._process else None
        how = "does not end" if code is None else f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return f"{self._name} ended{half} ({how}){self._last_said()}"

    def _last_said(self) -> str:
        """The line that tells most of what the program said last."""
        lines = [line.strip() for line in self._said if line.strip()][-8:]
        errors = [line for line in lines if "error" in line.lower() or "erroneous" in line.lower()]
        return f". It said: {redacted((errors or lines[-1:])[0])}" if lines else ""


class _Lines:
    """Cuts what comes from a descriptor into lines."""

    def __init__(self, on_line: Callable[[str], object]) -> None:
        self._on_line = on_line
        self._rest = b""

    def read(self, fd: int) -> bool:
        """Read what is there; False at the end."""
        try:
            got = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + got).split(b"\n")
        self._rest = self._rest[-4096:]  # of a line that does not end
        if not got:
            lines, self._rest = [self._rest], b""
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
        return bool(got)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the program, then kill it and all that it started; one that hangs in a driver is not waited for."""
    for number in (signal.SIGINT, signal.SIGKILL):
        _signal(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)


def _pipes(count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Pipes' ends to read from, and those to write to."""
    made: list[tuple[int, int]] = []
    try:
        with files_may_run_out():
            while len(made) < count:
                made.append(os.pipe())
    except SourceError:
        for pair in made:
            for fd in pair:
                os.close(fd)
        raise
    ours, theirs = zip(*made, strict=True)
    return ours, theirs


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
