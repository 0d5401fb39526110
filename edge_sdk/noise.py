"""Random tensors: input for measuring, where there is nothing real to give."""

from __future__ import annotations

import numpy as np

from edge_sdk.tensors import Array


def noise(shape: tuple[int, ...], dtype: str, rng: np.random.Generator | None = None) -> Array:
    """Integers over the whole range of the dtype, or floats of the standard normal distribution; the same ones unless ``rng`` is given."""
    rng, kind = rng or np.random.default_rng(0), np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(kind)
    if kind.kind not in "iu":
        return rng.standard_normal(shape).astype(kind)
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)
