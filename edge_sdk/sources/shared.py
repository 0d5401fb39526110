"""One source for several loops: each sample is read once, and every loop has it.

with SharedSource("camera:0") as camera:
    faces = Loop("face.edge", camera.view(), deadline_ms=50)
    poses = Loop("pose.edge", camera.view(), deadline_ms=100)      # in a thread of its own each
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np

from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.mailbox import Mailbox
from edge_sdk.sources import Sample, Source, source_from

_WAITING = 8  # samples of a live source between its thread and a loop's, which takes them at once


@dataclass(frozen=True, slots=True)
class _Broken(Sample):
    """Stands where a sample could not be read."""

    failure: SourceError | None = None


class SharedSource:
    """Reads a source in one thread, for as long as any of its views is open. A context manager.

    A live source goes on whatever the loops do, and each loop drops for itself what it has no time for. Any other one is read at the pace
    of the slowest open view, so that nothing is dropped; a view that opens later begins there. What the source raises reaches every
    view; the first loop that opens its view again opens the source for all.

    Args:
        source: text, a table, or a ``Source``; it is closed with this.
        views: reading begins once so many views are open, so that none misses the first samples.
    """

    def __init__(self, source: str | Mapping[str, object] | Source, *, views: int = 1) -> None:
        self.source = source if isinstance(source, Source) else source_from(source)
        self._wanted = views
        self._given = 0  # samples and broken ones so far
        self._changed = threading.Condition()
        self._views: list[_View] = []  # those that are open
        self._turn = 0  # of opening the source; its thread is listened to until the next one
        self._state = "closed"  # or opening, open, ended
        self._failure: BaseException | None = None

    def __enter__(self) -> SharedSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def view(self) -> Source:
        """The source as one loop sees it."""
        return _View(self)

    @property
    def mark(self) -> tuple[int, int]:
        """Stays the same as long as the source is silent."""
        return self._turn, self._given

    def close(self) -> None:
        """Close the source for good; the views end."""
        with self._changed:
            self._let_go("ended")
            for view in self._views:
                view.mailbox.end()

    def join(self, view: _View, *, anew: bool) -> None:
        """Give this view every sample from now on; the source is opened where it is not, or ``anew``.

        Raises:
            SourceError: if it cannot be opened, or all is closed.
        """
        with self._changed:
            if anew and self._state != "ended":
                self._let_go("closed")
            if self._state == "closed":
                self._state = "opening"
                self._turn += 1
                name = "edge-sdk-shared-source"
                threading.Thread(target=self._serve, args=[self._turn], name=name, daemon=True).start()
            turn = self._turn
            self._changed.wait_for(lambda: self._turn != turn or self._state != "opening")
            if self._turn != turn or self._state != "open":
                raise self._failure or SourceError("the shared source was closed")
            self._views.append(view)
            self._changed.notify_all()

    def leave(self, view: _View) -> None:
        """It wants no more; the last one closes the source."""
        with self._changed:
            if view in self._views:
                self._views.remove(view)
                if not self._views and self._state == "open":
                    self._let_go("closed")
                self._changed.notify_all()

    def _let_go(self, state: str, failure: BaseException | None = None) -> None:
        self._state, self._failure = state, failure
        self._turn += 1
        self._changed.notify_all()
        self.source.close()

    def _serve(self, turn: int) -> None:
        try:
            self.source.open()
        except BaseException as exc:  # noqa: BLE001 - carried to those who wait for the opening
            with self._changed:
                if self._turn == turn:
                    self._let_go("closed", exc)
            return
        with self._changed:
            if self._turn != turn:
                return
            self._state = "open"
            self._changed.notify_all()
        while self._wait_wanted(turn) and self._give(turn, *self._read()):
            pass

    def _read(self) -> tuple[Sample | None, BaseException | None]:
        try:
            return self.source.read(), None
        except BaseException as exc:  # noqa: BLE001 - carried to the views
            return None, exc

    def _wait_wanted(self, turn: int) -> bool:
        """Until each open view has taken what it was given; False when this thread's turn is over."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turn != turn or len(self._views) >= self._wanted)
                if self._turn != turn:
                    return False
                views, self._wanted = list(self._views), 1
            if self.source.live or all([view.mailbox.wait_wanted() for view in views]):
                return True

    def _give(self, turn: int, sample: Sample | None, failure: BaseException | None) -> bool:
        """Whether the thread goes on: not at the end, nor after a failure that is more than one broken sample."""
        if isinstance(failure, SourceError) and not isinstance(failure, SourceLostError):
            sample = _Broken(np.empty(0), 0, 0, failure=failure)
        with self._changed:
            if self._turn != turn:
                return False
            self._given += sample is not None
            for view in self._views:
                if sample is not None:
                    view.mailbox.put(sample)
                else:
                    view.mailbox.end(failure)
            if sample is None:
                self._let_go("closed")
        return sample is not None


class _View(Source):
    def __init__(self, shared: SharedSource) -> None:
        self._shared = shared
        of = shared.source
        self.live, self.backlog, self.period_s, self.stuck_s = of.live, of.backlog, of.period_s, of.stuck_s
        self.mailbox = Mailbox(on_drop=self._drop)
        self._mark: tuple[int, int] | None = None  # the shared one's as it was opened
        self._joining = 0

    @property
    def description(self) -> str:  # type: ignore[override]
        """The shared one's."""
        return self._shared.source.description

    def read(self) -> Sample | None:
        """See the base class."""
        self._check_opened()
        got = self.mailbox.take(threading.TIMEOUT_MAX)
        if isinstance(got, _Broken) and got.failure is not None:
            raise got.failure
        if got is None:
            return None
        self._sequence += 1
        return replace(got, sequence=self._sequence - 1)

    def _open(self) -> None:
        """Opened again before anybody had a sample, it opens the source anew: that was silent, or did not open, for too long."""
        anew = self._joining > 0 or self._mark == self._shared.mark
        self.mailbox = Mailbox(bound=max(self.backlog, _WAITING), on_drop=self._drop, on_demand=not self.live)
        self._mark = None
        self._joining += 1
        try:
            self._shared.join(self, anew=anew)
        finally:
            self._joining -= 1
        self._mark = self._shared.mark

    def _read(self) -> None:
        raise NotImplementedError("read asks the shared source")

    def _close(self) -> None:
        self.mailbox.end()
        self._shared.leave(self)

    def _drop(self) -> None:
        self._sequence += 1
