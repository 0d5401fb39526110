"""Tasks turn output tensors into a value: classes, boxes, or the tensors themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks.settings import ClassifySettings, DetectSettings, RawSettings, TaskSettings
from edge_sdk.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from edge_sdk.bundle.manifest import Head

__all__ = ["ClassifySettings", "DetectSettings", "RawSettings", "Task", "TaskSettings", "make_task"]


class Task(ABC):
    """Decodes the outputs of one variant."""

    @abstractmethod
    def decode(self, outputs: Sequence[Array], placement: Placement | None, captured_ns: int = 0) -> Any:
        """The value of one inference.

        Args:
            outputs: the output tensors as the engine gave them (quantized), in the variant's order.
            placement: where the source frame lies in the input tensor, or None where the input is no image.
            captured_ns: when the sample was captured, on the clock of ``time.monotonic_ns``; for tasks that look over time.
        """

    def reset(self) -> None:  # noqa: B027 - most tasks remember nothing
        """Forget what was seen so far: the samples to come do not follow the ones before."""


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
    from edge_sdk.tasks import classify, detect, raw

    if heads:
        from edge_sdk.heads import Assembler, OnHeads

        assembler = Assembler(heads, outputs)
        return OnHeads(make_task(settings, input_=input_, outputs=assembler.outputs, labels=labels), assembler)
    if isinstance(settings, ClassifySettings):
        return classify.Classify(settings, outputs, labels)
    if isinstance(settings, DetectSettings):
        return detect.Detect(settings, input_, outputs, labels)
    return raw.Raw(outputs)


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
