"""Samples that are nearly the same: each is reduced to 64 numbers and compared with those that were different before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sdk.tensors import Array

SIDE = 8
SIZE = SIDE * SIDE
MOST_KEPT = 2_000
_SEED = 20260101
_PIXELS = 8  # a side of each of the 8x8 patches is looked at in so many places
_GREY_LEVELS = 5.0  # images: root mean square difference of the patches' mean, in bytes, and ...
_CORRELATION = 0.98  # ... correlation of the patches
_SHARE = 0.1  # numbers: difference relative to what moves within a sample

Signature = npt.NDArray[np.float64]


class Likeness:
    """Counts the samples that are near one before them. Memory: at most ``MOST_KEPT`` signatures.

    Attributes:
        near: how many were near another.
        example: names of the first two that are.
    """

    def __init__(self) -> None:
        self.near = 0
        self.example: tuple[str, str] | None = None
        self._signatures = np.empty((0, SIZE))
        self._motion = np.empty(0)  # of each: what moves within it, root of the sum of squares
        self._names: list[str] = []
        self._sketches: dict[int, tuple[Array, Array]] = {}

    def see(self, data: Array, name: str) -> None:
        """Compare a sample with those kept, and keep it if it is like none of them."""
        image = data.dtype == np.uint8 and data.ndim in (2, 3) and min(data.shape[:2]) >= SIDE
        signature = _patches(data) if image else self._sketch(data)
        motion = float(np.linalg.norm(signature - signature.mean())) if image else _motion(data)
        count = len(self._names)
        near = self._near(signature, motion, image) if count else np.empty(0, np.intp)
        if near.size:
            self.near += 1
            self.example = self.example or (self._names[near[0]], name)
        elif count < MOST_KEPT:
            if count == len(self._signatures):
                self._grow()
            self._signatures[count], self._motion[count] = signature, motion
            self._names.append(name)

    def _near(self, signature: Signature, motion: float, image: bool) -> npt.NDArray[np.intp]:
        kept, moved = self._signatures[: len(self._names)], self._motion[: len(self._names)]
        distance = np.linalg.norm(kept - signature, axis=1)
        if not image:
            return np.flatnonzero(distance < _SHARE * np.minimum(moved, motion))
        close = distance < _GREY_LEVELS * SIDE
        alike = (kept - kept.mean(axis=1, keepdims=True)) @ (
            signature - signature.mean()
        ) > _CORRELATION * moved * motion
        return np.flatnonzero(close & alike)

    def _grow(self) -> None:
        size = min(MOST_KEPT, max(64, 2 * len(self._signatures)))
        self._signatures = np.resize(self._signatures, (size, SIZE))
        self._motion = np.resize(self._motion, size)

    def _sketch(self, data: Array) -> Signature:
        """A count sketch (Charikar et al., 2002): every number falls, with a random sign, into one of 64 sums. Keeps distances."""
        size = data.size
        if size not in self._sketches:
            random = np.random.default_rng(_SEED)
            self._sketches = {size: (random.integers(0, SIZE, size), random.choice([-1.0, 1.0], size))}
        places, signs = self._sketches[size]
        return np.bincount(places, weights=data.reshape(-1) * signs, minlength=SIZE).astype(np.float64)


def _patches(image: Array) -> Signature:
    """Mean grey of 8x8 patches, from at most 64 points of each."""
    height, width = image.shape[0] // SIDE, image.shape[1] // SIDE
    down, across = max(1, height // _PIXELS), max(1, width // _PIXELS)
    part = image[: height * SIDE, : width * SIDE]
    grey = part.reshape(SIDE, height, SIDE, width, -1)[:, ::down, :, ::across]
    means: Signature = grey.mean(axis=(1, 3, 4)).reshape(-1)
    return means


def _motion(data: Array) -> float:
    """What is left of a sample without the mean of each channel (the last axis; of one row of numbers, the mean of all)."""
    numbers = np.asarray(data, np.float64)
    rows = numbers.reshape(-1, numbers.shape[-1]) if numbers.ndim > 1 else numbers.reshape(-1, 1)
    if len(rows) == 1:
        rows = rows.reshape(-1, 1)
    return float(np.linalg.norm(rows - rows.mean(axis=0)))
