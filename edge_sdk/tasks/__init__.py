"""Tasks turn output tensors into a value: classes, boxes, a mask, keypoints, a keyword, an anomaly's score, or the tensors themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks.settings import (
    AnomalySettings,
    ClassifySettings,
    DetectSettings,
    KeywordSettings,
    PoseSettings,
    RawSettings,
    SegmentSettings,
    TaskSettings,
)
from edge_sdk.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from edge_sdk.bundle.manifest import Head

__all__ = [
    "AnomalySettings",
    "ClassifySettings",
    "DetectSettings",
    "KeywordSettings",
    "PoseSettings",
    "RawSettings",
    "SegmentSettings",
    "Task",
    "TaskSettings",
    "make_task",
]


class Task(ABC):
    """Decodes the outputs of one variant."""

    @abstractmethod
    def decode(
        self,
        outputs: Sequence[Array],
        placement: Placement | None,
        captured_ns: int = 0,
        input_: Array | None = None,
    ) -> Any:
        """The value of one inference.

        Args:
            outputs: the output tensors as the engine gave them (quantized), in the variant's order.
            placement: where the source frame lies in the input tensor, or None where the input is no image.
            captured_ns: when the sample was captured, on the clock of ``time.monotonic_ns``; for tasks that look over time.
            input_: the input tensor as the engine got it, for tasks that compare the two.
        """

    def follow(self, before: Task) -> None:  # noqa: B027 - most tasks remember nothing
        """Take over what ``before``, a task of the same settings for another variant, has seen so far."""

    def reset(self) -> None:  # noqa: B027 - most tasks remember nothing
        """Forget what was seen so far: the samples to come do not follow the ones before."""

    @property
    def core(self) -> Task:
        """The task itself, where this one only prepares its outputs."""
        return self


def make_task(
    settings: TaskSettings,
    *,
    input_: TensorSpec,
    outputs: tuple[TensorSpec, ...],
    labels: tuple[str, ...],
    heads: tuple[Head, ...] = (),
) -> Task:
    """The task of these settings for a variant's tensors; with heads, it takes the outputs as stored and puts them together first.

    Raises:
        ConfigError: if the settings do not fit the tensors; the message names the tensors there are.
    """
    if heads:
        from edge_sdk.heads import Assembler, OnHeads

        assembler = Assembler(heads, outputs)
        return OnHeads(make_task(settings, input_=input_, outputs=assembler.outputs, labels=labels), assembler)
    return _make(settings, input_, outputs, labels)


def _make(settings: TaskSettings, input_: TensorSpec, outputs: tuple[TensorSpec, ...], labels: tuple[str, ...]) -> Task:
    from edge_sdk.tasks import anomaly, classify, detect, keyword, pose, raw, segment, track

    task: Task
    match settings:
        case ClassifySettings():
            task = classify.Classify(settings, outputs, labels)
        case DetectSettings():
            detector = detect.Detect(settings, input_, outputs, labels)
            task = detector if settings.track is None else track.Tracked(detector, track.Tracker(settings.track))
        case KeywordSettings():
            task = keyword.FindKeyword(settings, outputs, labels)
        case AnomalySettings():
            task = anomaly.FindAnomaly(settings, input_, outputs)
        case SegmentSettings():
            task = segment.Segment(settings, input_, outputs, labels)
        case PoseSettings():
            task = pose.FindPose(settings, input_, outputs, labels)
        case RawSettings():
            task = raw.Raw(outputs)
    return task


def output_index(outputs: tuple[TensorSpec, ...], name: str, setting: str) -> int:
    """Position of the output of this name.

    Raises:
        ConfigError: if there is none.
    """
    for index, spec in enumerate(outputs):
        if spec.name == name:
            return index
    raise ConfigError(
        f"[task] {setting} = {name!r}: the model has no such output; it has {', '.join(repr(o.name) for o in outputs)}"
    )


def output_of(outputs: tuple[TensorSpec, ...], name: str | None, setting: str, kind: str) -> int:
    """Position of the output of this name, or of the only one.

    Raises:
        ConfigError: if there is none of that name, or several and none is named.
    """
    if name is not None:
        return output_index(outputs, name, setting)
    if len(outputs) != 1:
        found = ", ".join(f"{o.name!r} {o.shape}" for o in outputs)
        raise ConfigError(f"[task] kind = {kind}: {setting} is missing, and the model has several outputs: {found}")
    return 0
