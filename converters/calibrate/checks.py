"""Calibration data that misleads: nothing in it, or always the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from converters.calibrate.samples import RawSample
from edge_sdk.errors import DataError

FEW = 10


class Watch:
    """Passes samples on and remembers what is odd about them as a whole.

    Attributes:
        notes: what was noticed, one sentence each; complete after ``finish``.
    """

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self._count = self._flat = 0
        self._seen: set[bytes] = set()

    def over(self, samples: Iterable[RawSample]) -> Iterator[RawSample]:
        """Each sample as it is.

        Raises:
            DataError: at the end, if all samples are the same, or every one of them is one single value.
        """
        for sample in samples:
            self._count += 1
            data = np.ascontiguousarray(sample.data)
            self._flat += bool(data.size and data.min() == data.max())
            self._seen.add(hashlib.blake2b(data.tobytes(), digest_size=16).digest())
            yield sample
        self._finish()

    def _finish(self) -> None:
        if self._count and self._flat == self._count:
            raise DataError(
                f"the calibration data is constant: every one of its {self._count} samples is one single value. "
                "Give samples as the model will meet them"
            )
        if self._count > 1 and len(self._seen) == 1:
            raise DataError(
                f"the calibration data is constant: its {self._count} samples are all the same. Give different ones"
            )
        notes = []
        if self._count < FEW:
            notes.append(
                f"Only {self._count} calibration samples: ranges may be too narrow for what the model will meet. Give 100 or more."
            )
        if self._flat:
            notes.append(f"{self._flat} of {self._count} calibration samples are one single value each.")
        if repeated := self._count - len(self._seen):
            notes.append(f"{repeated} of {self._count} calibration samples repeat others.")
        self.notes = tuple(notes)
