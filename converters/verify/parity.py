"""Parity of outputs: float against int8 over many samples, in real numbers, in steps, and in the task's own terms."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from converters.calibrate.samples import Samples
from converters.report.accuracy import Agreement, DetectParity, Metric, OutputParity
from converters.verify import judges
from converters.verify.agreement import box_agreement, class_agreement, share_interval
from converters.verify.layers import sqnr_db
from converters.verify.overlap import match_boxes
from converters.verify.remembering import Remembering
from converters.verify.sides import Side
from edge_sdk.errors import ModelError
from edge_sdk.tasks import (
    AnomalySettings,
    ClassifySettings,
    DetectSettings,
    KeywordSettings,
    PoseSettings,
    SegmentSettings,
    TaskSettings,
)
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tasks.detect import Detection
from edge_sdk.tensors import Array, TensorSpec

POOR_DB = 6.0  # the error has half the signal's amplitude


class _Judge(Protocol):
    """Compares the task's values of one sample after another."""

    def see(self, before: Any, after: Any) -> None: ...

    def agreement(self) -> tuple[Agreement, ...]: ...

    def as_metric(self) -> Metric | None: ...


class _Output:
    """One output so far."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec
        self._signal = self._noise = self._gap = 0.0
        self._first: tuple[Array, Array] | None = None
        self._float_moved = self._int8_moved = False

    def see(self, before: Array, after: Array) -> None:
        difference = before.astype(np.float64) - after
        self._signal += float(np.square(before, dtype=np.float64).sum())
        self._noise += float(np.square(difference).sum())
        gap = float(np.abs(difference).max(initial=0.0))
        if not np.isfinite(gap):
            raise ModelError(f"output {self._spec.name!r} becomes NaN or infinite on a sample that is compared")
        self._gap = max(self._gap, gap)
        first = self._first = self._first or (before.copy(), after.copy())
        self._float_moved |= before.min() != before.max() or not np.array_equal(before, first[0])
        self._int8_moved |= after.min() != after.max() or not np.array_equal(after, first[1])

    def figures(self) -> OutputParity:
        steps = self._gap / self._spec.scale if self._spec.quantized else self._gap
        return OutputParity(
            name=self._spec.name,
            sqnr_db=sqnr_db(self._signal, self._noise),
            max_abs_difference=self._gap,
            max_steps=steps,
        )

    def warning(self) -> str | None:
        sqnr = sqnr_db(self._signal, self._noise)
        if self._float_moved and not self._int8_moved:
            said = "has collapsed to one value, while the float one varies"
        elif sqnr is not None and sqnr < POOR_DB:
            said = f"hardly follows the float one ({sqnr:.1f} dB)"
        else:
            return None
        return (
            f"Output {self._spec.name!r} of the int8 model {said}: its range is too wide for 256 steps. "
            "End the model before its last layers, or give quantities of different size outputs of their own."
        )


class _Raw:
    """Nothing beyond the outputs themselves."""

    def see(self, before: object, after: object) -> None:
        pass

    def agreement(self) -> tuple[Agreement, ...]:
        return ()

    def as_metric(self) -> Metric | None:
        return None


class _Classify:
    """How often both sides have the same best class."""

    def __init__(self) -> None:
        self._samples = self._same = 0

    def see(self, before: object, after: object) -> None:
        self._samples += 1
        self._same += _best(before) == _best(after)

    def agreement(self) -> tuple[Agreement, ...]:
        figure = self.as_metric()
        said = "Share of samples with the same best class."
        return (
            Agreement(
                name=figure.name,
                value=figure.int8_value,
                unit=figure.unit,
                explanation=said,
                interval=figure.int8_interval,
            ),
        )

    def as_metric(self) -> Metric:
        return class_agreement(self._same, self._samples)


def _best(value: object) -> int | None:
    scores: tuple[ClassScore, ...] = value  # type: ignore[assignment]
    return scores[0].index if scores else None


_FEW_BOXES = 2  # that int8 may find alone, however few there are


class _Detect:
    """In how many samples each side finds something, and how well their boxes lie on each other."""

    def __init__(self) -> None:
        self.frames = self.frames_float = self.frames_int8 = self._both = self._boxes_float = self._boxes_int8 = 0
        self.ious: list[float] = []
        self._images: list[tuple[tuple[Detection, ...], tuple[Detection, ...]]] = []

    def see(self, before: object, after: object) -> None:
        found: tuple[Detection, ...] = tuple(before)  # type: ignore[arg-type]
        again: tuple[Detection, ...] = tuple(after)  # type: ignore[arg-type]
        self.frames += 1
        self._images.append((found, again))
        self.frames_float += bool(found)
        self.frames_int8 += bool(again)
        self._both += bool(found) and bool(again)
        self._boxes_float += len(found)
        self._boxes_int8 += len(again)
        self.ious += [iou for _, _, iou in match_boxes(found, again)]

    def agreement(self) -> tuple[Agreement, ...]:
        figures = []
        if self.frames_float:
            share = 100 * self._both / self.frames_float
            said = "Of the samples in which float finds at least one object, the share in which int8 does too."
            interval = share_interval(self._both, self.frames_float)
            figures.append(Agreement(name="found again", value=share, unit="%", explanation=said, interval=interval))
        if self.ious:
            said = "Mean intersection over union of the boxes that match: same label, IoU at least 0.5, each box once."
            figures.append(Agreement(name="box overlap", value=float(np.mean(self.ious)), explanation=said))
        for side, count in (("float", self._boxes_float), ("int8", self._boxes_int8)):
            said = f"Objects that the {side} model finds over all samples."
            figures.append(Agreement(name=f"boxes {side}", value=count, explanation=said))
        return tuple(figures)

    def warning(self) -> str | None:
        """What the share that is found again does not show."""
        more = self._boxes_int8 - len(self.ious)
        if more <= max(_FEW_BOXES, 0.1 * self._boxes_float):
            return None
        return (
            f"int8 finds {more} objects where float finds none; float finds {self._boxes_float} in all. Scores of int8 come in steps: try "
            "a [task] threshold that is no step, a little higher, and calibrate on more of what the camera will see."
        )

    def as_metric(self) -> Metric:
        return box_agreement(self._images)

    def figures(self) -> DetectParity:
        mean = float(np.mean(self.ious)) if self.ious else None
        return DetectParity(
            frames=self.frames,
            frames_float=self.frames_float,
            frames_int8=self.frames_int8,
            mean_iou=mean,
            ious=tuple(self.ious),
        )


class OutputFigures:
    """What ``compare_outputs`` found: per output, in the task's terms, for detectors, the threshold of an anomaly's score, and warnings."""

    def __init__(self, outputs: list[_Output], judge: _Judge) -> None:
        self.outputs = tuple(output.figures() for output in outputs)
        self.agreement = judge.agreement()
        self._judge = judge
        self.detect = judge.figures() if isinstance(judge, _Detect) else None
        self.threshold = judge.threshold() if isinstance(judge, judges.JudgeAnomaly) else None
        warnings = [output.warning() for output in outputs] + ([judge.warning()] if isinstance(judge, _Detect) else [])
        self.warnings = tuple(said for said in warnings if said is not None)

    def as_metric(self) -> Metric | None:
        """Agreement as a metric, for a gate without labels; None where the task has no terms of its own.

        Raises:
            DataError: if a detector found nothing at all.
            MissingPackageError: if pycocotools, which a detector's needs, is not installed.
        """
        return self._judge.as_metric()


def judge_for(task: TaskSettings) -> _Judge:
    """What compares the values of a task."""
    judge: _Judge
    match task:
        case ClassifySettings():
            judge = _Classify()
        case DetectSettings():
            judge = _Detect()
        case KeywordSettings():
            judge = judges.JudgeKeyword(task)
        case AnomalySettings():
            judge = judges.JudgeAnomaly(task)
        case SegmentSettings():
            judge = judges.JudgeSegment()
        case PoseSettings():
            judge = judges.JudgePose(task)
        case _:
            judge = _Raw()
    return judge


def compare_outputs(
    before: Side | Remembering,
    after: Side,
    task: TaskSettings,
    samples: Samples,
    progress: Callable[[], None] = lambda: None,
) -> OutputFigures:
    """Run both sides over the samples, each on a thread of its own.

    Raises:
        DataError: if a sample does not fit the contract.
        ModelError: if an output becomes NaN or infinite.
    """
    outputs = [_Output(spec) for spec in after.outputs]
    judge = judge_for(task)
    with ThreadPoolExecutor(1) as pool:
        coming = iter(samples)
        sample = next(coming, None)
        while sample is not None:
            running = pool.submit(before.run, sample)
            value = after.run(sample)
            sample = next(coming, None)  # read while float still runs
            judge.see(running.result(), value)
            _see(before, after, outputs)
            progress()
    return OutputFigures(outputs, judge)


def _see(before: Side | Remembering, after: Side, outputs: list[_Output]) -> None:
    for output, real, dequantized in zip(outputs, before.real_outputs(), after.real_outputs(), strict=True):
        output.see(real, dequantized)
