"""The supervisor's standard error, and the application's through it: the last lines are kept, and a reader that sleeps holds nobody up."""

from __future__ import annotations

import os
import select
from collections import deque

_KEPT_LINES = 40
_LONGEST_LINE = 2_000
_CHUNK = 4_096  # what a pipe that is ready takes at once without blocking (PIPE_BUF)


class Relay:
    """Passes text on.

    Args:
        fd: where to; a file, a pipe, a socket or a terminal.

    Attributes:
        dropped_bytes: what nobody took in time.
    """

    def __init__(self, fd: int = 2) -> None:
        self.dropped_bytes = 0
        self._fd = fd
        self._lines: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._begun = b""

    def say(self, text: str) -> None:
        """A word of the supervisor's own."""
        self._write(f"edge-sdk: {text}\n".encode())

    def pass_on(self, source: int) -> bool:
        """Read what is there, if anything, and pass it on; False if there was nothing."""
        try:
            chunk = os.read(source, _CHUNK)
        except BlockingIOError:
            return False
        *lines, rest = (self._begun + chunk).split(b"\n")
        self._lines.extend(line[:_LONGEST_LINE] for line in lines)
        self._begun = rest[-_LONGEST_LINE:]
        self._write(chunk)
        return bool(chunk)

    def last_lines(self) -> list[str]:
        """The application's last lines; they are not used again."""
        lines = [*self._lines, self._begun] if self._begun else list(self._lines)
        self._lines.clear()
        self._begun = b""
        return [line.decode(errors="replace") for line in lines]

    def _write(self, content: bytes) -> None:
        try:
            while content:
                ready = select.select((), (self._fd,), (), 0)[1]
                if not ready:
                    break
                content = content[os.write(self._fd, content[:_CHUNK]) :]
        except OSError:  # closed, or a full disk
            pass
        self.dropped_bytes += len(content)
