"""Data to calibrate and check on, as a stream of raw samples: memory does not grow with their number.

photos/                          a folder of images, nested folders too, in the order of their names
clip.mp4?start=0&stop=60&step=2  frames of a video, numbered from 0, without ``stop`` itself
windows.npy, windows.npz         one array, the first axis counts the samples
images.npy?colour=rgb            the same for images, which must say their channel order
rows.csv                         one sample a row, numbers, with or without a line of names
motion.csv?window=128&hop=64     windows of consecutive rows; also columns=x,y,z and group=NAME, which no window crosses
speech/?rate=16000&hop=8000      windows of a .wav file, or of all below a folder; also window=16000 and channel=0
captured/                        what the sink ``capture`` has written on a device

Where the contract's input is a window, that says how .wav and .csv are cut: see ``converters.calibrate.sources.signals``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from converters.calibrate.sources import KINDS, find_samples
from converters.calibrate.sources.found import RawSample, Reader, Skipped
from converters.calibrate.sources.images import image_files, read_image
from edge_sdk.errors import DataError
from edge_sdk.window_settings import WindowSettings

__all__ = ["RawSample", "Samples", "Skipped", "image_files", "open_samples", "read_image", "spaced"]

DEFAULT_MAX_SAMPLES = 200
MOST_SKIPPED = 0.05  # of the chosen samples may be unreadable


@dataclass(frozen=True)
class Samples:
    """A set of samples that can be gone through again and again. What cannot be read is passed over, up to a twentieth of all.

    Attributes:
        description: one line for people, such as ``"clip.mp4, frames 0 to 59"``.
        available: how many the data holds.
        chosen: which of them are used, evenly spaced, rising.
        notes: what is odd about the data as a whole, one sentence each.
    """

    description: str
    available: int
    chosen: tuple[int, ...]
    _read: Reader
    notes: tuple[str, ...] = ()
    _most_skipped: float = 0.0
    _skipped: dict[int, Skipped] = field(default_factory=dict, compare=False)  # shared by all parts of one set

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[RawSample]:
        """Each sample that can be read.

        Raises:
            DataError: if more than a twentieth of the whole set, or all of this part, cannot be read; the message names the first.
        """
        given = 0
        for index, sample in zip(self.chosen, self._read(self.chosen), strict=True):
            if isinstance(sample, Skipped):
                self._skipped[index] = sample
                if len(self._skipped) > self._most_skipped:
                    self._give_up()
            else:
                given += 1
                yield sample
        if self.chosen and not given:
            self._give_up()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What could not be read so far, in the order of the data."""
        return tuple(self._skipped[index] for index in sorted(self._skipped))

    @property
    def passed_over(self) -> str | None:
        """How many could not be read so far, and the first of them, in one sentence; None if all could."""
        bad = self.skipped
        if not bad:
            return None
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"{len(bad)} of {len(self)} samples could not be read and were passed over: {bad[0].reason}{more}."

    @property
    def readable(self) -> int:
        """How many of the chosen samples are not known to be unreadable."""
        return len(self._readable())

    def first(self, count: int) -> Samples:
        """The first ``count`` of the chosen samples, in order; those known to be unreadable are passed over."""
        return replace(self, chosen=self._readable()[:count])

    def spread(self, count: int) -> Samples:
        """At most ``count`` of the chosen samples, evenly spaced; those known to be unreadable are passed over."""
        readable = self._readable()
        return replace(self, chosen=tuple(readable[i] for i in spaced(len(readable), count)))

    def _readable(self) -> tuple[int, ...]:
        return tuple(index for index in self.chosen if index not in self._skipped)

    def _give_up(self) -> None:
        bad = self.skipped
        raise DataError(
            f"{bad[0].reason}. It is one of {len(bad)} samples of {self.description} that cannot be read; "
            f"at most {MOST_SKIPPED:.0%} of them are passed over"
        )


def open_samples(
    where: str | Path,
    *,
    shape: tuple[int, ...],
    window: WindowSettings | None = None,
    max_samples: int = DEFAULT_MAX_SAMPLES,
) -> Samples:
    """Find the samples of a folder or file.

    Args:
        where: the path, with ``?key=value&...`` behind it where the kind of data takes options.
        shape: of the model's input tensor; rows and windows of numbers are brought into it.
        window: the contract's, where its input is one: samples are then raw windows, cut as it says.
        max_samples: at most so many are used, evenly spaced over all.

    Raises:
        DataError: if it is missing, empty, or not of a kind that can be read.
    """
    if max_samples < 1:
        raise DataError(f"max_samples is at least 1; found {max_samples}")
    path, options = _split(str(where))
    if not path.exists():
        raise DataError(f"{path} does not exist; data is {KINDS}")
    try:
        found = find_samples(path, options, shape, window)
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    if found.count == 0:
        raise DataError(f"{path} is empty: {found.description}")
    chosen = spaced(found.count, max_samples)
    return Samples(found.description, found.count, chosen, found.read, found.notes, MOST_SKIPPED * len(chosen))


def spaced(count: int, most: int) -> tuple[int, ...]:
    """At most ``most`` of the numbers 0 to ``count`` - 1, evenly spaced, first and last included."""
    if count <= most:
        return tuple(range(count))
    return tuple(int(i) for i in np.linspace(0, count - 1, most).round())


def _split(where: str) -> tuple[Path, dict[str, str]]:
    if Path(where).exists():  # a name may itself hold a question mark
        return Path(where), {}
    path, _, query = where.partition("?")
    return Path(path), dict(parse_qsl(query, keep_blank_values=True))
