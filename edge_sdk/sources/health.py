"""How a source is, as the one who reads it sees it: is it there, how fast does it come, is there anything in its pictures.

A camera can deliver on time and be of no use: its lens is covered, its link repeats one picture, its driver changed the size. What is
checked costs microseconds a frame: a grid of at most 32x24 pixels of it is looked at.

===================  ==================================================================================================================
``source_dark``      at most 1 % of the grid is brighter than 16 of 255 (black is 16 where video has the range of television), in 10
                     frames at least and for ``dark_s``. True of a covered lens, a broken one, and of a night without any light
``source_stuck``     the grid is the same byte for byte for ``stuck_s``, and then 10 whole frames are. A sensor has noise, so no two
                     frames of a real camera are the same; those of a file or a drawn picture may be: a source says by
                     ``Source.stuck_s`` after which time it is told, if at all. An encoder (RTSP) repeats a still scene until its next
                     key frame, so that time is longer there
``source_changed``   the frames have another size than before: the loop goes on with it
``source_cleared``   what was dark or stuck is so no more, with how long it was
===================  ==================================================================================================================

Each is told once when it begins and once when it ends. A dark picture is not told as stuck as well.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_sdk.result import Event
from edge_sdk.sources import Sample
from edge_sdk.tensors import Array

State = Literal["opening", "open", "away", "hung", "ended"]
_GRID = 24, 32  # rows and columns at most
_DARK = 16
_LEAST_FRAMES = 10
_RATE_OVER_NS = 5_000_000_000
_MARKS = 50  # moments kept in that time
_CHANGE_AGAIN_NS = 10_000_000_000  # sizes that change more often than this are counted, and told once


@dataclass(frozen=True, slots=True)
class Limits:
    """How long something must be so until it is told, in seconds; None: it is not looked at."""

    dark_s: float | None = 2.0
    stuck_s: float | None = None


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """A source at one moment.

    Attributes:
        state: ``opening``, ``open``, ``away`` (it went, and is tried again), ``hung`` (it was silent for too long), ``ended``.
        samples: delivered since the beginning, over every reopening.
        rate_hz: samples, of a signal readings, a second over the last 5 s; falls to 0 while nothing comes.
        age_ms: of the last sample, since its capture; None before the first.
        reopenings: how often it came back.
        faults: how often each happened: ``lost``, ``hung``, ``bad`` (a sample that could not be read), ``dark``, ``stuck``, ``changed``.
        now: which of ``dark`` and ``stuck`` hold at this moment.
        reason: why it went away last, or "".
    """

    state: State
    samples: int
    rate_hz: float
    age_ms: float | None
    reopenings: int
    faults: Mapping[str, int]
    now: tuple[str, ...]
    reason: str


class Health:
    """Follows one source. Any thread may call it; the events are given in the thread that saw them.

    Args:
        on_event: told what the module's table lists.
        limits: when.
    """

    def __init__(self, on_event: Callable[[Event], None], limits: Limits = Limits()) -> None:
        self._on_event = on_event
        self._dark = _Spell(
            "dark",
            "the picture is black: the lens is covered, there is no light, or the camera is broken",
            limits.dark_s,
        )
        self._stuck = _Spell(
            "stuck", "the picture stands still, byte for byte: the camera or its link repeats one frame", limits.stuck_s
        )
        self._rate = _Rate()
        self._lock = threading.Lock()
        self._state: State = "opening"
        self._samples = self._reopenings = 0
        self._reason = ""
        self._faults = dict.fromkeys(("lost", "hung", "bad", "dark", "stuck", "changed"), 0)
        self._captured_ns: int | None = None
        self._shape: tuple[int, ...] | None = None
        self._change_told_ns: int | None = None
        self._grid = b""
        self._first: Array | None = None  # of the frames that are the same

    def opened(self) -> None:
        """It is open."""
        with self._lock:
            self._state = "open"

    def seen(self, sample: Sample, now_ns: int) -> None:
        """A sample came, at ``now_ns`` on the clock of ``time.monotonic_ns``."""
        events: list[Event] = []
        with self._lock:
            self._state = "open"
            self._samples += 1
            self._captured_ns = sample.captured_ns
            self._rate.count(1 if sample.times_ns is None else len(sample.times_ns), now_ns)
            if _is_picture(sample):
                self._look(sample.data, now_ns, events)
        self._tell(events)

    def bad(self) -> None:
        """A sample came that could not be read."""
        with self._lock:
            self._faults["bad"] += 1

    def away(self, reason: str, now_ns: int, *, hung: bool = False) -> None:
        """It went away, or was silent for too long; the reader tells that. What was dark or stuck ends with it."""
        with self._lock:
            self._state = "hung" if hung else "away"
            self._faults["hung" if hung else "lost"] += 1
            self._reason = reason
            self._rate.clear()
            self._first = None
            events = [event for spell in (self._dark, self._stuck) for event in spell.end(now_ns, "; it went away")]
        self._tell(events)

    def back(self) -> None:
        """It is open again."""
        with self._lock:
            self._state = "open"
            self._reopenings += 1

    def ended(self) -> None:
        """It has no more samples, or was closed."""
        with self._lock:
            self._state = "ended"

    def snapshot(self, now_ns: int) -> SourceHealth:
        """How it is at ``now_ns``."""
        with self._lock:
            age_ms = None if self._captured_ns is None else (now_ns - self._captured_ns) / 1e6
            return SourceHealth(
                self._state,
                self._samples,
                self._rate.hz(now_ns),
                age_ms,
                self._reopenings,
                dict(self._faults),
                tuple(spell.name for spell in (self._dark, self._stuck) if spell.told),
                self._reason,
            )

    def _look(self, image: Array, now_ns: int, events: list[Event]) -> None:
        if image.shape != self._shape:
            events += self._change(image.shape, now_ns)
        rows, columns = image.shape[:2]
        down, across = -(-rows // _GRID[0]), -(-columns // _GRID[1])
        grid = image[down // 2 :: down, across // 2 :: across].ravel()
        dark = int(np.count_nonzero(grid > _DARK)) * 100 <= grid.size
        events += self._counted(self._dark, self._dark.seen(dark, now_ns))
        if self._stuck.limit_s is not None:
            same = self._same(image, grid.tobytes()) and not dark
            events += self._counted(self._stuck, self._stuck.seen(same, now_ns, lambda: self._same_wholly(image)))

    def _same(self, image: Array, grid: bytes) -> bool:
        before, self._grid = self._grid, grid
        if grid == before and self._first is not None:
            return True
        self._first = image
        return False

    def _same_wholly(self, image: Array) -> bool:
        if self._first is not None and np.array_equal(image, self._first):
            return True
        self._first = image
        return False

    def _change(self, shape: tuple[int, ...], now_ns: int) -> list[Event]:
        before, self._shape = self._shape, shape
        if before is None:
            return []
        self._faults["changed"] += 1
        if self._change_told_ns is not None and now_ns - self._change_told_ns < _CHANGE_AGAIN_NS:
            return []
        self._change_told_ns = now_ns
        return [Event("source_changed", f"its frames are {_size(shape)} now; they were {_size(before)}", now_ns)]

    def _counted(self, spell: _Spell, events: list[Event]) -> list[Event]:
        self._faults[spell.name] += sum(event.kind != "source_cleared" for event in events)
        return events

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._on_event(event)


class _Spell:
    """A time in which something is so without a break; told when it lasts, and when it ends."""

    def __init__(self, name: str, message: str, limit_s: float | None) -> None:
        self.name = name
        self.limit_s = limit_s
        self.told = False
        self._message = message
        self._frames = self._confirmed = 0
        self._since_ns = 0

    def seen(self, so: bool, now_ns: int, confirmed: Callable[[], bool] | None = None) -> list[Event]:
        """The events of a frame of which it is so or not; ``confirmed``, if given, must agree on the last 10 before it is told."""
        if not so or self.limit_s is None:
            return self.end(now_ns)
        if self._frames == 0:
            self._since_ns, self._confirmed = now_ns, 0
        self._frames += 1
        lasts_s = (now_ns - self._since_ns) / 1e9
        if self.told or self._frames < _LEAST_FRAMES or lasts_s < self.limit_s:
            return []
        if confirmed is not None:
            self._confirmed = self._confirmed + 1 if confirmed() else 0
            if self._confirmed < _LEAST_FRAMES:
                self._frames = self._frames if self._confirmed else 0
                return []
        self.told = True
        return [Event(f"source_{self.name}", f"{self._message} (for {lasts_s:.1f} s)", now_ns)]

    def end(self, now_ns: int, why: str = "") -> list[Event]:
        """It is not so any more."""
        told, self.told, self._frames = self.told, False, 0
        if not told:
            return []
        took_ms = (now_ns - self._since_ns) / 1e6
        return [
            Event(
                "source_cleared",
                f"the picture is not {self.name} any more, after {took_ms / 1e3:.1f} s{why}",
                now_ns,
                took_ms=took_ms,
            )
        ]


class _Rate:
    """Samples a second, from a few moments of the last seconds."""

    def __init__(self) -> None:
        self._counted = 0
        self._last_ns = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MARKS)  # when, and how many were counted by then

    def count(self, number: int, now_ns: int) -> None:
        self._counted += number
        self._last_ns = now_ns
        if not self._marks or now_ns - self._marks[-1][0] >= _RATE_OVER_NS // _MARKS:
            self._marks.append((now_ns, self._counted))

    def clear(self) -> None:
        self._marks.clear()

    def hz(self, now_ns: int) -> float:
        """Over the last 5 s or, of a slow source, the marks there are. Silence longer than 2 of them counts against it."""
        recent = [mark for mark in self._marks if now_ns - mark[0] <= _RATE_OVER_NS]
        recent = recent if len(recent) > 1 else list(self._marks)[-2:]
        if not recent or recent[0][0] == self._last_ns:
            return 0.0
        since_ns, counted_then = recent[0]
        lasted_ns, silent_ns = self._last_ns - since_ns, now_ns - self._last_ns
        overdue = silent_ns > 2 * lasted_ns / max(1, len(recent) - 1)
        return (self._counted - counted_then) * 1e9 / (lasted_ns + (silent_ns if overdue else 0))


def _is_picture(sample: Sample) -> bool:
    return (
        sample.times_ns is None
        and sample.data.dtype == np.uint8
        and sample.data.ndim in (2, 3)
        and sample.data.size > 0
    )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}" + ("" if len(shape) == 2 else f"x{shape[2]}")
