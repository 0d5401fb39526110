"""The results of a classifier."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from edge_sdk.tensors import Array


class Class(NamedTuple):
    """A class, by its place in the output, and its score."""

    id: int
    score: float


def num_classes(interpreter: Any) -> int:
    """How many classes the model tells apart: the numbers in its first output."""
    return math.prod(int(n) for n in interpreter.get_output_details()[0]["shape"])


def get_scores(interpreter: Any) -> Array:
    """The first output, flat: float64, scale * (stored - zero point), of a quantized one, else a copy in its own dtype.

    Raises:
        ValueError: if ``allocate_tensors`` was not called.
    """
    details = interpreter.get_output_details()[0]
    stored: Array = interpreter.tensor(details["index"])().flatten()
    scale, zero_point = details["quantization"]
    if stored.dtype.kind not in "iu" or not scale:
        return stored
    return np.asarray(scale * (stored.astype(np.int64) - zero_point), np.float64)


def get_classes_from_scores(
    scores: Array, top_k: float = float("inf"), score_threshold: float = -float("inf")
) -> list[Class]:
    """The classes with the highest scores, highest first; of equal ones the lower id first.

    Args:
        scores: one number a class, not quantized.
        top_k: at most so many.
        score_threshold: the lowest score that counts.

    Raises:
        ValueError: if ``top_k`` is negative.
    """
    if top_k < 0:
        raise ValueError(f"top_k is {top_k}; it is a number of classes, from 0")
    scores = np.asarray(scores)
    best = np.argsort(-scores, kind="stable")[: int(min(top_k, len(scores)))]
    return [Class(int(i), float(scores[i])) for i in best if scores[i] >= score_threshold]


def get_classes(interpreter: Any, top_k: float = float("inf"), score_threshold: float = -float("inf")) -> list[Class]:
    """``get_classes_from_scores`` of ``get_scores``."""
    return get_classes_from_scores(get_scores(interpreter), top_k, score_threshold)
