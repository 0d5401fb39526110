"""Holding what may hang or wait, so that another thread can give it up without waiting."""

from __future__ import annotations

import math
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from edge_sdk.errors import SourceError


class Held:
    """Something that one thread uses, and any thread may give up.

    ``give_up`` never waits: if the thing is in use, the thread that uses it releases it when it comes back.

    Args:
        release: lets go of the thing; called once.
        wake: ends the wait of the thread that uses it; called at most once, and before ``release``.
    """

    def __init__(self, release: Callable[[], None], wake: Callable[[], None] | None = None) -> None:
        self._release = release
        self._wake = wake
        self._lock = threading.Lock()
        self._busy = False
        self.given_up = False

    @contextmanager
    def use(self) -> Iterator[bool]:
        """A block in which the thing is used; False, and the thing is not there, if it was given up before."""
        with self._lock:
            held = self._busy = not self.given_up
        if not held:
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                self._busy = False
                given_up = self.given_up
            if given_up:
                self._release()

    def give_up(self) -> None:
        """Release it, now or when its use is over; harmless when repeated."""
        with self._lock:
            first, self.given_up = not self.given_up, True
            busy = self._busy
            if first and busy and self._wake is not None:
                self._wake()
        if first and not busy:
            self._release()


@contextmanager
def files_may_run_out() -> Iterator[None]:
    """Says so where descriptors are made."""
    try:
        yield
    except OSError as exc:
        raise SourceError(f"this program may not open any more files: {exc.strerror}; see ulimit -n") from exc


class Wake:
    """Ends the wait of another thread for a descriptor.

    Raises:
        SourceError: if the program has too many files open.
    """

    def __init__(self) -> None:
        with files_may_run_out():
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """The descriptor that is readable after the wake."""
        return self._fd

    def __call__(self) -> None:
        """End the wait, and all later ones."""
        os.eventfd_write(self._fd, 1)

    def wait(self, fd: int | None, timeout_s: float | None, events: int = select.POLLIN) -> int | None:
        """Wait for a descriptor, or only for the wake.

        Args:
            fd: the descriptor.
            timeout_s: for how long; None for ever.
            events: what for.

        Returns:
            What ``poll`` says of ``fd``; 0 after the time is over; None after the wake.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if fd is not None:
            poll.register(fd, events)
        ready = dict(poll.poll(None if timeout_s is None else math.ceil(max(timeout_s, 0) * 1000)))
        return None if self._fd in ready else ready.get(fd, 0) if fd is not None else 0

    def close(self) -> None:
        """Let go of it; to be called when nobody waits."""
        os.close(self._fd)


class HeldFile:
    """A descriptor that does not block, which one thread waits for and reads, and any thread may give up.

    Args:
        fd: the descriptor; closed when it is given up.
        on_release: what else is to be done then, before.

    Raises:
        SourceError: if the program has too many files open.
    """

    def __init__(self, fd: int, on_release: Callable[[], None] | None = None) -> None:
        self._fd = fd
        self._on_release = on_release
        self._ended = False
        try:
            self._wake = Wake()
        except BaseException:
            os.close(fd)
            raise
        self._held = Held(self._close, self._wake)

    def use(self) -> AbstractContextManager[bool]:
        """See ``Held``; what follows is called in such a block."""
        return self._held.use()

    def give_up(self) -> None:
        """See ``Held``; a wait ends."""
        self._held.give_up()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there is something to read, or an end, or the time is over; False if it was given up."""
        events = self._wake.wait(self._fd, timeout_s)
        self._ended = bool((events or 0) & (select.POLLHUP | select.POLLERR | select.POLLNVAL))
        return events is not None

    def rest(self, time_s: float) -> bool:
        """Let data gather for a while; False if it was given up meanwhile."""
        return self._wake.wait(None, max(time_s, 0)) is not None

    def read(self, most_bytes: int) -> bytes:
        """What there is, at most so much, without waiting; nothing if that was a false alarm.

        Raises:
            EOFError: if there is nothing, and never will be.
            OSError: the driver's.
        """
        parts: list[bytes] = []
        while most_bytes > 0:
            try:
                part = os.read(self._fd, most_bytes)
            except BlockingIOError:
                break
            except OSError:
                if parts:  # it comes again
                    break
                raise
            if not part:
                self._ended = True
                break
            parts.append(part)
            most_bytes -= len(part)
        if self._ended and not parts:
            raise EOFError
        return b"".join(parts)

    def _close(self) -> None:
        try:
            if self._on_release is not None:
                self._on_release()
        finally:
            os.close(self._fd)
            self._wake.close()
