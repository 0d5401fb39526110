"""Whether a local value is certain, or worth a question to the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_sdk.errors import ConfigError
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.keyword import Spotting
from edge_sdk.tasks.pose import Pose
from edge_sdk.tasks.settings import (
    AnomalySettings,
    ClassifySettings,
    DetectSettings,
    KeywordSettings,
    PoseSettings,
    TaskSettings,
)


def certainty_of(settings: TaskSettings, certain: float) -> Callable[..., bool]:
    """What tells whether a value of this task is certain.

    - classify, detect: the best score is at least ``certain``. No box at all is certain, as nothing came even to the task's threshold; no
      class at all is not.
    - keyword: the best smoothed score is at least ``certain``, or at most 1 - ``certain``: nothing was said.
    - anomaly: the score is further from the threshold than 1 - ``certain`` of the threshold.
    - pose: the score of the whole, or else the mean of the keypoints', is at least ``certain``. No pose is certain, as no box is.

    Args:
        settings: of the task.
        certain: a score, above 0.5 and at most 1.

    Raises:
        ConfigError: if its values have no score, or it takes the mean of several samples that only one of two models would see.
    """

    def classes(value: Sequence[ClassScore]) -> bool:
        return bool(value) and value[0].score >= certain

    def boxes(value: Sequence[Detection]) -> bool:
        return not value or value[0].score >= certain

    def keyword(value: Spotting) -> bool:
        best = max(value.scores.values())
        return best >= certain or best <= 1 - certain

    def anomaly(value: Anomaly) -> bool:
        return abs(value.score - value.threshold) > (1 - certain) * abs(value.threshold)  # NaN is not

    def pose(value: Pose | None) -> bool:
        if value is None:
            return True
        return (sum(value.scores) / len(value.scores) if value.score is None else value.score) >= certain

    match settings:
        case ClassifySettings():
            return classes
        case DetectSettings():
            return boxes
        case KeywordSettings():
            return keyword
        case AnomalySettings(smoothing_results=1):
            return anomaly
        case PoseSettings() if (
            settings.score is not None or settings.visibility is not None or settings.form == "heatmaps"
        ):
            return pose
    raise ConfigError(
        f"[remote] prefer = local asks where the local score is uncertain; [task] kind = {settings.kind} with these settings has no score "
        "of one sample. Use prefer = remote"
    )
