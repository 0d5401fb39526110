"""Pose: the keypoints of one body, hand or face, from coordinates or from heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task, output_index, output_of
from edge_sdk.tasks.scores import Floats, ScoreReader
from edge_sdk.tasks.settings import PoseSettings
from edge_sdk.tensors import Array, TensorSpec


@dataclass(frozen=True, slots=True)
class Pose:
    """The keypoints of one thing.

    Attributes:
        points: (x, y) of each, in pixels of the source frame. They may lie beyond it.
        scores: of each, such as its visibility, or empty where the model gives none.
        score: of the whole, or None where the model gives none.
        labels: the name of each, or empty.
        skeleton: pairs of keypoints that a line joins.
    """

    points: tuple[tuple[float, float], ...]
    scores: tuple[float, ...] = ()
    score: float | None = None
    labels: tuple[str, ...] = field(default=(), repr=False)
    skeleton: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def as_record(self) -> dict[str, Any]:
        """For JSON: what differs from sample to sample, and the labels."""
        record = {"points": self.points, "scores": self.scores, "score": self.score}
        return record | ({"labels": self.labels} if self.labels else {})

    def __str__(self) -> str:
        score = "" if self.score is None else f" {self.score:.2f}"
        seen = f", {sum(s >= 0.5 for s in self.scores)} of them seen" if self.scores else ""
        return f"pose{score} of {len(self.points)} keypoints{seen}"


class FindPose(Task):
    """Gives a ``Pose``, or None where the score of the whole is below the threshold.

    Args:
        settings: which outputs hold what, and how to read them.
        input_: the variant's input tensor, (1, height, width, channels).
        outputs: the variant's output tensors.
        labels: one a keypoint, in order, or none at all.

    Raises:
        ConfigError: if the settings do not fit the tensors.
    """

    def __init__(
        self, settings: PoseSettings, input_: TensorSpec, outputs: tuple[TensorSpec, ...], labels: tuple[str, ...]
    ) -> None:
        if len(input_.shape) != 4:
            found = f"{input_.name!r} has shape {input_.shape}"
            raise ConfigError(f"[task] kind = pose takes an input (1, height, width, channels); {found}")
        self._settings = settings
        size = input_.image_size
        self._at = output_of(outputs, settings.points, "points", "pose")
        spec = outputs[self._at]
        self._read: _Coordinates | _Heatmaps = (
            _Coordinates(settings, spec, size) if settings.form == "coordinates" else _Heatmaps(settings, spec, size)
        )
        count = self._read.count
        if labels and len(labels) != count:
            raise ConfigError(
                f"there are {len(labels)} labels, and the pose has {count} keypoints; give one a keypoint"
            )
        if odd := [pair for pair in settings.skeleton if not all(0 <= end < count for end in pair)]:
            raise ConfigError(f"[task] skeleton joins {odd[0]}; the keypoints are 0 to {count - 1}")
        self._labels = labels
        self._score_at, self._score = _score_of(settings, outputs)

    def decode(
        self,
        outputs: Sequence[Array],
        placement: Placement | None,
        captured_ns: int = 0,
        input_: Array | None = None,
    ) -> Pose | None:
        """Keypoints in pixels of the source frame, or of the input tensor where ``placement`` is None."""
        score = None
        if self._score is not None:
            score = float(self._score(outputs[self._score_at].reshape(-1))[0])
            if not score >= self._settings.threshold:
                return None
        points, scores = self._read(outputs[self._at])
        if placement is not None:
            points = placement.to_source(points)
        places = tuple([(x, y) for x, y in points.tolist()])
        return Pose(places, tuple(scores.tolist()), score, self._labels, self._settings.skeleton)


class _Coordinates:
    """Keypoints that stand in an output as numbers.

    Attributes:
        count: of the keypoints that are reported.
    """

    def __init__(self, settings: PoseSettings, spec: TensorSpec, size: tuple[int, int]) -> None:
        numbers, all_ = settings.numbers, math.prod(spec.shape)
        if all_ == 0 or all_ % numbers or (len(spec.shape) > 2 and spec.shape[-1] != numbers):
            raise ConfigError(
                f"[task] points = {spec.name!r} has shape {spec.shape}; with numbers = {numbers} it must be (1, keypoints, {numbers}) "
                f"or (1, keypoints * {numbers})"
            )
        if settings.visibility is not None and settings.visibility >= numbers:
            raise ConfigError(
                f"[task] visibility = {settings.visibility} is none of a keypoint's numbers, 2 to {numbers - 1}"
            )
        self.count = keypoints_of(settings, spec)
        self._spec, self._settings = spec, settings
        self._order = slice(0, 2) if settings.order == "xy" else slice(1, None, -1)
        self._unit = np.array(size if settings.relative else (1, 1), np.float32)
        self._score = None if settings.visibility is None else ScoreReader(spec, settings.visibility_activation)

    def __call__(self, stored: Array) -> tuple[Floats, Floats]:
        """Keypoints (count, 2) in pixels of the input tensor, and their scores, (count,) or none."""
        rows = stored.reshape(-1, self._settings.numbers)[: self.count]
        points = self._spec.dequantize(rows[:, self._order]) * self._unit
        if self._score is None:
            return points, np.empty(0, np.float32)
        return points, self._score(rows[:, self._settings.visibility])


class _Heatmaps:
    """Keypoints where a map of each is highest.

    A cell of index i stands for i * stride pixels, and the maximum is moved by a quarter of a cell towards the higher of its two
    neighbours, as in Stacked Hourglass Networks (Newell et al. 2016, arXiv:1603.06937) and HRNet's
    ``get_final_preds`` (``lib/core/inference.py`` of leoxiaobin/deep-high-resolution-net.pytorch).

    Attributes:
        count: of the keypoints that are reported.
    """

    def __init__(self, settings: PoseSettings, spec: TensorSpec, size: tuple[int, int]) -> None:
        if len(spec.shape) != 4 or spec.shape[0] != 1 or min(spec.shape) < 1:
            raise ConfigError(
                f"[task] form = heatmaps takes points (1, height, width, keypoints); {spec.name!r} has shape {spec.shape}"
            )
        height, width = spec.shape[1:3]
        self.count = keypoints_of(settings, spec)
        self._stride = np.array((size[0] / width, size[1] / height), np.float32)
        self._score = ScoreReader(spec, settings.visibility_activation)
        self._refine = settings.refine

    def __call__(self, stored: Array) -> tuple[Floats, Floats]:
        """Keypoints (count, 2) in pixels of the input tensor, and the highest value of each."""
        maps = stored[0, :, :, : self.count]
        height, width = maps.shape[:2]
        places = maps.reshape(-1, self.count).argmax(axis=0)
        rows, columns = np.divmod(places, width)
        points = np.stack([columns, rows], axis=1).astype(np.float32)
        each = np.arange(self.count)
        if self._refine:
            for axis, (at, cells) in enumerate(((columns, width), (rows, height))):
                inside = (at > 0) & (at < cells - 1)
                before, after = (_neighbours(maps, rows, columns, axis, step, each) for step in (-1, 1))
                points[:, axis] += np.where(inside, 0.25 * np.sign(after - before), 0)
        return points * self._stride, self._score(maps[rows, columns, each])


def _neighbours(maps: Array, rows: Array, columns: Array, axis: int, step: int, each: Array) -> Floats:
    """The stored numbers one cell further along x (axis 0) or y (axis 1); at the border, those of the border."""
    rows, columns = (rows, columns + step) if axis == 0 else (rows + step, columns)
    height, width = maps.shape[:2]
    beside = maps[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1), each]
    real: Floats = beside.astype(np.float32, copy=False)
    return real


def keypoints_of(settings: PoseSettings, spec: TensorSpec) -> int:
    """How many keypoints are reported of an output.

    Raises:
        ConfigError: if it has not so many.
    """
    there = spec.shape[-1] if settings.form == "heatmaps" else math.prod(spec.shape) // settings.numbers
    if settings.keypoints is not None and settings.keypoints > there:
        raise ConfigError(f"[task] keypoints = {settings.keypoints}, and points = {spec.name!r} has {there}")
    return settings.keypoints or there


def _score_of(settings: PoseSettings, outputs: tuple[TensorSpec, ...]) -> tuple[int, ScoreReader | None]:
    if settings.score is None:
        return 0, None
    at = output_index(outputs, settings.score, "score")
    if math.prod(outputs[at].shape) != 1:
        found = f"[task] score = {settings.score!r} has shape {outputs[at].shape}"
        raise ConfigError(f"{found}; the score of a pose is one number, (1, 1)")
    return at, ScoreReader(outputs[at], settings.score_activation)
