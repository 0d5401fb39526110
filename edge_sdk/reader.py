"""Reads a source in a thread of its own, so that a source that hangs never holds the loop; reopens what went away.

A thread that hangs in a driver cannot be ended. It is left behind with its source, and a fresh source is tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, monotonic_ns

from edge_sdk.accounting import Accounting
from edge_sdk.backoff import LONGEST_WAIT_S, tries
from edge_sdk.bad_samples import BadSamples
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.mailbox import SIGN_S, Mailbox
from edge_sdk.result import Event
from edge_sdk.sources import Sample, Source
from edge_sdk.sources.health import Health, Limits
from edge_sdk.windows import OnGap, Windows

OPEN_S = 15.0  # a camera that needs longer to open hangs
JOIN_S = 0.8  # what lets go of its device later is left behind: all is to end within 2 s, the sinks too


class Reader:
    """Keeps a mailbox filled from a source.

    Args:
        make_source: gives a source that is not open; called again when one hangs.
        accounting: told of every sample.
        on_event: told when the source goes and comes back; called from the reader's thread.
        bad_samples: told of every sample that the source could not read.
        reopen_s: for how long a live source that went away is tried again.
        alive: called while the loop waits, at least every second.
        make_windows: makes what cuts windows from a signal, given what is to be told of gaps; None where samples are taken as they come.

    Attributes:
        health: of the source.
        left_behind: sources that hung and were replaced.

    Raises:
        SourceError: if the source cannot be opened.
    """

    def __init__(
        self,
        make_source: Callable[[], Source],
        accounting: Accounting,
        on_event: Callable[[Event], None],
        bad_samples: BadSamples,
        *,
        reopen_s: float,
        alive: Callable[[], None] = lambda: None,
        make_windows: Callable[[OnGap], Windows] | None = None,
    ) -> None:
        self._make_source = make_source
        self._windows = None if make_windows is None else make_windows(self._on_gap)
        self._alive = alive
        self._accounting = accounting
        self._on_event = on_event
        self._bad_samples = bad_samples
        self._reopen_s = reopen_s
        self._captured = 0
        self._stop = threading.Event()
        self.left_behind = 0
        source = make_source()
        self.live = source.live
        self.health = Health(on_event, Limits(stuck_s=source.stuck_s))
        self._mailbox = Mailbox(
            bound=source.backlog, on_drop=lambda: accounting.settle("dropped"), on_demand=not source.live
        )
        self._attempt = _Attempt(self, source)
        try:
            self._attempt.open()
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> str:
        """What the source says that it is, or ""."""
        return self._attempt.description

    def take(self, timeout_s: float) -> Sample | None:
        """The next sample, or None at the end.

        Args:
            timeout_s: longer silence is a hang, unless the source's own period is longer.

        Raises:
            SourceLostError: if the source went away and did not come back.
        """
        timeout_s = max(timeout_s, 3 * self._attempt.period_s)
        until = monotonic() + timeout_s
        while True:
            try:
                return self._mailbox.take(until - monotonic(), self._alive)
            except TimeoutError:
                until = self._attempt.may_be_silent_until(timeout_s)
                if until <= monotonic():
                    self._replace(timeout_s)
                    until = monotonic() + timeout_s

    def close(self) -> None:
        """Stop reading and close the source; samples still held count as dropped."""
        self._mailbox.end()  # before anything may fail for having been stopped
        self._stop.set()
        self.health.ended()
        self._attempt.close()
        for _ in range(self._mailbox.drain()):
            self._accounting.settle("dropped")

    def _replace(self, silent_s: float) -> None:
        """The source has been silent for too long: leave it behind and try a fresh one."""
        self.left_behind += 1
        self._attempt.abandon()
        if not self.live:  # opened again, it would begin anew
            raise SourceLostError(f"the source gave nothing for {silent_s:.1f} s")
        reason = f"the source gave nothing for {silent_s:.1f} s; it is closed and opened again"
        self.health.away(reason, monotonic_ns(), hung=True)
        self._say("source_hung", reason)
        started = monotonic()
        for _ in tries(self._reopen_s, self._stop, self._alive):
            self._attempt = _Attempt(self, self._make_source())
            try:
                self._attempt.open()
            except SourceError as exc:
                self._attempt.abandon()
                failure = exc
                continue
            self._back(started)
            return
        if self._stop.is_set():
            return
        raise SourceLostError(
            f"the source hung and could not be opened again for {self._reopen_s:g} s: {failure}"
        ) from failure

    def _say(self, kind: str, message: str, since: float | None = None) -> None:
        took_ms = None if since is None else (monotonic() - since) * 1000
        self._on_event(Event(kind, message, monotonic_ns(), took_ms=took_ms))

    def _back(self, since: float) -> None:
        self.health.back()
        if self._windows is not None:
            self._windows.reset()
        self._say("source_back", "the source is open again", since)

    def _deliver(self, sample: Sample) -> None:
        self.health.seen(sample, monotonic_ns())
        try:
            samples = (sample,) if self._windows is None else self._windows.add(sample)
        except SourceError as exc:
            self._count_bad(exc)
            return
        for each in samples:
            numbered = replace(each, sequence=self._captured)
            self._captured += 1  # over every reopening
            self._accounting.capture()
            self._mailbox.put(numbered)

    def _on_gap(self, message: str | None, windows: int) -> None:
        for _ in range(windows):
            self._lose()
        if message is not None:
            self._say("gap", message)

    def _count_bad(self, reason: SourceError) -> None:
        self.health.bad()
        self._lose()
        self._bad_samples.seen(reason, self._captured - 1)

    def _lose(self) -> None:
        self._captured += 1
        self._accounting.capture()
        self._accounting.settle("lost")


class _Attempt:
    """One source and the thread that reads it."""

    def __init__(self, reader: Reader, source: Source) -> None:
        self._reader = reader
        self._source = source
        self._abandoned = threading.Event()
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._away = False
        self._tried_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="edge-sdk-source", daemon=True)

    @property
    def period_s(self) -> float:
        """See ``Source``."""
        return self._source.period_s

    @property
    def description(self) -> str:
        """See ``Source``."""
        return self._source.description

    def open(self) -> None:
        """Have the thread open the source, and wait for that.

        Raises:
            SourceError: if it does not open in time, or the reader was closed meanwhile; or what the source raises.
        """
        try:
            self._thread.start()
        except RuntimeError as exc:
            raise SourceError(
                "no thread can be started for the source: this user or service may have no more; raise the limit: ulimit -u, or "
                "TasksMax= in a systemd unit"
            ) from exc
        until = monotonic() + OPEN_S
        while not self._opened.wait(min(SIGN_S, max(until - monotonic(), 0))):
            self._reader._alive()
            if monotonic() < until and not self._reader._stop.is_set():
                continue
            self.abandon()
            raise SourceError(f"the source did not open within {OPEN_S:g} s; see edge-sdk doctor")
        if self._failure is not None:
            raise self._failure

    def may_be_silent_until(self, silence_s: float) -> float:
        """The moment, on the clock of ``time.monotonic``, from which its silence is a hang.

        A source that is known to be away, and tried again, is silent for a reason: it hangs if one of the tries does not come back.
        """
        return self._tried_at + (LONGEST_WAIT_S + OPEN_S if self._away else silence_s)

    def close(self) -> None:
        """End it; a thread that hangs is left behind."""
        self.abandon()
        if (
            self._thread.is_alive() and threading.current_thread() is not self._thread
        ):  # an event's handler may close the loop
            self._thread.join(JOIN_S)

    def abandon(self) -> None:
        """Never use what it reads from now on."""
        self._abandoned.set()
        self._source.close()

    def _run(self) -> None:
        mailbox = self._reader._mailbox
        try:
            self._source.open()
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that waits for the opening
            self._failure = exc
            return
        finally:
            self._opened.set()
        try:
            if not self._abandoned.is_set():
                self._reader.health.opened()
                self._read_all(mailbox)
            self._end()
        except BaseException as exc:  # noqa: BLE001 - carried to the loop
            self._end(exc)
        finally:
            latest = self._reader._attempt
            if latest is self or latest._source is not self._source:  # else it is open again for another attempt
                self._source.close()  # also where it was abandoned, and came back since

    def _end(self, failure: BaseException | None = None) -> None:
        if not self._abandoned.is_set():
            self._reader._mailbox.end(failure)

    def _read_all(self, mailbox: Mailbox) -> None:
        while mailbox.wait_wanted():
            sample = self._read_one()
            if self._abandoned.is_set() or sample is None:
                return
            self._reader._deliver(sample)

    def _read_one(self) -> Sample | None:
        while not self._abandoned.is_set():
            try:
                return self._source.read()
            except SourceLostError as exc:
                if not self._source.live:
                    raise
                self._reopen(exc)
            except SourceError as exc:
                self._reader._count_bad(exc)
        return None

    def _reopen(self, lost: SourceLostError) -> None:
        """Open the same source again, for as long as the reader wants; raises if it does not come back."""
        reader = self._reader
        reader.health.away(str(lost), monotonic_ns())
        reader._say("source_lost", str(lost))
        started = self._tried_at = monotonic()
        self._away = True
        for _ in tries(reader._reopen_s, reader._stop):
            if self._abandoned.is_set():
                raise lost
            self._source.close()
            self._tried_at = monotonic()
            try:
                self._source.open()
            except SourceError as exc:
                failure = exc
                continue
            if self._abandoned.is_set():
                raise lost
            self._tried_at, self._away = monotonic(), False
            reader._back(started)
            return
        raise SourceLostError(f"{lost}. It did not come back within {reader._reopen_s:g} s: {failure}") from failure
