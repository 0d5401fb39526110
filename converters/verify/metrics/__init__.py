"""Metrics, one family a file; found by the name that ``[evaluate] metric`` gives."""

from __future__ import annotations

from typing import Any

from converters.verify.metrics.anomaly import Auc
from converters.verify.metrics.base import Kind, Mean, Measure, Scores
from converters.verify.metrics.classes import TopK
from converters.verify.metrics.coco import AveragePrecision
from converters.verify.metrics.masks import MeanIou
from converters.verify.metrics.points import KeypointError
from converters.verify.metrics.regression import Regression
from converters.verify.settings import EvaluateSettings
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import TaskSettings

__all__ = ["Kind", "Mean", "Measure", "Scores", "measure_for", "metrics_of"]

_FAMILIES: tuple[type[Measure[Any, Any]], ...] = (TopK, AveragePrecision, MeanIou, Auc, KeypointError, Regression)
_BY_NAME = {kind.name: family for family in _FAMILIES for kind in family.kinds}
_OF_TASK = {
    "classify": "top-1",
    "detect": "mAP",
    "keyword": "top-1",
    "anomaly": "auc",
    "segment": "iou",
    "pose": "keypoints",
}


def metrics_of(task: str) -> tuple[str, ...]:
    """Names of the metrics that fit a kind of task."""
    return tuple(name for name, family in _BY_NAME.items() if task in family.tasks)


def measure_for(settings: EvaluateSettings, task: TaskSettings) -> Measure[Any, Any]:
    """The measure of the metric that was named, or of the task's own.

    Raises:
        ConfigError: if the task has none of its own, or the metric does not fit it; the message says which do.
    """
    allowed = ", ".join(metrics_of(task.kind))
    name = settings.metric or _OF_TASK.get(task.kind)
    if name is None:
        raise ConfigError(
            f"[evaluate] metric is missing: task {task.kind} has none of its own. Its metrics are {allowed}; "
            "give one, and output where the model has several"
        )
    family = _BY_NAME[name]
    if task.kind not in family.tasks:
        others = " and ".join(family.tasks)
        raise ConfigError(
            f"metric {name} does not fit task {task.kind}: it is for {others}. Metrics of {task.kind} are {allowed}"
        )
    measure = family(settings, task)
    if settings.output is not None and measure.own_output not in (None, settings.output):
        raise ConfigError(
            f"[evaluate] output = {settings.output!r}, and task {task.kind} reads {measure.own_output!r}; leave output out"
        )
    return measure
