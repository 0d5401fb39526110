"""Calibration data that misleads: nothing in it, always the same, or not what the contract says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from converters.calibrate.fit import ByteWatch
from converters.calibrate.likeness import Likeness
from converters.calibrate.samples import RawSample, Samples
from edge_sdk.contract import Contract
from edge_sdk.errors import DataError

FEW = 10
_SHARE_SAID = 0.1  # of the samples may be near-duplicates before it is said
_MOST_KEPT = 100_000  # hashes


class Watch:
    """Passes samples on and remembers what is odd about them as a whole. Memory does not grow with their number.

    Args:
        contract: what the samples are meant for, if it is known.

    Attributes:
        notes: what was noticed, one sentence each; complete when the samples have come to their end.
    """

    def __init__(self, contract: Contract | None = None) -> None:
        self.notes: tuple[str, ...] = ()
        self._contract = contract
        self._count = self._flat = self._repeated = 0
        self._first = b""
        self._varied = False
        self._seen: set[bytes] = set()
        self._likeness = Likeness()
        self._bytes = ByteWatch()

    def over(self, samples: Iterable[RawSample]) -> Iterator[RawSample]:
        """Each sample as it is.

        Raises:
            DataError: at the end, if all samples are the same, or every one of them is one single value.
        """
        for sample in samples:
            self._see(sample)
            yield sample
        self._finish(samples if isinstance(samples, Samples) else None)

    def _see(self, sample: RawSample) -> None:
        self._count += 1
        data = np.ascontiguousarray(sample.data)
        self._flat += bool(data.size and data.min() == data.max())
        self._bytes.see(data)
        digest = hashlib.blake2b(data.data, digest_size=16).digest()
        self._first = self._first or digest
        self._varied |= digest != self._first
        if digest in self._seen:
            self._repeated += 1
            return
        if len(self._seen) < _MOST_KEPT:
            self._seen.add(digest)
        if data.size and data.dtype.kind in "fiub":
            self._likeness.see(data, sample.name)

    def _finish(self, samples: Samples | None) -> None:
        count = self._count
        if count and self._flat == count:
            raise DataError(
                f"the calibration data is constant: every one of its {count} samples is one single value. "
                "Give samples as the model will meet them"
            )
        if count > 1 and not self._varied:
            raise DataError(
                f"the calibration data is constant: its {count} samples are all the same. Give different ones"
            )
        self.notes = tuple(self._noted(samples))

    def _noted(self, samples: Samples | None) -> Iterator[str]:
        count, likeness = self._count, self._likeness
        if count < FEW:
            yield f"Only {count} calibration samples: ranges may be too narrow for what the model will meet. Give 100 or more."
        if self._flat:
            yield f"{self._flat} of {count} calibration samples are one single value each."
        if self._repeated:
            yield f"{self._repeated} of {count} calibration samples repeat others."
        if likeness.example is not None and likeness.near > _SHARE_SAID * count:
            first, second = likeness.example
            yield (
                f"{likeness.near} of {count} calibration samples are near-duplicates of others (such as {second} of {first}): "
                "they add little. Take them further apart (of a video, ?step=), or from more scenes."
            )
        if self._contract is not None and (said := self._bytes.note(self._contract)) is not None:
            yield said
        if samples is not None:
            yield from samples.notes
            if samples.passed_over is not None:
                yield samples.passed_over
