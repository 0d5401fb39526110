"""Keypoint error: the mean distance between keypoints and where they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from converters.verify.coco_json import read_keypoints
from converters.verify.metrics.base import Floats, Kind, Mean, Measure, Scores, real_output, size_of
from converters.verify.sides import Side
from converters.verify.truth import Answer, image_answers, read_arrays
from edge_sdk.contract import Contract, Placement
from edge_sdk.errors import ConfigError, DataError
from edge_sdk.tasks import PoseSettings
from edge_sdk.tasks.pose import Pose, keypoints_of
from edge_sdk.tensors import Array, TensorSpec


class KeypointError(Measure[Floats, float]):
    """The right answer is one set of keypoints, (keypoints, 3): x, y in pixels of the raw image, and 0 where a point is not labelled."""

    kinds = (
        Kind("keypoints", "px", False, "Mean distance of the keypoints from where they are, in pixels of the input."),
    )
    _NORMALISED: ClassVar[Kind] = Kind(
        "keypoints",
        "%",
        False,
        "Mean distance of the keypoints from where they are, in percent of the input's diagonal.",
    )
    tasks = ("pose", "raw")
    fits = "two or three numbers a keypoint, (1, keypoints, 2 or 3) or these in one row"

    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[Floats]]:
        """Of a COCO-style JSON file with one set of keypoints an image, or .npz with truth (samples, keypoints, 2 or 3)."""
        if path.suffix.lower() == ".json":
            answers = image_answers(path, contract, read_keypoints(path))
        else:
            samples, truth = read_arrays(path, options, contract)
            if truth.ndim != 3 or truth.shape[2] not in (2, 3):
                raise DataError(f"{path}: truth has shape {truth.shape}; keypoints are (samples, keypoints, 2 or 3)")
            labelled = np.ones((*truth.shape[:2], 1))
            points = np.concatenate([truth, labelled][: 4 - truth.shape[2]], axis=2).astype(np.float64)
            answers = [Answer(read, row) for read, row in zip(samples, points, strict=True)]
        kept = [answer for answer in answers if answer.right[:, 2].any()]
        if not kept:
            raise DataError(f"{path} holds no keypoint that is labelled")
        return kept

    def check(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Answer[Floats]]
    ) -> None:
        """As many keypoints as the answers have."""
        spec = outputs[self.output(outputs)]
        if len(inputs[0].shape) != 4:
            raise ConfigError(
                f"metric keypoints is for models that take images; input {inputs[0].name!r} has shape {inputs[0].shape}"
            )
        count = len(answers[0].right)
        if isinstance(self.told, PoseSettings):
            there = keypoints_of(self.told, spec)
            if there != count:
                raise DataError(
                    f"the ground truth has {count} keypoints, and the pose of output {spec.name!r} {there}; "
                    "keypoints in [task] takes the first so many"
                )
            return
        if size_of(spec) not in (2 * count, 3 * count):
            raise ConfigError(
                f"metric keypoints does not fit output {spec.name!r} of shape {spec.shape}: the ground truth has {count} keypoints, "
                f"so it takes {self.fits}"
            )

    def see(self, side: Side, value: Any, right: Floats) -> float:
        """Mean distance over the labelled keypoints, in pixels of the input, or as a share of its diagonal."""
        width, height = side.inputs[0].image_size
        placed = side.placement_now or Placement((1.0, 1.0), (0.0, 0.0))
        if isinstance(value, Pose):
            found = np.array(value.points) * placed.scale + placed.offset
        else:
            found = self._raw(real_output(side, self.output(side.outputs)).reshape(len(right), -1), (width, height))
        labelled = right[:, 2] > 0
        wanted = right[labelled, :2] * placed.scale + placed.offset
        distance = float(np.hypot(*(found[labelled] - wanted).T).mean())
        return distance / float(np.hypot(width, height)) if self.settings.normalised else distance

    def _raw(self, numbers: Array, size: tuple[int, int]) -> Floats:
        found = numbers[:, :2].astype(np.float64)
        if self.settings.points == "yx":
            found = found[:, ::-1]
        return found * size if self.settings.relative else found

    def gather(self, seen: Sequence[float], outputs: Sequence[TensorSpec]) -> tuple[Scores, ...]:
        """One metric."""
        return (Mean(self._NORMALISED if self.settings.normalised else self.kinds[0], np.array(seen, np.float64)),)
