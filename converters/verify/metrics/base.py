"""What every metric is: a way to read right answers, to score one sample, and to sum the scores up over any draw of samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from converters.verify.settings import EvaluateSettings
from converters.verify.sides import Side, task_for_comparison
from converters.verify.truth import Answer
from edge_sdk.contract import Contract
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.tasks import AnomalySettings, KeywordSettings, PoseSettings, SegmentSettings, TaskSettings
from edge_sdk.tensors import Array, TensorSpec

Floats = npt.NDArray[np.float64]
Right = TypeVar("Right")
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Kind:
    """What is true of a metric, whatever the model.

    Attributes:
        name: the field's own.
        unit: ``"%"`` (values are shares, shown as percent), ``"px"`` or ``""``.
        higher_is_better: whether a drop is a fall; otherwise it is a rise, relative to float's value.
        explanation: one sentence.
    """

    name: str
    unit: str
    higher_is_better: bool
    explanation: str


class Scores(ABC):
    """One model's scores by one metric, sample by sample: the metric's value over any draw of these samples.

    Two models measured on the same samples have scores that are paired, and a draw is given to both.

    Args:
        kind: of the metric.
        samples: how many there are.
    """

    def __init__(self, kind: Kind, samples: int) -> None:
        self.kind = kind
        self.samples = samples

    @abstractmethod
    def value(self, counts: Floats) -> Floats:
        """The metric over each draw.

        Args:
            counts: how often each sample is drawn, (draws, samples).

        Returns:
            (draws,); NaN where a draw has no value.
        """

    @property
    def strata(self) -> npt.NDArray[np.int64] | None:
        """The group that each sample is drawn within, (samples,), or None where there is one group."""
        return None

    def over_all(self) -> float:
        """The metric over every sample once."""
        return float(self.value(np.ones((1, self.samples)))[0])


class Mean(Scores):
    """A metric that is the mean of one number a sample.

    Attributes:
        numbers: (samples,); of dtype bool where each is a hit or a miss.
    """

    def __init__(self, kind: Kind, numbers: Array) -> None:
        super().__init__(kind, len(numbers))
        self.numbers = numbers

    def value(self, counts: Floats) -> Floats:
        """Means, weighted with the counts."""
        weighted: Floats = counts @ self.numbers.astype(np.float64) / counts.sum(axis=1)
        return weighted


class Measure(ABC, Generic[Right, Seen]):
    """One way to score a model, which gives one metric or several of one family.

    Args:
        settings: the ``[evaluate]`` table.
        task: of the model; its output is measured where the table names none.

    Attributes:
        kinds: its metrics; the first counts unless another is named.
        tasks: kinds of task that it fits.
        fits: the outputs that it fits, in words.
    """

    kinds: ClassVar[tuple[Kind, ...]]
    tasks: ClassVar[tuple[str, ...]]
    fits: ClassVar[str]

    def __init__(self, settings: EvaluateSettings, task: TaskSettings | None = None) -> None:
        self.settings = settings
        self.told = task

    @abstractmethod
    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[Right]]:
        """The samples with their right answers.

        Args:
            path: where they are.
            options: what stood behind the path as ``?key=value``.
            contract, labels: as in the bundle.

        Raises:
            DataError: if they cannot be read or do not fit.
        """

    @abstractmethod
    def check(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Answer[Right]]
    ) -> None:
        """Raise ConfigError if it does not fit a model with these tensors, DataError if the answers do not."""

    @abstractmethod
    def see(self, side: Side, value: Any, right: Right) -> Seen:
        """Score the sample that ``side`` has just run.

        Args:
            side: the model, with its outputs of this sample.
            value: what the task made of them.
            right: what would be right.
        """

    @abstractmethod
    def gather(self, seen: Sequence[Seen], outputs: Sequence[TensorSpec]) -> tuple[Scores, ...]:
        """The scores of all samples by each metric that says something of a model with these outputs."""

    def task(self, task: TaskSettings) -> TaskSettings:
        """The task as it has to be decoded for this."""
        return task_for_comparison(task)

    @property
    def own_output(self) -> str | None:
        """The output that the task reads its value from, where it names one."""
        task = self.told
        if isinstance(task, PoseSettings):
            return task.points
        return task.output if isinstance(task, KeywordSettings | AnomalySettings | SegmentSettings) else None

    def output(self, outputs: Sequence[TensorSpec]) -> int:
        """Position of the output that is measured.

        Raises:
            ConfigError: if there is none of that name, or several and none is named.
        """
        names = [spec.name for spec in outputs]
        given = ", ".join(repr(name) for name in names)
        wanted = self.settings.output or self.own_output
        if wanted is None and len(names) == 1:
            return 0
        if wanted is None:
            raise ConfigError(f"[evaluate] output is missing: the model has {given}; name the one to measure")
        if wanted not in names:
            raise ConfigError(f"[evaluate] output = {wanted!r}: the model has no such output; it has {given}")
        return names.index(wanted)

    def refuse(self, spec: TensorSpec) -> ConfigError:
        """The error that says that an output is of another form."""
        names = " or ".join(kind.name for kind in self.kinds)
        return ConfigError(
            f"metric {names} does not fit output {spec.name!r} of shape {spec.shape}: it takes {self.fits}"
        )


def real_output(side: Side, index: int) -> Array:
    """One output of the last run as real numbers, float32, without its batch axis.

    Raises:
        ModelError: if it holds NaN or infinity, which no metric can count.
    """
    real: Array = side.real_outputs()[index]
    if not np.isfinite(real).all():
        raise ModelError(f"output {side.outputs[index].name!r} holds NaN or infinity on a sample of the ground truth")
    return real.reshape(real.shape[1:]) if real.ndim > 1 and real.shape[0] == 1 else real


def size_of(spec: TensorSpec) -> int:
    """How many numbers a tensor holds."""
    return math.prod(spec.shape)
