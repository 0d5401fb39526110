"""Tracking: detections get ids that they keep over the frames, by where their boxes are expected at the time of capture.

Association by intersection over union with a constant-velocity prediction is SORT's (Bewley et al. 2016, arXiv:1602.00763). The filter is
an alpha-beta filter, the steady state of SORT's Kalman filter without its matrices (Brookner, Tracking and Kalman Filtering Made Easy,
1998, chapter 1). The matching takes the best pair first, then the best of what remains; tracks that the last result showed come before
those it missed, as in Deep SORT's cascade (Wojke et al. 2017, arXiv:1703.07402): who stands behind somebody does not take their box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_sdk.contract import Placement
from edge_sdk.tasks import Task
from edge_sdk.tasks.detect import Detect, Detection
from edge_sdk.tasks.settings import TrackSettings
from edge_sdk.tensors import Array

_ALPHA, _BETA = 0.7, 0.2  # shares of a surprise that go into the place and into the velocity
_MOST_TRACKS = 300  # of more, those seen last: a detector gone wild must not cost the deadline
_Numbers = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Track:
    """One thing that is followed.

    Attributes:
        index: its class.
        x, y: centre at ``seen_ns``, filtered, in pixels; width, height: as detected last.
        speed: of the centre, x and y, in pixels a second; None before the second detection.
        seen_ns: capture time of its last detection.
        hits: detections so far.
        id: None until it has enough of them.
    """

    index: int
    x: float
    y: float
    width: float
    height: float
    seen_ns: int
    speed: tuple[float, float] | None = None
    hits: int = 0
    id: int | None = None

    def box_at(self, captured_ns: int) -> tuple[float, float, float, float]:
        """Where it is expected."""
        x, y = self._centre_at(captured_ns)
        return x - self.width / 2, y - self.height / 2, x + self.width / 2, y + self.height / 2

    def go_on(self, box: tuple[float, float, float, float], captured_ns: int) -> None:
        """It was seen here."""
        elapsed_s = (captured_ns - self.seen_ns) * 1e-9
        x, y = self._centre_at(captured_ns)
        dx, dy = (box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y
        self.x, self.y = x + _ALPHA * dx, y + _ALPHA * dy
        if elapsed_s > 0:
            if self.speed is None:
                self.speed = dx / elapsed_s, dy / elapsed_s
            else:
                self.speed = self.speed[0] + _BETA * dx / elapsed_s, self.speed[1] + _BETA * dy / elapsed_s
        self.width, self.height = box[2] - box[0], box[3] - box[1]
        self.seen_ns = captured_ns

    def _centre_at(self, captured_ns: int) -> tuple[float, float]:
        if self.speed is None:
            return self.x, self.y
        elapsed_s = (captured_ns - self.seen_ns) * 1e-9
        return self.x + self.speed[0] * elapsed_s, self.y + self.speed[1] * elapsed_s


class Tracker:
    """Gives detections their ids, counted from 1. An id never comes back, also not after ``reset``.

    Args:
        settings: what belongs to a track, and how long one lives.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._last_ns = 0  # capture time of the last result

    def update(self, detections: Sequence[Detection], captured_ns: int) -> tuple[Detection, ...]:
        """The detections of one frame, in their order, with ids.

        Args:
            detections: of one frame, in pixels of the source frame.
            captured_ns: when it was captured, on the clock of ``time.monotonic_ns``.
        """
        if captured_ns < self._last_ns:
            self.reset()  # time ran backwards: nothing of before can be compared
        oldest_ns = captured_ns - self._settings.max_missed_ms * 1e6
        self._tracks = [track for track in self._tracks if track.seen_ns >= oldest_ns]
        taken = self._match(detections, captured_ns)
        seen: list[_Track] = []
        for place, found in enumerate(detections):
            track = taken.get(place) or self._begin(found, captured_ns)
            track.go_on(found.box, captured_ns)
            track.hits += 1
            if track.id is None and track.hits >= self._settings.min_hits:
                track.id, self._next_id = self._next_id, self._next_id + 1
            seen.append(track)
        self._keep(seen)
        self._last_ns = captured_ns
        return tuple(
            found if track.id is None else replace(found, track=track.id)
            for found, track in zip(detections, seen, strict=True)
        )

    def copy(self) -> Tracker:
        """One that goes on from here by itself."""
        other = Tracker(self._settings)
        other._tracks = [replace(track) for track in self._tracks]
        other._next_id, other._last_ns = self._next_id, self._last_ns
        return other

    def reset(self) -> None:
        """Forget all tracks; the ids go on."""
        self._tracks.clear()
        self._last_ns = 0

    def _match(self, detections: Sequence[Detection], captured_ns: int) -> dict[int, _Track]:
        """Which track each detection, by its place, goes on with."""
        if not detections or not self._tracks:
            return {}
        expected = np.array([track.box_at(captured_ns) for track in self._tracks])
        overlaps = _overlaps(expected, np.array([found.box for found in detections]))
        overlaps[_classes(self._tracks)[:, None] != _classes(detections)] = 0
        rows, columns = np.nonzero(overlaps >= self._settings.iou_threshold)
        missed = np.array([track.seen_ns < self._last_ns for track in self._tracks])
        best_first = np.lexsort((-overlaps[rows, columns], missed[rows]))  # of equal ones the older track's
        matched: dict[int, _Track] = {}
        gone: set[int] = set()
        for row, column in zip(rows[best_first].tolist(), columns[best_first].tolist(), strict=True):
            if row not in gone and column not in matched:
                gone.add(row)
                matched[column] = self._tracks[row]
        return matched

    def _begin(self, found: Detection, captured_ns: int) -> _Track:
        xmin, ymin, xmax, ymax = found.box
        track = _Track(found.index, (xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin, captured_ns)
        self._tracks.append(track)
        return track

    def _keep(self, seen: Sequence[_Track]) -> None:
        """Tracks without an id end when they are missed: false alarms seldom come twice."""
        present = set(map(id, seen))
        kept = [track for track in self._tracks if track.id is not None or id(track) in present]
        if len(kept) > _MOST_TRACKS:
            kept = sorted(kept, key=lambda track: track.seen_ns)[-_MOST_TRACKS:]
        self._tracks = kept


class Tracked(Task):
    """A detector whose detections have ids."""

    def __init__(self, task: Detect, tracker: Tracker) -> None:
        self._task, self._tracker = task, tracker

    def decode(
        self,
        outputs: Sequence[Array],
        placement: Placement | None,
        captured_ns: int = 0,
        input_: Array | None = None,
    ) -> tuple[Detection, ...]:
        """See ``Detect`` and ``Tracker``."""
        return self._tracker.update(self._task.decode(outputs, placement, captured_ns, input_), captured_ns)

    def reset(self) -> None:
        """See the base class."""
        self._tracker.reset()

    def follow(self, before: Task) -> None:
        """See the base class."""
        if isinstance(before.core, Tracked):
            self._tracker = before.core._tracker.copy()


def _classes(things: Sequence[_Track] | Sequence[Detection]) -> npt.NDArray[np.intp]:
    return np.array([thing.index for thing in things], np.intp)


def _overlaps(first: _Numbers, second: _Numbers) -> _Numbers:
    """Intersection over union of every box of ``first`` with every box of ``second``."""
    low = np.maximum(first[:, None, :2], second[:, :2])
    high = np.minimum(first[:, None, 2:], second[:, 2:])
    sides = np.maximum(high - low, 0)
    shared: _Numbers = sides[..., 0] * sides[..., 1]
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    overlaps: _Numbers = shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-12)
    return overlaps
