"""Agreement as a metric: the float model's answers taken for the right ones, for a gate where there are no labels.

Where both have the same best class, both are right or both are wrong: top-1 can drop at most by the share of samples in which they differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.report.accuracy import Interval, Metric
from converters.verify import intervals
from converters.verify.coco_json import TrueObject
from converters.verify.evaluate import PerSample, compare
from converters.verify.metrics.coco import AveragePrecision
from converters.verify.settings import EvaluateSettings
from edge_sdk.errors import DataError
from edge_sdk.tasks.detect import Detection

Pair = tuple[Sequence[Detection], Sequence[Detection]]


def share_interval(hits: int, of: int) -> Interval:
    """Wilson's interval of a share, in percent."""
    low, high = intervals.wilson(hits, of)
    return Interval(low=100 * low, high=100 * high)


def class_agreement(same: int, of: int) -> Metric:
    """How often both have the same best class."""
    said = "Share of samples with the same best class; accuracy can drop at most by what is missing to 100 %."
    return share_metric(same, of, "top-1 agreement", said)


def share_metric(same: int, of: int, name: str, explanation: str) -> Metric:
    """In how many samples both say the same."""
    low, high = intervals.wilson(of - same, of)
    return Metric(
        name=name,
        float_value=100.0,
        int8_value=100 * same / of,
        unit="%",
        int8_interval=share_interval(same, of),
        drop=(of - same) / of,
        drop_interval=Interval(low=low, high=high),
        samples=of,
        differing=of - same,
        explanation=explanation,
    )


def box_agreement(images: Sequence[Pair]) -> Metric:
    """AP50 of int8's detections, with float's taken for the objects, over images (float's, int8's).

    At IoU 0.50: the mean up to 0.95 asks how well boxes lie on each other to the pixel, and not whether something was missed. Of a face
    detector that is as good as float on labels it misses 9 points.

    Raises:
        DataError: if float finds nothing in any of them.
    """
    if not any(found for found, _ in images):
        raise DataError(
            "the float model finds no object in the samples compared, so --max-drop has nothing to go by; "
            "use samples with objects, or give --evaluate DATA"
        )
    objects = [[TrueObject(thing.label, thing.box) for thing in found] for found, _ in images]
    measure = AveragePrecision(EvaluateSettings())
    before, after = (
        PerSample(measure.gather([(image[side], true) for image, true in zip(images, objects, strict=True)])[1:])
        for side in (0, 1)
    )
    (metric,) = compare(before, after)
    said = "Average precision at IoU 0.50 of int8's detections with float's taken for the objects."
    return metric.model_copy(update={"name": "AP50 agreement", "explanation": said})
