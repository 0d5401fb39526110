"""The ``[evaluate]`` table of model.toml: data with the right answers, and the metric that counts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

MetricName = Literal["top-1", "top-5", "mAP", "AP50", "iou", "auc", "keypoints", "mse", "mae"]


class EvaluateSettings(BaseModel):
    """How a model is measured on data with the right answers.

    Attributes:
        data: where the data is.
        metric: the one that the gate looks at; None for the task's own: top-1 of classify, mAP of detect. Raw has none of its own.
        output: name of the output tensor that is measured; None where the model has only one.
        threshold: from which value on an output of one channel means the object (iou): 0.5 for probabilities, 0 for raw scores.
        points: the order of a keypoint's numbers in the output (keypoints); a third number, a score, is passed over.
        relative: whether the output gives keypoints as shares of the input's width and height, 0 to 1, and not in pixels.
        normalised: give the keypoint error in percent of the input's diagonal, not in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    data: str | None = None
    metric: MetricName | None = None
    output: str | None = None
    threshold: float | None = None
    points: Literal["xy", "yx"] = "xy"
    relative: bool = False
    normalised: bool = False
